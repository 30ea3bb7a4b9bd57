"""How far a threshold gets on the synthetic dataset: the floor that a trained network has to leave behind.

python benchmarks/brightness_threshold.py

For each index of the image, the best of 256 thresholds, chosen on the very tiles it is scored on, in whichever
direction is better; F1 is pooled over pixels.
"""

from __future__ import annotations

import numpy as np

from landslide.data.synthetic import synthesize_tile
from landslide.metrics import ratios

TILES, SIZE_PX, SEED = 400, 128, 0  # as conf/data/synthetic.yaml


def best_f1(index: np.ndarray, mask: np.ndarray) -> float:
    best = 0.0
    for threshold in np.linspace(index.min(), index.max(), 256):
        above = index > threshold
        for predicted in (above, ~above):
            hit = int((predicted & mask).sum())
            counts = [hit, int(predicted.sum()) - hit, int(mask.sum()) - hit, 0]
            best = max(best, ratios(counts)["f1"])
    return best


def main() -> None:
    tiles = [synthesize_tile(SEED, number, SIZE_PX) for number in range(TILES)]
    red, green, blue = np.moveaxis(np.stack([tile.image for tile in tiles]).astype(np.float32), -1, 0)
    mask = np.stack([tile.mask for tile in tiles]) > 0
    indices = {
        "brightness": (red + green + blue) / 3,
        "red": red,
        "green": green,
        "blue": blue,
        "red - green": red - green,
    }
    for name, index in indices.items():
        print(f"{name:12} F1 {best_f1(index, mask):.3f}")


if __name__ == "__main__":
    main()
