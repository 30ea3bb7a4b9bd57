"""``landslide rerun`` on a run that was really trained."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from landslide.cli.main import main
from landslide.training.run import run
from tests.conftest import compose_run, standing_in


@pytest.fixture(scope="module")
def stored(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with one finished run, and its id."""
    with standing_in(tmp_path_factory.mktemp("stored")) as folder:
        result = run(compose_run(*tiny, "trainer.max_epochs=1", "tracking.keep_models=none"), folder / "out")
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        mlflow.set_tracking_uri(None)
        yield folder, result.run_id


def client(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")


def test_a_run_that_is_run_again_gives_the_same_numbers_and_says_so(
    stored: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: a run whose test part was looked at since
    folder, run_id = stored
    client(folder).log_metric(run_id, "test/f1", 0.5, step=1)
    # When
    assert main(["rerun", run_id[:8]]) == 0
    # Then
    output = capsys.readouterr().out
    assert "Everything is as it was recorded." in output
    assert "every epoch, bit for bit" in output
    (again,) = client(folder).search_runs(["1"], f"tags.`landslide.rerun_of` = '{run_id}'")
    first = client(folder).get_run(run_id).data
    assert again.info.status == "FINISHED"
    assert again.data.metrics["best/f1"] == first.metrics["best/f1"]
    assert {**again.data.params, "tracking.uri": None} == {**first.params, "tracking.uri": None}


def test_check_says_what_differs_and_makes_no_run(stored: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, run_id = stored
    before = len(client(folder).search_runs(["1"]))
    assert main(["rerun", "--check", run_id]) == 0
    assert main(["rerun", "--check", run_id, "optimizer.lr=5e-4", "data.split.seed=3"]) == 1
    output = capsys.readouterr().out
    for words in (("optimizer.lr", "0.002", "0.0005"), ("data.split.seed", "0", "3"), ("split digest",)):
        assert any(all(word in line for word in words) for line in output.splitlines()), words
    assert len(client(folder).search_runs(["1"])) == before


def test_other_data_is_said_loudly(
    stored: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "data.generate={count: 24, non_landslide: 0, size_px: 64, seed: 9}"
    assert main(["rerun", "--check", stored[1], f"data.root={tmp_path / 'other'}", other]) == 1
    assert "The data is not the data that the run was trained on." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-run"], "there is no such run"),
        (["--check", "{run_id}", "optimizer"], "write key=value"),
        (["--check", "{run_id}", "trainer.max_epoch=3"], "max_epoch"),
        (["--check", "{run_id}", "data.root=nowhere", "data.generate=null"], "data.root=nowhere"),
    ],
)
def test_what_cannot_be_run_again_is_told_in_a_sentence(
    stored: tuple[Path, str], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["rerun", *(word.format(run_id=stored[1]) for word in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_a_name_that_several_runs_have_is_told_with_their_ids(
    stored: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run_id = stored
    extra = client(folder).create_run("1", run_name="unet-tu-test_resnet")
    try:
        assert main(["rerun", "unet-tu-test_resnet"]) == 2
        assert run_id in capsys.readouterr().err
    finally:
        client(folder).delete_run(extra.info.run_id)
