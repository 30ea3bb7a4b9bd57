"""What may be concluded from runs: intervals and tests for two questions, which are never mixed.

(a) "networks": *these trained networks, on tiles like these*. Tiles are the units, paired: a test that swaps
two strata's counts on random tiles, and a bootstrap over tiles. It says nothing about training again.

(b) "recipes": *these architectures or settings*. Trainings, which differ in their seed, are the units, and all share
their tiles. The variance of a mean over seeds is what the seeds show, and what the choice of tiles adds to it.

A stratum is an array of counts of pixels, ``(seeds, tiles, 4)``; metrics are ratios of counts pooled over tiles.
docs/statistics.md has the formulas, and how often they are wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt

from landslide.errors import ComparisonError
from landslide.report.pooled_ratio import RATIOS, influence_of, parts_of, quotient
from landslide.report.resampling import bootstrapped, swapped
from landslide.report.variance import (
    Layout,
    SeedsByTiles,
    hedges_g,
    of_a_ratio,
    power,
    require_two_tiles,
    smallest,
    student,
)

Counts = npt.NDArray[np.int64]
"""Of one stratum, ``(seeds, tiles, 4)``: true positive, false positive, false negative, true negative pixels."""

LEVEL = 0.05
"""Of tests; intervals are of 95 %."""
POWER = 0.80
MOST_NEEDED = 10_000
"""Seeds or tiles beyond which no number is named."""

METRICS = tuple(RATIOS)
"""Of the landslide class, pooled over tiles; higher is better in all of them."""


@dataclass(frozen=True)
class Estimate:
    """A metric of one stratum; NaN where the ratio is undefined in a run, and of the interval where it is 0 or 1."""

    mean: float
    """Over seeds, of the ratio pooled over tiles."""
    sd: float
    """Over seeds; NaN with one."""
    low: float
    """End of the 95 % interval: over seeds and tiles, or, with one seed, over tiles alone."""
    high: float
    seeds: int
    tiles: int


@dataclass(frozen=True)
class Difference:
    """Of two strata, the first minus the second; NaN where a ratio is undefined in a run."""

    question: Literal["networks", "recipes"]
    first: str
    second: str
    difference: float
    low: float
    """End of the 95 % interval of this pair by itself, not widened for the number of pairs."""
    high: float
    p: float
    p_holm: float
    """Corrected for all pairs that there are, or that these were chosen from (Holm 1979)."""
    effect: float
    """Recipes: Hedges' g over seeds. Networks: mean over standard deviation of the tiles' paired contributions."""
    df: float
    """Degrees of freedom (Satterthwaite 1946); NaN for networks."""
    seeds: tuple[int, int]
    """Of the first and of the second."""
    tiles: tuple[int, int]
    """Of the first and of the second; the same ones where they are paired."""
    seeds_needed: int | None = None
    """In each stratum, on the tiles there are, for a power of 80 % if the difference and the variances seen are the
    true ones, at the strictest level of Holm's procedure (0.05 / pairs). None for networks, and beyond 10,000."""
    tiles_needed: int | None = None
    """The same for tiles, with the seeds there are."""

    @property
    def told_apart(self) -> bool:
        """Whether the corrected test rejects at the 5 % level."""
        return self.p_holm <= LEVEL


def pair_up(names_best_first: Sequence[str], most: int = 20) -> list[tuple[str, str]]:
    """All pairs, the better one first; of more than ``most`` names, the best with each other one.

    Examples:
        >>> pair_up(["a", "b", "c"])
        [('a', 'b'), ('a', 'c'), ('b', 'c')]
        >>> pair_up(["a", "b", "c"], most=2)
        [('a', 'b'), ('a', 'c')]
    """
    if len(names_best_first) <= most:
        return list(combinations(names_best_first, 2))
    best, *others = names_best_first
    return [(best, other) for other in others]


def pairs_among(names: Collection[str]) -> int:
    """How many pairs there are, which are those to correct for also where :func:`pair_up` takes fewer.

    Which one is the best is seen on the data that the tests are of: of 21 equal ones some would be told from the best
    in 24 % at the 5 % level, were the 20 tests alone corrected for, and of 100 in 53 %.

    Examples:
        >>> pairs_among(["a", "b", "c"])
        3
    """
    return comb(len(names), 2)


def estimate(counts: Counts, metric: str = "f1") -> Estimate:
    """Mean over seeds, and its interval by Student's t on the scale of the logit.

    Args:
        counts: int64, ``(seeds, tiles, 4)``.
        metric: one of :data:`METRICS`.

    Raises:
        ComparisonError: there are fewer than two tiles.
    """
    stratum = SeedsByTiles.of(counts, metric)
    mean = float(stratum.values.mean())
    low, high = of_a_ratio(mean, *Layout.of(stratum).spread(), LEVEL)
    sd = float(stratum.values.std(ddof=1)) if stratum.seeds > 1 else float("nan")
    return Estimate(mean, sd, low, high, stratum.seeds, stratum.tiles)


def compare_recipes(
    strata: Mapping[str, Counts],
    pairs: Sequence[tuple[str, str]],
    metric: str = "f1",
    *,
    unpaired: Collection[tuple[str, str]] = (),
    among: int = 0,
) -> list[Difference]:
    """Question (b): would these architectures or settings differ if all were trained again and met other tiles?

    Args:
        strata: int64, ``(seeds, tiles, 4)`` each, by name.
        pairs: names of two strata each, as from :func:`pair_up`.
        metric: one of :data:`METRICS`.
        unpaired: those of the pairs whose tiles are taken as drawn apart; of all others they are the same ones in the
            same order.
        among: number of pairs that these were chosen from by how they came out, see :func:`pairs_among`.

    Returns:
        One for each pair, in its order.

    Raises:
        ComparisonError: a stratum has one seed, or fewer than two tiles, or, paired, another number of tiles.
    """
    _check_tiles(strata, [pair for pair in pairs if pair not in unpaired])
    for name, counts in strata.items():
        if len(counts) < 2:
            raise ComparisonError(
                f"{name} was trained with one seed, which does not show what another training would give; "
                "architectures or settings are compared from two seeds each. Train it again, as with `seed=0,1,2`."
            )
    known = {name: SeedsByTiles.of(counts, metric) for name, counts in strata.items()}
    level = LEVEL / max(among, len(pairs))
    return _corrected(
        [_recipes(pair, (known[pair[0]], known[pair[1]]), paired=pair not in unpaired, level=level) for pair in pairs],
        among,
    )


def compare_networks(
    strata: Mapping[str, Counts],
    pairs: Sequence[tuple[str, str]],
    metric: str = "f1",
    *,
    resamples: int = 9999,
    seed: int = 0,
    among: int = 0,
) -> list[Difference]:
    """Question (a): do these trained networks differ on tiles like these?

    A stratum's counts are averaged over its networks, so that the set of them stands as it is. The test swaps two
    strata's counts on random tiles, p = (1 + swaps with a difference at least as large) / (1 + swaps); the interval is
    the bootstrap's over tiles, of expanded percentiles (:func:`~landslide.report.resampling.bootstrapped`).
    ``scipy.stats.permutation_test`` and ``scipy.stats.bootstrap`` give the same, a pair at a time: 0.13 s each for 80
    tiles. Here all pairs share swaps and weights, and 190 of them take 0.5 s.

    Args:
        strata: int64, ``(seeds, tiles, 4)`` each, by name; the tiles are the same ones in the same order.
        pairs: names of two strata each, as from :func:`pair_up`.
        metric: one of :data:`METRICS`.
        resamples: number of swaps, and of bootstrap samples.
        seed: of both.
        among: as of :func:`compare_recipes`.

    Returns:
        One for each pair, in its order.

    Raises:
        ComparisonError: a stratum has fewer than two tiles, or another number of tiles.
    """
    _check_tiles(strata, pairs)
    names = list(strata)
    first, second = (np.array([names.index(pair[side]) for pair in pairs], dtype=np.intp) for side in (0, 1))
    parts = parts_of(np.stack([counts.mean(0) for counts in strata.values()], axis=1), metric)  # (tiles, strata) twice
    random = np.random.default_rng(seed)
    observed, p = swapped(parts, first, second, resamples, random)
    low, high = bootstrapped(parts, first, second, resamples, random, level=LEVEL)
    influence = influence_of(*(part.T for part in parts))  # (strata, tiles)
    scatter = (influence[first] - influence[second]).std(axis=1, ddof=1)
    return _corrected(
        [
            Difference(
                question="networks",
                first=pair[0],
                second=pair[1],
                difference=float(observed[at]),
                low=float(low[at]),
                high=float(high[at]),
                p=float(p[at]),
                p_holm=float("nan"),
                effect=quotient(float(observed[at]), float(scatter[at])),
                df=float("nan"),
                seeds=(len(strata[pair[0]]), len(strata[pair[1]])),
                tiles=(len(parts[0]), len(parts[0])),
            )
            for at, pair in enumerate(pairs)
        ],
        among,
    )


def sentence(found: Difference, metric: str = "F1") -> str:
    """What one pair shows, in words.

    Examples:
        >>> names, tests = ("recipes", "U-Net", "FPN"), (0.2, 0.4, 0.9, 3.6)
        >>> pair = Difference(*names, 0.01, -0.01, 0.03, *tests, (3, 3), (80, 80), 9, 300)
        >>> sentence(pair)
        'U-Net and FPN cannot be told apart with 80 tiles and 3 seeds; about 9 seeds or 300 tiles would be needed.'
        >>> sentence(replace(pair, question="networks"))
        'These networks of U-Net and FPN cannot be told apart with 80 tiles.'
        >>> sentence(replace(pair, low=0.004, high=0.016, p_holm=0.01))
        'U-Net has a higher F1 than FPN, by 0.0100 (95 % 0.0040 to 0.0160; Holm p 0.01), with 80 tiles and 3 seeds.'
    """
    again = found.question == "recipes"
    whose = "" if again else "These networks of "
    both = f"{whose}{found.first} and {found.second}"
    if np.isnan(found.p):
        return f"{both} cannot be compared in {metric}, which is undefined for a run."
    basis = f"with {_either(found.tiles)} tiles" + (f" and {_either(found.seeds)} seeds" if again else "")
    if not found.told_apart:
        return f"{both} cannot be told apart {basis}{_needed(found) if again else ''}."
    sign = 1 if found.difference > 0 else -1
    better, worse = (found.first, found.second)[::sign]
    low, high = sorted((sign * found.low, sign * found.high))
    more = f"{'has' if again else 'have'} a higher {metric} than {'' if again else 'those of '}{worse}"
    shown = f"{abs(found.difference):.4f} (95 % {low:.4f} to {high:.4f}; Holm p {p_text(found.p_holm)})"
    return f"{whose}{better} {more}, by {shown}, {basis}."


def _needed(found: Difference) -> str:
    numbers = {"seeds": found.seeds_needed, "tiles": found.tiles_needed}
    named = " or ".join(f"{number} {units}" for units, number in numbers.items() if number)
    return f"; about {named} would be needed" if named else f"; {MOST_NEEDED:,} seeds or tiles would not be enough"


def _either(numbers: tuple[int, int]) -> str:
    first, second = numbers
    return str(first) if first == second else f"{first} and {second}"


def p_text(p: float) -> str:
    """``0.032``, or ``< 0.0001``."""
    return f"{p:.2g}" if p >= 0.0001 else "< 0.0001"


def _check_tiles(strata: Mapping[str, Counts], paired: Sequence[tuple[str, str]]) -> None:
    tiles = {name: counts.shape[1] for name, counts in strata.items()}
    for first, second in paired:
        if tiles[first] != tiles[second]:
            numbers = f"{first} {tiles[first]}, {second} {tiles[second]}"
            raise ComparisonError(f"Strata are compared tile by tile, and their numbers of tiles differ: {numbers}.")
    require_two_tiles(min(tiles.values()))


def _corrected(found: Sequence[Difference], among: int) -> list[Difference]:
    """With Holm's p. A pair that cannot be tested does not count; one that was not chosen does, as if its p were 1."""
    tested = np.array([not np.isnan(one.p) for one in found], dtype=bool)
    p_holm = np.array([one.p for one in found])
    others = np.ones(max(0, among - len(found)))
    if tested.sum() + len(others) > 1:  # one pair needs no correction, nor a library that takes a second to load
        from statsmodels.stats.multitest import multipletests

        p_holm[tested] = multipletests([*p_holm[tested], *others], method="holm")[1][: tested.sum()]
    return [replace(one, p_holm=float(p)) for one, p in zip(found, p_holm, strict=True)]


def _recipes(
    names: tuple[str, str], pair: tuple[SeedsByTiles, SeedsByTiles], *, paired: bool, level: float
) -> Difference:
    first, second = pair
    layouts = [Layout.of(first, second)] if paired else [Layout.of(first), Layout.of(second)]

    def spread(seeds: int | None = None, tiles: int | None = None) -> tuple[float, float]:
        variances, uncertainties = zip(*(layout.spread(seeds, tiles) for layout in layouts), strict=True)
        return sum(variances), sum(uncertainties)

    difference = float(first.values.mean() - second.values.mean())
    low, high, p, df = student(difference, *spread(), LEVEL)
    return Difference(
        question="recipes",
        first=names[0],
        second=names[1],
        difference=difference,
        low=max(low, -1.0),
        high=min(high, 1.0),
        p=p,
        p_holm=float("nan"),
        effect=hedges_g(first.values, second.values),
        df=df,
        seeds=(first.seeds, second.seeds),
        tiles=(first.tiles, second.tiles),
        seeds_needed=smallest(lambda seeds: power(difference, *spread(seeds=seeds), level) >= POWER, MOST_NEEDED),
        tiles_needed=smallest(lambda tiles: power(difference, *spread(tiles=tiles), level) >= POWER, MOST_NEEDED),
    )
