"""A budget in seconds of training: each stratum has the same, however many trials that are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from landslide.sweep.status import FINISHED, StudyStatus, read_sweeps
from tests.sweep.harness import Sweep, epochs_begun, harass, wait_until

Begin = Callable[..., Sweep]

CHEAP, DEAR = "epoch_s-0.1", "epoch_s-0.3"
TRIAL_S = {CHEAP: 0.4, DEAR: 1.2}
"""Four epochs."""

BUDGET_S = 2.3
TRIALS = {CHEAP: 6, DEAR: 2}
"""That begin before the budget is spent."""

COSTS = ("x=interval(0,1)", "epoch_s=0.1,0.3", "sweep.strata=[epoch_s]", f"sweep.timeout_s={BUDGET_S}")
PATIENT = "sweep.max_attempts=1000"  # these kills are no fault of the trials


def strata(sweep: Sweep) -> dict[str, StudyStatus]:
    """What the sweep says of itself when it is finished."""
    (told,) = read_sweeps(sweep.url)
    assert told.state == FINISHED
    return {study.stratum: study for study in told.studies}


def test_each_stratum_has_the_same_seconds_and_so_another_number_of_trials(begin: Begin) -> None:
    sweep = begin(*COSTS)
    # When
    assert sweep.run() == 0, sweep.output
    # Then
    sweep.require_whole(TRIALS)
    spent = {name: study.seconds for name, study in strata(sweep).items()}
    assert spent == pytest.approx({CHEAP: 2.4, DEAR: 2.4})
    # When: it is typed again
    computed = sweep.epochs()
    assert sweep.run() == 0
    # Then
    assert sweep.epochs() == computed
    assert f"finished: {CHEAP} 6, {DEAR} 2" in " ".join(sweep.output.split())
    # When: each stratum has as much again
    assert sweep.run(f"sweep.timeout_s={2 * BUDGET_S}") == 0
    # Then
    sweep.require_whole({CHEAP: 12, DEAR: 4})


def test_a_sweep_that_is_killed_spends_no_more_than_its_budget(begin: Begin) -> None:
    undisturbed = begin(*COSTS)
    assert undisturbed.run() == 0
    # When
    sweep = begin(*COSTS)
    for epochs in (2, 7, 14, 15, 27):  # of 32
        process = sweep.start()
        wait_until(epochs_begun(sweep, epochs))
        sweep.kill(process)
    assert sweep.run() == 0, sweep.output
    # Then
    sweep.require_whole(TRIALS)
    assert sweep.outcome() == undisturbed.outcome()


@pytest.mark.slow
def test_of_several_slots_each_may_end_the_trial_that_it_has_begun_within_the_budget(begin: Begin) -> None:
    sweep = begin(*COSTS, PATIENT, "sweep.slots=2")
    # When
    harass(sweep, 10, seed=6, victims=["slot", "everything"], longest_s=1.8)
    # Then
    found = strata(sweep)
    sweep.require_whole({name: len(study.trials) for name, study in found.items()}, slots=2)
    for name, study in found.items():
        assert BUDGET_S <= study.seconds < BUDGET_S + 2 * TRIAL_S[name], (name, study.seconds)


def test_what_a_trial_spent_before_it_was_given_up_counts(begin: Begin) -> None:
    sweep = begin(
        "x=interval(0,1)",
        "kind=stubborn,good",
        "sweep.strata=[kind]",
        "epoch_s=0.2",
        "sweep.slots=2",
        "sweep.timeout_s=1.1",
    )
    # When
    assert sweep.run() == 1
    # Then: three attempts of an epoch each, so the budget ends it before five failures would
    stubborn = strata(sweep)["kind-stubborn"]
    assert stubborn.stopped is None
    assert 2 <= stubborn.count("failed") == len(stubborn.trials) < 5
    for trial in stubborn.trials:
        assert 3 * 0.2 <= trial.seconds < 10
