"""Any folder of images and masks that share their names.

``images/NAME.tif`` with ``masks/NAME.png``, in any of the formats that can be read; or the same in ``train/``,
``val/`` and ``test/``. Sub-folders are not searched.
"""

from __future__ import annotations

from pathlib import Path

from landslide.data.bijie import county
from landslide.data.pixels import ENDINGS
from landslide.data.tiles import PARTS, Tile
from landslide.errors import DataError


def list_folder(
    root: Path,
    *,
    images: str = "images",
    masks: str = "masks",
    mask_suffix: str = "",
    channels: tuple[str, ...],
    by_part: bool = False,
) -> list[Tile]:
    """The tiles, sorted by name.

    Args:
        root: of the dataset.
        images: folder of images below root, or below each part.
        masks: folder of masks, likewise.
        mask_suffix: what a mask's name has after its image's, such as ``_mask``.
        channels: names of all bands of the images, in order.
        by_part: whether images stand in ``train/``, ``val/`` and, where there is one, ``test/``.

    Raises:
        DataError: where a folder is missing or holds no image, an image has no mask, or a name is there twice.
    """
    if not by_part:
        return _list_pairs(root, root / images, root / masks, mask_suffix, channels, None)
    tiles = []
    for part in PARTS:
        if part != "test" or (root / part).is_dir():
            tiles += _list_pairs(root, root / part / images, root / part / masks, mask_suffix, channels, part)
    return tiles


def _list_pairs(
    root: Path, images: Path, masks: Path, suffix: str, channels: tuple[str, ...], part: str | None
) -> list[Tile]:
    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder. {_advice(root, images.name, part)}")
    found = _by_stem(images)
    if not found:
        raise DataError(f"{images}: holds no image (looked for {', '.join(ENDINGS)}; sub-folders are not searched).")
    mask_of = _by_stem(masks)
    missing = [path.name for stem, path in found.items() if f"{stem}{suffix}" not in mask_of]
    if missing:
        raise DataError(
            f"{masks}: {len(missing)} of {len(found)} masks are missing, the first is that of {missing[0]!r}. A mask "
            "has the name of its image, whatever the ending; with data.mask_suffix=_mask, that and _mask."
        )
    prefix = f"{part}/" if part else ""
    return [
        Tile(f"{prefix}{stem}", path, mask_of[f"{stem}{suffix}"], channels=channels, group=county(stem), part=part)
        for stem, path in found.items()
    ]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Image files by name without ending, sorted; hidden ones are not images."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{folder}: {found[path.stem].name!r} and {path.name!r} are two images of one name.")
        found[path.stem] = path
    return found


def _advice(root: Path, images: str, part: str | None) -> str:
    if part is None and (root / "train" / images).is_dir():
        return "Images stand in train/ and val/: take them so with data.split.by=folder"
    if part is not None and (root / images).is_dir():
        return f"Images stand in {images}/, not in train/ and val/: divide them with data.split.by=tile"
    return "Other names can be given with data.images=NAME data.masks=NAME; another place with data.root=PATH"
