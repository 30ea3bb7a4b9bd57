"""Open the MLflow store."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from landslide.config import without_credentials
from landslide.errors import TrackingError

FOLDER = Path("mlruns")

LEAST_DIGITS = 6
"""Of an id's beginning that stands for it."""

MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Opens MLflow's page on runs, charts and models instead of traces and prompts."""


@dataclass(frozen=True)
class Store:
    """An MLflow tracking store that answers."""

    uri: str
    client: MlflowClient


def default_uri() -> str:
    """``sqlite:///.../mlruns/mlflow.db`` in the folder we stand in; absolute, since a job may change folder."""
    return f"sqlite:///{(FOLDER / 'mlflow.db').resolve().as_posix()}"


def resolve_uri(uri: str | None) -> str:
    """The store that is meant: the one named, else ``MLFLOW_TRACKING_URI``, else :func:`default_uri`."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri()


def open_store(uri: str | None) -> Store:
    """Open the store, making the database first where there is none.

    Several processes that create one SQLite database at once break it, so creation and migration happen under a lock.

    Raises:
        TrackingError: where the store cannot be made, read or reached.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    found = resolve_uri(uri)
    try:
        if found == default_uri():
            FOLDER.mkdir(exist_ok=True)
            with FileLock(FOLDER / ".mlflow.lock"):
                return _connect(found)
        return _connect(found)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrackingError(
            without_credentials(f"tracking.uri={found}: the MLflow store does not open ({reason}).")
        ) from error


def open_existing(uri: str | None) -> Store:
    """Open a store to read from it; makes none.

    Raises:
        TrackingError: where there is none.
    """
    found = resolve_uri(uri)
    if found == default_uri() and not (FOLDER / "mlflow.db").is_file():
        raise TrackingError(
            f"{FOLDER / 'mlflow.db'}: there is none in {Path.cwd()}. Train first, stand in the folder where you "
            "trained, or name the store: --uri sqlite:////path/to/mlflow.db"
        )
    return open_store(uri)


def _connect(uri: str) -> Store:
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)  # asks once, so that a store that is not there is told now
    return Store(uri, client)


def find_run(store: Store, name: str) -> Run:
    """The run that is meant by an id, by the beginning of one (six digits or more), or by a name.

    Raises:
        TrackingError: where none or several are meant.
    """
    experiments = [experiment.experiment_id for experiment in store.client.search_experiments()]
    found: list[Run] = []
    token: str | None = None
    while True:
        page = store.client.search_runs(experiments, page_token=token)
        found += [run for run in page if _is_meant(run, name)]
        token = page.token
        if not token:
            break
    if len(found) == 1:
        return found[0]
    shown = "".join(f"\n  {run.info.run_id}  {run.info.run_name}  {run.info.status}" for run in found[:10])
    place = f"'{name}', in {without_credentials(store.uri)}"
    if found:
        raise TrackingError(f"{place}: {len(found)} runs are called so; give an id.{shown}")
    raise TrackingError(
        f"{place}: there is no such run. Give an id, the beginning of one, or a name; see landslide ui."
    )


def _is_meant(run: Run, name: str) -> bool:
    beginning = len(name) >= LEAST_DIGITS and str(run.info.run_id).startswith(name)
    return beginning or bool(run.info.run_name == name)


def experiment_id(store: Store, name: str) -> str:
    """The experiment's id; made where there is none, with artifacts beside a local database.

    Raises:
        TrackingError: where an experiment of this name was deleted.
    """
    found: Any = store.client.get_experiment_by_name(name)
    if found is None:
        beside = (FOLDER / "artifacts").resolve().as_uri() if store.uri == default_uri() else None
        try:
            return str(store.client.create_experiment(name, artifact_location=beside, tags=MODEL_TRAINING))
        except MlflowException:  # another process was faster
            found = store.client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise TrackingError(f"tracking.experiment={name}: was deleted. Restore it in MLflow, or use another name.")
    return str(found.experiment_id)
