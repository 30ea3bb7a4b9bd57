"""A training that is not worth going on with ends, and says why."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import mlflow
import optuna
import pytest
from mlflow import MlflowClient

from landslide.sweep.storage import attach_storage, open_storage
from landslide.sweep.trial import judge_of
from landslide.training.history import History, Point
from landslide.training.pruning import Pruning
from landslide.training.run import run
from tests.conftest import compose_run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_training_that_the_pruner_ends_says_after_which_epoch_and_by_which_rule(
    tiny: list[str], tmp_path: Path
) -> None:
    # Given: five trials with an F1 that no training reaches in its first epoch
    url = f"sqlite:///{tmp_path}/sweeps.db"
    open_storage(url)
    study = optuna.create_study(study_name="lr/all", storage=attach_storage(url), direction="maximize")
    for _ in range(5):
        trial = study.ask()
        trial.report(1.0, 1)
        study.tell(trial, 1.0)
    told = ["sweep.pruner=median", f"sweep.storage={url}", f"sweep.trial='lr/all:{study.ask()._trial_id}'"]
    cfg = compose_run(*tiny, *told, "trainer.max_epochs=3")
    # When
    try:
        result = run(cfg, tmp_path / "out", judge=judge_of(cfg))
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow leaves the store there
        mlflow.set_tracking_uri(None)
    # Then
    assert result.pruned == "epoch 1, median"
    assert [epoch for epoch, _ in result.series] == [1]
    stored = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db").get_run(result.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["landslide.pruned"] == "epoch 1, median"
    assert study.trials[-1].intermediate_values == dict(result.series)


@pytest.mark.parametrize("again", [False, True], ids=["as it stops", "as it goes on after a kill"])
def test_a_training_that_stopped_by_itself_is_not_pruned_as_well(again: bool) -> None:
    """It would lose its best epoch, and nothing is left to be saved."""
    history = History(cast("Any", None), log_epoch=lambda *_: None)
    history.points = [Point(1, 0, {"val/f1": 0.9}), Point(2, 0, {"val/f1": 0.1})]
    asked = []

    def judge(epoch: int, value: float) -> str:
        asked.append((epoch, value))
        return f"epoch {epoch}, median"

    pruning, trainer = Pruning(judge, history, "val/f1"), cast("Any", SimpleNamespace(should_stop=True))
    # When
    (pruning.on_fit_start if again else pruning.on_train_epoch_end)(trainer, cast("Any", None))
    # Then
    assert asked == [(1, 0.9), (2, 0.1)]  # the study learns of it all the same
    assert pruning.reason is None
    assert trainer.should_stop
