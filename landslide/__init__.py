"""landslide: train, sweep and compare segmentation models that map landslides from satellite images."""

__version__ = "0.1.0"
