"""Searches by samplers that other tests leave out, from their first trial to their report."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from tests.sweep.harness import Sweep

Begin = Callable[..., Sweep]

PLANE = ("x=interval(0,1)", "y=interval(0,1)", "sweep.name=plane")


@pytest.mark.parametrize("sampler", ["gp", "nsga2"])
def test_a_search_that_goes_on_asks_for_what_one_in_one_go_does(begin: Begin, sampler: str) -> None:
    asked = (*PLANE, "epoch_s=0", f"sweep.sampler={sampler}")
    whole = begin(*asked)
    assert whole.run("sweep.n_trials=12") == 0, whole.output  # GP draws its first ten at random
    # When
    sweep = begin(*asked)
    assert sweep.run("sweep.n_trials=11") == 0, sweep.output
    assert sweep.run("sweep.n_trials=12") == 0, sweep.output
    # Then
    sweep.require_whole(12)
    assert sweep.outcome() == whole.outcome()
    assert {trial.user_attrs["origin"] for trial in sweep.studies()["all"]} == {"default", sampler}


def test_a_search_for_a_trade_off_has_both_numbers_and_a_front(begin: Begin) -> None:
    sweep = begin(*PLANE, "sweep.against=[time/fit_s]", "epoch_s=0.01", "trainer.max_epochs=3")
    # When
    assert sweep.run("sweep.n_trials=4") == 0, sweep.output
    assert sweep.run("sweep.n_trials=6") == 0, sweep.output
    # Then
    trials = sweep.studies()["all"]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    _, children = sweep.runs()
    scores = {run.data.tags["landslide.trial"]: run for run in children}
    for trial in trials:
        score, seconds = trial.values
        points = sweep.client.get_metric_history(scores[str(trial.number)].info.run_id, "val/score")
        assert score == max(point.value for point in points)
        assert seconds == pytest.approx(0.03)
    assert {run.info.status for run in children} == {"FINISHED"}
    assert "nsga2" in sweep.output
    assert list(sweep.base().rglob("sweep.html"))
    assert "Traceback" not in sweep.output
