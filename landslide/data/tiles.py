"""Tiles of a dataset on disk, and how one is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from landslide.errors import DataError

CHANNEL = {"red": 0, "green": 1, "blue": 2}


@dataclass(frozen=True)
class Tile:
    """One image with its mask, not read yet."""

    tile_id: str
    """The image's name without its ending; unique in the dataset."""
    image: Path
    mask: Path


@dataclass(frozen=True)
class DecodedTile:
    """One tile at the size that the network sees."""

    image: npt.NDArray[np.uint8]
    """``(size, size, bands)``."""
    mask: npt.NDArray[np.uint8]
    """``(size, size)``, 0 background, 1 landslide."""
    height_px: int
    """Native height, before resizing."""
    width_px: int


def list_bijie(root: Path) -> list[Tile]:
    """The landslide tiles of the published Bijie layout, sorted by name.

    Layout: ``landslide/image/NAME.png`` (RGB) with ``landslide/mask/NAME.png`` (8 bit). Source: Ji, Yu, Shen, Li and
    Xu (2020), doi:10.1007/s10346-020-01353-2.

    Raises:
        DataError: where the layout is another one, or an image has no mask.
    """
    images, masks = root / "landslide" / "image", root / "landslide" / "mask"
    if not images.is_dir() or not masks.is_dir():
        raise DataError(
            f"data.root={root}: no Bijie dataset there (looked for landslide/image and landslide/mask). Give its "
            "folder with data.root=PATH or the environment variable LANDSLIDE_BIJIE_ROOT, or write a synthetic one: "
            "landslide data synthesize PATH"
        )
    tiles = [Tile(path.stem, path, masks / path.name) for path in sorted(images.glob("*.png"))]
    if not tiles:
        raise DataError(f"{images}: holds no PNG image.")
    missing = [tile.image.name for tile in tiles if not tile.mask.is_file()]
    if missing:
        raise DataError(f"{masks}: {len(missing)} of {len(tiles)} masks are missing, the first is {missing[0]!r}.")
    return tiles


def decode(tile: Tile, size: int, bands: Sequence[str]) -> DecodedTile:
    """Read one tile and resize it.

    The image is resized bilinearly, with every source pixel weighed when it shrinks. So is the mask, which leaves more
    than two values: they are min-max scaled and encoded as 0 or 1 at one half, as in Oak et al. 2024, section IV-A. A
    mask of one value has no range to scale by and is divided by 255.

    Raises:
        DataError: naming the file, where it cannot be read, or image and mask differ in size.
    """
    image, mask = _read(tile.image, "RGB"), _read(tile.mask, "L")
    if image.size != mask.size:
        raise DataError(f"{tile.mask}: {_px(mask)}, but its image is {_px(image)}. They must be of one size.")
    resized = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))  # (size, size, 3)
    channels = [CHANNEL[band] for band in bands]
    return DecodedTile(
        image=np.ascontiguousarray(resized[..., channels]),
        mask=encode_mask(np.asarray(mask.resize((size, size), Image.Resampling.BILINEAR))),
        height_px=image.height,
        width_px=image.width,
    )


def encode_mask(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Min-max scale, then 1 from one half up.

    Examples:
        >>> encode_mask(np.array([[0, 90], [110, 200]], dtype=np.uint8)).tolist()
        [[0, 0], [1, 1]]
        >>> encode_mask(np.zeros((1, 2), dtype=np.uint8)).tolist()
        [[0, 0]]
    """
    low, high = int(mask.min()), int(mask.max())
    if low == high:
        low, high = 0, 255
    return ((mask.astype(np.float32) - low) / (high - low) >= 0.5).astype(np.uint8)


def _read(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error}).") from error


def _px(image: Image.Image) -> str:
    return f"{image.width} x {image.height} px"
