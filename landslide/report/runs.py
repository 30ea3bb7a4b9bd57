"""What MLflow holds of a run, read back as it was stored: nothing is inferred, a missing number stays missing."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from mlflow.entities import Run as MlflowRun
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from landslide.errors import ComparisonError
from landslide.metrics import BINS, COUNTS
from landslide.report.figures import Panel, Series

Epoch = Literal["best", "last"]
EPOCHS: tuple[Epoch, ...] = ("best", "last")
"""Of which a run stores what it validated; the best one was selected on the tiles that it is measured on."""

AT: dict[Epoch, str] = {"best": "At the best epoch, selected on these tiles", "last": "At the last epoch"}
"""How words begin that stand beside numbers of an epoch."""

BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, LookupError, EOFError)
"""What a file raises that was cut off while it was written, or that somebody else wrote."""


UNDER_WAY = ("RUNNING", "SCHEDULED")
"""Of a run that has not come to its end: its numbers are not final."""


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
    artifact_uri: str
    started: int
    """POSIX milliseconds."""

    @property
    def finished(self) -> bool:
        """Whether its numbers may stand beside those of others: an unfinished run has seen fewer epochs."""
        return self.status == "FINISHED"

    @property
    def reason(self) -> str:
        """Why it failed, in one line; empty where no reason was stored."""
        return " ".join(self.tags.get("landslide.failure", "").split())


@dataclass(frozen=True)
class Validation:
    """One validation of a run, tile by tile, tiles ordered by name."""

    tile_id: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    """``(tiles, 4)``: TP, FP, FN, TN pixels at a probability of 0.5."""
    histograms: npt.NDArray[np.int64]
    """``(tiles, 2, 256)``: pixels by true class (background, landslide) and bin of probability."""
    height_px: npt.NDArray[np.int64]
    """``(tiles,)``, as in the file."""
    width_px: npt.NDArray[np.int64]
    gsd_m: npt.NDArray[np.float64]
    """``(tiles,)``: ground sampling distance at native size; NaN where it is not known."""
    epoch: int
    """1 is the first."""


@dataclass(frozen=True)
class Artifacts:
    """What the pictures and the footer need of a run's files; None or empty where a file is not there."""

    panel: Panel | None = None
    split: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    unreadable: tuple[str, ...] = ()
    """Files that are there but cannot be read, such as those of a run that was killed while writing."""


def objective_of(runs: Iterable[Run]) -> Objective:
    """The objective of the first run that stored one.

    Raises:
        ComparisonError: where none did.
    """
    for run in runs:
        if metric := run.params.get("objective.metric"):
            return Objective(metric, maximize=run.params.get("objective.direction") == "maximize")
    raise ComparisonError("None of the runs has a param 'objective.metric': name runs that landslide has logged.")


def read_run(run: MlflowRun) -> Run:
    """What MLflow's own object says, without the numbers that are none."""
    return Run(
        id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        name=run.info.run_name or "",
        status=run.info.status,
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        metrics={key: value for key, value in run.data.metrics.items() if math.isfinite(value)},
        artifact_uri=run.info.artifact_uri,
        started=run.info.start_time or 0,
    )


def read_series(client: MlflowClient, run: Run, key: str) -> Series:
    """A metric by epoch; where a resumed run logged an epoch twice, the later point counts. Empty if never logged."""
    if key not in run.metrics:
        return []
    points = sorted(client.get_metric_history(run.id, key), key=lambda point: point.timestamp)
    return sorted({point.step: point.value for point in points if math.isfinite(point.value)}.items())


def read_score(client: MlflowClient, run: Run, objective: Objective) -> float | None:
    """The objective at the best epoch; None for an unfinished run, or where it was never defined."""
    if not run.finished:
        return None
    summary = f"best/{objective.metric.removeprefix('val/')}"
    if summary in run.metrics:
        return run.metrics[summary]
    best = run.metrics.get("best/epoch")
    return None if best is None else dict(read_series(client, run, objective.metric)).get(int(best))


def read_histories(client: MlflowClient, run: Run, objective: Objective) -> Mapping[str, Series]:
    """``train/loss``, ``val/loss`` and the objective by epoch; empty where never logged."""
    return {key: read_series(client, run, key) for key in ("train/loss", "val/loss", objective.metric)}


def read_validation(client: MlflowClient, run: Run, which: Epoch = "best") -> Validation | None:
    """The validation of the best or the last epoch.

    Args:
        client: of the store that holds the run.
        run: from :func:`read_run`.
        which: of the two that a run stores.

    Returns:
        None where the run has none.

    Raises:
        ComparisonError: where the file cannot be read, or is not what a run writes.
    """
    path = f"validation/{which}.npz"
    with artifact_file(client, run, path) as file:
        try:
            return None if file is None else _read_validation(file)
        except BROKEN as error:
            raise ComparisonError(f"Run '{run.id}': {path} cannot be read ({error}).") from error


def read_artifacts(client: MlflowClient, run: Run) -> Artifacts:
    """Read the small files of one run; those that are missing or broken leave their field empty."""
    found: dict[str, Any] = {}
    unreadable = []
    for field, (path, read) in _READERS.items():
        with artifact_file(client, run, path) as file:
            if file is None:
                continue
            try:
                found[field] = read(file)
            except BROKEN:
                unreadable.append(path)
    return Artifacts(**found, unreadable=tuple(unreadable))


@contextmanager
def artifact_file(client: MlflowClient, run: Run, path: str) -> Iterator[Path | None]:
    """An artifact as a file: where it lies if that is on this machine, else a copy for as long as it is needed."""
    if is_local_uri(run.artifact_uri, is_tracking_or_registry_uri=False):
        found = Path(local_file_uri_to_path(run.artifact_uri)) / path
        yield found if found.is_file() else None
        return
    repository = get_artifact_repository(run.artifact_uri, tracking_uri=client.tracking_uri)
    if path not in {item.path for item in repository.list_artifacts(path.rpartition("/")[0] or None)}:
        yield None
    else:
        with TemporaryDirectory() as scratch:
            yield Path(repository.download_artifacts(path, scratch))


def _read_validation(path: Path) -> Validation:
    with np.load(path, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in _OF_TILES}
        epoch = int(stored["epoch"])
    names = [str(name) for name in arrays["tile_id"]]
    for key, shape in _OF_TILES.items():
        if arrays[key].shape != (len(names), *shape):
            raise ValueError(f"{key} is of shape {arrays[key].shape} and not {(len(names), *shape)}")
    order = sorted(range(len(names)), key=names.__getitem__)
    return Validation(
        tile_id=tuple(names[at] for at in order),
        **{key: arrays[key][order] for key in _OF_TILES if key != "tile_id"},
        epoch=epoch,
    )


_OF_TILES: dict[str, tuple[int, ...]] = {
    "tile_id": (),
    "counts": (len(COUNTS),),
    "histograms": (2, BINS),
    "height_px": (),
    "width_px": (),
    "gsd_m": (),
}
"""Arrays of a validation, and their shape after the tiles."""


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
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__} in place of an object")
    return found


_READERS = {
    "panel": ("validation/panel.npz", _read_panel),
    "split": ("split.json", _read_json),
    "environment": ("environment.json", _read_json),
}
