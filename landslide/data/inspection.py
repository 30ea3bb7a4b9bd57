"""What a dataset holds, and what in it would break training: every file is read, none is changed."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from landslide.data.pixels import read_image, read_mask
from landslide.data.tiles import Tile, encode_mask
from landslide.errors import DataError

Progress = Callable[[Iterable["TileFacts"]], Iterable["TileFacts"]]


@dataclass(frozen=True)
class TileFacts:
    """What one tile turned out to be."""

    tile: Tile
    problem: str = ""
    """Why it cannot be trained on; nothing else is known then."""
    height_px: int = 0
    width_px: int = 0
    pixel_type: str = ""
    """Such as ``3 x uint8``."""
    landslide_px: int = 0
    constant: bool = False
    """Every pixel has the same colour."""
    digest: str = ""
    """Of the pixels: two files of one content have the same, whatever their format."""


@dataclass(frozen=True)
class Inspection:
    """What a whole dataset turned out to be."""

    tiles: Sequence[TileFacts]
    problems: Sequence[str]
    """What would break training, a sentence each."""
    remarks: Sequence[str] = field(default_factory=tuple)
    """What may be meant so, or may not."""

    @property
    def readable(self) -> list[TileFacts]:
        """Tiles that can be trained on."""
        return [facts for facts in self.tiles if not facts.problem]

    @property
    def pixel_types(self) -> dict[str, int]:
        """Number of tiles by type of their pixels, most frequent first."""
        return dict(Counter(facts.pixel_type for facts in self.readable).most_common())

    @property
    def groups(self) -> dict[str, int]:
        """Number of tiles by group, by name."""
        return dict(sorted(Counter(facts.tile.group for facts in self.readable).items()))


def inspect(tiles: Sequence[Tile], progress: Progress = iter) -> Inspection:
    """Read every image, mask and elevation model of a dataset.

    Args:
        tiles: of one dataset; none gives an inspection with that as its problem.
        progress: sees every tile once.
    """
    with ThreadPoolExecutor() as pool:
        found = list(progress(pool.map(_look_at, tiles)))
    return Inspection(found, [*_problems(found)], [*_remarks(found)])


def _look_at(tile: Tile) -> TileFacts:
    try:
        image = read_image(tile.image, tile.channels)
        height, width, bands = image.shape
        landslide_px = 0
        if tile.dem is not None:
            read_image(tile.dem, ("dem",))
        if tile.mask is not None:
            mask = read_mask(tile.mask)
            if mask.shape != (height, width):
                rows, columns = mask.shape
                problem = f"{tile.mask}: {columns} x {rows} px, but its image is {width} x {height} px."
                return TileFacts(tile, problem)
            landslide_px = int(encode_mask(mask).sum())
    except DataError as error:
        return TileFacts(tile, str(error))
    return TileFacts(
        tile,
        height_px=height,
        width_px=width,
        pixel_type=f"{bands} x {image.dtype}",
        landslide_px=landslide_px,
        constant=bool((image == image[:1, :1]).all()),
        digest=hashlib.sha256(f"{image.shape} {image.dtype} ".encode() + image.tobytes()).hexdigest(),
    )


def _problems(found: Sequence[TileFacts]) -> Iterable[str]:
    if not found:
        yield "There is no tile."
        return
    yield from (facts.problem for facts in found if facts.problem)
    readable = [facts for facts in found if not facts.problem]
    types = Counter(facts.pixel_type for facts in readable)
    if len(types) > 1:
        (usual, _), *others = types.most_common()
        odd = next(facts for facts in found if facts.pixel_type == others[0][0])
        yield f"{odd.tile.image}: its pixels are {odd.pixel_type}, those of most images {usual}. One type is needed."
    if readable and not any(facts.landslide_px for facts in readable):
        yield "No mask has a landslide pixel: there is nothing to learn."


def _remarks(found: Sequence[TileFacts]) -> Iterable[str]:
    readable = [facts for facts in found if not facts.problem]
    empty = [facts.tile.mask for facts in readable if facts.tile.mask is not None and not facts.landslide_px]
    if empty:
        yield f"{_of(len(empty), 'mask')} without a landslide: {_listed(empty)}"
    full = [facts.tile.mask for facts in readable if facts.landslide_px == facts.height_px * facts.width_px]
    if full:
        yield f"{_of(len(full), 'mask')} with nothing but landslide: {_listed(full)}"
    constant = [facts.tile.image for facts in readable if facts.constant]
    if constant:
        yield f"{_of(len(constant), 'image')} of a single colour: {_listed(constant)}"
    copies: dict[str, list[Path]] = defaultdict(list)
    for facts in readable:
        copies[facts.digest].append(facts.tile.image)
    groups = [paths for paths in copies.values() if len(paths) > 1]
    for paths in groups[:_MOST_NAMED]:
        yield f"the same pixels in {len(paths)} images, which a split may put on both sides: {_listed(paths)}"
    if len(groups) > _MOST_NAMED:
        yield f"and {len(groups) - _MOST_NAMED} more groups of images with the same pixels"


_MOST_NAMED = 5


def _of(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _listed(paths: Sequence[Path | None]) -> str:
    more = len(paths) - _MOST_NAMED
    return ", ".join(map(str, paths[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")


def landslide_shares(found: Sequence[TileFacts]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Share of landslide pixels of each readable tile that has a mask, ``(tiles,)`` in [0, 1]."""
    masked = [facts for facts in found if not facts.problem and facts.tile.mask is not None]
    return np.array([facts.landslide_px / (facts.height_px * facts.width_px) for facts in masked])
