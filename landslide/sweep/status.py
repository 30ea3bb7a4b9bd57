"""How far sweeps are, from Optuna's database alone: it needs neither MLflow nor the sweep's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from landslide.config import HOLD_OUT, without_credentials
from landslide.errors import SweepError, nearest
from landslide.sweep.generations import generation_name, newest_generation
from landslide.sweep.parameter import Parameter
from landslide.sweep.storage import controller_of, is_sqlite, open_existing
from landslide.sweep.study import REPEATS, SEARCH, STOPPED, Record, record_of, to_repeat

FINISHED, UNDER_WAY, INTERRUPTED, UNFINISHED = "finished", "under way", "interrupted", "unfinished"
"""Of a sweep: nothing is left; somebody trains it; nobody does; whether somebody does can't be known here."""

STOPPED_EARLY = "stopped early"
"""Of one of which nothing is left but what was given up for its failures."""


@dataclass(frozen=True)
class TrialStatus:
    """One trial."""

    number: int
    state: str
    """``complete``, ``pruned`` or ``failed``; of one that is not told one of the open states above."""
    value: float | None
    """The objective, where it has one."""
    seconds: float
    """Of training, once it is told."""
    duration_s: float | None
    """From its begin to its end, interruptions included; None of one that is not told."""
    label: str
    """Its parameters, short."""
    reason: str
    """Why it failed or was pruned, in one line; else empty."""
    changed: datetime
    """When it began, or ended; in the time of the machine that wrote it."""


@dataclass(frozen=True)
class StudyStatus:
    """The search of a stratum, or the repeats of its best setting."""

    stratum: str
    kind: str
    of_trial: int | None
    """Of repeats: whose setting they train."""
    trials: Sequence[TrialStatus]
    best: TrialStatus | None
    """Of the setting with the best mean over its seeds; None also where trials are folds: the easiest group is no best
    setting."""
    settings: Mapping[str, Any]
    """What the sweep says of its last start."""
    stopped: str | None = None
    """Why its last start asked for no further trial, though there would have been some."""

    @property
    def title(self) -> str:
        """For people."""
        return self.stratum if self.kind == SEARCH else f"{self.stratum}, repeats of {self.of_trial}"

    @property
    def target(self) -> int | None:
        """Trials in all; None where seconds alone are the budget, or where nothing is known of it."""
        return self.settings.get("n_trials")

    @property
    def budget_s(self) -> float | None:
        """Seconds of training after which no trial begins."""
        return self.settings.get("timeout_s")

    @property
    def seconds(self) -> float:
        """Of training, in all."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def told(self) -> list[TrialStatus]:
        """Those that came to an end, whichever."""
        return [trial for trial in self.trials if trial.state in ("complete", "pruned", "failed")]

    def count(self, *states: str) -> int:
        """Trials in these states."""
        return sum(trial.state in states for trial in self.trials)

    @property
    def to_repeat(self) -> TrialStatus | None:
        """Whose setting is trained anew: the best trial's; where nothing varies the only one's, also if it failed."""
        only = self.trials[0] if self.trials and not self.trials[0].label else None
        return self.best or only

    @property
    def spent(self) -> bool:
        """Its budget allows no further trial."""
        spent = self.budget_s is not None and self.seconds >= self.budget_s
        return spent or (self.target is not None and len(self.trials) >= self.target)

    @property
    def over(self) -> bool:
        """Nothing is left to ask for, nor to go on with."""
        return len(self.told) == len(self.trials) and (self.spent or self.stopped is not None)


@dataclass(frozen=True)
class SweepStatus:
    """A whole sweep."""

    name: str
    state: str
    controller: str | None
    """Who trains it, where it is known."""
    studies: Sequence[StudyStatus]
    """Searches in the order in which they were made, each followed by its repeats."""
    objective: Mapping[str, str]
    command: str | None
    """That goes on with it; None where another of the same name was begun after it."""

    @property
    def changed(self) -> datetime | None:
        """When a trial of it began or ended last; None where there is none."""
        return max((trial.changed for study in self.studies for trial in study.trials), default=None)


def read_sweeps(url: str, name: str | None = None) -> list[SweepStatus]:
    """Sweeps of a database, the one that changed last at the end.

    Args:
        url: of the database.
        name: of the only one to read.

    Raises:
        SweepError: where there is no database, no sweep in it, or none of this name.
    """
    storage, place = open_existing(url), without_credentials(url)
    if storage is None:
        raise SweepError(
            f"{place}: there is no sweep. Begin one with `python train.py -m ...`, stand in the folder where you began "
            "it, or name its database: --storage sqlite:////path/to/sweeps.db"
        )
    sweeps = _studies_by_sweep(storage)
    if not sweeps:
        raise SweepError(f"{place}: this database holds no sweep.")
    if name is not None and name not in sweeps:
        known = ", ".join(sweeps)
        raise SweepError(f"'{name}': {place} holds no sweep of this name.{nearest(name, sweeps)} There are: {known}.")
    chosen = sweeps if name is None else [name]
    found = [_sweep(storage, url, each, sweeps[each]) for each in chosen]
    return sorted(found, key=lambda sweep: sweep.changed or datetime.min)


def find_sweep(storage: BaseStorage, url: str, name: str) -> SweepStatus | None:
    """One sweep, None where there is none of this name.

    Args:
        storage: the open database.
        url: of it.
        name: of the sweep.
    """
    studies = _studies_by_sweep(storage).get(name)
    return None if studies is None else _sweep(storage, url, name, studies)


def _studies_by_sweep(storage: BaseStorage) -> dict[str, list[FrozenStudy]]:
    sweeps: dict[str, list[FrozenStudy]] = {}
    for study in storage.get_all_studies():
        if "sweep" in study.user_attrs:  # a database may hold studies of other programs
            sweeps.setdefault(study.user_attrs["sweep"], []).append(study)
    return sweeps


def _sweep(storage: BaseStorage, url: str, name: str, studies: Sequence[FrozenStudy]) -> SweepStatus:
    facts = studies[0].user_attrs
    folder = Path(facts["folder"]) if is_sqlite(url) and "folder" in facts else None
    known = folder is not None and folder.is_dir()
    controller = controller_of(folder) if folder is not None and known else None
    open_state = UNDER_WAY if controller else INTERRUPTED if known else UNFINISHED
    order = {study.user_attrs.get("stratum"): place for place, study in reversed(list(enumerate(studies)))}
    ordered = sorted(studies, key=lambda study: order[study.user_attrs.get("stratum")])
    read = [_study(storage, study, open_state) for study in ordered]
    over = FINISHED if all(study.spent for study in read) else STOPPED_EARLY
    newest = generation_name(name, newest_generation(storage, name))
    return SweepStatus(
        name=name,
        state=open_state if controller or not _over(read) else over,
        controller=controller,
        studies=read,
        objective=facts.get("objective", {}),
        command=facts.get("command") if newest == name else None,
    )


def _over(studies: Sequence[StudyStatus]) -> bool:
    """Whether every search is over, and the best setting of each is repeated as often as is wanted."""
    repeated = {(study.stratum, study.of_trial) for study in studies if study.kind == REPEATS}
    searches = [study for study in studies if study.kind == SEARCH]
    return all(study.over for study in studies) and not any(
        study.settings.get("repeats") and study.to_repeat and (study.stratum, study.to_repeat.number) not in repeated
        for study in searches
    )


def _study(storage: BaseStorage, study: FrozenStudy, open_state: str) -> StudyStatus:
    facts = study.user_attrs
    frozen = storage.get_all_trials(study._study_id, deepcopy=False)
    records = [record_of(trial) for trial in frozen]
    trials = [_trial(trial, record, open_state) for trial, record in zip(frozen, records, strict=True)]
    folds = any(HOLD_OUT in record.params for record in records)
    found = None if folds else to_repeat(records, study.directions[0].name.lower())
    return StudyStatus(
        stratum=facts.get("stratum", study.study_name),
        kind=facts.get("kind", SEARCH),
        of_trial=facts.get("of_trial"),
        trials=trials,
        best=None if found is None else trials[found.number],
        settings=facts.get("settings", {}),
        stopped=facts.get(STOPPED),
    )


def _trial(frozen: FrozenTrial, record: Record, open_state: str) -> TrialStatus:
    began = frozen.datetime_start or datetime.min
    named = (Parameter(key, frozen.distributions[key]).label(value) for key, value in record.params.items())
    return TrialStatus(
        number=record.number,
        state=_state(record, open_state),
        value=record.value,
        seconds=record.seconds,
        duration_s=frozen.duration.total_seconds() if frozen.duration else None,
        label=" ".join(named),
        reason=" ".join(str(record.outcome.get("reason") or "").split()),
        changed=frozen.datetime_complete or began,
    )


def _state(record: Record, open_state: str) -> str:
    if not record.finished:
        return "running" if open_state == UNDER_WAY else open_state
    if record.outcome.get("failed") or record.state == TrialState.FAIL:  # out of memory is pruned to the sampler
        return "failed"
    return "pruned" if record.state == TrialState.PRUNED else "complete"
