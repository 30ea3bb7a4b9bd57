"""The variance of a mean over seeds, of which tiles are a part, and Student's t on it.

docs/statistics.md has the formulas.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, logit, nctdtr, stdtr, stdtrit

from landslide.errors import ComparisonError
from landslide.report.pooled_ratio import Array, influence_of, parts_of, quotient, ratio


def require_two_tiles(tiles: int) -> None:
    """Refuse what has no variance over tiles.

    Raises:
        ComparisonError: there are fewer than two.
    """
    if tiles < 2:
        raise ComparisonError(f"Intervals and tests need at least two tiles; there is {tiles}.")


@dataclass(frozen=True)
class SeedsByTiles:
    """The runs of a stratum, taken apart into what seeds and what tiles make of them."""

    values: Array
    """``(seeds,)``: the pooled ratio of each run."""
    by_tile: Array
    """``(tiles,)``: influence of each tile, mean over seeds."""
    noise: float
    """Variance of the influences that neither seed nor tile explains; 0 with one seed, which does not show it."""

    @classmethod
    def of(cls, counts: npt.NDArray[np.int64], metric: str) -> SeedsByTiles:
        """Of one metric.

        Args:
            counts: ``(seeds, tiles, 4)``: true positive, false positive, false negative, true negative pixels.
            metric: one of :data:`~landslide.report.pooled_ratio.RATIOS`.

        Raises:
            ComparisonError: there are fewer than two tiles.
        """
        require_two_tiles(counts.shape[1])
        parts = parts_of(counts, metric)
        influence = influence_of(*parts)  # (seeds, tiles)
        rest = influence - influence.mean(0) - influence.mean(1, keepdims=True) + influence.mean()
        seeds, tiles = rest.shape
        noise = float((rest**2).sum() / ((seeds - 1) * (tiles - 1))) if seeds > 1 else 0.0
        return cls(ratio(*(part.sum(1) for part in parts)), influence.mean(0), noise)

    @property
    def seeds(self) -> int:
        """How many."""
        return len(self.values)

    @property
    def tiles(self) -> int:
        """How many."""
        return len(self.by_tile)

    def between(self, tiles: int) -> float:
        """Variance of a run's value, were there so many tiles: the noise on them shrinks, that of training stays."""
        seen = float(self.values.var(ddof=1))
        if tiles == self.tiles:
            return seen
        return max(0.0, seen - self.noise / self.tiles) + self.noise / tiles


@dataclass(frozen=True)
class Layout:
    """What the variance of a stratum's mean, or of the difference of two on the same tiles, is made of."""

    strata: tuple[SeedsByTiles, ...]
    tile: float
    """Variance over tiles of a stratum, or of the paired difference, without the noise of seeds: at least 0."""

    @classmethod
    def of(cls, first: SeedsByTiles, *second: SeedsByTiles) -> Layout:
        """Of a stratum, or of two whose tiles are the same ones in the same order."""
        by_tile = first.by_tile - second[0].by_tile if second else first.by_tile
        noise = sum(one.noise / one.seeds for one in (first, *second))
        return cls((first, *second), max(0.0, float(by_tile.var(ddof=1)) - noise))

    def spread(self, seeds: int | None = None, tiles: int | None = None) -> tuple[float, float]:
        """Of the mean, or of the difference, with so many seeds in each stratum or so many tiles as are given.

        Returns:
            The variance, and the sum of squares of its parts over their degrees of freedom (Satterthwaite).
        """
        tiles = tiles or self.strata[0].tiles
        runs = [(one, seeds or one.seeds) for one in self.strata if one.seeds > 1]
        parts = [(one.between(tiles) / number, number - 1) for one, number in runs]
        if self.tile > 0:  # the mean square of tiles holds noise that the variance over seeds has counted already
            noise = [(one.noise / number / tiles, (number - 1) * (tiles - 1)) for one, number in runs]
            parts += [(self.tile / tiles + sum(part for part, _ in noise), tiles - 1)]
            parts += [(-part, df) for part, df in noise]
        return sum(part for part, _ in parts), sum(part**2 / df for part, df in parts)


def student(value: float, variance: float, uncertainty: float, level: float) -> tuple[float, float, float, float]:
    """Ends of the interval that leaves ``level`` out, p against 0, and Satterthwaite's degrees of freedom.

    Args:
        value: a mean or a difference.
        variance: of it.
        uncertainty: see :meth:`Layout.spread`.
        level: of the test.
    """
    if variance == 0:  # as where all runs are copies of one
        return value, value, float(value == 0), float("nan")
    df, scale = variance**2 / uncertainty, variance**0.5
    half = float(stdtrit(df, 1 - level / 2)) * scale
    return value - half, value + half, float(2 * stdtr(df, -abs(value) / scale)), df


def of_a_ratio(value: float, variance: float, uncertainty: float, level: float) -> tuple[float, float]:
    """Ends of Student's interval of a ratio, taken on the scale of its logit (delta method).

    So it stays between 0 and 1 and reaches further to the side of a half, where a ratio near 1 errs further, too: a few
    tiles rarely hold the worst ones (docs/statistics.md). Its arguments are those of :func:`student`.

    NaN of a ratio of 0 or 1, as of networks that predict nothing: where no tile and no seed is unlike the others, they
    say nothing of how far those that were not seen are, and an interval of no width would claim that they are the same.
    """
    if value in (0, 1):
        return float("nan"), float("nan")
    _, half, _, _ = student(0.0, variance, uncertainty, level)
    if half == 0:
        return value, value
    on_logit = quotient(half, value * (1 - value))
    return float(expit(logit(value) - on_logit)), float(expit(logit(value) + on_logit))


def power(difference: float, variance: float, uncertainty: float, level: float) -> float:
    """Of the two-sided test in the right direction, if difference and variance are the true ones (noncentral t)."""
    if variance == 0:
        return float(difference != 0)
    df, shift = variance**2 / uncertainty, abs(difference) / variance**0.5
    edge = stdtrit(df, 1 - level / 2)
    missed = float(nctdtr(df, shift, edge))
    if isnan(missed):  # as it is for some shifts of 37 to 62; nct.sf knows these, but takes a hundred times as long
        from scipy.stats import nct

        return float(nct.sf(edge, df, shift))
    return 1 - missed


def smallest(enough: Callable[[int], bool], most: int) -> int | None:
    """The smallest number from 2 that is enough; None where not even ``most`` is."""
    return bisect_left(range(most), True, lo=2, key=enough) if enough(most) else None


def hedges_g(first: Array, second: Array) -> float:
    """Hedges' g: the difference in pooled standard deviations, without the bias of few seeds (Hedges 1981)."""
    df = len(first) + len(second) - 2
    pooled = float((((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum()) / df) ** 0.5
    unbiased = float(np.exp(gammaln(df / 2) - gammaln((df - 1) / 2))) * (2 / df) ** 0.5
    return quotient(float(first.mean() - second.mean()) * unbiased, pooled)
