"""What leaves the machine, and what is written down."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        ("http://me:secret@127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("postgresql:///runs?user=me&password=secret", "postgresql:///runs?user=me&"),
        ("postgresql:///runs?sslpassword=secret&user=me", "postgresql:///runs?user=me"),
    ],
)
def test_a_password_in_an_address_is_not_logged(given: str, logged: str) -> None:
    cfg = compose_run(f"tracking.uri='{given}'")
    assert flat_params(cfg)["tracking.uri"] == logged
