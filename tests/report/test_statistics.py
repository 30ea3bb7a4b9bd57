"""Intervals and tests against SciPy, statsmodels and loops; how often they are wrong, on simulated trainings."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from benchmarks.comparison_simulation import NETWORKS, Cell, simulate
from landslide.errors import ComparisonError
from landslide.metrics import ratios
from landslide.report.statistics import (
    LEVEL,
    METRICS,
    POWER,
    Counts,
    compare_networks,
    compare_recipes,
    estimate,
    pair_up,
    pairs_among,
    sentence,
)
from landslide.report.variance import power

AB = [("a", "b")]


def trained(seed: int, seeds: int = 3, tiles: int = 12, skill: float = 3.0) -> Counts:
    """Runs that differ in skill and in luck on each tile, on tiles of 1,000 pixels that all runs share."""
    of_tiles, of_runs = np.random.default_rng(99), np.random.default_rng(seed)
    landslide = of_tiles.integers(20, 500, tiles)
    logit = skill + of_tiles.normal(0, 1, tiles) + of_runs.normal(0, 0.2, (seeds, 1)) + of_runs.normal(0, 0.5, tiles)
    found = of_runs.binomial(landslide, 1 / (1 + np.exp(-logit - of_runs.normal(0, 0.3, (seeds, tiles)))))
    false = of_runs.binomial(1000 - landslide, 0.02, (seeds, tiles))
    return np.stack([found, false, landslide - found, 1000 - landslide - false], axis=-1)


def even(*f1: float, tiles: int = 5) -> Counts:
    """Runs of a given F1 that do equally well on all tiles."""
    found = np.round(np.array(f1) * 1000).astype(np.int64)
    run = np.stack([found, 0 * found, 2000 - 2 * found, found * 0 + 5000], axis=-1)
    return np.repeat(run[:, None], tiles, axis=1)


# ----------------------------------------------------------------------------------------------------- estimates
@pytest.mark.parametrize("metric", METRICS)
def test_an_estimate_is_the_mean_over_seeds_of_the_pooled_ratio(metric: str) -> None:
    counts = trained(1)
    values = ratios(counts.sum(1))[metric]
    found = estimate(counts, metric)
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.sd == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert found.low < found.mean < found.high
    assert (found.seeds, found.tiles) == (3, 12)


def test_one_seed_has_the_jackknife_interval_over_tiles() -> None:
    # Given
    counts = trained(1, seeds=1)
    without = np.array([ratios(np.delete(counts[0], tile, axis=0).sum(0))["f1"] for tile in range(12)])
    error = np.sqrt(11 / 12 * ((without - without.mean()) ** 2).sum())
    # When
    found = estimate(counts)
    # Then
    odds = found.mean / (1 - found.mean)
    factor = np.exp(stats.t.ppf(0.975, 11) * error / (found.mean * (1 - found.mean)))  # on the scale of the logit
    assert np.isnan(found.sd)
    assert found.low / (1 - found.low) == pytest.approx(odds / factor, rel=1e-9)
    assert found.high / (1 - found.high) == pytest.approx(odds * factor, rel=1e-9)


def test_an_interval_stays_where_a_ratio_can_be_and_reaches_further_to_its_middle() -> None:
    found = estimate(even(0.98, 0.96, 0.90))
    assert 0.5 < found.low < found.mean < found.high < 1.0
    assert found.mean - found.low > 2 * (found.high - found.mean)


def test_runs_that_all_do_the_same_have_an_interval_of_no_width() -> None:
    found = estimate(even(0.3, 0.3))
    assert (found.low, found.high) == (found.mean, found.mean) == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize("f1", [0.0, 1.0])
@pytest.mark.parametrize("seeds", [1, 2])
def test_networks_that_find_nothing_or_everything_have_no_interval(f1: float, seeds: int) -> None:
    found = estimate(even(*[f1] * seeds))
    assert found.mean == f1
    assert np.isnan([found.low, found.high]).all()


def test_a_ratio_that_is_undefined_in_a_run_is_not_a_number() -> None:
    # Given: a run that predicts nothing has no precision
    counts = trained(1)
    counts[0, :, 2] += counts[0, :, 0]
    counts[0, :, 3] += counts[0, :, 1]
    counts[0, :, :2] = 0
    strata = {"a": counts, "b": trained(2), "c": trained(3, skill=1.0)}
    # When
    pairs = compare_recipes(strata, pair_up(list(strata)), "precision")
    networks = compare_networks(strata, pair_up(list(strata)), "precision", resamples=99)
    # Then
    assert np.isnan(estimate(counts, "precision").mean)
    assert np.isnan([pairs[0].p, pairs[0].p_holm, pairs[0].low, pairs[0].difference]).all()
    assert pairs[2].p_holm == pairs[2].p  # the only one that can be tested
    assert "undefined" in sentence(pairs[0], "precision")
    assert not np.isnan([one.p for one in networks]).any()  # of all its runs together it is defined


# ------------------------------------------------------------------------------------------------------- recipes
def slow_recipes(first: Counts, second: Counts) -> tuple[float, float]:
    """Variance and degrees of freedom of the difference, by loops and leaving out."""
    tiles = first.shape[1]
    between, noise, by_tile = [], [], []
    for counts in (first, second):
        seeds = len(counts)
        whole = [ratios(run.sum(0))["f1"] for run in counts]
        influence = np.array(
            [
                [(tiles - 1) * (whole[row] - ratios(np.delete(run, at, 0).sum(0))["f1"]) for at in range(tiles)]
                for row, run in enumerate(counts)
            ]
        )
        rest = [
            influence[row, at] - influence[:, at].mean() - influence[row].mean() + influence.mean()
            for row in range(seeds)
            for at in range(tiles)
        ]
        between.append((np.var(whole, ddof=1) / seeds, seeds - 1))
        df = (seeds - 1) * (tiles - 1)
        noise.append((np.sum(np.square(rest)) / df / seeds / tiles, df))
        by_tile.append(influence.mean(0))
    tile = np.var(by_tile[0] - by_tile[1], ddof=1) / tiles
    parts = list(between)
    if tile > noise[0][0] + noise[1][0]:
        parts += [(tile, tiles - 1), *((-part, df) for part, df in noise)]
    variance = sum(part for part, _ in parts)
    return variance, variance**2 / sum(part**2 / df for part, df in parts)


@pytest.mark.parametrize("seeds", [(2, 2), (3, 5), (10, 3)])
def test_recipes_have_the_variance_of_seeds_and_of_paired_tiles(seeds: tuple[int, int]) -> None:
    # Given
    first, second = trained(1, seeds[0]), trained(2, seeds[1], skill=2.0)
    variance, df = slow_recipes(first, second)
    gap = ratios(first.sum(1))["f1"].mean() - ratios(second.sum(1))["f1"].mean()
    # When
    (found,) = compare_recipes({"a": first, "b": second}, AB)
    # Then
    half = stats.t.ppf(0.975, df) * np.sqrt(variance)
    assert (found.difference, found.df) == (pytest.approx(gap, rel=1e-9), pytest.approx(df, rel=1e-9))
    assert (found.low, found.high) == (pytest.approx(max(-1, gap - half)), pytest.approx(min(1, gap + half)))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(gap) / np.sqrt(variance), df))
    assert (found.seeds, found.tiles) == (seeds, (12, 12))


def test_where_tiles_say_nothing_it_is_the_test_of_welch_over_seeds() -> None:
    first, second = (0.80, 0.82, 0.85), (0.78, 0.70, 0.75, 0.77)
    expected = stats.ttest_ind(first, second, equal_var=False)
    (found,) = compare_recipes({"a": even(*first), "b": even(*second)}, AB)
    assert (found.p, found.df) == (pytest.approx(expected.pvalue), pytest.approx(expected.df))
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    exact = (np.mean(first) - np.mean(second)) / np.sqrt((2 * np.var(first, ddof=1) + 3 * np.var(second, ddof=1)) / 5)
    assert found.effect == pytest.approx(exact * (1 - 3 / (4 * 5 - 1)), rel=0.01)  # Hedges' approximation of his factor


def test_tiles_drawn_apart_are_two_variances() -> None:
    first, second = trained(1, tiles=12), trained(2, tiles=30)
    (found,) = compare_recipes({"a": first, "b": second}, AB, unpaired=AB)
    alone = [estimate(counts) for counts in (first, second)]
    assert found.tiles == (12, 30)
    assert found.high - found.low > max(one.high - one.low for one in alone) * 0.9
    (paired,) = compare_recipes({"a": first, "b": trained(2, tiles=12)}, AB)
    assert paired.high - paired.low < found.high - found.low


def test_recipes_of_one_seed_are_refused_in_words() -> None:
    with pytest.raises(ComparisonError, match=r"FPN was trained with one seed.*seed=0,1,2"):
        compare_recipes({"U-Net": trained(1), "FPN": trained(2, seeds=1)}, [("U-Net", "FPN")])


def test_other_numbers_of_tiles_and_a_single_tile_are_refused() -> None:
    with pytest.raises(ComparisonError, match="a 12, b 30"):
        compare_recipes({"a": trained(1), "b": trained(2, tiles=30)}, AB)
    with pytest.raises(ComparisonError, match="a 12, b 30"):
        compare_networks({"a": trained(1), "b": trained(2, tiles=30)}, AB)
    with pytest.raises(ComparisonError, match="at least two tiles; there is 1"):
        estimate(trained(1, tiles=1))


def test_a_run_beside_its_copies_is_no_difference() -> None:
    strata = {"a": np.repeat(trained(1, seeds=1), 2, axis=0), "b": np.repeat(trained(1, seeds=1), 3, axis=0)}
    for (found,) in (compare_recipes(strata, AB), compare_networks(strata, AB, resamples=99)):
        assert (found.difference, found.p) == (pytest.approx(0, abs=1e-15), 1.0)
        assert found.seeds_needed is found.tiles_needed is None


# ------------------------------------------------------------------------------------------------ what is needed
def test_seeds_needed_are_those_of_statsmodels() -> None:
    # Given: the same scatter in both
    first, second = (0.81, 0.82, 0.83), (0.805, 0.815, 0.825)
    enough = TTestIndPower().solve_power(effect_size=0.5, alpha=LEVEL, power=POWER)
    # When
    (found,) = compare_recipes({"a": even(*first), "b": even(*second)}, AB)
    # Then
    assert found.seeds_needed == int(np.ceil(enough)) == 64
    assert found.tiles_needed is None
    assert sentence(found).endswith("with 5 tiles and 3 seeds; about 64 seeds would be needed.")


def test_tiles_needed_are_those_of_statsmodels() -> None:
    # Given: trainings that all give the same, on tiles of equal landslide area
    first, second = np.array([[800, 805, 790, 820, 795, 800]]), np.array([[799, 792, 790, 822, 795, 790]])
    runs = {
        name: np.repeat(np.stack([hits, hits * 0, 2000 - 2 * hits, hits], axis=-1), 2, axis=0)
        for name, hits in (("a", first), ("b", second))
    }
    gap = (first - second)[0] / 1000
    enough = TTestPower().solve_power(effect_size=gap.mean() / gap.std(ddof=1), alpha=LEVEL, power=POWER)
    # When
    (found,) = compare_recipes(runs, AB)
    # Then
    assert found.p == pytest.approx(stats.ttest_1samp(gap, 0).pvalue)
    assert found.tiles_needed == int(np.ceil(enough))
    assert found.seeds_needed is None


@pytest.mark.parametrize(("df", "shift"), [(4, 58.45), (79, 38.0), (1000, 38.75)])
def test_power_is_known_where_a_difference_is_many_standard_errors(df: int, shift: float) -> None:
    # Given: Student's t as a normal distribution for each of a thousand equally likely scales
    scales = np.sqrt(stats.chi2.ppf(np.linspace(0.0005, 0.9995, 1000), df) / df)
    edges = stats.t.isf(LEVEL / 2, df) * scales
    for near in np.arange(shift - 1, shift + 1, 0.05):
        assert power(near, 1.0, 1 / df, LEVEL) == pytest.approx(stats.norm.sf(edges - near).mean(), abs=1e-3)


def test_more_pairs_need_more_and_never_less_than_there_is() -> None:
    strata = {"a": even(0.81, 0.82, 0.83), "b": even(0.79, 0.80, 0.81), "c": even(0.70, 0.71, 0.72)}
    alone = compare_recipes(strata, AB)[0]
    among = compare_recipes(strata, pair_up(list(strata)))[0]
    assert alone.seeds_needed is not None and among.seeds_needed is not None
    assert not alone.told_apart
    assert among.seeds_needed > alone.seeds_needed > 3


def test_holm_multiplies_the_smallest_by_the_number_of_pairs() -> None:
    strata = {"a": even(0.81, 0.82, 0.83), "b": even(0.79, 0.80, 0.81), "c": even(0.70, 0.71, 0.72)}
    p = {(one.first, one.second): (one.p, one.p_holm) for one in compare_recipes(strata, pair_up(list(strata)))}
    smallest, middle, largest = sorted(p.values())
    assert smallest[1] == pytest.approx(3 * smallest[0])
    assert middle[1] == pytest.approx(max(2 * middle[0], smallest[1]))
    assert largest[1] == pytest.approx(max(largest[0], middle[1]))


def test_pairs_with_the_best_are_corrected_for_all_that_it_was_chosen_among() -> None:
    # Given: so many strata that each is compared with the best alone
    random = np.random.default_rng(0)
    strata = {f"{number:02}": even(*random.normal(0.6 + 0.01 * number, 0.02, 5), tiles=20) for number in range(24)}
    best_first = sorted(strata, key=lambda name: -estimate(strata[name]).mean)
    # When
    pairs, among = pair_up(best_first), pairs_among(best_first)
    for found in (
        compare_recipes(strata, pairs, among=among),
        compare_networks(strata, pairs, among=among),
    ):
        # Then
        assert len(found) == 23
        assert min(one.p_holm for one in found) == pytest.approx(276 * min(one.p for one in found))
        assert any(one.told_apart for one in found)


# ------------------------------------------------------------------------------------------------------ networks
def f1_difference(swapped: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
    """Pooled F1 of complex numbers, numerator + i denominator, of which SciPy can swap pairs."""
    return swapped.sum(axis).real / swapped.sum(axis).imag - other.sum(axis).real / other.sum(axis).imag


def as_complex(counts: Counts) -> np.ndarray:
    tp, fp, fn, _ = np.moveaxis(counts.mean(0), -1, 0)
    return 2 * tp + 1j * (2 * tp + fp + fn)


def test_swaps_of_tiles_are_those_of_scipy() -> None:
    # Given
    strata = {"a": trained(1, tiles=9), "b": trained(2, seeds=5, tiles=9)}
    samples = [as_complex(counts) for counts in strata.values()]
    expected = stats.permutation_test(samples, f1_difference, permutation_type="samples", n_resamples=np.inf)
    # When
    (found,) = compare_networks(strata, AB, resamples=20000)
    # Then: three standard errors of the smaller number of swaps
    assert found.difference == pytest.approx(expected.statistic, rel=1e-12)
    assert 0.05 < expected.pvalue < 0.95
    assert found.p == pytest.approx(expected.pvalue, abs=3 * np.sqrt(0.25 / 20000))


def test_the_bootstrap_over_tiles_is_that_of_scipy_at_the_percentiles_of_students_t() -> None:
    # Given: of a mean of 40, Student's interval is that of the normal distribution with this deviation at this level
    wider = np.sqrt(40 / 39) * stats.t.ppf(0.975, 39)
    strata = {"a": trained(1, tiles=40), "b": trained(2, tiles=40, skill=2.0)}
    samples = [as_complex(counts) for counts in strata.values()]
    expected = stats.bootstrap(
        samples,
        f1_difference,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=1 - 2 * stats.norm.sf(wider),
        n_resamples=20000,
        rng=1,
    ).confidence_interval
    # When
    (found,) = compare_networks(strata, AB, resamples=20000)
    # Then
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02 * (found.high - found.low))


def test_a_network_that_is_better_on_all_tiles_has_the_smallest_p() -> None:
    (found,) = compare_networks({"a": even(0.9, tiles=40), "b": even(0.8, tiles=40)}, AB, resamples=999)
    assert found.p == found.p_holm == 1 / 1000
    assert sentence(found).startswith("These networks of a have a higher F1 than those of b, by 0.1000")


def test_networks_do_not_depend_on_what_stands_beside_them_but_for_holm() -> None:
    strata = {"a": trained(1), "b": trained(2), "c": trained(3)}
    alone, among = compare_networks(strata, AB)[0], compare_networks(strata, pair_up(list(strata)))[0]
    assert (alone.p, alone.low, alone.high) == (among.p, among.low, among.high)


def test_all_pairs_of_twenty_networks_take_less_than_a_second() -> None:
    strata = {f"network {number}": trained(number, seeds=1, tiles=80) for number in range(20)}
    pairs = pair_up(list(strata))
    compare_networks(strata, pairs[:1], resamples=9)  # imports
    start = time.process_time()
    assert len(compare_networks(strata, pairs)) == 190
    assert time.process_time() - start < 3  # 0.4 s alone; both cores of a busy machine count


# ------------------------------------------------------------------------- how often: the fast part of `make simulate`
@pytest.mark.parametrize(("seeds", "tiles"), [(3, 80), (5, 20)])
def test_one_recipe_under_two_names_is_seldom_called_two(seeds: int, tiles: int) -> None:
    found = simulate(Cell((seeds, seeds), tiles), repeats=250)["recipes"]
    assert 0.0 < found.rejected <= 0.07
    assert found.covered >= 0.93


def test_tiles_alone_call_one_recipe_two() -> None:
    found = simulate(Cell((2, 2), 80, networks=True), repeats=60)
    assert found["one each"].rejected > 0.2
    assert found["recipes"].rejected <= 0.1


def test_intervals_of_recipes_hold_for_other_tiles_and_those_of_seeds_alone_do_not() -> None:
    found = simulate(Cell((10, 10), 80, gap=0.0), repeats=250)
    assert 0.93 <= found["recipes"].covered <= 0.98
    assert found["seeds alone"].covered < 0.85


def test_equal_networks_are_seldom_called_unequal() -> None:
    found = simulate(NETWORKS[1], repeats=100)["networks"]
    assert found.rejected <= 0.1
    assert found.covered >= 0.9


def test_the_bootstrap_holds_the_difference_of_networks_on_few_tiles() -> None:
    assert simulate(NETWORKS[0], repeats=250)["networks"].covered >= 0.93  # 0.92 without expanding the percentiles


@pytest.mark.parametrize(("tiles", "least"), [(20, 0.90), (80, 0.92)])  # 0.87 at 20 tiles without the logit
def test_the_interval_of_one_recipe_holds_its_f1(tiles: int, least: float) -> None:
    assert simulate(Cell((3, 3), tiles, gap=0.0, alone=True), repeats=250)["alone"].covered >= least
