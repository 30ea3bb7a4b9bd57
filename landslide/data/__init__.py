"""Tiles: where they lie, how they are decoded once, divided, batched and augmented."""
