"""A dataset of synthetic tiles on disk, in Bijie's layout."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image

from landslide.data.synthetic.canvas import GSD_M
from landslide.data.synthetic.counties import tile_name
from landslide.data.synthetic.tile import MIN_SIZE_PX, SyntheticTile, check_numbers, synthesize_tile
from landslide.errors import DataError

GENERATOR_VERSION = 1
"""Raised whenever the same settings give other tiles: datasets of an older version are refused, not mixed."""

DEM_UNIT = "decimetre"
SETTINGS_FILE = "synthetic.json"


def synthesize(
    root: Path,
    *,
    count: int,
    non_landslide: int,
    size_px: int,
    seed: int,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Path:
    """Write a dataset at ``root`` in Bijie's layout, or return at once where it stands already.

    It is written aside and renamed, under a lock: no reader sees half of it, and of two processes one writes.

    Args:
        root: folder to make; the DEM goes to ``dem/`` beside ``image/``, 16 bit, in decimetres.
        count: tiles with landslides, at least 1.
        non_landslide: tiles without, at least 0; where 0, ``non-landslide/`` is there and empty.
        size_px: height and width, at least 32.
        seed: not negative.
        progress: wraps the iterable of tiles, as ``tqdm`` does.

    Returns:
        ``root``.

    Raises:
        DataError: a number is out of range, or something else stands at ``root``, which is left as it was.
    """
    check_numbers(count=(count, 1), non_landslide=(non_landslide, 0), size_px=(size_px, MIN_SIZE_PX), seed=(seed, 0))
    settings = {
        "version": GENERATOR_VERSION,
        "seed": seed,
        "count": count,
        "non_landslide": non_landslide,
        "size_px": size_px,
        "gsd_m": GSD_M,
        "dem_unit": DEM_UNIT,
    }
    if _stands(root, settings):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.parent / f".{root.name}.lock"):
        if not _stands(root, settings):
            with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as aside:
                _write(Path(aside) / root.name, settings, progress or iter).rename(root)
    return root


def _stands(root: Path, settings: dict[str, Any]) -> bool:
    """Whether the dataset of these settings is at ``root``; False where nothing is.

    Raises:
        DataError: something else is there.
    """
    if not root.exists() and not root.is_symlink():
        return False
    found = _settings_at(root)
    if found == settings:
        return True
    if found is None:
        what = f"something that is not a synthetic dataset (no readable {SETTINGS_FILE})"
    else:
        other = [
            f"{key} {found.get(key)} instead of {value}" for key, value in settings.items() if found.get(key) != value
        ]
        what = f"a synthetic dataset of other settings ({', '.join(other) or 'unknown keys'})"
    raise DataError(f"{root}: found {what}. Choose another folder for the dataset, or move this one away.")


def _settings_at(root: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((root / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(root: Path, settings: dict[str, Any], progress: Callable[[Iterable[int]], Iterable[int]]) -> Path:
    for folder in ("landslide/image", "landslide/mask", "landslide/dem", "non-landslide/image", "non-landslide/dem"):
        (root / folder).mkdir(parents=True)
    count = settings["count"]
    for number in progress(range(count + settings["non_landslide"])):
        landslide = number < count
        index = number if landslide else number - count
        tile = synthesize_tile(settings["seed"], index, settings["size_px"], landslide)
        _write_tile(root / ("landslide" if landslide else "non-landslide"), tile_name(index), tile, landslide)
    (root / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return root


def _write_tile(folder: Path, name: str, tile: SyntheticTile, with_mask: bool) -> None:
    decimetres = np.rint(tile.dem * 10).astype(np.uint16)
    Image.fromarray(tile.image).save(folder / "image" / f"{name}.png")
    Image.fromarray(decimetres).save(folder / "dem" / f"{name}.png")
    if with_mask:
        Image.fromarray(tile.mask).save(folder / "mask" / f"{name}.png")
