"""Every image decoded and resized once, into arrays that processes share through the page cache.

A cache is keyed by the content of the files and by what was done to them, so it is never stale: another resize, band
or byte makes another one. It is written aside and renamed, under a lock, so several processes may ask for it at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image
from rich.progress import track

from landslide.data.pixels import FULL_SCALE
from landslide.data.tiles import Tile, decode
from landslide.errors import DataError

FORMAT = 2
"""Raise it when decoding changes: older caches are then left alone and new ones made."""


@dataclass(frozen=True)
class TileCache:
    """All tiles of a dataset at one size, memory-mapped and read-only."""

    tile_id: list[str]
    image: npt.NDArray[Any]
    """``(tiles, size, size, bands)``; uint8, uint16 or float32, the narrowest that holds every band."""
    scale: list[float]
    """Full scale of each band as the files have it: 255, 65535, or 1 for other numbers."""
    mask: npt.NDArray[np.uint8]
    """``(tiles, size, size)``, 0 or 1."""
    height_px: npt.NDArray[np.int64]
    """``(tiles,)``, native."""
    width_px: npt.NDArray[np.int64]
    digest: str
    """Of names and bytes of all files that are read, whatever the size: what a run records as its dataset."""

    def __len__(self) -> int:
        return len(self.tile_id)


def open_cache(tiles: Sequence[Tile], size: int, bands: Sequence[str], folder: Path) -> TileCache:
    """Open the cache of these tiles, making it first where there is none.

    Args:
        tiles: at least one.
        size: side of a decoded tile in pixels.
        bands: which channels, in which order.
        folder: where caches lie; made if missing.

    Raises:
        DataError: where a tile cannot be read, tiles are of different types, or the folder cannot be written.
    """
    digest = content_digest(tiles)
    settings = json.dumps([FORMAT, digest, size, list(bands), list(tiles[0].channels)])
    place = folder / f"tiles-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
    if not place.is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{place}.lock"):
                if not place.is_dir():
                    _require_room(folder, len(tiles), size, len(bands))
                    _build(tiles, size, bands, place)
        except OSError as error:
            raise DataError(f"data.cache_dir={folder}: cannot be written ({error}). Choose another folder.") from error
    try:
        return _load(place, digest)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{place}: this cache is damaged ({error}). Delete the folder, it is made again.") from error


def _require_room(folder: Path, tiles: int, size: int, bands: int) -> None:
    """Refuse what cannot fit even where every band takes one byte a pixel."""
    needed, free = tiles * size**2 * (bands + 1), shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"data.cache_dir={folder}: {free / 1e6:.0f} MB are free, {tiles} tiles at data.image_size={size} take "
            f"at least {needed / 1e6:.0f} MB. Choose a smaller size, or another disk for data.cache_dir."
        )


def content_digest(tiles: Sequence[Tile]) -> str:
    """SHA-256 over names and bytes of images, masks and elevation models, in order, as 64 hexadecimal digits.

    Raises:
        DataError: where a file cannot be opened.
    """
    files = [[path for path in (tile.image, tile.mask, tile.dem) if path is not None] for tile in tiles]
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(_file_digest, [path for paths in files for path in paths])
        total = hashlib.sha256()
        for tile, paths in zip(tiles, files, strict=True):
            for value in (tile.tile_id, *(next(hashes) for _ in paths)):
                total.update(value.encode("utf-8", "surrogateescape") + b"\0")
    return total.hexdigest()


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        link = f"; it is a symbolic link to {path.readlink()}" if path.is_symlink() else ""
        raise DataError(f"{path}: cannot be opened ({error.strerror}{link}).") from error


def _build(tiles: Sequence[Tile], size: int, bands: Sequence[str], place: Path) -> None:
    aside = place.with_name(f"{place.name}.part")  # the lock makes it ours; the umask decides who may read it
    shutil.rmtree(aside, ignore_errors=True)  # of a build that was killed
    aside.mkdir()
    try:
        facts = _write(tiles, size, bands, aside)
        (aside / "tiles.json").write_text(json.dumps(facts), encoding="utf-8")
        aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)  # already renamed when all went well


def _write(tiles: Sequence[Tile], size: int, bands: Sequence[str], folder: Path) -> dict[str, Any]:
    """Decode every tile into ``image.npy`` and ``mask.npy``; the first one decides the type."""
    native = []
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit refuses them
        decoded = pool.map(lambda tile: decode(tile, size, bands), tiles)
        for row, tile in enumerate(_with_progress(decoded, len(tiles), size)):
            if row == 0:
                image = _create(folder / "image.npy", (len(tiles), size, size, len(bands)), tile.image.dtype)
                mask = _create(folder / "mask.npy", (len(tiles), size, size), tile.mask.dtype)
                scale = tile.scale
            if tile.scale != scale:
                raise DataError(
                    f"{tiles[row].image}: its bands are {_types(tile.scale)}, those of {tiles[0].image} are "
                    f"{_types(scale)}. All images of a dataset must be of one type."
                )
            image[row], mask[row] = tile.image, tile.mask
            native.append([tile.height_px, tile.width_px])
    image.flush()
    mask.flush()
    return {"tile_id": [tile.tile_id for tile in tiles], "native_px": native, "scale": list(scale)}


def _types(scale: Sequence[float]) -> str:
    name_of = {value: name for name, value in FULL_SCALE.items()}
    return ", ".join(name_of[value] for value in scale)


def _with_progress(decoded: Any, total: int, size: int) -> Any:
    return track(decoded, f"Decoding {total} tiles to {size} px, once", total=total, transient=True)


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.memmap[Any, np.dtype[Any]]:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a map is a file with holes: filling one on a full disk kills the process
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _load(place: Path, digest: str) -> TileCache:
    facts = json.loads((place / "tiles.json").read_text(encoding="utf-8"))
    native = np.asarray(facts["native_px"], dtype=np.int64)
    return TileCache(
        tile_id=facts["tile_id"],
        image=np.load(place / "image.npy", mmap_mode="r", allow_pickle=False),
        scale=facts["scale"],
        mask=np.load(place / "mask.npy", mmap_mode="r", allow_pickle=False),
        height_px=native[:, 0],
        width_px=native[:, 1],
        digest=digest,
    )
