"""A sweep of real trainings that is killed, with nothing to soften it, and goes on by the same command."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.cli.typed import Running
from tests.conftest import begin, train
from tests.sweep.harness import fork_server_place, fork_slots, slots_in, wait_until

SEARCH = [
    "sweep.name=killed",
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "data.batch_size=4,8",
    "sweep.n_trials=2",
    "sweep.pruner=median",
    "trainer.max_epochs=4",
    "tracking.keep_models=none",
]
RATES = [1e-2, 5e-3, 2e-3, 1e-3, 1e-8, 2e-8, 3e-8, 4e-8]
"""The later ones learn nothing, so that there is something to prune."""

PRUNED = [
    "sweep.name=killed",
    f"optimizer.lr={','.join(map(str, RATES))}",
    "objective.metric=val/loss",
    "objective.direction=minimize",
    "sweep.pruner=hyperband",
    "sweep.slots=2",
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


def kill_everything(folder: Path, running: Running) -> None:
    """The controller and the processes of its slots, at once."""
    slots = slots_in(folder)
    running.send(signal.SIGKILL)
    for slot in slots:
        with suppress(ProcessLookupError):  # it ends with its controller
            os.kill(slot, signal.SIGKILL)
    assert running.end().status == -signal.SIGKILL


def trials(folder: Path) -> list[tuple[Any, ...]]:
    """What the database says of each trial, times left out."""
    study = optuna.load_study(study_name="killed/all", storage=f"sqlite:///{folder}/mlruns/sweeps.db")
    return [
        (trial.number, trial.state.name, trial.params, trial.values, trial.intermediate_values)
        for trial in study.get_trials(deepcopy=False)
    ]


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")


def runs(folder: Path) -> list[Run]:
    """MLflow's, of trials."""
    return list(client_of(folder).search_runs(["1"], "tags.`landslide.kind` = 'run'"))


def series(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Every point of every metric of each trial's MLflow run, without what the machine measured of itself."""
    client, found = client_of(folder), runs(folder)
    assert {run.info.status for run in found} == {"FINISHED"}
    return {
        run.data.tags["landslide.trial"]: {
            key: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
            if not key.startswith(MEASURED)
        }
        for run in found
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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("fork_server")
def test_two_slots_with_a_pruner_come_to_all_trials_though_everything_is_killed(
    tiny: list[str], tmp_path: Path
) -> None:
    begin_slots = partial(fork_slots, *fork_server_place())
    place = tmp_path / "mlruns" / "sweeps" / "killed" / "all"
    # Given: kills in the midst of trials
    for number in (1, 3, 5):
        running = begin(tmp_path, "-m", *tiny, *PRUNED, before=begin_slots)
        checkpoint, result = place / str(number) / "checkpoints" / "last.ckpt", place / str(number) / "result.json"
        wait_until(lambda seen=(checkpoint, result): any(file.is_file() for file in seen), 240)
        kill_everything(tmp_path, running)
    # When
    done = begin(tmp_path, "-m", *tiny, *PRUNED, before=begin_slots).end()
    # Then: all of the grid, each once, in Optuna as in folders as in MLflow
    assert done.status == 0, done.stdout + done.stderr
    found, points = trials(tmp_path), series(tmp_path)
    assert [(number, params["optimizer.lr"]) for number, _, params, _, _ in found] == list(enumerate(RATES))
    states = [state for _, state, _, _, _ in found]
    assert set(states) == {"COMPLETE", "PRUNED"}
    assert sorted(path.name for path in place.iterdir() if path.name.isdecimal()) == sorted(points)
    assert len(runs(tmp_path)) == len(points) == len(RATES)
    for number, state, _, _, reported in found:
        assert points[str(number)]["val/loss"] == sorted(reported.items())
        assert len(reported) == 4 or state == "PRUNED"
        for key, logged in points[str(number)].items():
            assert len({step for step, _ in logged}) == len(logged), f"{key} of trial {number} has a point twice"
    assert any("continues after epoch" in output.read_text() for output in place.glob("*/output.txt"))
