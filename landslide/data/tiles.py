"""Tiles of a dataset on disk, and how one is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from landslide.config import RGB
from landslide.data.pixels import FULL_SCALE, Pixels, read_image, read_mask, resize
from landslide.errors import DataError

PARTS = ("train", "val", "test")

DEM_UNIT_M = 0.1
"""Metres of one step of an elevation model: the synthetic ones are in decimetres, the published unit is not stated.
Bands are standardised before the network, so it names the number and changes no result."""


@dataclass(frozen=True)
class Tile:
    """One image with its mask, not read yet."""

    tile_id: str
    """Its name without ending, with the folder before it where names repeat; unique in the dataset."""
    image: Path
    mask: Path | None
    """None: background everywhere."""
    dem: Path | None = None
    """An elevation model of the same ground, in a file of its own."""
    channels: tuple[str, ...] = RGB
    """Names of all bands of the image file, in order."""
    group: str = ""
    """Tiles of one group come from one place, and may show the same ground."""
    part: str | None = None
    """The part that the dataset itself puts it in: train, val or test."""


@dataclass(frozen=True)
class DecodedTile:
    """One tile at the size that the network sees."""

    image: Pixels
    """``(size, size, bands)``; uint8, uint16 or float32, the narrowest that holds every band."""
    scale: tuple[float, ...]
    """Full scale of each band as its file has it: 255, 65535, or 1 for other numbers."""
    mask: npt.NDArray[np.uint8]
    """``(size, size)``, 0 background, 1 landslide."""
    height_px: int
    """Native height, before resizing."""
    width_px: int


def decode(tile: Tile, size: int, bands: Sequence[str]) -> DecodedTile:
    """Read one tile and resize it.

    The image is resized bilinearly, with every source pixel weighed when it shrinks. So is the mask, which leaves more
    than two values: :func:`encode_mask` makes them 0 or 1. Pixels keep the numbers of their file; an elevation model
    in a file of its own is in metres above the mean of the tile, since its height above the sea tells where a tile
    is, not what it shows; its slope is in metres of rise a pixel of that file.

    Args:
        tile: of one dataset.
        size: side of the result in pixels.
        bands: which of ``tile.channels``, in which order; ``dem`` and ``slope`` may come from ``tile.dem``.

    Raises:
        DataError: naming the file, where it cannot be read, or image and mask differ in size.
    """
    pixels = read_image(tile.image, tile.channels)
    inside = [band for band in bands if band in tile.channels]
    resized = resize(pixels[..., [tile.channels.index(band) for band in inside]], size)
    planes = {band: resized[..., row] for row, band in enumerate(inside)}
    planes |= {band: _terrain(tile, band, size) for band in bands if band not in tile.channels}
    return DecodedTile(
        image=np.stack([planes[band] for band in bands], axis=-1),
        scale=tuple(FULL_SCALE[planes[band].dtype.name] for band in bands),
        mask=_landslide(tile, pixels, size),
        height_px=pixels.shape[0],
        width_px=pixels.shape[1],
    )


def encode_mask(mask: Pixels) -> npt.NDArray[np.uint8]:
    """Min-max scale, then 1 from one half up, as in Oak et al. 2024, section IV-A.

    So it does not matter whether landslides are written as 1, 255 or 65535. A mask of one value has no range to scale
    by: 0 is background, everything else landslide.

    Examples:
        >>> encode_mask(np.array([[0, 90], [110, 200]], dtype=np.uint8)).tolist()
        [[0, 0], [1, 1]]
        >>> encode_mask(np.zeros((1, 2), dtype=np.uint8)).tolist()
        [[0, 0]]
    """
    low, high = float(mask.min()), float(mask.max())
    if low == high:
        return np.full(mask.shape, int(low != 0), dtype=np.uint8)
    return ((mask.astype(np.float32) - low) / (high - low) >= 0.5).astype(np.uint8)


def _landslide(tile: Tile, pixels: Pixels, size: int) -> npt.NDArray[np.uint8]:
    """0 or 1, ``(size, size)``."""
    if tile.mask is None:
        return np.zeros((size, size), dtype=np.uint8)
    mask = read_mask(tile.mask)
    if mask.shape != pixels.shape[:2]:
        raise DataError(f"{tile.mask}: {_px(mask)}, but its image is {_px(pixels)}. They must be of one size.")
    return encode_mask(resize(mask[..., None], size)[..., 0])


def _terrain(tile: Tile, band: str, size: int) -> Pixels:
    """``dem`` or ``slope`` of the elevation model, float32 ``(size, size)``; it may be coarser than the image."""
    assert tile.dem is not None
    height_m = read_image(tile.dem, ("dem",)).astype(np.float32) * np.float32(DEM_UNIT_M)  # (H, W, 1)
    if band == "slope":
        if min(height_m.shape[:2]) < 2:
            raise DataError(f"{tile.dem}: {_px(height_m)} are too few to take a slope from.")
        steepness: Pixels = np.hypot(*np.gradient(height_m[..., 0]))
        return np.asarray(resize(steepness[..., None], size)[..., 0])
    resized = resize(height_m, size)[..., 0]
    return np.asarray(resized - resized.mean(dtype=np.float64).astype(np.float32))


def _px(pixels: Pixels) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]} px"
