"""The ``landslide`` command and ``train.py``, as a person types them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from landslide.cli.main import main
from landslide.cli.ui import runs_page
from tests.conftest import ROOT, train, train_afresh


def landslide(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("landslide")), *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ)
    )


def test_help_names_every_command_and_how_to_train(tmp_path: Path) -> None:
    done = landslide(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("compare", "ui", "data", "train.py -m arch=unet,linknet,pspnet,fpn"):
        assert word in done.stdout


def test_synthesize_writes_a_dataset_and_says_how_to_train_on_it(tmp_path: Path) -> None:
    written = landslide(tmp_path, "data", "synthesize", "my tiles", "--count", "20", "--size", "64")
    assert written.returncode == 0, written.stderr
    assert len(list((tmp_path / "my tiles" / "landslide" / "image").glob("*.png"))) == 20
    (command,) = [line for line in written.stdout.splitlines() if "train.py" in line]
    small = [
        "encoder.name=tu-test_resnet",
        "trainer.max_epochs=1",
        "trainer.threads=1",
        "data.batch_size=8",
        "tracking.keep_models=none",
    ]
    trained = train(tmp_path, *shlex.split(command)[2:], *small, f"data.cache_dir={tmp_path / 'cache'}")
    assert trained.status == 0, trained.stderr
    assert "16 + 4 tiles of 64 px" in trained.stdout
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()
    assert not (ROOT / "mlflow.db").exists()


def test_synthesize_refuses_a_folder_that_is_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert main(["data", "synthesize", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("command", [["ui"], ["compare", "0123"]])
def test_reading_where_nothing_was_trained_makes_no_database(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(command) == 2
    assert "Train first" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_page_opens_on_the_experiment_of_the_newest_run(tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert runs_page(client) == ""
    for name in ("first", "second", "without runs"):
        experiment = client.create_experiment(name)
        if name != "without runs":
            newest = client.create_run(experiment).info.experiment_id
    assert runs_page(client) == f"#/experiments/{newest}/runs?workflowType=machine_learning"


def test_the_help_of_train_says_what_can_be_chosen(tmp_path: Path) -> None:
    done = train_afresh(tmp_path, "--help")
    assert done.returncode == 0
    archs = (
        "arch: deeplabv3, deeplabv3plus, dpt, fpn, linknet, manet, pan, pspnet, segformer, unet, unetplusplus, upernet"
    )
    for line in (archs, "data: bijie, folder, landslide4sense, synthetic", "experiment: bijie_cpu, paper"):
        assert line in done.stdout


def test_cfg_job_shows_the_run_without_starting_it(tmp_path: Path) -> None:
    done = train_afresh(tmp_path, "--cfg", "job", "experiment=paper")
    assert done.returncode == 0
    assert "max_epochs: 100" in done.stdout
    assert not list(tmp_path.iterdir())
