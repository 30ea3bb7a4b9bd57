"""One group after the other held out, by the real command."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import train


def test_each_fold_is_a_run_of_its_own_and_the_report_has_the_optimism(tiny: list[str], tmp_path: Path) -> None:
    # When
    done = train(tmp_path, "-m", *tiny, "data.split.hold_out=null,hill,gorge", "sweep.name=folds")
    # Then
    assert done.status == 0, done.stdout + done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    runs = client.search_runs(["1"])
    (parent,) = [run for run in runs if run.data.tags["landslide.kind"] == "multirun"]
    folds = {run.data.params["data.split.hold_out"]: run for run in runs if run is not parent}
    assert sorted(folds) == ["None", "gorge", "hill"]
    assert len({run.data.tags["landslide.split_digest"] for run in folds.values()}) == 3
    last = {group.replace("None", ""): run.data.metrics["last/f1"] for group, run in folds.items()}
    with (tmp_path / "mlruns/sweeps/folds/comparison/groups.csv").open() as file:
        written = {row["held_out"]: float(row["last_epoch"]) for row in csv.DictReader(file)}
    assert written == pytest.approx(last)
    optimism = last[""] - (last["hill"] + last["gorge"]) / 2
    assert f"{optimism:+.4f}" in done.stdout
    assert f"{optimism:+.4f}" in parent.data.tags["mlflow.note.content"]
    assert "landslide.best_run" not in parent.data.tags  # the easiest group is no better model
    assert "groups.csv" in {item.path for item in client.list_artifacts(parent.info.run_id)}


def test_a_group_that_the_data_have_not_is_told_before_anything_is_trained(tiny: list[str], tmp_path: Path) -> None:
    done = train(tmp_path, "-m", *tiny, "data.split.hold_out=hill,georg")
    assert done.status == 2
    assert "data.split.hold_out=georg: there is no such group. Known: gorge" in done.stderr
    assert "Did you mean 'gorge'?" in done.stderr
    assert not list((tmp_path / "mlruns").glob("sweeps/*/*"))
