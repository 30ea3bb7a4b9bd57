"""One MLflow run, from its first param to its status."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils.time import get_current_time_millis

from landslide.config import without_credentials
from landslide.errors import TrackingError
from landslide.tracking.provenance import source_tags
from landslide.tracking.store import Store, experiment_id

SYSTEM_METRICS_INTERVAL_S = 5
REASON_LENGTH = 400


def create_run(store: Store, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    """A new run in state RUNNING; returns its id."""
    run = store.client.create_run(experiment_id(store, experiment), tags={**source_tags(), **tags}, run_name=name)
    run_id: str = run.info.run_id
    return run_id


def create_child(store: Store, parent_id: str, experiment: str, name: str, trial: int) -> str:
    """A new run under a multirun; returns its id."""
    tags = {"mlflow.parentRunId": parent_id, "landslide.kind": "run", "landslide.trial": str(trial)}
    return create_run(store, experiment, name, tags)


def fail_run(store: Store, run_id: str, reason: str) -> None:
    """End a run as FAILED with a reason of one line."""
    store.client.set_tag(run_id, "landslide.failure", " ".join(reason.split())[:REASON_LENGTH])
    store.client.set_terminated(run_id, "FAILED")


def require_run(store: Store, run_id: str, who: str, cure: str) -> None:
    """Refuse to log to a run that is not there.

    Args:
        store: where it should be.
        run_id: of the run.
        who: wants it; begins the message.
        cure: ends the message.

    Raises:
        TrackingError: where it is not in the store, or was deleted.
    """
    place = f"{who}: its MLflow run {run_id}"
    try:
        stage = store.client.get_run(run_id).info.lifecycle_stage
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        raise TrackingError(f"{place} is not in {without_credentials(store.uri)}. {cure}") from error
    if stage != "active":
        raise TrackingError(f"{place} was deleted. Restore it in MLflow: mlflow runs restore --run-id {run_id}")


@contextmanager
def open_run(store: Store, run_id: str) -> Iterator[TrackedRun]:
    """Log to a run with system metrics, and end it by what happened: FINISHED, KILLED by Ctrl-C, or FAILED.

    A failure leaves its reason as a tag and its traceback as an artifact.
    """
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_system_metrics_sampling_interval(SYSTEM_METRICS_INTERVAL_S)
    mlflow.start_run(run_id=run_id, log_system_metrics=True)
    status = "FAILED"
    try:
        yield TrackedRun(store, run_id)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except Exception as error:
        mlflow.log_text(traceback.format_exc(), "traceback.txt")
        reason = str(error) or type(error).__name__
        mlflow.set_tag("landslide.failure", " ".join(reason.split())[:REASON_LENGTH])
        raise
    finally:
        mlflow.end_run(status)


class TrackedRun:
    """What is written to a run; ``docs/architecture.md`` has the names."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store = store
        self.run_id = run_id

    def log_params(self, params: Mapping[str, str]) -> None:
        """Flat params, each once."""
        self.store.client.log_batch(self.run_id, params=[Param(key, value[:6000]) for key, value in params.items()])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Tags; a value that is None is left out."""
        there = [RunTag(key, str(value)) for key, value in tags.items() if value is not None]
        self.store.client.log_batch(self.run_id, tags=there)

    def log_metrics(self, values: Mapping[str, float], step: int = 0, timestamp_ms: int | None = None) -> None:
        """Numbers at one step; an undefined one (NaN) is not logged, for a missing number stays missing.

        A point that is there already, of the same step, time and value, stays one: MLflow drops the second.
        """
        at = get_current_time_millis() if timestamp_ms is None else timestamp_ms
        metrics = [Metric(key, value, at, step) for key, value in values.items() if not math.isnan(value)]
        self.store.client.log_batch(self.run_id, metrics=metrics)

    def go_on(self, epoch: int) -> None:
        """Say after which epoch the run was continued, and forget why it had ended."""
        tags = self.store.client.get_run(self.run_id).data.tags
        before = f"{tags['landslide.continued']}, " if "landslide.continued" in tags else ""
        self.set_tags({"landslide.continued": f"{before}{epoch}"})
        if "landslide.failure" in tags:
            self.store.client.delete_tag(self.run_id, "landslide.failure")

    def log_dataset(self, name: str, digest: str, root: str, profile: Mapping[str, Any]) -> None:
        """The dataset, as MLflow's page shows it."""
        dataset = Dataset(
            name=name,
            digest=digest[:36],  # MLflow's limit
            source_type="local",
            source=json.dumps({"uri": root}),
            profile=json.dumps(profile),
        )
        context = [InputTag("mlflow.data.context", "training")]
        self.store.client.log_inputs(self.run_id, [DatasetInput(dataset, context)])

    def log_json(self, value: Any, name: str) -> None:
        """A JSON artifact."""
        self.store.client.log_dict(self.run_id, value, name)

    def log_text(self, text: str, name: str) -> None:
        """A text artifact."""
        self.store.client.log_text(self.run_id, text, name)

    def log_folder(self, folder: Path) -> None:
        """Everything under a folder, with its sub-folders, at the root of the artifacts."""
        self.store.client.log_artifacts(self.run_id, str(folder))
