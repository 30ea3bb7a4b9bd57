"""What leaves the machine, and what is written down."""

from __future__ import annotations

import os
import subprocess
import sys

from landslide.config import flat_params
from tests.conftest import ROOT, compose_run


def test_mlflow_has_no_telemetry_whichever_part_imports_it() -> None:
    # every part of the package is imported after the package itself
    code = "import landslide; from mlflow.telemetry.client import get_telemetry_client as get; assert get() is None"
    # MLflow is silent by itself under pytest and CI, which would hide a mistake
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "CI", "MLFLOW", "DO_NOT"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_password_in_an_address_is_not_logged() -> None:
    cfg = compose_run("tracking.uri='http://me:secret@127.0.0.1:5000'")
    assert flat_params(cfg)["tracking.uri"] == "http://127.0.0.1:5000"
