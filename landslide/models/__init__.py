"""The segmentation network, and where its weights come from."""
