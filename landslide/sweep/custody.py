"""Custody of the test part: what may be scored on it, and once.

    subject found -> may it be looked at? -> config, data, model of every run -> the look is counted on the sweep
      -> for each run: counted on it -> predicted -> recorded -> the comparison, on the sweep

Whatever is wrong is found before the look is counted, and it is counted before anything is predicted. A command that
was cut short goes on with the runs that are missing, and counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities import Run
from optuna.storages import BaseStorage
from optuna.study._frozen import FrozenStudy

from landslide.config import without_credentials
from landslide.data.datamodule import TileDataModule
from landslide.errors import CustodyError, SweepError
from landslide.report.custody import CustodyReport, report_test
from landslide.report.labels import ARCHITECTURES
from landslide.sweep.plan import PARENT
from landslide.sweep.space import ALL
from landslide.sweep.storage import open_existing
from landslide.sweep.study import REPEATS, SEARCH, Record, best, best_setting, record_of, setting_of
from landslide.tracking.looks import (
    RESULT,
    SCORED,
    SHOWN,
    SPLIT,
    Look,
    alone,
    count,
    count_of,
    looks_of,
    looks_of_others,
    new_look,
    unfinished_look,
)
from landslide.tracking.run import require_run
from landslide.tracking.store import Store, answering, find_run, search
from landslide.training.testing import Trained, predict, read_trained, record_scores


@dataclass(frozen=True)
class Subject:
    """What is scored."""

    name: str
    counter: str
    """The run on which looks are counted: of the sweep, or of the run alone."""
    strata: dict[str, list[Run]]
    """By label, runs that differ in their seed."""
    notes: list[str]
    other: str | None = None
    """Why it is another setting than the one that its sweep tuned; None where it is not."""

    @property
    def runs(self) -> list[Run]:
        """All of them."""
        return [run for runs in self.strata.values() for run in runs]

    @property
    def run_ids(self) -> list[str]:
        """Of all of them."""
        return [run.info.run_id for run in self.runs]


def find_subject(store: Store, url: str, name: str) -> Subject:
    """The tuned settings of a sweep, or a run alone.

    Args:
        store: of MLflow.
        url: of Optuna's database.
        name: of a sweep or a run, or an id.

    Raises:
        CustodyError: where nothing has finished.
        SweepError: where the sweep has not come to its end, or the database does not know it.
        TrackingError: where there is no such sweep or run.
    """
    with answering(store):
        found = find_run(store, name)
        if found.data.tags.get("landslide.kind") == "multirun":
            return _sweep(store, url, found)
        return _run_alone(store, found)


def _run_alone(store: Store, run: Run) -> Subject:
    run_id, name, tags = run.info.run_id, str(run.info.run_name), run.data.tags
    if run.info.status != "FINISHED":
        raise CustodyError(f"run {run_id} ({name}): is {run.info.status}, and only a finished run is scored.")
    strata, notes = {_label(ALL, [run]): [run]}, [f"One run, {name}."]
    parent = tags.get("mlflow.parentRunId")
    if parent is None:
        return Subject(name, run_id, strata, notes)
    require_run(store, parent, f"run {run_id}", "Looks are counted on it.")
    sweep = tags.get("landslide.sweep", parent)
    other = f"is one run of sweep '{sweep}', whose own test is `landslide test {sweep}`"
    return Subject(name, parent, strata, [f"One run of sweep '{sweep}', {name}."], other)


def _sweep(store: Store, url: str, parent: Run) -> Subject:
    name, parent_id = parent.data.tags["landslide.sweep"], parent.info.run_id
    state = parent.data.tags.get("landslide.sweep_state")
    if parent.info.status == "RUNNING" or state != "finished":
        told = "is not at its end" if parent.info.status == "RUNNING" else "is paused"
        raise SweepError(
            f"sweep '{name}': {told}, so what is best may still change. How it goes on: landslide sweep status {name}"
        )
    strata, notes = {}, []
    for stratum, tuned in _tuned(url, name, parent_id).items():
        for run_id in tuned.run_ids:
            require_run(store, run_id, f"sweep '{name}', {stratum}", "Without it there is nothing to score.")
        runs = [store.client.get_run(run_id) for run_id in tuned.run_ids]
        label = _label(stratum, runs)
        notes.append(f"{label}: {tuned.said}.")
        if runs:
            _require_one_split(f"sweep '{name}', {stratum}", [*_still_there(store, tuned.chosen_by), *runs])
            strata[label] = runs
    if not strata:
        raise CustodyError(f"sweep '{name}': no trial has finished, so there is nothing to score.")
    return Subject(name, parent_id, strata, notes)


def _still_there(store: Store, run_id: str) -> list[Run]:
    return search(store.client, f"attributes.run_id = '{run_id}'")


def _require_one_split(whose: str, runs: Sequence[Run]) -> None:
    """Refuse runs that were divided differently: tiles that test one of them have trained or chosen another."""
    if len({run.data.tags.get(SPLIT) for run in runs}) > 1:
        raise CustodyError(
            f"{whose}: its seeds were trained on different splits, so no tile tests all of them. Train it with one: "
            "data.split.seed=0"
        )


def _label(stratum: str, runs: Sequence[Run]) -> str:
    """What divides the sweep; where nothing does, the architecture."""
    name = runs[0].data.params.get("arch.name", stratum) if stratum == ALL and runs else stratum
    return ARCHITECTURES.get(name, name)


# -------------------------------------------------------------------------------------------------- the tuned setting
NOTHING = "no trial has finished, so it is not scored"


@dataclass(frozen=True)
class _Tuned:
    """The networks of a stratum's best setting."""

    run_ids: Sequence[str]
    said: str
    chosen_by: str = ""
    """Id of the run whose validation chose the setting."""


def _tuned(url: str, name: str, parent_id: str) -> dict[str, _Tuned]:
    """By stratum.

    Raises:
        SweepError: where the database does not know the sweep.
    """
    storage, place = open_existing(url), without_credentials(url)
    studies = [] if storage is None else _studies(storage, name, parent_id)
    if storage is None or not studies:
        raise SweepError(
            f"sweep '{name}': {place} does not know it, and only there stands which trials are best. Stand in the "
            "folder where it was trained, or name the database: --storage URL"
        )
    if studies[0].user_attrs.get("against"):
        raise SweepError(
            f"sweep '{name}': searched for a Pareto front, so it has no best setting. Choose a run of it: "
            "landslide test RUN --again"
        )
    searches = [study for study in studies if study.user_attrs["kind"] == SEARCH]
    return {study.user_attrs["stratum"]: _networks(storage, study, studies) for study in searches}


def _studies(storage: BaseStorage, name: str, parent_id: str) -> list[FrozenStudy]:
    facts = {"sweep": name, PARENT: parent_id}
    return [study for study in storage.get_all_studies() if facts.items() <= study.user_attrs.items()]


def _networks(storage: BaseStorage, search: FrozenStudy, studies: Sequence[FrozenStudy]) -> _Tuned:
    records = _records(storage, search)
    direction = search.directions[0].name.lower()
    setting = best_setting(records, direction)
    seeds = [record for record in records if setting_of(record.params) == setting]
    found, why = best(seeds, direction), "best by validation"
    if found is None and len({setting_of(record.params) for record in records}) == 1:
        found, why = records[0], "the only one"  # it is repeated though its own training failed
    if found is None:
        return _Tuned([], NOTHING)
    (chosen_by,) = _run_ids([found])
    for study in studies:
        facts = {"kind": REPEATS, "stratum": search.user_attrs["stratum"], "of_trial": found.number}
        if facts.items() <= study.user_attrs.items():
            repeats = _records(storage, study)
            complete = _complete(repeats)
            if complete:
                said = f"{why}; its repeats, {len(complete)} of {len(repeats)} finished"
                return _Tuned(_run_ids(complete), f"the setting of trial {found.number}, {said}", chosen_by)
    complete = _complete(seeds)
    if not complete:
        return _Tuned([], NOTHING)
    said = "best by validation; trained once, as it was chosen"
    if len(seeds) > 1:
        said = f"the best mean over seeds by validation; its seeds, {len(complete)} of {len(seeds)} finished"
    return _Tuned(_run_ids(complete), f"the setting of trial {found.number}, {said}", chosen_by)


def _records(storage: BaseStorage, study: FrozenStudy) -> list[Record]:
    return [record_of(trial) for trial in storage.get_all_trials(study._study_id, deepcopy=False)]


def _complete(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if best([record], "maximize") is not None]


def _run_ids(records: Sequence[Record]) -> list[str]:
    return [str(record.launch["run_id"]) for record in records]


# ----------------------------------------------------------------------------------------------------------- the look
def test(
    store: Store, subject: Subject, *, again: bool, command: str, root: str | None, tell: Callable[[str], None]
) -> CustodyReport:
    """Score what has not been scored yet for this look, and compare.

    Args:
        store: of the runs.
        subject: of :func:`find_subject`.
        again: another look is wanted: of another setting, or at tiles that other sweeps or runs have looked at.
        command: for the log.
        root: where the data lies now; None is where it lay.
        tell: says a sentence.

    Raises:
        CustodyError: where the test part was looked at before, or another process is looking.
        UserError: what :func:`~landslide.training.testing.read_trained` raises.
    """
    with alone(store), answering(store):
        counter = store.client.get_run(subject.counter)
        look = unfinished_look(counter, subject.run_ids)
        others, shared = looks_of_others(store, counter, subject.runs)
        if look is None and not again:
            _require_first(subject, counter, others, len(shared))
        opened: dict[str, TileDataModule] = {}
        trained = [read_trained(store, run, root, opened) for run in subject.runs]
        if look is not None:
            tell(f"Goes on with the look of {look.time}, which is counted already.")
        look = look or new_look(command, subject.run_ids)
        looks = count(store, subject.counter, look) + len(others)
        for number, each in enumerate(trained, start=1):
            tell(f"{number} of {len(trained)}: {_score(store, each, look)}")
        notes = [*(each.note for each in trained if each.note), *_told(others, len(shared))]
        return _show(store, subject, look, looks, notes)


def _told(others: Sequence[Look], tiles: int) -> list[str]:
    if not others:
        return []
    were = "was" if len(others) == 1 else "were"
    return [
        f"Of the looks, {len(others)} {were} at networks of other sweeps or runs on {tiles} of these tiles, the last "
        f"one at {others[-1].time} by `{others[-1].command}`."
    ]


def _require_first(subject: Subject, counter: Run, others: Sequence[Look], shared: int) -> None:
    if subject.other is not None:
        raise CustodyError(
            f"run '{subject.name}': {subject.other}. To look at the test part with this one nevertheless, which counts "
            "on the sweep too: --again"
        )
    own = count_of(counter)
    if not own and not others:
        return
    times = "once" if (own or len(others)) == 1 else f"{own or len(others)} times"
    if own:
        seen, last = f"its test part was looked at {times}", looks_of(counter)[-1]
        shown = counter.data.tags.get(RESULT, "What it showed was not recorded.")
    else:
        seen, last = f"{shared} of its test tiles were looked at {times} with other sweeps or runs", others[-1]
        shown = "What they showed may have led to this one."
    raise CustodyError(
        f"'{subject.name}': {seen}, last at {last.time} by `{last.command}`. {shown} A choice that follows another "
        "look is made on the test part. To look nevertheless, and be counted: --again"
    )


def _score(store: Store, trained: Trained, look: Look) -> str:
    """Returns what was done."""
    run_id, name = trained.run.info.run_id, trained.run.info.run_name
    looks = count(store, run_id, look)
    if trained.run.data.tags.get(SCORED) == look.time:
        return f"{name} was scored before the interruption"
    scores = predict(store, trained, trained.data.split.test)
    record_scores(store, trained, scores, look, looks)
    return f"{name} scored on {len(scores.counts)} test tiles in {scores.seconds:.1f} s"


def _show(store: Store, subject: Subject, look: Look, looks: int, notes: Sequence[str]) -> CustodyReport:
    report = report_test(store.client, subject.name, subject.strata, looks=looks, notes=[*subject.notes, *notes])
    with TemporaryDirectory() as scratch:
        report.write(Path(scratch))
        store.client.log_artifacts(subject.counter, scratch, "test")
    store.client.set_tag(subject.counter, RESULT, report.sentence)
    store.client.set_tag(subject.counter, SHOWN, look.time)
    return report
