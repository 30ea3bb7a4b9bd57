"""What a job reports of its trial, to whom, and what it is told."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from landslide.errors import SweepError
from landslide.sweep.storage import attach_storage, open_storage
from landslide.sweep.trial import TrialJudge


def train(judge: TrialJudge, curve: list[float], done: int) -> tuple[str | None, int]:
    """What a job does that goes on behind so many epochs: why it ended, and how many epochs it had then."""
    reason = None
    for epoch in range(1, done + 1):
        reason = judge(epoch, curve[epoch - 1])
    while reason is None and done < len(curve):
        done += 1  # its checkpoint is written
        reason = judge(done, curve[done - 1])
    return reason, done


def test_a_job_that_was_given_another_database_says_what_its_launcher_should_hand_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sweeps.db"
    open_storage(url)
    judge = TrialJudge(url, "lr/unet", 1, "none", max_epochs=3)
    with pytest.raises(SweepError, match=r"does not know the study 'lr/unet'.*LANDSLIDE_SWEEP_STORAGE"):
        judge(1, 0.5)


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
