"""Runs as rows, and strata of them: runs that differ in nothing but their seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, median, stdev

import numpy as np
import numpy.typing as npt
from mlflow.tracking import MlflowClient

from landslide.errors import ComparisonError
from landslide.report import calibration, statistics
from landslide.report.labels import SEED, Label, label_runs
from landslide.report.runs import EPOCHS, Epoch, Objective, Run, read_score, read_series, read_validation

RATIOS = {"accuracy": "Accuracy", "precision": "Precision", "recall": "Recall", "f1": "F1", "iou": "IoU"}
"""Heading by key, in the order of the paper's Table II."""

_STORED = {
    **{key: f"best/{key}" for key in RATIOS},
    **{f"{key}_last": f"last/{key}" for key in RATIOS},
    "best_epoch": "best/epoch",
    "epochs": "last/epoch",
    "time_s": "time/fit_s",
    "time_to_best_s": "time/best_s",
    "memory_mb": "memory/peak_mb",
    "parameters": "model/parameters",
    "gflops": "model/gflops",
}
"""By key of the CSV file: the metric that holds it."""

_CALIBRATION = ("average_precision", "ece", "temperature", "threshold", "f1_at_threshold")
NUMBERS = ("objective", *_STORED, "images_per_s", *_CALIBRATION)
"""Every number of a run, by key of the CSV file."""

SELECTED = frozenset({"objective", *RATIOS, *_CALIBRATION, "best_epoch", "time_to_best_s"})
"""Numbers of the best epoch, or at a threshold that was chosen: selected on the tiles that they are measured on."""


@dataclass(frozen=True, eq=False)
class Tally:
    """What one validation of a run came to."""

    tile_id: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    """``(tiles, 4)``: TP, FP, FN, TN pixels at a probability of 0.5."""
    histogram: npt.NDArray[np.int64]
    """``(2, 256)``: pixels of all tiles by true class (background, landslide) and bin of probability."""

    @cached_property
    def ground(self) -> tuple[tuple[str, ...], bytes]:
        """See :func:`ground_of`."""
        return ground_of(self.tile_id, self.counts)


@dataclass(frozen=True, eq=False)
class Row:
    """One run."""

    run: Run
    label: Label
    score: float | None
    """The objective at the best epoch; None where the run has not finished."""
    numbers: Mapping[str, float]
    """By key of :data:`NUMBERS`; what was not stored is not in it."""
    tallies: Mapping[Epoch, Tally] = field(default_factory=dict)
    """Without an epoch whose validation was not stored."""

    @property
    def seed(self) -> str:
        """As it was configured; a dash where it was not stored."""
        return self.run.params.get(SEED, "\N{EN DASH}")


@dataclass(frozen=True, eq=False)
class Stratum:
    """Runs that differ in their seed alone."""

    name: str
    described: str
    """Its settings in words where the name leaves them out; else empty."""
    rows: tuple[Row, ...]
    """Finished ones first, then by seed."""

    @property
    def finished(self) -> list[Row]:
        """Rows with numbers."""
        return [row for row in self.rows if row.run.finished]

    @property
    def score(self) -> float | None:
        """Mean of the objective over seeds; None where it is defined in none."""
        known = [row.score for row in self.rows if row.score is not None]
        return fmean(known) if known else None

    def values(self, key: str) -> list[float]:
        """A number of each run that has it."""
        return [row.numbers[key] for row in self.rows if key in row.numbers]

    def mean(self, key: str) -> float | None:
        """Over seeds; None where no run has it."""
        values = self.values(key)
        return fmean(values) if values else None

    def sd(self, key: str) -> float | None:
        """Standard deviation over seeds; None with fewer than two."""
        values = self.values(key)
        return stdev(values) if len(values) > 1 else None

    def tallies(self, which: Epoch) -> list[Tally]:
        """One of each finished run that stored its validation."""
        return [row.tallies[which] for row in self.rows if which in row.tallies]

    def counts(self, which: Epoch) -> statistics.Counts | None:
        """int64, ``(seeds, tiles, 4)``; None where no run stored any, or they are not of the same tiles."""
        tallies = self.tallies(which)
        if len({tally.ground for tally in tallies}) != 1:
            return None
        return np.stack([tally.counts for tally in tallies])

    def interval(self, key: str) -> statistics.Estimate | None:
        """Of one of :data:`RATIOS`, with ``_last`` for the last epoch; None without counts of two tiles."""
        return self._intervals.get(key)

    @cached_property
    def _intervals(self) -> dict[str, statistics.Estimate]:
        found: dict[str, statistics.Estimate] = {}
        for which, end in zip(EPOCHS, ("", "_last"), strict=True):
            counts = self.counts(which)
            if counts is not None and counts.shape[1] > 1:
                found |= {f"{key}{end}": statistics.estimate(counts, key) for key in RATIOS}
        return found

    @cached_property
    def histogram(self) -> npt.NDArray[np.int64] | None:
        """``(2, 256)``, of the best epoch, over all tiles and seeds; None where none was stored."""
        tallies = self.tallies("best")
        return np.sum([tally.histogram for tally in tallies], axis=0) if tallies else None

    @property
    def status(self) -> str:
        """``finished``, or how many runs ended how."""
        states = Counter(row.run.status.lower() for row in self.rows)
        if len(self.rows) == 1 or set(states) == {"finished"}:
            return next(iter(states))
        return ", ".join(f"{count} {state}" for state, count in states.items())


def read_rows(client: MlflowClient, runs: Sequence[Run], objective: Objective) -> tuple[tuple[Row, ...], list[str]]:
    """Rows, best objective first; what has not finished comes last, in the order given.

    Returns:
        The rows, and a sentence for each file that cannot be read.
    """
    rows, broken = [], []
    for run, label in zip(runs, label_runs(runs), strict=True):
        tallies: dict[Epoch, Tally] = {}
        for which in EPOCHS if run.finished else ():
            try:
                if (stored := read_validation(client, run, which)) is not None:
                    tallies[which] = Tally(stored.tile_id, stored.counts, stored.histograms.sum(0))
            except ComparisonError as error:
                broken.append(f"{label.text}: {error}")
        score = read_score(client, run, objective)
        rows.append(Row(run, label, score, _numbers(client, run, score, tallies), tallies))
    sign = -1 if objective.maximize else 1
    rows.sort(key=lambda row: (not row.run.finished, row.score is None, sign * (row.score or 0)))
    return tuple(rows), broken


def make_strata(rows: Sequence[Row], objective: Objective) -> tuple[Stratum, ...]:
    """Strata, best mean of the objective first; those without a finished run come last, in the order of their rows."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.label.stratum, []).append(row)
    strata = [
        Stratum(name, group[0].label.described, tuple(sorted(group, key=_by_seed))) for name, group in groups.items()
    ]
    sign = -1 if objective.maximize else 1
    return tuple(sorted(strata, key=lambda each: (not each.finished, each.score is None, sign * (each.score or 0))))


def ground_of(tile_id: Sequence[str], counts: npt.NDArray[np.int64]) -> tuple[tuple[str, ...], bytes]:
    """What was to be found, and where: equal for two runs that were measured on the same tiles.

    Args:
        tile_id: of the tiles.
        counts: ``(tiles, 4)``, in the order of :data:`~landslide.metrics.COUNTS`.
    """
    landslide, background = counts[:, [0, 2]].sum(1), counts[:, [1, 3]].sum(1)
    return tuple(tile_id), np.stack([landslide, background]).tobytes()


def same_tiles(strata: Sequence[Stratum], which: Epoch = "best") -> bool:
    """Whether all runs were validated on the same tiles, with the same landslides in them."""
    return len({tally.ground for stratum in strata for tally in stratum.tallies(which)}) <= 1


def _by_seed(row: Row) -> tuple[bool, float, str]:
    seed = float(row.seed) if row.seed.lstrip("-").isdigit() else float("inf")
    return not row.run.finished, seed, row.run.id


def _numbers(client: MlflowClient, run: Run, score: float | None, tallies: Mapping[Epoch, Tally]) -> dict[str, float]:
    if not run.finished:
        return {}
    numbers = {key: run.metrics[name] for key, name in _STORED.items() if name in run.metrics}
    if score is not None:
        numbers["objective"] = score
    if speeds := [speed for _, speed in read_series(client, run, "time/images_per_s")]:
        numbers["images_per_s"] = median(speeds)
    if "best" in tallies:
        numbers |= _calibration(tallies["best"].histogram)
    return numbers


def _calibration(histogram: npt.NDArray[np.int64]) -> dict[str, float]:
    """What follows from all thresholds; without what is undefined."""
    threshold, f1 = calibration.best_threshold(histogram)
    found = {
        "average_precision": calibration.average_precision(histogram),
        "ece": calibration.expected_calibration_error(histogram),
        "temperature": calibration.best_temperature(histogram),
        "threshold": threshold,
        "f1_at_threshold": f1,
    }
    return {key: value for key, value in found.items() if np.isfinite(value)}
