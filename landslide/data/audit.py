"""Ground that tiles of two parts of a split both show: what training has seen and validation then asks for.

Two searches, each of them judged by content afterwards. Near-duplicates of whole tiles, whatever their size, format,
brightness, flip or quarter turn, are proposed by a perceptual hash: the signs of the lowest frequencies of a small
picture (Zauner 2010, *Implementation and benchmarking of perceptual image hash functions*). Crops that overlap have no
hash in common; they are proposed by cross-correlation at every shift, on tiles made smaller. Crops are taken to be of
one pixel size and one direction, as those of one mosaic are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn, irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

from landslide.config import RGB
from landslide.data.pixels import read_image, resize
from landslide.data.splits import Split
from landslide.data.tiles import PARTS, Tile

Field = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]
Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Hands on what it is given: items, how many there will be, and what is done with them."""

NEAR_DUPLICATE, OVERLAP = "near-duplicate", "overlap"

SAME_GROUND = 0.6
"""Correlation of local contrast from which two tiles may show the same ground."""

CLEAR = 10.0
"""Score of a shift from which it is not the best one by chance (`docs/results.md` has the scores of other ground)."""

LEAST_SHARE = 0.1
"""Of the smaller tile: an overlap below it is not looked for."""

COARSE_PX = 80
"""Side of the median tile while shifts are searched."""

NEAREST = 5
"""Tiles of the other parts, those that fit best while small, that are compared at full size."""

HASH_PX, HASH_SIDE, HASH_BITS = 32, 8, 12
"""Side of the picture that is hashed; side of its lowest frequencies; how many of their 64 signs may differ."""

TURNS = (
    *("", "turned by 90°", "turned by 180°", "turned by 270°"),
    *("mirrored", "mirrored, turned by 90°", "mirrored, turned by 180°", "mirrored, turned by 270°"),
)
"""Counterclockwise; mirrored left to right first."""

_BATCH = 32
_SAMPLED = 64


@dataclass(frozen=True)
class Shared:
    """The ground that two tiles share, in pixels of the first."""

    correlation: float
    """Of their local contrast there, in [-1, 1]."""
    score: float
    """See :func:`best_shifts`."""
    row_px: int
    """Where the upper left corner of the second tile lies in the first; it may lie outside."""
    column_px: int
    height_px: int
    width_px: int


@dataclass(frozen=True)
class Pair:
    """Two tiles of different parts that show the same ground."""

    tile: Tile
    """Of the part that is judged."""
    part: str
    other: Tile
    other_part: str
    kind: str
    """``near-duplicate``, of the whole tile, or ``overlap``."""
    share: float
    """Of the area of ``tile`` that ``other`` shows too, in [0, 1]."""
    correlation: float
    """Of the local contrast of what both show, in [-1, 1]."""
    turn: str = ""
    """How ``other`` was turned or mirrored; empty where it was not."""
    shared: Shared | None = None
    """Where an overlap lies; None of a near-duplicate, which is the whole."""


@dataclass(frozen=True)
class Audit:
    """What the parts of a split share."""

    sizes: dict[str, int]
    """Tiles by part."""
    pairs: Sequence[Pair]
    """Worst first, which is the largest share."""

    def seen(self, part: str, kind: str | None = None) -> int:
        """How many tiles of a part share ground with a training tile, by a pair of this kind where one is named."""
        return len(
            {
                pair.tile.tile_id
                for pair in self.pairs
                if (pair.part, pair.other_part) == (part, "train") and kind in (None, pair.kind)
            }
        )


@dataclass(frozen=True)
class _View:
    """What is kept of a tile while all are compared."""

    tile: Tile
    part: str
    hashes: Bits
    """``(8, 64)``: of the tile in each of :data:`TURNS`."""
    whole: Field
    """Local contrast of the whole tile, ``(COARSE_PX, COARSE_PX)``."""
    coarse: Field
    """Local contrast, ``(H, W)``, all tiles made smaller by the same factor."""


def audit(tiles: Sequence[Tile], split: Split, progress: Progress | None = None) -> Audit:
    """Find near-duplicates and overlapping crops between the parts of a split.

    Each validation tile is compared with all training tiles, each test tile with both. The test part is read too:
    nothing is trained or chosen here.

    Args:
        tiles: of one dataset.
        split: of these tiles.
        progress: sees each tile once when it is read, and those that are judged once more.

    Returns:
        Every pair; none where no part shows ground of another.

    Raises:
        DataError: naming the file, where one cannot be read.
    """
    progress = progress or (lambda items, *_: items)
    members = [(tiles[row], part) for part in PARTS for row in getattr(split, part)]
    sampled = members[:: max(1, len(members) // _SAMPLED)]
    with ThreadPoolExecutor() as pool:
        factor = max(1, round(median(pool.map(lambda member: min(_grey(member[0]).shape), sampled)) / COARSE_PX))
        read = pool.map(lambda member: _look_at(member[0], member[1], factor), members)
        views = list(progress(read, len(members), "Reading"))
        judged = [view for view in views if view.part != "train"]
        found = pool.map(lambda view: _pairs_of(view, views), judged)
        pairs = [pair for pairs in progress(found, len(judged), "Comparing") for pair in pairs]
    return Audit(
        sizes={part: len(getattr(split, part)) for part in PARTS},
        pairs=sorted(pairs, key=lambda pair: (-pair.share, -pair.correlation, pair.tile.tile_id, pair.other.tile_id)),
    )


def _look_at(tile: Tile, part: str, factor: int) -> _View:
    grey = _grey(tile)
    small = resize(grey[..., None], HASH_PX)[..., 0]
    turned = [np.rot90(plane, turns) for plane in (small, small[:, ::-1]) for turns in range(4)]
    step = min(factor, *grey.shape)
    height, width = (side // step * step for side in grey.shape)
    blocks = grey[:height, :width].reshape(height // step, step, width // step, step)
    return _View(
        tile=tile,
        part=part,
        hashes=np.stack([perceptual_hash(plane) for plane in turned]),
        whole=local_contrast(resize(grey[..., None], COARSE_PX)[..., 0]),
        coarse=local_contrast(blocks.mean(axis=(1, 3))),
    )


def _grey(tile: Tile) -> Field:
    """The mean of red, green and blue where there are any, else of all bands: float32, ``(H, W)``."""
    visible = [tile.channels.index(band) for band in RGB if band in tile.channels]
    pixels = read_image(tile.image, tile.channels)
    return np.asarray((pixels[..., visible] if visible else pixels).mean(axis=-1, dtype=np.float32))


def perceptual_hash(grey: Field) -> Bits:
    """Which of the lowest frequencies lie above their median (Zauner 2010): the same for any size and brightness.

    Args:
        grey: ``(HASH_PX, HASH_PX)``.

    Returns:
        ``(64,)``; all False where every pixel is the same.
    """
    lowest = dctn(grey - grey.mean())[:HASH_SIDE, :HASH_SIDE]
    return np.asarray(lowest > np.median(lowest)).ravel()


def local_contrast(grey: Field) -> Field:
    """Detail of one to two pixels, in units of its own spread nearby: mean about 0, spread about 1.

    So neither brightness nor a strong edge decides how alike two tiles are, and little of a crop is bent by its border.

    Args:
        grey: ``(H, W)``.

    Returns:
        float32, ``(H, W)``; 0 where every pixel is the same.
    """
    detail = gaussian_filter(grey, 1.0) - gaussian_filter(grey, 2.0)
    spread = np.sqrt(gaussian_filter(detail**2, 2.0))
    least = 0.1 * float(detail.std()) + np.finfo(np.float32).tiny  # so that a flat field is not blown up to noise
    return np.asarray(detail / np.maximum(spread, least), dtype=np.float32)


# --------------------------------------------------------------------------------------------------------- one tile
def _pairs_of(view: _View, views: Sequence[_View]) -> list[Pair]:
    """All pairs of a tile with tiles of the parts before its own; of each other tile the larger share counts."""
    others = [other for other in views if PARTS.index(other.part) < PARTS.index(view.part)]
    found: dict[str, Pair] = {}
    for pair in (*_near_duplicates(view, others), *_overlaps(view, others)):
        known = found.get(pair.other.tile_id)
        if known is None or known.share < pair.share:
            found[pair.other.tile_id] = pair
    return list(found.values())


def _near_duplicates(view: _View, others: Sequence[_View]) -> Iterable[Pair]:
    hashes = np.stack([other.hashes[0] for other in others])
    differing = (view.hashes[:, None] != hashes).sum(axis=-1)  # (8, others)
    for turn, row in np.argwhere(differing <= HASH_BITS):
        other = others[row]
        whole = view.whole if turn < len(TURNS) / 2 else view.whole[:, ::-1]
        correlation = _correlation(np.rot90(whole, turn % 4), other.whole)
        if correlation >= SAME_GROUND:
            yield Pair(view.tile, view.part, other.tile, other.part, NEAR_DUPLICATE, 1.0, correlation, TURNS[turn])


def _overlaps(view: _View, others: Sequence[_View]) -> Iterable[Pair]:
    fits = best_shifts(view.coarse, [other.coarse for other in others])[:, 0]
    field = local_contrast(_grey(view.tile))
    for row in np.argsort(-fits, kind="stable")[:NEAREST]:
        other = others[row]
        shared = shared_ground(field, local_contrast(_grey(other.tile)))
        if shared is not None and shared.score >= CLEAR and shared.correlation >= SAME_GROUND:
            share = shared.height_px * shared.width_px / field.size
            yield Pair(view.tile, view.part, other.tile, other.part, OVERLAP, share, shared.correlation, shared=shared)


def shared_ground(field: Field, other: Field) -> Shared | None:
    """Where two fields of local contrast fit best; None where nothing fits, as of flat ones.

    Args:
        field: ``(H, W)``.
        other: of the same pixel size and direction.
    """
    score, row, column = best_shifts(field, [other])[0]
    if score <= 0:
        return None
    row_px, column_px = int(row), int(column)
    here = field[max(0, row_px) : row_px + other.shape[0], max(0, column_px) : column_px + other.shape[1]]
    there = other[max(0, -row_px) :, max(0, -column_px) :][: here.shape[0], : here.shape[1]]
    return Shared(_correlation(here, there), float(score), row_px, column_px, *here.shape)


def best_shifts(field: Field, others: Sequence[Field]) -> npt.NDArray[np.float64]:
    """Where each of the others fits best on a field of local contrast, by the sum of products over the shared pixels.

    The sum is divided by the root of their number, since by chance it grows like that, and then by the root mean square
    of what all shifts come to. So the score is how far the best shift stands out among all of them, as the
    peak-to-sidelobe ratio of Bolme et al. 2010, *Visual object tracking using adaptive correlation filters*, and needs
    no other scale for smooth or rough ground.

    Args:
        field: ``(H, W)``.
        others: of any sizes.

    Returns:
        ``(others, 3)``: score, row and column of the upper left corner of the other in the field. The score is 0 of
        flat fields, and where no shift overlaps by :data:`LEAST_SHARE` of the smaller of both.
    """
    found = np.empty((len(others), 3))
    order = sorted(range(len(others)), key=lambda row: max(others[row].shape))  # so that a batch needs little padding
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        found[rows] = _best_shifts(field, [others[row] for row in rows])
    return found


def _best_shifts(field: Field, others: Sequence[Field]) -> npt.NDArray[np.float64]:
    sizes = np.array([other.shape for other in others])
    height, width = (
        next_fast_len(int(side + widest) - 1, real=True)
        for side, widest in zip(field.shape, sizes.max(axis=0), strict=True)
    )
    padded = np.zeros((len(others), height, width), dtype=np.float32)
    for place, other in zip(padded, others, strict=True):
        place[: other.shape[0], : other.shape[1]] = other
    products = irfft2(rfft2(field, s=(height, width)) * rfft2(padded).conj(), s=(height, width))
    rows = _overlap(field.shape[0], sizes[:, 0], height)
    columns = _overlap(field.shape[1], sizes[:, 1], width)
    area = rows[:, :, None] * columns[:, None, :]  # (others, height, width)
    possible = area >= LEAST_SHARE * np.minimum(field.size, sizes.prod(axis=1))[:, None, None]
    scores = products * np.where(possible, 1 / np.sqrt(np.maximum(area, 1)), 0)
    noise = np.linalg.norm(scores, axis=(1, 2)) / np.sqrt(np.maximum(possible.sum(axis=(1, 2)), 1))
    row, column = np.divmod(scores.reshape(len(others), -1).argmax(axis=1), width)
    score = scores[np.arange(len(others)), row, column] / np.maximum(noise, np.finfo(np.float32).tiny)
    row, column = row - height * (row >= field.shape[0]), column - width * (column >= field.shape[1])
    return np.stack([score, row, column], axis=1)


def _overlap(side: int, others: npt.NDArray[np.int64], padded: int) -> Field:
    """Pixels that a side and each other one share, ``(others, padded)``, by shift; negative shifts stand at the end."""
    shift = np.arange(padded)
    shift = np.where(shift < side, shift, shift - padded)
    ends = np.minimum(side, shift + others[:, None])
    return np.asarray(np.maximum(0, ends - np.maximum(0, shift)), dtype=np.float32)


def _correlation(one: Field, other: Field) -> float:
    """Pearson's; 0 where one of them is flat."""
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / spread if spread > 0 else 0.0
