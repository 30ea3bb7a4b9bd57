"""The layout of Landslide4Sense (Ghorbanzadeh, Xu, Ghamisi, Kopp and Kreil 2022, doi:10.1109/TGRS.2022.3215209).

``TrainData/img/image_N.h5`` with a dataset ``img`` of 128 x 128 x 14 numbers, ``TrainData/mask/mask_N.h5`` with a
dataset ``mask`` of 0 and 1; ``ValidData`` and ``TestData`` likewise.
"""

from __future__ import annotations

from pathlib import Path

from landslide.data.tiles import Tile
from landslide.errors import DataError

FOLDERS = {"train": "TrainData", "val": "ValidData", "test": "TestData"}


def list_landslide4sense(root: Path, *, channels: tuple[str, ...], by_part: bool) -> list[Tile]:
    """The tiles, sorted by name.

    Args:
        root: of the dataset.
        channels: names of the 14 bands, in order.
        by_part: also ValidData and, where its masks are there, TestData; else only TrainData, to be divided.

    Raises:
        DataError: where a folder is missing or empty, or an image has no mask.
    """
    tiles = []
    for part, folder in FOLDERS.items():
        if part == "train" or (by_part and (part == "val" or (root / folder / "mask").is_dir())):
            tiles += _list_part(root / folder, part, channels, by_part)
    return tiles


def _list_part(folder: Path, part: str, channels: tuple[str, ...], by_part: bool) -> list[Tile]:
    cure = " Divide TrainData instead: data.split.by=tile" if part == "val" else ""
    for name in ("img", "mask"):
        if not (folder / name).is_dir():
            raise DataError(f"{folder / name}: there is no such folder.{cure or ' Give the dataset: data.root=PATH'}")
    images = sorted((folder / "img").glob("image_*.h5"))
    if not images:
        raise DataError(f"{folder / 'img'}: holds no image_N.h5.")
    masks = [folder / "mask" / path.name.replace("image_", "mask_", 1) for path in images]
    missing = [mask.name for mask in masks if not mask.is_file()]
    if missing:
        raise DataError(
            f"{folder / 'mask'}: {len(missing)} of {len(images)} masks are missing, the first is {missing[0]!r}.{cure}"
        )
    return [
        Tile(f"{part}/{image.stem}", image, mask, channels=channels, part=part if by_part else None)
        for image, mask in zip(images, masks, strict=True)
    ]
