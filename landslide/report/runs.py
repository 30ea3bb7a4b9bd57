"""What MLflow holds of a run, read back as it was stored: nothing is inferred, a missing number stays missing."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient

from landslide.config import without_credentials
from landslide.errors import ComparisonError
from landslide.report.figures import Panel, Series

_UNKNOWN_RUN = {ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE)}


@dataclass(frozen=True)
class Objective:
    """The metric that epochs were selected by, and the direction in which it is better."""

    metric: str
    maximize: bool


@dataclass(frozen=True)
class Run:
    """One run as MLflow stored it."""

    id: str
    experiment_id: str
    name: str
    status: str
    """``FINISHED``, ``FAILED``, ``KILLED``, ``RUNNING`` or ``SCHEDULED``."""
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    """Last value of every metric; only finite ones."""
    history: dict[str, Series]
    """``train/loss``, ``val/loss``, ``time/images_per_s`` and the objective, by epoch; empty where never logged."""

    @property
    def finished(self) -> bool:
        """Whether its numbers may stand beside those of others: an unfinished run has seen fewer epochs."""
        return self.status == "FINISHED"

    @property
    def reason(self) -> str:
        """Why it failed, in one line; empty where no reason was stored."""
        return " ".join(self.tags.get("landslide.failure", "").split())

    def score(self, objective: Objective) -> float | None:
        """The objective at the best epoch; None for an unfinished run, or where it was never defined."""
        best = self.metrics.get("best/epoch")
        return dict(self.history[objective.metric]).get(int(best)) if self.finished and best is not None else None


@dataclass(frozen=True)
class Artifacts:
    """What the pictures and the footer need of a run's files; None or empty where a file is not there."""

    counts: npt.NDArray[np.int64] | None = None
    """``(4,)``: TP, FP, FN, TN pixels at the best epoch, pooled over the validation tiles."""
    panel: Panel | None = None
    split: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    unreadable: tuple[str, ...] = ()
    """Files that are there but cannot be read, such as those of a run that was killed while writing."""


def read_runs(
    client: MlflowClient, run_ids: Sequence[str], objective: Objective | None = None
) -> tuple[Objective, list[Run]]:
    """Read the runs, a multirun standing for its children by trial number.

    Args:
        client: of the store that holds them.
        run_ids: ids of runs or multiruns; one that is named twice counts once.
        objective: where the caller knows it, since runs that failed early have stored none.

    Returns:
        The objective of the first run that stored one, and the runs in the order asked for.

    Raises:
        ComparisonError: an id is unknown, a multirun has no children, or no run was logged by landslide.
    """
    stored = {run.info.run_id: run for run_id in run_ids for run in _expand(client, run_id)}
    if not stored:
        raise ComparisonError("No run to compare: name at least one run id, or the id of a multirun.")
    objective = objective or _objective(stored.values())
    return objective, [_read(client, run, objective) for run in stored.values()]


def read_artifacts(client: MlflowClient, run_id: str) -> Artifacts:
    """Read the files of one run; those that are missing or broken leave their field empty."""
    there = {item.path for folder in ("", "validation") for item in client.list_artifacts(run_id, folder)}
    found: dict[str, Any] = {}
    unreadable = []
    with TemporaryDirectory() as scratch:
        for field, (path, read) in _READERS.items():
            if path not in there:
                continue
            try:
                found[field] = read(Path(client.download_artifacts(run_id, path, scratch)))
            except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError):
                unreadable.append(path)
    return Artifacts(**found, unreadable=tuple(unreadable))


def _expand(client: MlflowClient, run_id: str) -> list[MlflowRun]:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN_RUN:
            raise
        raise ComparisonError(
            f"Run '{run_id}' is not in {without_credentials(client.tracking_uri)}. "
            "Give the id of a run or multirun of this store; `landslide ui` shows them."
        ) from error
    if run.data.tags.get("landslide.kind") != "multirun":
        return [run]
    children = _children(client, run)
    if not children:
        raise ComparisonError(f"Multirun '{run_id}' has no runs yet: wait for its first one, or name other runs.")
    return children


def _children(client: MlflowClient, parent: MlflowRun) -> list[MlflowRun]:
    children: list[MlflowRun] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [parent.info.experiment_id],
            filter_string=f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'",
            page_token=token,
        )
        children += page
        token = page.token
        if not token:
            break
    return sorted(children, key=lambda run: (_trial(run), run.info.start_time))


def _trial(run: MlflowRun) -> float:
    number = run.data.tags.get("landslide.trial", "")
    return int(number) if number.isdigit() else math.inf


def _objective(runs: Iterable[MlflowRun]) -> Objective:
    for run in runs:
        if metric := run.data.params.get("objective.metric"):
            return Objective(metric, maximize=run.data.params.get("objective.direction") == "maximize")
    raise ComparisonError("None of the runs has a param 'objective.metric': name runs that landslide has logged.")


def _read(client: MlflowClient, run: MlflowRun, objective: Objective) -> Run:
    keys = {"train/loss", "val/loss", "time/images_per_s", objective.metric}
    return Run(
        id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        name=run.info.run_name or "",
        status=run.info.status,
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        metrics={key: value for key, value in run.data.metrics.items() if math.isfinite(value)},
        history={key: _series(client, run, key) for key in keys},
    )


def _series(client: MlflowClient, run: MlflowRun, key: str) -> Series:
    """Points by epoch; where a resumed run logged an epoch twice, the later point counts."""
    if key not in run.data.metrics:
        return []
    points = sorted(client.get_metric_history(run.info.run_id, key), key=lambda point: point.timestamp)
    return sorted({point.step: point.value for point in points if math.isfinite(point.value)}.items())


def _read_counts(path: Path) -> npt.NDArray[np.int64]:
    with np.load(path, allow_pickle=False) as stored:
        return np.asarray(stored["counts"].sum(axis=0), dtype=np.int64)


def _read_panel(path: Path) -> Panel:
    with np.load(path, allow_pickle=False) as stored:
        return Panel(
            images=stored["images"],
            masks=stored["masks"],
            probability=stored["probability"],
            tile_id=[str(name) for name in stored["tile_id"]],
            rule=str(stored["rule"]),
        )


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


_READERS = {
    "counts": ("validation/best.npz", _read_counts),
    "panel": ("validation/panel.npz", _read_panel),
    "split": ("split.json", _read_json),
    "environment": ("environment.json", _read_json),
}
