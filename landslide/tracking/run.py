"""One MLflow run, from its first param to its status."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.time import get_current_time_millis

from landslide.config import without_credentials
from landslide.errors import TrackingError
from landslide.tracking.model import MODEL, log_model
from landslide.tracking.provenance import source_tags
from landslide.tracking.spool import UNSENT, Sender, Spool, kept_lines, send_all
from landslide.tracking.store import SENDING, Store, answering, experiment_id, is_refusal, patience

SYSTEM_METRICS_INTERVAL_S = 5
REASON_LENGTH = 400

END_S = 30
"""How long the end of a run waits for a server that is away."""


def create_run(store: Store, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    """A new run in state RUNNING; returns its id.

    Raises:
        TrackingError: where the store does not answer.
    """
    with answering(store):
        run = store.client.create_run(experiment_id(store, experiment), tags={**source_tags(), **tags}, run_name=name)
    run_id: str = run.info.run_id
    return run_id


def create_child(
    store: Store, parent_id: str, experiment: str, name: str, trial: int, kind: str, tags: Mapping[str, str]
) -> str:
    """A new run under a multirun; returns its id."""
    return create_run(store, experiment, name, {**_child_tags(parent_id, kind, trial), **tags})


def _child_tags(parent_id: str, kind: str, trial: int) -> dict[str, str]:
    return {"mlflow.parentRunId": parent_id, "landslide.kind": kind, "landslide.trial": str(trial)}


def find_child(
    store: Store, parent_id: str, experiment: str, kind: str, trial: int, tags: Mapping[str, str]
) -> str | None:
    """The run that :func:`create_child` made of the same trial, None where there is none."""
    return _find(store, experiment, {**_child_tags(parent_id, kind, trial), **tags})


def find_parent(store: Store, experiment: str, sweep: str) -> str | None:
    """The run of a sweep of this name, None where there is none."""
    return _find(store, experiment, {"landslide.kind": "multirun", "landslide.sweep": sweep})


def _find(store: Store, experiment: str, tags: Mapping[str, str]) -> str | None:
    asked = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found = store.client.search_runs([experiment_id(store, experiment)], asked, max_results=1)
    return str(found[0].info.run_id) if found else None


def failure_tag(reason: str) -> dict[str, str]:
    """The tag that says in one line why a run failed."""
    return {"landslide.failure": " ".join(reason.split())[:REASON_LENGTH]}


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
def open_run(store: Store, run_id: str, folder: Path, tell: Callable[[str], None]) -> Iterator[TrackedRun]:
    """Log to a run with system metrics, and end it by what happened: FINISHED, KILLED by Ctrl-C, or FAILED.

    A failure leaves its reason as a tag and its traceback as an artifact. Nothing within waits for the server; the end
    waits for one that answers. What it did not take stays in ``folder``, for ``landslide sync``.

    Args:
        store: of the run.
        run_id: of the run.
        folder: of the run; nobody else writes to it.
        tell: says a sentence to the user, from any thread.
    """
    mlflow.set_tracking_uri(store.uri)  # for what callers log or load by MLflow's own functions
    spool = Spool(folder)
    run = TrackedRun(spool)
    run.set_status("RUNNING")
    sender = Sender(spool, partial(send, store, run_id, spool), is_refusal, tell)
    machine = SystemMetrics(store, run_id, run)
    with patience(SENDING):
        sender.start()
        machine.start()
        status = "FAILED"
        try:
            yield run
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        except Exception as error:
            run.set_tags(failure_tag(str(error) or type(error).__name__))
            with suppress(OSError):  # a full disk has no room for it; the reason is told all the same
                run.log_text(traceback.format_exc(), "traceback.txt")
            raise
        finally:
            machine.finish()
            run.set_status(status)
            _finish(sender, folder, tell)


def _finish(sender: Sender, folder: Path, tell: Callable[[str], None]) -> None:
    if sender.failure is not None:
        tell(f"The tracking store has not taken everything yet; waiting up to {END_S} s for it.")
    if not sender.finish(END_S):
        if sender.spool.unwritten:
            tell(
                f"{folder}: the disk took no more, and {sender.spool.unwritten} lines of what the run logged are lost."
            )
        tell(
            f"The run is whole in {folder}, but not in MLflow. When the store answers again, send the rest: "
            f"{sync_command(folder)}"
        )


def sync_command(folder: Path) -> str:
    """What to type to send what a run, or the runs of a multirun, left unsent."""
    return f"landslide sync {shlex.quote(str(folder))}"


class SystemMetrics(threading.Thread):
    """Samples processor, memory, disk, network and GPU, as MLflow does, and logs them through the run.

    MLflow's own thread asks the server before every sample, and ends for good when it does not answer.
    """

    def __init__(self, store: Store, run_id: str, run: TrackedRun) -> None:
        super().__init__(name="system-metrics", daemon=True)
        self._monitor = partial(SystemMetricsMonitor, run_id, resume_logging=True, tracking_uri=store.uri)
        self._run = run
        self._ended = threading.Event()

    def run(self) -> None:
        """Log a sample every few seconds until :meth:`finish`."""
        monitor = self._monitor()  # asks the server for the last step of a run that goes on
        step = monitor._logging_step
        while not self._ended.wait(SYSTEM_METRICS_INTERVAL_S):
            monitor.collect_metrics()
            self._run.log_metrics({f"system/{key}": value for key, value in monitor.aggregate_metrics().items()}, step)
            for part in monitor.monitors:
                part.clear_metrics()
            step += 1

    def finish(self) -> None:
        """Stop; one that still waits for the server is left behind, and logs nothing more."""
        self._ended.set()
        self.join(1)


class TrackedRun:
    """What is written to a run; ``docs/architecture.md`` has the names."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def set_status(self, status: str) -> None:
        """RUNNING, or how it ended, now."""
        self._spool.put("status", status=status, timestamp_ms=get_current_time_millis())

    def log_params(self, params: Mapping[str, str]) -> None:
        """Flat params, each once."""
        self._spool.put("params", params={key: value[:6000] for key, value in params.items()})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Tags; a value that is None is left out."""
        self._spool.put("tags", tags={key: str(value) for key, value in tags.items() if value is not None})

    def log_metrics(self, values: Mapping[str, float], step: int = 0, timestamp_ms: int | None = None) -> None:
        """Numbers at one step; an undefined one (NaN) is not logged, for a missing number stays missing.

        A point that is there already, of the same step, time and value, stays one: MLflow drops the second.
        """
        at = get_current_time_millis() if timestamp_ms is None else timestamp_ms
        there = {key: float(value) for key, value in values.items() if not math.isnan(value)}
        self._spool.put("metrics", values=there, step=step, timestamp_ms=at)

    def log_constants(self, values: Mapping[str, float]) -> None:
        """Numbers that are known before the first epoch: points of the run's begin, the same if it begins again."""
        self._spool.put("constants", values=dict(values))

    def go_on(self, epoch: int) -> None:
        """Say after which epoch the run was continued, and forget why it had ended."""
        self._spool.put("continued", epoch=epoch)

    def log_dataset(self, name: str, digest: str, root: str, profile: Mapping[str, Any]) -> None:
        """The dataset, as MLflow's page shows it."""
        self._spool.put("dataset", name=name, digest=digest, root=root, profile=dict(profile))

    def log_json(self, value: Any, name: str) -> None:
        """A JSON artifact."""
        self.log_text(json.dumps(value, indent=2), name)

    def log_text(self, text: str, name: str) -> None:
        """A text artifact."""
        self._spool.put_artifact(name, lambda path: path.write_text(text, encoding="utf-8"))

    def log_folder(self, folder: Path) -> None:
        """Everything under a folder, with its sub-folders, at the root of the artifacts."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self._spool.put_artifact(path.relative_to(folder).as_posix(), partial(shutil.copyfile, path))

    def log_model(self) -> None:
        """The exported model in the run's folder, which is removed when it is logged."""
        self._spool.put("model")


def send(store: Store, run_id: str, spool: Spool, line: Mapping[str, Any]) -> None:
    """Send what one line of a spool says.

    Args:
        store: of the run.
        run_id: of the run.
        spool: of the run.
        line: as :class:`TrackedRun` wrote it.

    Raises:
        MlflowException: where the server did not take it.
        TrackingError: for a line that :class:`TrackedRun` does not write.
    """
    client = store.client
    match line:
        case {"what": "status", "status": "RUNNING"}:
            client.update_run(run_id, "RUNNING")
        case {"what": "status", "status": status, "timestamp_ms": int(at)}:
            client.set_terminated(run_id, status, at)
        case {"what": "params", "params": dict(params)}:
            client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
        case {"what": "tags", "tags": dict(tags)}:
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        case {"what": "metrics", "values": dict(values), "step": int(step), "timestamp_ms": int(at)}:
            client.log_batch(run_id, metrics=[Metric(key, value, at, step) for key, value in values.items()])
        case {"what": "constants", "values": dict(values)}:
            at = client.get_run(run_id).info.start_time
            client.log_batch(run_id, metrics=[Metric(key, value, at, 0) for key, value in values.items()])
        case {"what": "continued", "epoch": int(epoch)}:
            _send_continued(client, run_id, epoch)
        case {"what": "dataset", "name": str(name), "digest": str(digest), "root": root, "profile": profile}:
            client.log_inputs(run_id, [_dataset(name, digest, root, profile)])
        case {"what": "artifact", "name": str(name)}:
            parent = Path(name).parent.as_posix()
            client.log_artifact(run_id, str(spool.artifact(name)), None if parent == "." else parent)
        case {"what": "model"}:
            _send_model(store, run_id, spool.run_folder / MODEL)
        case _:
            raise TrackingError(f"{spool.run_folder / UNSENT}: holds a line that no run writes: {str(line)[:200]}")


def _send_continued(client: MlflowClient, run_id: str, epoch: int) -> None:
    tags = client.get_run(run_id).data.tags
    before = tags["landslide.continued"].split(", ") if "landslide.continued" in tags else []
    if before[-1:] != [str(epoch)]:  # else this line was sent before
        client.set_tag(run_id, "landslide.continued", ", ".join([*before, str(epoch)]))
    if "landslide.failure" in tags:
        client.delete_tag(run_id, "landslide.failure")


def _dataset(name: str, digest: str, root: str, profile: Mapping[str, Any]) -> DatasetInput:
    dataset = Dataset(
        name=name,
        digest=digest[:36],  # MLflow's limit
        source_type="local",
        source=json.dumps({"uri": root}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _send_model(store: Store, run_id: str, folder: Path) -> None:
    if folder.is_dir():  # else this line was sent before
        log_model(store, run_id, folder)
        shutil.rmtree(folder)


def killed_parts(folder: Path) -> dict[str, float]:
    """How long each part of a run that was killed has lasted, from its begin to the last thing that it logged.

    The machine is sampled while a run trains, so of a part at most the last :data:`SYSTEM_METRICS_INTERVAL_S` seconds
    are missing, and in no case are any too many: nobody knows when it was killed.

    Returns:
        Seconds, by the part's begin in ms; nothing of a run that ended by itself, whose lines are sent and deleted.
    """
    parts: dict[str, float] = {}
    begun: int | None = None
    for line in kept_lines(folder):
        at = line.get("timestamp_ms")
        if line.get("status") == "RUNNING":
            begun = at
        if isinstance(at, int) and begun is not None:  # a point that is logged again has the time at which it was new
            parts[str(begun)] = max(parts.get(str(begun), 0.0), (at - begun) / 1000)
    return parts


def send_rest(store: Store, run_id: str, folder: Path) -> dict[str, int]:
    """Send what a run left unsent, and delete it.

    Args:
        store: of the run.
        run_id: of the run.
        folder: of the run, which nobody trains in.

    Returns:
        How many lines of each kind were sent.

    Raises:
        TrackingError: where the server does not answer or refuses; what was sent before stays marked.
    """
    spool = Spool(folder)
    try:
        with answering(store):
            return send_all(spool, partial(send, store, run_id, spool))
    except MlflowException as error:
        raise TrackingError(f"{folder}: the tracking store refuses it ({error.message}).") from error
