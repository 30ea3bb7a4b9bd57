"""Which layout a dataset is in, and its tiles."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.progress import track

from landslide.config import NO_NEGATIVES, TERRAIN
from landslide.data.bijie import list_bijie
from landslide.data.folder import list_folder
from landslide.data.landslide4sense import list_landslide4sense
from landslide.data.synthetic import synthesize
from landslide.data.tiles import Tile
from landslide.errors import DataError

TITLES = {"bijie": "the Bijie dataset", "folder": "a folder of images and masks", "landslide4sense": "Landslide4Sense"}


def list_tiles(cfg: DictConfig) -> list[Tile]:
    """The tiles of the ``data`` group, not read yet; a synthetic dataset is written first where it is missing.

    Raises:
        DataError: where the root is missing, empty or of another layout, saying which; and see the layouts.
    """
    root = Path(cfg.root).expanduser()
    if cfg.generate is not None:
        synthesize(root, **cfg.generate, progress=lambda tiles: track(list(tiles), "Writing synthetic tiles"))
    _require_layout(root, cfg)
    channels, by_part = tuple(cfg.channels), cfg.split.by == "folder"
    if cfg.layout == "folder":
        return list_folder(
            root,
            images=cfg.images,
            masks=cfg.masks,
            mask_suffix=cfg.mask_suffix,
            channels=channels,
            by_part=by_part,
        )
    if cfg.layout == "landslide4sense":
        return list_landslide4sense(root, channels=channels, by_part=by_part)
    asked = {cfg.negatives.train, cfg.negatives.val} != {NO_NEGATIVES}
    return list_bijie(root, negatives=asked, dem=not set(TERRAIN).isdisjoint(cfg.bands))


def _require_layout(root: Path, cfg: DictConfig) -> None:
    """Refuse a root of another layout; what is wrong within the right one is for its own reader to say."""
    fits = fitting_layouts(root, cfg.images, cfg.masks)
    if fits and cfg.layout not in fits:
        raise DataError(
            f"data.root={root}: this is not {TITLES[cfg.layout]}, it looks like {TITLES[fits[0]]}. Read it so: "
            f"data={fits[0]} data.root={root}"
        )
    if not fits and root.is_dir() and not any(root.iterdir()):
        raise DataError(f"data.root={root}: this folder is empty. Give that of the dataset with data.root=PATH")
    if cfg.layout != "bijie" and not root.is_dir():  # the reader of the Bijie layout says more
        raise DataError(f"data.root={root}: there is no such folder. Give it with data.root=PATH")


def fitting_layouts(root: Path, images: str = "images", masks: str = "masks") -> list[str]:
    """Names of the layouts whose folders stand under root, the most particular one first."""
    marks = {
        "landslide4sense": [("TrainData/img", "TrainData/mask")],
        "bijie": [("landslide/image", "landslide/mask")],
        "folder": [(images, masks), (f"train/{images}", f"train/{masks}")],
    }
    return [
        layout
        for layout, ways in marks.items()
        if any(all((root / folder).is_dir() for folder in folders) for folders in ways)
    ]
