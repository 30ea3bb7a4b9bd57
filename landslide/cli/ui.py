"""``landslide ui``: the MLflow page, on this machine only and on the right database."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from landslide.cli.tracking_options import add_uri
from landslide.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("ui", help="open the MLflow page", description=__doc__)
    parser.add_argument("--port", type=_port, default=5000, help="of 127.0.0.1 (default: 5000)")
    add_uri(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from landslide.config import without_credentials
    from landslide.tracking.store import open_existing

    store = open_existing(arguments.uri)
    shown = without_credentials(store.uri)
    if store.uri.startswith(("http://", "https://")):
        print(f"The MLflow page is already served: {shown}")
        return 0
    _require_free(arguments.port)
    print(f"http://127.0.0.1:{arguments.port}/{runs_page(store.client)}  ({shown})   Ctrl-C ends it", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    command += ["--host", "127.0.0.1", "--port", str(arguments.port), "--workers", "1"]
    # the job runner starts a dozen processes for features that are not used here
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return subprocess.run(command, env=environment, check=False).returncode


def runs_page(client: MlflowClient) -> str:
    """Runs of the experiment that the newest one is in; by itself MLflow's page opens on traces and prompts."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    newest = client.search_runs(experiments, max_results=1, order_by=["start_time DESC"])
    return f"#/experiments/{newest[0].info.experiment_id}/runs?workflowType=machine_learning" if newest else ""


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to 65535")
    return int(text)


def _require_free(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was closed a moment ago is free
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise TrackingError(
                f"--port {port}: cannot be used ({error.strerror}). Is the page open already, at "
                f"http://127.0.0.1:{port}? Else choose another: --port {port % 65535 + 1}"
            ) from error
