"""What a job reports of its trial, to whom, and what it is told."""

from __future__ import annotations

import functools
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from landslide.errors import SweepError
from landslide.sweep.storage import attach_storage, open_storage
from landslide.sweep.trial import TrialJudge

CURVES = [[0.1 * start + 0.1 * epoch for epoch in range(1, 6)] for start in (3, 4, 2, 5, 6, 3, 1)]
"""Of trials one after the other, each epoch's objective."""

WRITES = ("set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr")


class Killed(BaseException):
    """What ends a job at once, without a word to anybody."""


def kill_once_after_each_write(patch: pytest.MonkeyPatch) -> set[Any]:
    """A job dies as soon as anything of its trial is written for the first time; returns what was."""
    written: set[Any] = set()

    def deadly(write: Any) -> Any:
        @functools.wraps(write)
        def die(self: RDBStorage, trial_id: int, *given: Any, **named: Any) -> None:
            write(self, trial_id, *given, **named)
            what = trial_id, write.__name__, str(given), str(named)
            if what not in written:
                written.add(what)
                raise Killed

        return die

    for name in WRITES:
        patch.setattr(RDBStorage, name, deadly(getattr(RDBStorage, name)))
    return written


def train(judge: TrialJudge, curve: list[float], done: int) -> tuple[str | None, int]:
    """What a job does that goes on behind so many epochs: why it ended, and how many epochs it had then."""
    reason = None
    for epoch in range(1, done + 1):
        reason = judge(epoch, curve[epoch - 1])
    while reason is None and done < len(curve):
        done += 1  # its checkpoint is written
        try:
            reason = judge(done, curve[done - 1])
        except Killed:
            return "killed", done
    return reason, done


def search(url: str, pruner: str) -> list[Any]:
    """Trials of these curves by one slot, in which each that is killed goes on; what they came to."""
    open_storage(url)
    study = optuna.create_study(study_name="lr/unet", storage=attach_storage(url), direction="maximize")
    reasons = []
    for curve in CURVES:
        trial_id = study.ask()._trial_id
        reason, done = "killed", 0
        while reason == "killed":
            with suppress(Killed):
                reason, done = train(TrialJudge(url, "lr/unet", trial_id, pruner, len(curve)), curve, done)
        study.tell(len(reasons), *((max(curve),) if reason is None else (None, TrialState.PRUNED)))
        reasons.append(reason)
    return [
        (trial.state.name, reason, trial.intermediate_values, trial.system_attrs)
        for trial, reason in zip(study.trials, reasons, strict=True)
    ]


def test_a_job_that_was_given_another_database_says_what_its_launcher_should_hand_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sweeps.db"
    open_storage(url)
    judge = TrialJudge(url, "lr/unet", 1, "none", max_epochs=3)
    with pytest.raises(SweepError, match=r"does not know the study 'lr/unet'.*LANDSLIDE_SWEEP_STORAGE"):
        judge(1, 0.5)


@pytest.mark.parametrize("pruner", ["median", "successive_halving", "hyperband"])
def test_a_job_that_is_killed_after_any_write_and_asks_again_is_told_the_same(
    pruner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    undisturbed = search(f"sqlite:///{tmp_path}/undisturbed.db", pruner)
    assert {state for state, *_ in undisturbed} == {"COMPLETE", "PRUNED"}
    # When
    with monkeypatch.context() as patch:
        written = kill_once_after_each_write(patch)
        killed = search(f"sqlite:///{tmp_path}/killed.db", pruner)
    # Then
    assert killed == undisturbed
    names = {name for _, name, *_ in written}
    assert names == ({"set_trial_intermediate_value"} if pruner == "median" else set(WRITES)), "a write for nothing"


@pytest.mark.parametrize("pruner", ["successive_halving", "hyperband"])
def test_the_last_epoch_is_reported_and_not_judged(pruner: str, tmp_path: Path) -> None:
    """Its rung would compare last values, and a trial whose best epoch is the best of all would drop out."""
    # Given: rungs after epochs 1 and 4, or 1 and 3; trials that rise, and one that has fallen at its last epoch
    url = f"sqlite:///{tmp_path}/sweeps.db"
    open_storage(url)
    study = optuna.create_study(study_name="lr/unet", storage=attach_storage(url), direction="maximize")
    epochs = 4 if pruner == "successive_halving" else 3
    rising = [0.5 + 0.01 * epoch for epoch in range(epochs)]
    # When
    told = []
    for curve in [rising] * 12 + [[0.9] * (epochs - 1) + [0.1]]:
        trial = study.ask()
        told.append(train(TrialJudge(url, "lr/unet", trial._trial_id, pruner, epochs), curve, 0))
        study.tell(trial, max(curve))
    # Then
    assert told[-1] == (None, epochs)
    assert study.trials[-1].intermediate_values[epochs] == 0.1
