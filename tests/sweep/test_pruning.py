"""Pruners end a bad trial, and everybody is told after which epoch and by which rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from tests.sweep.harness import Sweep

Begin = Callable[..., Sweep]

WORST_AT_LAST = {"maximize": "x=0.3,0.31,0.32,0.33,0.34,0.9", "minimize": "x=0.9,0.89,0.88,0.87,0.86,0.3"}
"""Most pruners let five trials come to their end before they judge one; by any epoch, the nearer to 0.3 the higher."""

FALLS_AFTER_SIX = ("seed=3", "trainer.max_epochs=9")
"""Patience ends only what does not get better, here for two epochs."""


@pytest.mark.parametrize(
    ("pruner", "epoch", "direction"),
    [
        ("percentile", 1, "minimize"),
        ("hyperband", 1, "maximize"),
        ("patient", 8, "maximize"),
    ],
)
def test_a_bad_trial_is_ended(begin: Begin, pruner: str, epoch: int, direction: str) -> None:
    sweep = begin(
        WORST_AT_LAST[direction],
        "y=0.7",
        *FALLS_AFTER_SIX,
        "epoch_s=0",
        "sweep.name=judged",  # from which Hyperband draws what it asks of whom
        f"sweep.pruner={pruner}",
        f"objective.direction={direction}",
    )
    # When
    assert sweep.run() == 0, sweep.output
    # Then
    sweep.require_whole(6)
    best, *_, worst = sweep.studies()["all"]
    assert (best.state, len(best.intermediate_values)) == (TrialState.COMPLETE, 9)
    assert (worst.state, len(worst.intermediate_values)) == (TrialState.PRUNED, epoch)
    runs = {run.data.tags["landslide.trial"]: run for run in sweep.runs()[1]}
    assert "landslide.pruned" not in runs["0"].data.tags
    assert runs["5"].data.tags["landslide.pruned"] == f"epoch {epoch}, {pruner}"
    assert runs["5"].info.status == "FINISHED"
