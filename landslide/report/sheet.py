"""The sheet of predictions: tiles that a rule chose, and pictures of the tiles that runs store for it.

A run that keeps its probability maps also keeps ``validation/tiles.zip``: for the tile at each position of its
``validation/*.npz`` the files ``image/POSITION.jpg`` and ``mask/POSITION.png``. Pictures are for looking at, so JPEG
will do; numbers come from counts.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from landslide.report.atlas import RIGHT, Atlas
from landslide.report.figures import Panel, UInt8, tiles_figure
from landslide.report.pictures import Picture
from landslide.report.runs import AT

PERCENTILES = (10, 50, 90)
MOST_MISSED = 4
"""More tiles than this that every model misses are named in a table only."""

JPEG_QUALITY = 85


@dataclass(frozen=True)
class Choice:
    """Tiles to draw."""

    name: str
    """Of the picture."""
    title: str
    tiles: tuple[str, ...]
    rule: str
    """How they were chosen, to be printed under them."""


def pack_tiles(path: Path, images: Iterable[UInt8], masks: Iterable[UInt8]) -> None:
    """Write pictures of tiles.

    Args:
        path: of the file.
        images: ``(H, W, 3)`` each.
        masks: ``(H, W)`` each, 0 background, 1 landslide.
    """
    with zipfile.ZipFile(path, "w") as packed:  # what is in it is compressed already
        for position, (image, mask) in enumerate(zip(images, masks, strict=True)):
            packed.writestr(f"image/{position}.jpg", _encoded(Image.fromarray(image), "JPEG", quality=JPEG_QUALITY))
            packed.writestr(f"mask/{position}.png", _encoded(Image.fromarray(mask > 0), "PNG"))


def unpack_tiles(path: Path, positions: Sequence[int]) -> tuple[UInt8, UInt8]:
    """Read some of the pictures that :func:`pack_tiles` wrote.

    Args:
        path: of the file.
        positions: at least one.

    Returns:
        Images ``(k, H, W, 3)`` and masks ``(k, H, W)``, 0 background, 1 landslide.

    Raises:
        zipfile.BadZipFile: for a file that is damaged or no zip.
        KeyError: for a tile that is not in it.
        ValueError: for a picture that cannot be decoded.
    """
    with zipfile.ZipFile(path) as packed:
        images = [_decoded(packed.read(f"image/{position}.jpg"), "JPEG") for position in positions]
        masks = [_decoded(packed.read(f"mask/{position}.png"), "PNG") for position in positions]
    return np.stack(images), np.stack(masks).astype(np.uint8)


def choose_tiles(atlas: Atlas) -> list[Choice]:
    """Tiles at percentiles of F1; and the hardest of those that every one of several models misses."""
    *first, last = (f"{percentile}th" for percentile in PERCENTILES)
    averaged = "F1 averaged over these models" if len(atlas.models) > 1 else "F1"
    choices = [
        Choice(
            "tiles",
            "The same tiles, seen by every model",
            tuple(atlas.tile_id[tile] for tile in at_percentiles(atlas.mean_f1)),
            f"Tiles at the {', '.join(first)} and {last} percentile of {averaged}, of the {len(atlas.tile_id)} "
            "validation tiles with a landslide.",
        )
    ]
    missed = atlas.missed_by_all if len(atlas.models) > 1 else []
    if missed:
        choices.append(
            Choice(
                "missed_tiles",
                "Tiles that every model misses",
                tuple(atlas.tile_id[tile] for tile in missed[:MOST_MISSED]),
                f"Of the {len(missed)} tiles on which no model reaches F1 {RIGHT}, those of lowest mean F1, at most "
                f"{MOST_MISSED}.",
            )
        )
    return choices


def at_percentiles(values: npt.NDArray[np.float64], percentiles: Sequence[float] = PERCENTILES) -> list[int]:
    """Positions of the values nearest to some percentiles, each once.

    Examples:
        >>> at_percentiles(np.array([0.9, 0.1, 0.5, 0.6]))
        [1, 3, 0]
    """
    order = np.argsort(values, kind="stable")
    places = np.rint(np.asarray(percentiles) / 100 * (len(order) - 1)).astype(int)
    return [int(order[place]) for place in dict.fromkeys(places.tolist())]


def read_panel(validation: Path, pictures: Path, tiles: Sequence[str]) -> Panel | None:
    """Some tiles as one run saw them.

    Args:
        validation: the run's ``validation/best.npz`` or ``last.npz``.
        pictures: the run's ``validation/tiles.zip``.
        tiles: names of at least one; those that the run was not validated on are left out.

    Returns:
        None where the run kept no probability maps, or was validated on none of these tiles.

    Raises:
        zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError: for files that are damaged or of another kind.
    """
    with np.load(validation, allow_pickle=False) as stored:
        position = {str(name): at for at, name in enumerate(stored["tile_id"])}
        names = [tile for tile in tiles if tile in position]
        if "probability" not in stored or not names:
            return None
        positions = [position[name] for name in names]
        images, masks = unpack_tiles(pictures, positions)
        return Panel(images, masks, stored["probability"][positions], names, rule="")


def make_picture(choice: Choice, panels: Mapping[str, Panel]) -> Picture:
    """The sheet of some tiles.

    Args:
        choice: which tiles, and by which rule.
        panels: by model, with these tiles and maybe others. Where a model has not seen one, its place stays empty.
    """
    first, *others = panels
    return Picture(
        choice.name,
        choice.title,
        f"{AT['best']}. F1 of each tile is under its prediction; the table pools the pixels of all validation tiles. "
        "Of several seeds the first one is drawn.",
        f"Image, truth and prediction of {', '.join(panels)}, with F1 of each tile. {choice.rule}",
        tiles_figure({first: _part(panels[first], choice), **{model: panels[model] for model in others}}),
        photographic=True,
    )


def _part(panel: Panel, choice: Choice) -> Panel:
    """Of all tiles those that were chosen, under their rule: the first panel says what is drawn."""
    names = [tile for tile in choice.tiles if tile in panel.tile_id]
    rows = [panel.tile_id.index(name) for name in names]
    return Panel(panel.images[rows], panel.masks[rows], panel.probability[rows], names, choice.rule)


def _encoded(picture: Image.Image, form: str, **settings: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **settings)
    return buffer.getvalue()


def _decoded(content: bytes, form: str) -> npt.NDArray[Any]:
    try:
        with Image.open(io.BytesIO(content), formats=[form]) as picture:  # no other decoder is given a stored file
            return np.asarray(picture)
    except OSError as error:
        raise ValueError(f"a picture of a tile cannot be decoded: {error}") from error
