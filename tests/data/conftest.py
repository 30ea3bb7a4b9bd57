"""Datasets in the Bijie layout, small enough to write for each test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Bytes = npt.NDArray[np.uint8]


def write_tile(root: Path, name: str, image: Bytes, mask: Bytes) -> None:
    """Write one PNG each, ``(H, W, 3)`` and ``(H, W)``."""
    for kind, pixels in (("image", image), ("mask", mask)):
        folder = root / "landslide" / kind
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{name}.png")


def random_tile(seed: int, height: int, width: int) -> tuple[Bytes, Bytes]:
    """Noise with a rectangle of landslide, of another place and size for each seed."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), np.uint8)
    top, left = random.integers(0, height // 2), random.integers(0, width // 2)
    mask[top : top + height // 3 + seed % 3, left : left + width // 3] = 255
    return image, mask


def write_dataset(root: Path, sizes: Sequence[tuple[int, int]]) -> dict[str, tuple[Bytes, Bytes]]:
    """Tiles ``tile000`` ... of these heights and widths; returns what was written."""
    written = {f"tile{number:03d}": random_tile(number, *size) for number, size in enumerate(sizes)}
    for name, (image, mask) in written.items():
        write_tile(root, name, image, mask)
    return written


def cut_short(path: Path) -> None:
    """Leave the first half of a file, as a broken download does."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def files_in(folder: Path) -> list[Path]:
    """Everything but locks, which stay on purpose."""
    return sorted(path for path in folder.iterdir() if path.suffix != ".lock")
