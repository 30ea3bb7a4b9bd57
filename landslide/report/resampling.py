"""Resampling of tiles, for all pairs of strata at once: random swaps, and the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from landslide.report.pooled_ratio import Array, ratio

Indices = npt.NDArray[np.intp]

_BLOCK = 1000
"""Resamples that are in memory at once."""
_TIE = 1e-12
"""Differences this near are equal: a swap of all tiles gives back the one seen, but for rounding."""


def swapped(
    parts: Sequence[Array], first: Indices, second: Indices, resamples: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """The difference of each pair, and its p by random swaps of the pair's tiles.

    Args:
        parts: numerator and denominator, float64 ``(tiles, strata)``.
        first: column of the first of each pair.
        second: column of the second.
        resamples: number of swaps.
        random: where they come from.
    """
    sums = [(part[:, first] + part[:, second]).sum(0) for part in parts]
    gaps = [part[:, first] - part[:, second] for part in parts]  # (tiles, pairs)

    def difference(signs: Array) -> Array:
        up, down = (signs @ gap for gap in gaps)
        return ratio(sums[0] + up, sums[1] + down) - ratio(sums[0] - up, sums[1] - down)

    observed = difference(np.ones(len(parts[0])))
    as_large = np.ones(len(first))
    for size in _blocks(resamples):
        signs = 2 * random.integers(0, 2, (size, len(parts[0]))).astype(np.float64) - 1
        # where a ratio is undefined, the swap counts against the difference
        as_large += (~(np.abs(difference(signs)) < np.abs(observed) - _TIE)).sum(0)
    return observed, np.where(np.isnan(observed), np.nan, as_large / (1 + resamples))


def bootstrapped(
    parts: Sequence[Array],
    first: Indices,
    second: Indices,
    resamples: int,
    random: np.random.Generator,
    *,
    level: float,
) -> Array:
    """Ends of the expanded percentile interval of each pair, float64 ``(2, pairs)``, which leaves ``level`` out.

    Samples of few tiles scatter too little, by (tiles - 1) / tiles, and as if that scatter were known. So percentiles
    are taken further out, where for a mean they are the ends of Student's interval (Hesterberg 2015).
    Its other arguments are those of :func:`swapped`.
    """
    tiles = len(parts[0])
    blocks = []
    for size in _blocks(resamples):
        weights = random.multinomial(tiles, np.full(tiles, 1 / tiles), size).astype(np.float64)
        value = ratio(*(weights @ part for part in parts))  # (size, strata)
        blocks.append(value[:, first] - value[:, second])
    tail = float(ndtr((tiles / (tiles - 1)) ** 0.5 * stdtrit(tiles - 1, level / 2)))
    return np.asarray(np.quantile(np.concatenate(blocks), [tail, 1 - tail], axis=0))


def _blocks(resamples: int) -> list[int]:
    whole, rest = divmod(resamples, _BLOCK)
    return [_BLOCK] * whole + [rest] * (rest > 0)
