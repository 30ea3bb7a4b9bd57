"""What was trained of each of the paper's models, read from MLflow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from mlflow.tracking import MlflowClient

from landslide.errors import ComparisonError
from landslide.report.figures import Panel, Series
from landslide.report.labels import ARCHITECTURES
from landslide.report.paper import TABLE_II
from landslide.report.runs import (
    Artifacts,
    Objective,
    Run,
    Validation,
    artifact_file,
    read_artifacts,
    read_histories,
    read_validation,
)
from landslide.report.statistics import Counts, Estimate, estimate

TIME = "Time"
"""Of training, in minutes; stands beside the metrics of the paper."""


@dataclass(frozen=True)
class Model:
    """What was trained of one model."""

    arch: str
    runs: tuple[Run, ...]
    """Those that finished, by seed."""
    counts: Counts
    """``(seeds, tiles, 4)`` at the last epoch: TP, FP, FN, TN pixels."""

    @property
    def name(self) -> str:
        """For people."""
        return ARCHITECTURES[self.arch]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of its runs."""
        return tuple(map(seed_of, self.runs))

    @property
    def minutes(self) -> float:
        """Of training, mean over seeds; NaN where nothing finished."""
        seconds = [run.metrics["time/fit_s"] for run in self.runs if "time/fit_s" in run.metrics]
        return sum(seconds) / len(seconds) / 60 if seconds else math.nan

    def estimate(self, quantity: str) -> Estimate | None:
        """Of a metric at the last epoch; None of :data:`TIME`, and where nothing finished."""
        return estimate(self.counts, quantity) if self.runs and quantity != TIME else None

    def mean(self, quantity: str) -> float:
        """Of a metric, or of :data:`TIME` in minutes; NaN where nothing finished."""
        found = self.estimate(quantity)
        return self.minutes if quantity == TIME else math.nan if found is None else found.mean


@dataclass(frozen=True)
class Shown:
    """What figures and Table I need of a model."""

    artifacts: Artifacts
    """Of its first seed. The pictured tiles have the probability of the last epoch; they are missing where that was
    not stored."""
    histories: tuple[Mapping[str, Series], ...]
    """Of each seed."""


def read_models(
    client: MlflowClient, runs: Sequence[Run], seeds: Sequence[int], objective: Objective
) -> tuple[list[Model], dict[str, Shown]]:
    """The models in the order of Table II, and, by architecture, what figures need of those that have a run.

    Args:
        client: of the store that holds the runs.
        runs: of the sweep.
        seeds: those that are asked for; runs with others are left out.
        objective: of the runs.

    Raises:
        ComparisonError: a run has stored no validation, or two were validated on different tiles.
    """
    models, shown = [], {}
    tiles: dict[tuple[str, ...], Run] = {}
    for arch in TABLE_II:
        own = [run for run in runs if run.finished and run.params.get("arch.name") == arch]
        chosen = sorted((run for run in own if seed_of(run) in seeds), key=seed_of)
        last = [_read_last(client, run) for run in chosen]
        for run, validation in zip(chosen, last, strict=True):
            tiles.setdefault(validation.tile_id, run)
        _require_same_tiles(tiles)
        counts = np.stack([each.counts for each in last]) if last else np.zeros((0, 0, 4), dtype=np.int64)
        models.append(Model(arch, tuple(chosen), counts))
        if chosen:
            shown[arch] = _read_shown(client, chosen, objective)
    return models, shown


def _require_same_tiles(tiles: Mapping[tuple[str, ...], Run]) -> None:
    if len(tiles) > 1:
        named = " and ".join(f"'{run.name}'" for run in tiles.values())
        raise ComparisonError(f"{named} were validated on different tiles; one table cannot hold both.")


def _read_last(client: MlflowClient, run: Run) -> Validation:
    found = read_validation(client, run, "last")
    if found is None:
        raise ComparisonError(f"Run '{run.id}': validation/last.npz is missing, so its last epoch cannot be compared.")
    return found


def _read_shown(client: MlflowClient, runs: Sequence[Run], objective: Objective) -> Shown:
    artifacts = read_artifacts(client, runs[0])
    panel = None if artifacts.panel is None else _at_last_epoch(client, runs[0], artifacts.panel)
    histories = tuple(read_histories(client, run, objective) for run in runs)
    return Shown(replace(artifacts, panel=panel), histories)


def _at_last_epoch(client: MlflowClient, run: Run, panel: Panel) -> Panel | None:
    """The pictured tiles with what the last epoch predicts for them, as the tables have it; None without that."""
    with artifact_file(client, run, "validation/last.npz") as file:
        if file is None:
            return None
        with np.load(file, allow_pickle=False) as stored:
            if "probability" not in stored:
                return None
            names = [str(name) for name in stored["tile_id"]]
            return replace(panel, probability=stored["probability"][[names.index(tile) for tile in panel.tile_id]])


def seed_of(run: Run) -> int:
    """That it was trained with."""
    return int(run.params["seed"])
