"""A sweep of real trainings that is killed, with nothing to soften it, and goes on by the same command."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient

from tests.conftest import begin, train

SEARCH = [
    "sweep.name=killed",
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "data.batch_size=4,8",
    "sweep.n_trials=2",
    "sweep.pruner=median",
    "trainer.max_epochs=4",
    "tracking.keep_models=none",
]
MEASURED = ("time/", "memory/", "system/")


def kill_after(folder: Path, sign: str, *arguments: str) -> None:
    """Start the command and kill it once it has printed the sign."""
    running = begin(folder, "-m", *arguments)
    running.wait_for(sign)
    running.send(signal.SIGKILL)
    assert running.end().status == -signal.SIGKILL


def trials(folder: Path) -> list[tuple[Any, ...]]:
    """What the database says of each trial, times left out."""
    study = optuna.load_study(study_name="killed/all", storage=f"sqlite:///{folder}/mlruns/sweeps.db")
    return [
        (trial.number, trial.state.name, trial.params, trial.values, trial.intermediate_values)
        for trial in study.get_trials(deepcopy=False)
    ]


def series(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Every point of every metric of each trial's MLflow run, without what the machine measured of itself."""
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    runs = client.search_runs(["1"], "tags.`landslide.kind` = 'run'")
    assert {run.info.status for run in runs} == {"FINISHED"}
    return {
        run.data.tags["landslide.trial"]: {
            key: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
            if not key.startswith(MEASURED)
        }
        for run in runs
    }


@pytest.mark.timeout(600)
def test_a_killed_sweep_goes_on_by_the_same_command_and_equals_the_undisturbed_one(
    tiny: list[str], tmp_path: Path
) -> None:
    # Given: one sweep that nothing disturbs, and one that is killed in the midst of its first trial
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
    assert train(undisturbed, "-m", *tiny, *SEARCH).status == 0
    kill_after(killed, "epoch 2/4", *tiny, *SEARCH)
    # When
    done = train(killed, "-m", *tiny, *SEARCH)
    # Then: trial by trial, parameter by parameter, epoch by epoch
    assert done.status == 0, done.stdout + done.stderr
    assert "continues after epoch" in done.stdout
    assert "Of sweep 'killed' stands the best setting of each stratum, of 2 in all" in " ".join(done.stdout.split())
    assert trials(killed) == trials(undisturbed)
    assert series(killed) == series(undisturbed)
    numbers = sorted(path.name for path in (killed / "mlruns/sweeps/killed/all").iterdir() if path.is_dir())
    assert numbers == ["0", "1"]
