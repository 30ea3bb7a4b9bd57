"""A real MLflow server, killed in mid-training: the stored run equals that of an undisturbed one."""

from __future__ import annotations

import os
import runpy
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mlflow.cli
import mlflow.server
import pytest
from mlflow import MlflowClient

from landslide.cli.main import main
from landslide.tracking import run as tracked
from landslide.tracking.spool import has_unsent
from tests.cli.typed import start_fork_server
from tests.conftest import begin, train


def wait_in_the_end(seconds: float) -> None:
    """Let a run wait so long for its server once it has trained."""
    tracked.END_S = seconds


class Server:
    """``mlflow server`` on loopback, on one database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        places = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--artifacts-destination"]
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", *places, f"{self.folder}/artifacts"]
        self.process = start_fork_server().Process(target=_serve, args=(words,))
        self.process.start()
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def _serve(words: list[str]) -> None:
    """``mlflow server`` with its web server in this process, which has imported what takes seconds."""
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    mlflow.server._exec_cmd = _be  # instead of starting it as a process
    mlflow.cli.cli(["server", *words])


def _be(command: list[str], *, extra_env: dict[str, str], **_: object) -> None:
    _, minus_m, module, *sys.argv[1:] = command
    assert minus_m == "-m"
    os.environ.update(extra_env)
    runpy.run_module(module, run_name="__main__")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"))
    yield started
    started.kill()


def stored(client: MlflowClient, run_id: str) -> dict[str, Any]:
    """All of a run but its times and the machine's load."""
    run = client.get_run(run_id)
    keys = [key for key in run.data.metrics if key.split("/")[0] not in ("time", "memory", "system")]
    folders = ["", "validation", "confusion_matrix"]
    same = ("landslide.data", "landslide.split", "landslide.device", "landslide.precision", "landslide.kind")
    return {
        "status": run.info.status,
        "series": {key: [(p.step, p.value) for p in client.get_metric_history(run_id, key)] for key in sorted(keys)},
        "points of time": len(client.get_metric_history(run_id, "time/epoch_s")),
        "params": {key: value for key, value in run.data.params.items() if not key.startswith("tracking")},
        "tags": {key: value for key, value in run.data.tags.items() if key.startswith(same)},
        "artifacts": [item.path for folder in folders for item in client.list_artifacts(run_id, folder)],
        "models": [client.get_logged_model(m.model_id).status.value for m in run.outputs.model_outputs],
        "datasets": [given.dataset.digest for given in run.inputs.dataset_inputs],
    }


@pytest.fixture(scope="module")
def recipe(tiny: list[str], server: Server) -> list[str]:
    return [*tiny, "trainer.max_epochs=4", "hydra.run.dir=out", f"tracking.uri={server.uri}"]


@pytest.fixture(scope="module")
def undisturbed(recipe: list[str], server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = train(tmp_path_factory.mktemp("undisturbed"), *recipe)
    assert done.status == 0, done.stderr
    client = MlflowClient(server.uri)
    (run,) = client.search_runs(["1"])
    return stored(client, run.info.run_id)


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_that_is_killed_in_mid_training_has_everything_in_the_end(
    comes_back: bool, recipe: list[str], undisturbed: dict[str, Any], server: Server, tmp_path: Path
) -> None:
    # Given: a run whose server is killed after its first epoch
    running = begin(tmp_path, *recipe, before=partial(wait_in_the_end, 60 if comes_back else 0.5))
    running.wait_for(" 1/4")
    server.kill()
    if comes_back:  # When: it starts again at the end of the run,
        running.wait_for("waiting up to")
        server.start()
    status, *streams = running.end()
    output = "".join(streams)
    assert "epoch 4/4" in output
    assert "Traceback" not in output
    # Then
    folder = tmp_path / "out"
    if not comes_back:  # or after it
        assert status == 1, output
        assert f"landslide sync {folder}" in output
        assert has_unsent(folder)
        server.start()
        assert main(["sync", str(folder)]) == 0
        assert main(["sync", str(folder)]) == 0
    else:
        assert status == 0, output
    assert not has_unsent(folder)
    client = MlflowClient(server.uri)
    run, *_ = client.search_runs(["1"], order_by=["attributes.start_time DESC"])
    assert stored(client, run.info.run_id) == undisturbed
