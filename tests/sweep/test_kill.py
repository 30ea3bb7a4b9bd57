"""A sweep that is killed at any moment ends as if it had not been."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from tests.sweep.conftest import Postgres
from tests.sweep.harness import Sweep, harass, wait_for

Begin = Callable[..., Sweep]

SEARCH = ("x=interval(0,1)", "y=interval(0,1)", "sweep.pruner=median", "trainer.max_epochs=5")
GRID = ("x=0.1,0.3,0.5,0.9", "y=0.2,0.7,0.9")
PATIENT = "sweep.max_attempts=1000"  # these kills are no fault of the trials


@pytest.mark.parametrize(
    ("typed", "trials", "kills"),
    [((*SEARCH, "sweep.sampler=tpe", "sweep.n_trials=12"), 12, 18), (GRID, 12, 10)],
    ids=["tpe and median pruner", "grid"],
)
def test_one_slot_that_is_killed_comes_to_what_it_would_have_come_to(
    begin: Begin, typed: tuple[str, ...], trials: int, kills: int
) -> None:
    undisturbed = begin(*typed)
    assert undisturbed.run() == 0
    undisturbed.require_whole(trials)
    # When
    sweep = begin(*typed, PATIENT, "epoch_s=0.1")
    harass(sweep, kills, seed=1, victims=["controller"], longest_s=1.6)
    # Then
    assert sweep.kills >= kills
    sweep.require_whole(trials)
    assert sweep.outcome() == undisturbed.outcome()


def test_a_trial_that_is_killed_as_soon_as_the_pruner_ends_it_is_told_so_again(begin: Begin) -> None:
    """This one remembers rungs: asked again, it would begin with the next one and let the trial go on."""
    typed = ("x=0.5,0.3,0.9,0.35", "y=0.7", "sweep.pruner=successive_halving", "sweep.name=told", "epoch_s=0")
    undisturbed = begin(*typed)
    assert undisturbed.run() == 0
    # When
    sweep = begin(*typed, "kind=told")
    while (status := sweep.run()) == -signal.SIGKILL:
        sweep.kills += 1
    # Then
    assert status == 0, sweep.output
    assert sweep.kills == sum(trial.state == TrialState.PRUNED for trial in sweep.studies()["all"]) == 2
    sweep.require_whole(4)
    assert sweep.outcome() == undisturbed.outcome()


def test_what_is_killed_while_it_makes_its_databases_goes_on(begin: Begin) -> None:
    sweep = begin(*GRID, PATIENT, from_nothing=True)
    # When
    harass(sweep, 8, seed=4, victims=["controller"], longest_s=2)
    # Then
    assert sweep.kills >= 8
    sweep.require_whole(12)


def test_slots_and_controller_may_die_alone_or_together(begin: Begin) -> None:
    sweep = begin(
        *SEARCH, "kind=good,also", "sweep.strata=[kind]", "sweep.n_trials=12", "sweep.slots=3", PATIENT, "epoch_s=0.1"
    )
    # When
    harass(sweep, 40, seed=2, victims=["slot", "slot", "everything"], longest_s=1.8)
    # Then
    assert sweep.kills >= 40
    sweep.require_whole(12, slots=3)
    assert sweep.killed["slot"] > 10  # who dies when depends on the machine's speed, not on the seed alone
    assert sweep.killed["controller"] > 4


def test_controller_and_workers_on_postgresql_may_die_in_any_order(begin: Begin, postgres: Postgres) -> None:
    sweep = begin(
        *SEARCH,
        "sweep.n_trials=24",
        PATIENT,
        "epoch_s=0.1",
        "sweep.name=shared",
        "sweep.sampler=random",
        storage=postgres.database(),
    )
    choose = random.Random(3)
    roles = {"controller": "sweep.slots=2", "one": "sweep.role=worker", "two": "sweep.role=worker"}
    running = {}
    # When
    while sweep.kills < 28:
        for role, more in roles.items():
            if role not in running or running[role].exitcode is not None:
                running[role] = sweep.start(more)
        victim = choose.choice([*roles, "slot"])
        running["controller"].join(choose.uniform(0, 1.0))
        if victim == "slot":
            sweep.kill_slot(choose)
        elif running[victim].exitcode is None:
            sweep.kill(running[victim])
    for process in running.values():
        wait_for(process)
    # Then
    assert sweep.run() == 0
    sweep.require_whole(24, slots=2)
