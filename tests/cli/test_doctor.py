"""``landslide doctor``."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from landslide.cli.main import main
from landslide.training import doctor


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(doctor, "HUB", ("127.0.0.1", 1))  # refuses at once
    return tmp_path


def found(what: str, uri: str | None = None) -> doctor.Finding:
    return next(finding for finding in doctor.examine(uri) if finding.what == what)


def test_it_says_what_is_here_and_makes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    for word in ("processor", "memory", "cores", "precision", "torch", "MLflow store", "GB free", "tile cache", "hub"):
        assert word in output
    assert not list(here.iterdir())


def test_a_store_that_does_not_open_means_that_training_cannot_start(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "no.db").write_text("this is no database at all, whatever its name says" * 100)
    assert main(["doctor", "--uri", f"sqlite:///{here}/no.db"]) == 1
    assert "does not open" in capsys.readouterr().out


def test_a_hub_that_never_answers_is_not_waited_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PATIENCE_S", 0.2)
    monkeypatch.setattr(doctor.socket, "create_connection", lambda *_: time.sleep(5))
    start = time.perf_counter()
    assert doctor._hub().state == "slow"
    assert time.perf_counter() - start < 2


def test_threads_that_the_environment_sets_otherwise_are_slow(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "97")
    finding = found("OMP_NUM_THREADS")
    assert (finding.state, finding.found) == ("slow", "97")


def test_a_folder_that_cannot_be_written_means_that_training_cannot_start(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert found("results").state == "fail"


def test_the_kind_of_a_file_system_is_that_of_the_deepest_mount() -> None:
    assert doctor.file_system(Path("/proc/self")) == "proc" or not os.path.ismount("/proc")
