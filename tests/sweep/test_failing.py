"""Trials that fail, sweeps that are interrupted, and databases that are away: nothing of it ends what is sound."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from landslide.sweep.status import FINISHED, STOPPED_EARLY, read_sweeps
from landslide.sweep.study import StratumStudy
from tests.sweep.conftest import Postgres
from tests.sweep.harness import EPOCHS, Sweep, epochs_begun, wait_for, wait_until

Begin = Callable[..., Sweep]

SEARCH = ("x=interval(0,1)", "sweep.n_trials=6", "sweep.name=search")
HALF_A_MINUTE = ("trainer.max_epochs=60", "epoch_s=0.5")

MINUTE_S = 65
"""Longer than a sweep waits for SQLite in one go."""


def attempts(sweep: Sweep) -> list[int]:
    return [trial.user_attrs["launch"]["attempts"] for trial in sweep.studies()["all"]]


def processes(sweep: Sweep) -> set[str]:
    """That have trained."""
    return {line.split()[-1] for line in (sweep.folder / EPOCHS).read_text().splitlines()}


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """By another program, against whoever would write."""
    other = sqlite3.connect(database, isolation_level=None, timeout=30)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


# ------------------------------------------------------------------------------------------------------- interruptions
@pytest.mark.parametrize(("slots", "sent"), [(1, signal.SIGTERM), (2, signal.SIGINT)], ids=["SIGTERM", "Ctrl-C"])
def test_an_interrupted_sweep_is_paused_and_the_same_command_goes_on(begin: Begin, sent: int, slots: int) -> None:
    sweep = begin(*SEARCH, "epoch_s=0.15", f"sweep.slots={slots}", "sweep.max_attempts=1")
    for count, more in ((2, ("sweep.fresh=true",)), (6, ())):
        process = sweep.start(*more)
        wait_until(epochs_begun(sweep, count))
        os.kill(process.pid, sent)
        assert wait_for(process) == 128 + sent
        parent, children = sweep.runs()
        assert parent.info.status == "KILLED"
        assert parent.data.tags["landslide.sweep_state"] == "paused"
        assert "RUNNING" not in {run.info.status for run in children}
    # When
    assert sweep.run() == 0
    # Then
    sweep.kills = 2  # an interruption costs no more than a kill
    sweep.require_whole(6, slots=slots)
    assert "Traceback" not in sweep.output
    assert sweep.runs()[0].data.tags["landslide.sweep_state"] == "finished"
    for told in ("The same command without sweep.fresh goes on", "The same command goes on"):
        assert f"Interrupted. {told}; comparing what has finished." in sweep.output


def test_a_trial_that_was_paused_before_its_first_checkpoint_is_named_by_its_number_as_it_goes_on(begin: Begin) -> None:
    sweep = begin("x=0.1,0.2,0.3", "trainer.max_epochs=1", "epoch_s=4", "sweep.slots=2")
    process = sweep.start()
    wait_until(epochs_begun(sweep, 2))
    os.kill(process.pid, signal.SIGINT)
    assert wait_for(process) == 130
    before = len(sweep.output)
    # When
    assert sweep.run() == 0, sweep.output
    # Then
    begun = [line.split("  ")[0] for line in sweep.output[before:].splitlines() if line.endswith("  begins")]
    assert begun == ["all 0", "all 1", "3/3"]


# ------------------------------------------------------------------------------------------------------ failing trials
def test_a_crash_is_a_failure_with_its_traceback_and_what_the_parameters_did_is_pruned(begin: Begin) -> None:
    sweep = begin("kind=crash,good,nan,memory")
    # When
    assert sweep.run() == 1
    # Then
    sweep.require_whole(4)
    crash, good, nan, memory = sweep.studies()["all"]
    assert [trial.state for trial in (crash, good)] == [TrialState.FAIL, TrialState.COMPLETE]
    assert crash.user_attrs["outcome"]["reason"] == "a mistake in epoch 2"
    assert nan.state == memory.state == TrialState.PRUNED
    assert nan.user_attrs["outcome"]["reason"].startswith("not a number: train/loss is nan")
    assert memory.user_attrs["outcome"]["reason"] == "out of memory: tried to allocate 2 GiB"
    traceback = sweep.client.list_artifacts(crash.user_attrs["launch"]["run_id"])
    assert [file.path for file in traceback] == ["traceback.txt"]
    assert "Traceback" not in sweep.output


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    """The folder of a config group of two options."""
    (tmp_path / "size").mkdir()
    for name, x in {"small": 0.1, "large": 0.3}.items():
        (tmp_path / "size" / f"{name}.yaml").write_text(f"# @package _global_\nx: {x}\n")
    return tmp_path / "size"


@pytest.mark.parametrize("slots", [1, 2])
def test_a_trial_that_no_longer_composes_is_not_failed_and_is_trained_once_that_is_mended(
    begin: Begin, sizes: Path, slots: int
) -> None:
    # Given: a slip in a config file while the first trials are trained
    words = ("+size=small,large", "y=0.1,0.2", "epoch_s=0.3", f"sweep.slots={slots}", "sweep.name=slip")
    sweep = begin(f"hydra.searchpath=[file://{sizes.parent}]", *words)
    before = (sizes / "large.yaml").read_text()
    process = sweep.start()
    wait_until(epochs_begun(sweep, slots))
    (sizes / "large.yaml").write_text("x: [")
    # When
    assert wait_for(process) == 2
    # Then
    parent, children = sweep.runs()
    assert (parent.info.status, parent.data.tags["landslide.sweep_state"]) == ("KILLED", "paused")
    states = [trial.state.name for trial in sweep.studies()["all"]]
    assert states in (["COMPLETE"] * 2 + ["RUNNING"] * refused for refused in range(1, slots + 1))
    assert sorted(run.info.status for run in children) == ["FINISHED"] * 2 + ["KILLED"] * (len(states) - 2)
    told = " ".join(sweep.output.split())
    assert "A trial could not be started: " in told
    assert "large.yaml" in told
    assert "+size=large" in told
    assert "Traceback" not in told
    # When
    (sizes / "large.yaml").write_text(before)
    assert sweep.run() == 0, sweep.output
    # Then
    sweep.require_whole(4, slots=slots)
    assert attempts(sweep) == [1] * 4


def test_a_trial_that_dies_again_and_again_is_given_up_and_the_others_go_on(begin: Begin) -> None:
    sweep = begin("kind=stubborn,good,also", "sweep.slots=2")
    # When
    assert sweep.run() == 1
    # Then
    sweep.require_whole(3)
    stubborn, *others = sweep.studies()["all"]
    assert stubborn.state == TrialState.PRUNED
    assert "died 3 times without a new checkpoint" in stubborn.user_attrs["outcome"]["reason"]
    assert stubborn.user_attrs["launch"]["attempts"] == 3
    assert [trial.state for trial in others] == [TrialState.COMPLETE] * 2


def test_in_a_single_slot_a_trial_that_takes_the_sweep_with_it_is_given_up_after_as_many_starts(begin: Begin) -> None:
    sweep = begin("kind=stubborn,good", "sweep.max_attempts=2", "epoch_s=0.3")
    # When
    statuses = [sweep.run() for _ in range(3)]
    # Then
    assert statuses == [-signal.SIGKILL, -signal.SIGKILL, 1]
    sweep.require_whole(2)
    outcome = sweep.studies()["all"][0].user_attrs["outcome"]
    assert "died 2 times" in outcome["reason"]
    assert 2 * 0.3 <= outcome["seconds"] < 10, "both attempts, and not the time between the starts"


def test_a_trial_that_comes_further_at_every_attempt_is_not_given_up(begin: Begin) -> None:
    sweep = begin("x=0.1", "kind=further,good", "sweep.slots=2", "trainer.max_epochs=6", "sweep.max_attempts=2")
    # When
    assert sweep.run() == 0
    # Then
    sweep.kills = 4
    sweep.require_whole(2)


def test_a_row_of_failures_stops_its_stratum_alone(begin: Begin) -> None:
    sweep = begin("x=interval(0,1)", "kind=crash,good", "sweep.strata=[kind]", "sweep.n_trials=7")
    # When
    assert sweep.run() == 1
    # Then
    found = {stratum: [trial.state for trial in trials] for stratum, trials in sweep.studies().items()}
    assert found == {"kind-crash": [TrialState.FAIL] * 5, "kind-good": [TrialState.COMPLETE] * 7}
    reason = "its last 5 trials failed, the last one: a mistake in epoch 2"
    assert reason in sweep.output
    (told,) = read_sweeps(sweep.url)
    assert told.state == STOPPED_EARLY
    assert [study.stopped for study in told.studies] == [reason, None]
    # When: its cause may be mended by now
    assert sweep.run() == 1
    # Then
    assert len(sweep.studies()["kind-crash"]) == 6


def test_the_sampler_does_not_go_back_to_a_choice_that_crashes() -> None:
    def suggest(trial: optuna.Trial) -> dict[str, Any]:
        return {
            "x": trial.suggest_float("x", 0, 1),
            "kind": trial.suggest_categorical("kind", ["good", "also", "crash"]),
        }

    study = StratumStudy(
        optuna.storages.InMemoryStorage(),
        "search",
        directions=["maximize"],
        planned=[],
        sampler="tpe",
        suggest=suggest,
        pruner=optuna.pruners.NopPruner(),
        seed=0,
        facts={},
        patiently=lambda write: write(),
    )
    # When
    for _ in range(60):
        trial = study.ask()
        if trial.params["kind"] == "crash":
            study.tell(trial, TrialState.FAIL, None, {}, {})
        else:
            study.tell(trial, TrialState.COMPLETE, [trial.params["x"]], {}, {})
    # Then
    late = [record.params["kind"] for record in study.records[20:]]
    assert late.count("crash") <= 8  # told FAIL as it is, TPE goes there in 35 to 38 of them
    assert sum(record.state == TrialState.FAIL for record in study.records) > 0


# -------------------------------------------------------------------------------------------------------- going on
def test_more_trials_go_on_and_a_finished_sweep_trains_nothing(begin: Begin) -> None:
    sweep = begin("x=interval(0,1)", "sweep.name=more")
    assert sweep.run("sweep.n_trials=3") == 0
    assert sweep.run("sweep.n_trials=5", "sweep.pruner=median") == 0
    sweep.require_whole(5)
    computed = sweep.epochs()
    # When
    assert sweep.run("sweep.n_trials=5") == 0
    # Then
    assert sweep.epochs() == computed
    assert "Everything of 'more' is finished: all 5. To train it anew: sweep.fresh=true" in sweep.output


def test_a_later_end_leaves_no_best_setting_of_an_earlier_one(begin: Begin) -> None:
    # Given: of a stratum that is not asked for any more, beside a file that is not ours
    sweep = begin("x=0.1,0.2", "sweep.name=ends")
    assert sweep.run() == 0
    place = sweep.base() / "comparison"
    for name in ("best_unet.yaml", "mine.yaml"):
        (place / name).touch()
    # When
    assert sweep.run() == 0, sweep.output
    # Then
    assert [path.name for path in place.glob("*.yaml")] == ["mine.yaml"]
    assert (place / "sweep.html").is_file()


def test_fewer_trials_than_have_finished_leave_nothing_that_could_go_on(begin: Begin) -> None:
    sweep = begin("x=interval(0,1)", "sweep.name=fewer")
    assert sweep.run("sweep.n_trials=3") == 0
    # When
    assert sweep.run("sweep.n_trials=2") == 0
    # Then
    assert "2 runs, searched by tpe; 3 are finished; in the MLflow page" in sweep.output


@pytest.mark.parametrize(
    ("begun", "then", "added"),
    [
        (("x=1,2", "y=3,4", "sweep.n_trials=2"), ("y=3,4", "x=1,2"), [(2, 3), (2, 4)]),
        (("x=1,2",), ("x=1,2", "y=3,4", "sweep.on_change=continue"), [(1, 3), (1, 4), (2, 3), (2, 4)]),
    ],
    ids=["names in another order", "one name more"],
)
def test_a_grid_goes_on_with_the_points_that_no_trial_has(
    begin: Begin, begun: tuple[str, ...], then: tuple[str, ...], added: list[tuple[int, int]]
) -> None:
    sweep = begin("sweep.name=points", "epoch_s=0")
    assert sweep.run(*begun) == 0, sweep.output
    # When
    assert sweep.run(*then) == 0, sweep.output
    # Then
    trials = sweep.studies()["all"]
    assert [(trial.params["x"], trial.params["y"]) for trial in trials[2:]] == added
    assert f"{len(trials)} runs; 2 are finished" in sweep.output
    parent, _ = sweep.runs()
    assert parent.data.tags["landslide.budget.all"] == f"{len(trials)} settings"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("kind=good,also", "sweep.strata=[kind]", "x=0.3,0.5"), "Against the default setting, trained once: kind-"),
        (("x=0.1,0.3",), "No finished trial has the default setting, so what tuning gained is not known."),
        (("kind=good,also", "sweep.strata=[kind]"), None),
        (("seed=0,1",), None),
    ],
    ids=["default", "no default", "strata alone", "seeds alone"],
)
def test_a_grid_ends_with_what_tuning_gained_where_something_was_tuned(
    begin: Begin, typed: tuple[str, ...], told: str | None
) -> None:
    sweep = begin(*typed)
    # When
    assert sweep.run() == 0, sweep.output
    # Then
    parent, _ = sweep.runs()
    for shown in (" ".join(sweep.output.split()), parent.data.tags["mlflow.note.content"]):
        assert ("after tuning" in shown) == (told is not None)
        assert told is None or told in shown


def test_a_worker_that_comes_after_the_end_leaves_the_sweep_finished(begin: Begin, postgres: Postgres) -> None:
    sweep = begin("x=interval(0,1)", "sweep.n_trials=2", "sweep.name=late", storage=postgres.database())
    assert sweep.run() == 0
    # When
    assert sweep.run("sweep.role=worker") == 0
    # Then
    parent, _ = sweep.runs()
    assert (parent.info.status, parent.data.tags["landslide.sweep_state"]) == ("FINISHED", "finished")


def test_a_worker_with_another_command_trains_nothing_of_its_controllers(begin: Begin, postgres: Postgres) -> None:
    # Given: a trial that its controller left
    sweep = begin("x=interval(0,1)", "sweep.n_trials=1", "sweep.name=own", "epoch_s=0.3", storage=postgres.database())
    controller = sweep.start()
    wait_until(epochs_begun(sweep, 1))
    sweep.kill(controller)
    came_to = sweep.epochs()
    # When
    status = sweep.run("sweep.role=worker", "y=0.1", "trainer.max_epochs=9", "sweep.on_change=fresh")
    # Then
    assert status == 2, sweep.output
    for told in ("y: was 0.5, is 0.1", "trainer.max_epochs: was 4, is 9", "needs the command of its controller"):
        assert told in sweep.output
    assert "Traceback" not in sweep.output
    assert sweep.epochs() == came_to
    assert sweep.run("sweep.role=worker") == 0
    (trial,) = sweep.studies()["all"]
    assert trial.state.is_finished()


def test_more_repeats_go_on(begin: Begin) -> None:
    sweep = begin("x=interval(0,1)", "sweep.n_trials=2", "sweep.name=again")
    assert sweep.run("sweep.repeats=1") == 0
    # When
    assert sweep.run("sweep.repeats=3") == 0, sweep.output
    # Then: the one that there was stays, the others have the next seeds
    assert "Everything of" not in sweep.output
    (repeats,) = [trials for stratum, trials in sweep.studies().items() if "/repeats-of-" in stratum]
    assert [(trial.params["seed"], trial.state.name) for trial in repeats] == [
        (1, "COMPLETE"),
        (2, "COMPLETE"),
        (3, "COMPLETE"),
    ]
    # When, then
    assert sweep.run("sweep.repeats=3") == 0, sweep.output
    assert "Everything of 'again' is finished" in sweep.output


@pytest.mark.parametrize(
    ("begun", "then", "trained"),
    [("sweep.repeats=2", "seed=0,1,2", [1, 2, 0]), ("seed=0,1", "seed=0,2,1", [0, 1, 2])],
)
def test_repeats_go_on_with_the_seeds_that_none_has(begin: Begin, begun: str, then: str, trained: list[int]) -> None:
    sweep = begin("x=interval(0,1)", "sweep.n_trials=1", "sweep.name=again", "epoch_s=0")
    assert sweep.run(begun) == 0, sweep.output
    # When
    assert sweep.run(then) == 0, sweep.output
    # Then
    assert [trial.params["seed"] for trial in sweep.studies()["all/repeats-of-0"]] == trained


def test_of_a_grid_with_seeds_the_best_setting_by_its_mean_is_repeated_with_seeds_that_none_has(begin: Begin) -> None:
    # Given: both have the same best trial, the second has lost its worst seed
    sweep = begin("kind=good,unlucky", "seed=0,1,2", "sweep.repeats=2", "sweep.name=seeds", "trainer.max_epochs=2")
    # When
    assert sweep.run() == 1, sweep.output
    # Then
    assert set(sweep.studies()) == {"all", "all/repeats-of-5"}
    _, children = sweep.runs()
    repeats = [run.data.params for run in children if run.data.tags["landslide.kind"] == "repeat"]
    assert sorted((run["kind"], run["seed"]) for run in repeats) == [("unlucky", "3"), ("unlucky", "4")]
    (found,) = read_sweeps(sweep.url)
    assert found.state == "finished"


def test_a_repeat_says_of_which_trial_it_is(begin: Begin) -> None:
    sweep = begin("x=interval(0,1)", "sweep.n_trials=2", "sweep.repeats=2", "sweep.name=told")
    # When
    assert sweep.run() == 0, sweep.output
    # Then
    (place,) = [stratum for stratum in sweep.studies() if "/repeats-of-" in stratum]
    _, children = sweep.runs()
    said = {run.data.tags["landslide.kind"]: run.data.tags.get("landslide.repeat_of") for run in children}
    assert said == {"run": None, "repeat": place.rpartition("-")[2]}


def test_a_setting_that_stands_alone_is_repeated_though_its_first_seed_failed(begin: Begin) -> None:
    sweep = begin("kind=unlucky", "sweep.repeats=2", "sweep.name=alone")
    # When
    status = sweep.run()
    # Then: the first one is told as failed, the others have trained
    assert status == 1, sweep.output
    trained = sweep.studies()
    assert [trial.state.name for trial in trained["all"]] == ["PRUNED"]
    repeats = trained["all/repeats-of-0"]
    assert [(trial.params["seed"], trial.state.name) for trial in repeats] == [(1, "COMPLETE"), (2, "COMPLETE")]
    (found,) = read_sweeps(sweep.url)
    assert found.state == FINISHED
    computed = sweep.epochs()
    assert sweep.run() == 1
    assert sweep.epochs() == computed


def test_how_a_sweep_without_a_name_is_run_makes_it_no_other_one(begin: Begin) -> None:
    sweep = begin("x=0.1,0.2", "y=0.3", "kind=fine")
    assert sweep.run() == 0
    # When
    sweep.typed = ("tracking.keep_models=finalists", "kind=fine", "y=0.3", "x=0.1,0.2")
    assert sweep.run() == 0
    # Then
    assert "is finished: all 2" in sweep.output
    assert max(sweep.epochs().values()) == 1
    sweep.require_whole(2)


def test_a_result_that_is_damaged_pauses_the_sweep_with_the_cure(begin: Begin) -> None:
    sweep = begin("x=interval(0,1)", "sweep.n_trials=2", "epoch_s=0.3")
    process = sweep.start()
    wait_until(epochs_begun(sweep, 1))
    sweep.kill(process)
    result = sweep.base() / "all" / "0" / "result.json"
    result.write_text("{")
    # When
    assert sweep.run() == 2
    # Then
    parent, _ = sweep.runs()
    assert (parent.info.status, parent.data.tags["landslide.sweep_state"]) == ("KILLED", "paused")
    assert "is damaged" in sweep.output
    assert "Traceback" not in sweep.output
    result.unlink()
    assert sweep.run() == 0
    sweep.require_whole(2)


def test_another_space_under_the_same_name_is_refused_unless_it_is_said_what_to_do(begin: Begin) -> None:
    sweep = begin("sweep.name=one", "sweep.n_trials=2")
    assert sweep.run("x=interval(0,1)") == 0
    before = sweep.outcome()
    # When
    assert sweep.run("x=interval(0,0.5)") == 2
    assert sweep.run("x=interval(0,1)", "y=0.1") == 2
    # Then
    assert "space of x: was interval(0.0, 1.0), is interval(0.0, 0.5)" in sweep.output.replace("\n", " ")
    assert "y: was 0.5, is 0.1" in sweep.output
    assert sweep.outcome() == before
    # When
    assert sweep.run("x=interval(0,1)", "y=0.1", "sweep.on_change=continue", "sweep.n_trials=3") == 0
    # Then
    assert len(sweep.studies()["all"]) == 3
    # When: what the trials are judged by is another matter
    assert sweep.run("x=interval(0,1)", "objective.direction=minimize", "sweep.on_change=continue") == 2
    assert sweep.run("x=interval(0,1)", "sweep.against=[model/parameters]", "sweep.on_change=continue") == 2
    # Then
    assert "objective.direction: was maximize, is minimize" in sweep.output
    assert "sweep.against: was [], is ['model/parameters']" in sweep.output
    assert sweep.output.count("cannot be ranked with the trials that there are") == 2
    # When
    assert sweep.run("x=interval(0,0.5)", "sweep.on_change=fresh") == 0
    assert sweep.run("x=interval(0,0.5)", "sweep.fresh=true") == 0
    # Then
    folders = sorted(path.name for path in (sweep.folder / "mlruns" / "sweeps").iterdir())
    assert folders == ["one", "one-2", "one-3"]
    assert "Traceback" not in sweep.output


def test_another_sampler_or_objective_is_another_sweep(begin: Begin) -> None:
    sweep = begin("x=0.1,0.2", "sweep.name=one")
    assert sweep.run("sweep.sampler=random", "sweep.n_trials=1") == 0
    before = sweep.outcome()
    # When
    assert sweep.run() == 2
    assert sweep.run("sweep.n_trials=2", "sweep.against=[time/fit_s]") == 2
    # Then
    assert "sweep.sampler: was random, is grid" in sweep.output
    assert "sweep.against: was [], is ['time/fit_s']" in sweep.output
    assert sweep.outcome() == before
    assert "Traceback" not in sweep.output


def test_a_second_controller_refuses_and_names_the_first(begin: Begin, postgres: Postgres) -> None:
    for storage in (None, postgres.database()):
        sweep = begin(*SEARCH, "epoch_s=0.5", storage=storage)
        first = sweep.start()
        wait_until(epochs_begun(sweep, 1))
        # When
        assert sweep.run() == 2
        # Then
        assert f"is under way, by process {first.pid} on " in sweep.output.replace("\n", " ")
        first.kill()
        first.join()


# ----------------------------------------------------------------------------------------------------------- databases
def test_a_server_that_is_away_for_seconds_ends_no_training(begin: Begin, postgres: Postgres) -> None:
    sweep = begin(*SEARCH, "epoch_s=0.5", "sweep.slots=2", storage=postgres.database())
    controller = sweep.start()
    wait_until(epochs_begun(sweep, 1))
    worker = sweep.start("sweep.role=worker", "sweep.slots=1")
    wait_until(lambda: len(processes(sweep)) == 3)
    # When
    postgres.stop()
    time.sleep(4)
    postgres.start()
    # Then
    assert [wait_for(process) for process in (controller, worker)] == [0, 0], sweep.output
    sweep.require_whole(6)
    assert max(sweep.epochs().values()) == 1
    assert attempts(sweep) == [1] * 6


@pytest.mark.parametrize(("database", "for_s"), [("sweeps.db", 3), ("mlflow.db", 7)])
def test_a_locked_sqlite_database_ends_no_training(begin: Begin, database: str, for_s: float) -> None:
    sweep = begin(*SEARCH, "epoch_s=0.1", "sweep.slots=2")
    controller = sweep.start()
    wait_until(epochs_begun(sweep, 2))
    # When
    with locked(sweep.folder / "mlruns" / database):
        time.sleep(for_s)
    # Then
    assert wait_for(controller) == 0, sweep.output
    sweep.require_whole(6)
    assert "Traceback" not in sweep.output


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("leave", "come_back"), [("stop", "start"), ("freeze", "thaw")])
def test_a_server_that_is_away_for_a_whole_minute_ends_no_training(
    begin: Begin, postgres: Postgres, leave: str, come_back: str
) -> None:
    asked = ("x=interval(0,1)", "sweep.n_trials=5", "sweep.name=search", "sweep.slots=2")
    sweep = begin(*asked, *HALF_A_MINUTE, storage=postgres.database())
    controller = sweep.start()
    wait_until(epochs_begun(sweep, 1))
    worker = sweep.start("sweep.role=worker", "sweep.slots=1")
    wait_until(lambda: len(processes(sweep)) == 3)
    # When
    getattr(postgres, leave)()
    time.sleep(MINUTE_S)
    came_to = sweep.epochs()
    getattr(postgres, come_back)()
    # Then
    assert [wait_for(process, 300) for process in (controller, worker)] == [0, 0], sweep.output
    sweep.require_whole(5)
    assert max(sweep.epochs().values()) == 1
    assert attempts(sweep) == [1] * 5
    assert "Traceback" not in sweep.output
    if leave == "stop":  # one that is frozen holds up whoever has asked it before
        assert len(came_to) == 3 * 60, "what trained came to its end meanwhile"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sqlite_database_that_is_locked_for_longer_than_anybody_waits_ends_no_training(begin: Begin) -> None:
    sweep = begin(*SEARCH, "epoch_s=0.1", "sweep.slots=2")
    controller = sweep.start()
    wait_until(epochs_begun(sweep, 2))
    # When
    with locked(sweep.folder / "mlruns" / "sweeps.db"):
        time.sleep(MINUTE_S)
    # Then
    assert wait_for(controller) == 0, sweep.output
    sweep.require_whole(6)
    assert max(sweep.epochs().values()) == 1
    assert attempts(sweep) == [1] * 6
    assert "Traceback" not in sweep.output


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("sqlite:///{folder}/text.db", "file is not a database"),
        ("sqlite:///{folder}/other.db", "this database belongs to another program"),
        ("sqlite:////proc/nowhere/sweeps.db", "cannot be"),
        ("postgresql://me:secret@127.0.0.1:9/nowhere", "refused"),
        ("nonsense", "is no address of a database"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_in_a_sentence(begin: Begin, storage: str, told: str) -> None:
    sweep = begin(*SEARCH)
    (sweep.folder / "text.db").write_text("this is no database at all, " * 100)
    with sqlite3.connect(sweep.folder / "other.db") as other:
        other.execute("CREATE TABLE birds (name TEXT)")
    # When
    status = sweep.run(f"sweep.storage='{storage.format(folder=sweep.folder)}'")
    # Then
    assert status == 2, sweep.output
    assert told in sweep.output.replace("\n", " ")
    assert "Traceback" not in sweep.output
    assert "secret" not in sweep.output
    assert not list((sweep.folder / "mlruns" / "sweeps").glob("*"))


def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(begin: Begin) -> None:
    sweep = begin(*SEARCH)
    # When
    status = sweep.run("hydra.sweep.dir=/proc/out")
    # Then
    assert status == 2, sweep.output
    assert "/proc/out: No such file or directory. Choose another place" in sweep.output
    assert "Traceback" not in sweep.output
