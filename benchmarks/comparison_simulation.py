"""How often a comparison is wrong: trainings are simulated of which the truth is known, and compared as real ones are.

A simulated run has counts on tiles of 256 px whose landslide shares are those of the Bijie dataset. What it misses and
what it falsely alarms are sums of five parts: recipe, tile, recipe by tile, training (seed), training by tile. Their
sizes are such that F1 moves as in real trainings, which `--measure` takes apart (docs/statistics.md has both).

    make simulate                                                     into docs/statistics.md; minutes
    python benchmarks/comparison_simulation.py --repeats 200          prints it
    python benchmarks/comparison_simulation.py --measure sqlite:///$PWD/mlruns/mlflow.db
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, combinations, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit

from landslide.report.statistics import Counts, Difference, compare_networks, compare_recipes, estimate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "statistics.md"
START, END = "<!-- simulation: make simulate -->", "<!-- end of the simulation -->"
Array = npt.NDArray[np.float64]
Part = tuple[float, float, float]
"""Standard deviation of the logit of the missed share, of the log of false alarms, and their correlation."""


@dataclass(frozen=True)
class World:
    """Tiles and trainings. Errors are a logit (missed share) and a log (false alarms for each landslide pixel)."""

    share: tuple[float, float] = (-2.47, 0.89)
    """Mean and standard deviation of the logit of a tile's landslide share: of the 770 masks of the Bijie dataset."""
    level: tuple[float, float] = (-2.5, -2.5)
    slope: tuple[float, float] = (-0.1, -0.5)
    """Of both errors, by the logit of the share: small landslides are missed more, with more false alarms."""
    tile: Part = (1.4, 1.2, 0.0)
    recipe_by_tile: Part = (0.3, 0.3, -0.4)
    training: Part = (0.24, 0.14, -0.8)
    training_by_tile: Part = (0.27, 0.27, -0.5)
    tails: float = np.inf
    """Degrees of freedom of the trainings' Student's t: few make some trainings go very wrong."""
    pixels: int = 256 * 256

    def trainings(
        self,
        random: np.random.Generator,
        seeds: Sequence[int],
        tiles: int,
        shifts: Sequence[float] | None = None,
        scales: Sequence[float] | None = None,
    ) -> list[Counts]:
        """Counts ``(seeds, tiles, 4)`` of each recipe, on tiles that all share.

        Args:
            random: where they come from.
            seeds: trainings of each recipe.
            tiles: number of tiles, newly drawn.
            shifts: of both errors of each recipe; each then has tiles, too, that are hard for it alone. Default: all
                are one and the same recipe.
            scales: by which the standard deviation between trainings of each recipe is multiplied.
        """
        share = random.normal(*self.share, tiles)
        landslide = np.maximum(np.round(self.pixels * expit(share)), 1)
        common = self.level + np.multiply.outer(share - self.share[0], self.slope) + _normal(random, self.tile, tiles)
        made = []
        for number, runs in enumerate(seeds):
            own = _normal(random, self.recipe_by_tile, tiles) + shifts[number] if shifts else 0.0
            training = _normal(random, self.training, runs, 1) * (scales[number] if scales else 1.0)
            if np.isfinite(self.tails):  # the same standard deviation
                spread = random.chisquare(self.tails, (runs, 1, 1)) / (self.tails - 2)
                training = training / np.sqrt(spread)
            errors = common + own + training + _normal(random, self.training_by_tile, runs, tiles)
            missed = np.round(landslide * expit(errors[..., 0]))
            false = np.minimum(np.round(landslide * np.exp(errors[..., 1])), self.pixels - landslide)
            made.append(
                np.stack([landslide - missed, false, missed, self.pixels - landslide - false], axis=-1).astype(np.int64)
            )
        return made

    def f1(self, shift: float | None, scale: float = 1.0) -> float:
        """Expected F1 of a recipe, trained again and again and tested on all tiles of the world."""
        shifts = None if shift is None else [shift]
        (counts,) = self.trainings(np.random.default_rng(0), [200], 5000, shifts, [scale])
        return float(_f1(counts.sum(1)).mean())


@cache
def shift_of(world: World, gap: float) -> float:
    """By which both errors of a recipe have to change for so much F1."""
    return float(brentq(lambda shift: world.f1(shift) - world.f1(0.0) - gap, -1.0, 0.0, xtol=1e-4)) if gap else 0.0


@cache
def f1_of(world: World) -> float:
    """Expected F1 of a recipe, to 0.0003; :meth:`World.f1` is off by 0.002, which a difference of two does not show."""
    random = np.random.default_rng(0)
    made = (world.trainings(random, [10], 5000, [0.0])[0] for _ in range(100))
    return float(np.mean([_f1(counts.sum(1)) for counts in made]))


def _normal(random: np.random.Generator, part: Part, *shape: int) -> Array:
    first, second, correlation = part
    scale = np.array([[first, 0.0], [correlation * second, np.sqrt(1 - correlation**2) * second]])  # Cholesky's factor
    return random.standard_normal((*shape, 2)) @ scale.T


def _f1(counts: Counts) -> Array:
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return 2 * tp / (2 * tp + fp + fn)


# -------------------------------------------------------------------------------------------- how often it is wrong
@dataclass(frozen=True)
class Cell:
    """Two recipes that are trained, tested and compared, many times over."""

    seeds: tuple[int, int]
    tiles: int
    gap: float | None = None
    """F1 by which the first is better on all tiles of the world. None: both are one recipe under two names."""
    world: World = World()
    scales: tuple[float, float] | None = None
    networks: bool = False
    """Also ask question (a) of them."""
    alone: bool = False
    """Also ask whether the interval of the first by itself holds its F1 on all tiles of the world; gap has to be 0."""


@dataclass(frozen=True)
class Rates:
    """Of one method in a cell."""

    rejected: float
    """Share of comparisons with p <= 0.05."""
    covered: float
    """Share of intervals that hold the true difference."""
    half_width: float
    """Median."""


def simulate(cell: Cell, repeats: int, seed: int = 0) -> dict[str, Rates]:
    """How often each method rejects, and covers the truth."""
    random = np.random.default_rng(seed)
    shifts = None if cell.gap is None else (shift_of(cell.world, cell.gap), 0.0)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(repeats):
        pair = cell.world.trainings(random, cell.seeds, cell.tiles, shifts, cell.scales)
        outcomes = compared(*pair, networks=cell.networks) | (alone(pair[0]) if cell.alone else {})
        for method, outcome in outcomes.items():
            found.setdefault(method, []).append(outcome)
    truth = cell.gap or 0.0
    if cell.scales:  # F1 is not linear in the errors, so a recipe that scatters more has less of it
        truth = cell.world.f1(None, cell.scales[0]) - cell.world.f1(None, cell.scales[1])
    truths = dict.fromkeys(found, truth) | (dict.fromkeys(ALONE, f1_of(cell.world)) if cell.alone else {})
    return {method: _rates(np.array(found[method]), truths[method]) for method in found}


def compared(first: Counts, second: Counts, *, networks: bool) -> dict[str, tuple[float, float, float]]:
    """Probability and interval of the difference in F1, by method."""
    pair, names = {"first": first, "second": second}, [("first", "second")]
    found = {}
    if networks:
        found["networks"] = _outcome(compare_networks(pair, names, resamples=999)[0])
    if min(len(first), len(second)) > 1:
        welch = stats.ttest_ind(_f1(first.sum(1)), _f1(second.sum(1)), equal_var=False)
        found["recipes"] = _outcome(compare_recipes(pair, names)[0])
        found["seeds alone"] = (float(welch.pvalue), *welch.confidence_interval())
        if networks:
            once = {name: counts[:1] for name, counts in pair.items()}
            found["one each"] = _outcome(compare_networks(once, names, resamples=999)[0])
    return found


ALONE = ("alone", "alone, one seed")


def alone(counts: Counts) -> dict[str, tuple[float, float, float]]:
    """The interval of one recipe's F1, by all its seeds and by the first; there is no test, so p is NaN."""
    found = (estimate(counts), estimate(counts[:1]))
    return {method: (np.nan, one.low, one.high) for method, one in zip(ALONE, found, strict=True)}


def _outcome(found: Difference) -> tuple[float, float, float]:
    return found.p, found.low, found.high


def _rates(outcomes: Array, truth: float) -> Rates:
    p, low, high = outcomes.T
    covered = (low <= truth) & (truth <= high)
    return Rates(float(np.mean(p <= 0.05)), float(covered.mean()), float(np.median(high - low) / 2))


# ------------------------------------------------------------------------------------------------------ the tables
SIZES = list(product((20, 80, 300), (2, 3, 5, 10)))
"""Tiles and seeds."""
ONE_RECIPE = [Cell((seeds, seeds), tiles, networks=True) for tiles, seeds in SIZES]
AS_GOOD = [Cell((seeds, seeds), tiles, gap=0.0, alone=True) for tiles, seeds in SIZES]
BETTER = [Cell((seeds, seeds), tiles, gap=0.02) for tiles, seeds in SIZES]
LOUD = replace(World(), training=(3 * World.training[0], 3 * World.training[1], World.training[2]))
DEPARTURES = {
    "3 seeds; trainings scatter three times as much": Cell((3, 3), 80, world=LOUD),
    "3 seeds; some trainings go very wrong (t, 3 df)": Cell((3, 3), 80, world=replace(World(), tails=3.0)),
    "3 seeds; one recipe scatters three times as much": Cell((3, 3), 80, scales=(3, 1)),
    "5 seeds; one recipe scatters three times as much": Cell((5, 5), 80, scales=(3, 1)),
    "3 and 10 seeds": Cell((3, 10), 80),
    "3 and 10 seeds; the recipe of 3 scatters three times as much": Cell((3, 10), 80, scales=(3, 1)),
    "3 and 10 seeds; the recipe of 10 scatters three times as much": Cell((3, 10), 80, scales=(1, 3)),
}
CALM = replace(
    World(),
    level=(-2.15, -2.15),
    tile=(1.0, 0.85, 0.0),
    recipe_by_tile=(0.27, 0.27, -0.4),
    training=(0.075, 0.045, -0.8),
)
"""Trainings and tiles scatter as those on Bijie do (docs/results.md), at the same F1."""
AS_ON_BIJIE = [
    tuple(Cell((seeds, seeds), 80, gap=gap, world=CALM, alone=not gap) for gap in (0.0, 0.01, 0.02))
    for seeds in (2, 3, 5, 10)
]
SETTLED = replace(World(), training=(0.0, 0.0, 0.0))
NETWORKS = [Cell((1, 1), tiles, gap=0.0, world=SETTLED, networks=True) for tiles in (20, 80, 300)]
"""One training each, as good as each other on all tiles of the world, though on no single one."""


@dataclass(frozen=True)
class Report:
    """What came out of all cells, as Markdown."""

    repeats: int
    rates: dict[Cell, dict[str, Rates]]

    @classmethod
    def run(cls, repeats: int, processes: int) -> Report:
        cells = [*ONE_RECIPE, *AS_GOOD, *BETTER, *DEPARTURES.values(), *NETWORKS, *chain(*AS_ON_BIJIE)]
        with ProcessPoolExecutor(processes) as pool:
            jobs = pool.map(simulate, cells, [repeats] * len(cells), range(len(cells)))
            return cls(repeats, dict(zip(cells, track(jobs, "simulating", total=len(cells)), strict=True)))

    def markdown(self) -> str:
        intro = f"Per cent of {self.repeats:,} comparisons a row, each with its Monte-Carlo standard error."
        tables = [self.one_recipe(), self.two_recipes(), self.as_on_bijie(), self.departures(), self.networks()]
        tables += [self.alone()]
        return "\n\n".join([intro, *tables])

    def one_recipe(self) -> str:
        head = ["Tiles", "Seeds", "question (b)", "t over seeds alone", "swaps of tiles", "swaps, one training each"]
        methods = ("recipes", "seeds alone", "networks", "one each")
        rows = [[*_size(cell), *(self.rejected(cell, method) for method in methods)] for cell in ONE_RECIPE]
        return "**One recipe under two names**: a difference is claimed at the 5 % level.\n\n" + _table(head, rows)

    def two_recipes(self) -> str:
        head = ["Tiles", "Seeds", "no gap: (b)", "no gap: t over seeds alone", "gap in interval: (b)"]
        head += ["gap in interval: seeds alone", "power of (b)", "half the interval (F1)"]
        rows = [
            [
                *_size(gap),
                *(self.rejected(none, method) for method in ("recipes", "seeds alone")),
                *(self.covered(gap, method) for method in ("recipes", "seeds alone")),
                self.rejected(gap, "recipes"),
                f"{self.rates[gap]['recipes'].half_width:.4f}",
            ]
            for none, gap in zip(AS_GOOD, BETTER, strict=True)
        ]
        text = (
            "**Two recipes**, each with tiles that are hard for it alone: a difference is claimed where the "
            "population of tiles has none; where the first is better by 0.02 F1, the 95 % interval holds 0.02, and a "
            "difference is claimed."
        )
        return f"{text}\n\n{_table(head, rows)}"

    def as_on_bijie(self) -> str:
        head = ["Tiles", "Seeds", "no gap: (b)", "gap of 0.02 in interval", "power at 0.02", "power at 0.01"]
        rows = [
            [
                *_size(none),
                self.rejected(none, "recipes"),
                self.covered(wide, "recipes"),
                self.rejected(wide, "recipes"),
                self.rejected(narrow, "recipes"),
                f"{self.rates[wide]['recipes'].half_width:.4f}",
            ]
            for none, narrow, wide in AS_ON_BIJIE
        ]
        text = "**Two recipes that scatter as little as on Bijie**: the same of question (b), with a gap of 0.01, too."
        return f"{text}\n\n{_table([*head, 'half the interval (F1)'], rows)}"

    def departures(self) -> str:
        head = ["One recipe, 80 tiles", "question (b)", "t over seeds alone"]
        rows = [
            [name, *(self.covered(cell, method) for method in ("recipes", "seeds alone"))]
            for name, cell in DEPARTURES.items()
        ]
        text = "**Trainings that are not as supposed**: the 95 % interval holds the true difference."
        return f"{text}\n\n{_table(head, rows)}"

    def networks(self) -> str:
        rows = [[str(cell.tiles), self.rejected(cell, "networks"), self.covered(cell, "networks")] for cell in NETWORKS]
        text = (
            "**Question (a)**, two networks that are equally good in the population of tiles: a difference is claimed "
            "by swaps, and the bootstrap's 95 % interval holds 0."
        )
        return f"{text}\n\n{_table(['Tiles', 'claimed', '0 in interval'], rows)}"

    def alone(self) -> str:
        cells = {str(tiles): [cell for cell in AS_GOOD if cell.tiles == tiles] for tiles in (20, 80, 300)}
        cells["80, as on Bijie"] = [none for none, _, _ in AS_ON_BIJIE]
        rows = [
            [tiles, self.covered(row[0], "alone, one seed"), *(self.covered(cell, "alone") for cell in row)]
            for tiles, row in cells.items()
        ]
        head = ["Tiles", "1 seed", *(f"{cell.seeds[0]} seeds" for cell in AS_GOOD[:4])]
        text = (
            "**F1 of one recipe in its interval**: the 95 % interval holds its F1 on all tiles, with other seeds, too."
        )
        return f"{text}\n\n{_table(head, rows)}"

    def rejected(self, cell: Cell, method: str) -> str:
        return self._percent(self.rates[cell][method].rejected)

    def covered(self, cell: Cell, method: str) -> str:
        return self._percent(self.rates[cell][method].covered)

    def _percent(self, share: float) -> str:
        return f"{100 * share:.1f} ± {100 * (share * (1 - share) / self.repeats) ** 0.5:.1f}"


def _size(cell: Cell) -> list[str]:
    return [str(cell.tiles), str(cell.seeds[0])]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ------------------------------------------------------------------------------------- what real trainings look like
ON_TILES = 80
"""To whose number parts that shrink with it are scaled."""


def measure(strata: dict[str, Counts]) -> str:
    """The parts of which F1 is made, as standard deviations of F1 on 80 tiles: two tables, as Markdown."""
    influence = {name: _influence(counts) for name, counts in strata.items()}
    noise = {name: _noise(values) for name, values in influence.items()}
    rows, pairs = [], []
    for name, counts in strata.items():
        values = _f1(counts.sum(1))
        parts = [
            values.var(ddof=1) - noise[name] / counts.shape[1],
            noise[name] / ON_TILES,
            (influence[name].mean(0).var(ddof=1) - noise[name] / len(counts)) / ON_TILES,
        ]
        rows.append([name, *map(str, counts.shape[:2]), f"{values.mean():.4f}", *map(_root, parts)])
    for first, second in combinations(strata, 2):
        gap = influence[first].mean(0) - influence[second].mean(0)
        within = sum(noise[name] / len(strata[name]) for name in (first, second))
        pairs.append([f"{first}, {second}", _root((gap.var(ddof=1) - within) / ON_TILES)])
    head = ["Recipe", "Seeds", "Tiles", "F1", "training", "training by tile", "tile"]
    return f"{_table(head, rows)}\n\n{_table(['Pair', 'recipe by tile'], pairs)}"


def _root(variance: float) -> str:
    return f"{max(0.0, variance) ** 0.5:.4f}"


def _influence(counts: Counts) -> Array:
    tp, fp, fn, _ = np.moveaxis(counts.astype(np.float64), -1, 0)
    whole = 2 * tp + fp + fn
    return counts.shape[1] * (2 * tp - _f1(counts.sum(1))[:, None] * whole) / whole.sum(1, keepdims=True)


def _noise(influence: Array) -> float:
    rest = influence - influence.mean(0) - influence.mean(1, keepdims=True)
    return float((rest**2).sum() / np.prod(np.array(rest.shape) - 1))


def read(uri: str) -> dict[str, Counts]:
    """Counts at the last epoch of all finished runs of a store, by architecture."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: dict[str, list[Counts]] = {}
    for run in client.search_runs(experiments, "attributes.status = 'FINISHED'", max_results=1000):
        if "arch.name" not in run.data.params:
            continue  # the parent of a sweep
        with tempfile.TemporaryDirectory() as folder:
            path = client.download_artifacts(run.info.run_id, "validation/last.npz", folder)
            with np.load(path, allow_pickle=False) as stored:
                found.setdefault(run.data.params["arch.name"], []).append(stored["counts"])
    return {name: np.stack(runs) for name, runs in found.items() if len(runs) > 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000, help="comparisons of each row")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--write", action="store_true", help="into docs/statistics.md")
    parser.add_argument("--measure", metavar="URI", help="only take apart the runs of an MLflow store")
    arguments = parser.parse_args()
    if arguments.measure:
        print(measure(read(arguments.measure)))
        for name, world in {"simulated": World(), "simulated, as on Bijie": CALM}.items():
            made = world.trainings(np.random.default_rng(0), [50, 50], 2000, [0.0, 0.0])
            print("", measure({name: made[0], f"{name}, another": made[1]}), sep="\n")
        return
    text = Report.run(arguments.repeats, arguments.processes).markdown()
    if arguments.write:
        before, rest = PAGE.read_text(encoding="utf-8").split(START)
        PAGE.write_text(f"{before}{START}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
