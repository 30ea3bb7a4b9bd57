"""The layout of the Bijie dataset (Ji, Yu, Shen, Li and Xu 2020, doi:10.1007/s10346-020-01353-2).

``landslide/image/NAME.png`` (RGB) with ``landslide/mask/NAME.png`` (8 bit), and without masks
``non-landslide/image/NAME.png``. Beside both, where there are any, elevation models in ``dem/NAME.png``.
"""

from __future__ import annotations

import re
from pathlib import Path

from landslide.data.tiles import Tile
from landslide.errors import DataError


def list_bijie(root: Path, *, negatives: bool = False, dem: bool = False) -> list[Tile]:
    """The tiles, sorted by name, those with a landslide first.

    Args:
        root: of the dataset.
        negatives: also the non-landslide images, whose names get their folder before them.
        dem: also the elevation models.

    Raises:
        DataError: where the layout is another one, or an image has no mask, or no elevation model where one is asked
            for.
    """
    images, masks = root / "landslide" / "image", root / "landslide" / "mask"
    if not images.is_dir() or not masks.is_dir():
        raise DataError(
            f"data.root={root}: no Bijie dataset there (looked for landslide/image and landslide/mask). Give its "
            "folder with data.root=PATH or the environment variable LANDSLIDE_BIJIE_ROOT, or write a synthetic one: "
            "landslide data synthesize PATH"
        )
    paths = sorted(images.glob("*.png"))
    if not paths:
        raise DataError(f"{images}: holds no PNG image.")
    _require_beside(paths, masks, "masks")
    tiles = [_tile(path, path.stem, masks / path.name, dem) for path in paths]
    if negatives:
        folder = root / "non-landslide" / "image"
        without = sorted(folder.glob("*.png"))
        if not without:
            raise DataError(f"{folder}: holds no PNG image, which data.negatives asks for. none leaves them out.")
        tiles += [_tile(path, f"non-landslide/{path.stem}", None, dem) for path in without]
    if dem:
        for half in ("landslide", "non-landslide"):
            folder = root / half
            _require_beside([tile.image for tile in tiles if tile.image.parent.parent == folder], folder / "dem", "DEM")
    return tiles


def county(name: str) -> str:
    """The county group of a tile: its name up to the first digit.

    Examples:
        >>> county("qxg012")
        'qxg'
    """
    return re.split(r"\d", name, maxsplit=1)[0]


def _tile(image: Path, tile_id: str, mask: Path | None, dem: bool) -> Tile:
    model = image.parent.parent / "dem" / image.name if dem else None
    return Tile(tile_id, image, mask, dem=model, group=county(image.stem))


def _require_beside(images: list[Path], folder: Path, what: str) -> None:
    missing = [path.name for path in images if not (folder / path.name).is_file()]
    if missing:
        cure = " Leave dem and slope out of data.bands, or add them." if what == "DEM" else ""
        raise DataError(
            f"{folder}: {len(missing)} of {len(images)} {what} are missing, the first is {missing[0]!r}.{cure}"
        )
