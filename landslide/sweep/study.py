"""The trials of one stratum: asked in memory, remembered in the database.

The database learns of a trial in one write, with all its parameters, and of its end in two (what it came to, then its
state). The sampler sees a copy in memory, built from the database, in which a crashed trial is a pruned one: told of a
failure, TPE forgets it and goes back to where it was. Each trial gets a sampler of its own, seeded by its number, so a
search that is killed and goes on asks for the same parameters as one that is not.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from landslide.errors import SweepError
from landslide.sweep.parameter import SEED

SEARCH, REPEATS = "search", "repeats"
LAUNCH, OUTCOME, ORIGIN = "launch", "outcome", "origin"
STOPPED = "stopped"

Values = dict[str, Any]
Setting = frozenset[tuple[str, Any]]
"""Names and values of a trial but its seed, to look it up among many."""
Patiently = Callable[[Callable[[], Any]], Any]


@dataclass
class Record:
    """What the controller keeps in mind of a trial."""

    number: int
    trial_id: int
    state: TrialState
    params: Values
    origin: str
    value: float | None = None
    """The first objective, of a trial that is complete or was pruned."""
    launch: dict[str, Any] = field(default_factory=dict)
    outcome: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it is told; nothing of it changes any more."""
        return self.state.is_finished()

    @property
    def seconds(self) -> float:
        """Spent on training, by a trial that is finished."""
        return float(self.outcome.get("seconds", 0.0))


@dataclass(frozen=True)
class Point:
    """Parameters that are known before any sampler is asked."""

    origin: str
    params: Values
    distributions: dict[str, BaseDistribution]


def make_sampler(name: str, seed: int, number: int) -> BaseSampler:
    """Optuna's sampler of this name with Optuna's own defaults, for one trial."""
    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint32)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "random":
                return RandomSampler(seed=drawn)
            case "gp":
                return GPSampler(seed=drawn)
            case "nsga2":
                return NSGAIISampler(seed=drawn)
            case _:
                return TPESampler(seed=drawn)


def qmc_points(suggest: Callable[[optuna.Trial], Values], seed: int, count: int) -> list[Point]:
    """The first points of a scrambled Sobol sequence.

    Asked of a study in memory from its beginning, since a sequence that goes on must not lose a point to a kill.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = QMCSampler(scramble=True, seed=seed, warn_independent_sampling=False)
        study = optuna.create_study(sampler=sampler)
        points = []
        for _ in range(count):
            trial = study.ask()
            suggest(trial)
            points.append(Point("qmc", trial.params, dict(trial.distributions)))
            study.tell(trial, 0.0)  # the sequence draws over the parameters of finished trials
    return points


class StratumStudy:
    """See the module.

    Args:
        storage: the database.
        name: of the study.
        directions: of the objectives.
        planned: points that are asked for before any sampler is, in this order; none that a trial has, whatever its
            number, since a sweep may go on with its names in another order, or with more of them.
        sampler: for the trials behind them; None where all are planned.
        suggest: draws the parameters of a trial.
        pruner: of the trials, which Hyperband's samplers ask too.
        seed: of the samplers; the same for every stratum, so that none has the luckier draws.
        facts: the study's user attributes, as it is made.
        patiently: calls a function that writes, again where the database was away.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        *,
        directions: Sequence[str],
        planned: Sequence[Point],
        sampler: str | None,
        suggest: Callable[[optuna.Trial], Values],
        pruner: BasePruner,
        seed: int,
        facts: Mapping[str, Any],
        patiently: Patiently,
    ) -> None:
        self.name = name
        self._plan = planned
        self.planned = list(planned)
        """Those that no trial has yet."""
        self.records: list[Record] = []
        self.best: Record | None = None
        """The complete trial with the best first objective."""
        self._open: set[int] = set()
        self._direction = directions[0]
        self._sampler = sampler
        self._suggest = suggest
        self._seed = seed
        self._storage = storage
        self._patiently = patiently
        self.uncertain = False
        """A new trial may be in the database or not, since the write was cut off; :meth:`refresh` looks."""
        self._study_id, self.facts = patiently(lambda: _open_study(storage, name, directions, facts))
        self._empty = partial(
            optuna.create_study,
            study_name=name,
            sampler=RandomSampler(),
            pruner=pruner,
            directions=[StudyDirection[word.upper()] for word in directions],
        )
        self._shown = self._empty()
        self.refresh()

    def refresh(self) -> None:
        """Learn what other processes have asked and told."""
        if self.uncertain:
            self.records, self._open, self.best, self._shown = [], set(), None, self._empty()
            self.planned = list(self._plan)
            self.uncertain = False
        for trial in self._storage.get_all_trials(self._study_id, deepcopy=False)[self._first_open() :]:
            if trial.number == len(self.records):
                self._shown.add_trial(_as_shown(trial))
            elif trial.state != self.records[trial.number].state:
                self._show_end(trial)
            self._keep(record_of(trial))

    def _first_open(self) -> int:
        return min(self._open, default=len(self.records))

    def _keep(self, record: Record) -> None:
        """Know this of the trial from now on; what is asked at every trial is kept, not counted anew."""
        if record.number == len(self.records):
            self._strike_out(record.params)
        self.records[record.number : record.number + 1] = [record]
        if record.finished:
            self._open.discard(record.number)
            self.best = best([one for one in (self.best, record) if one is not None], self._direction)
        else:
            self._open.add(record.number)

    def _strike_out(self, params: Values) -> None:
        """A trial takes one planned point, since a sequence may have the same one twice."""
        taken = next((at for at, point in enumerate(self.planned) if point.params == params), None)
        if taken is not None:
            del self.planned[taken]

    @property
    def finished(self) -> int:
        """How many trials are told."""
        return len(self.records) - len(self._open)

    def set_fact(self, key: str, value: Any) -> None:
        """A user attribute of the study."""
        if self.facts.get(key) != value:
            self._patiently(lambda: self._storage.set_study_user_attr(self._study_id, key, value))
            self.facts[key] = value

    def unfinished(self) -> list[Record]:
        """Trials that were asked for and not told."""
        return [self.records[number] for number in sorted(self._open)]

    def best_setting(self, besides: Set[Setting] = frozenset()) -> Setting | None:
        """See :func:`best_setting`; some may be left out."""
        if self.best is None or SEED not in self.best.params:
            return None if self.best is None else setting_of(self.best.params)
        return best_setting(
            (record for record in self.records if setting_of(record.params) not in besides), self._direction
        )

    def settings_open(self) -> set[Setting]:
        """Of the settings that are trained with several seeds, those of which one is still to come."""
        to_come = [record.params for record in self.unfinished()]
        to_come += [point.params for point in self.planned]
        return {setting_of(params) for params in to_come if SEED in params}

    def ask(self) -> Record:
        """A new trial, with its parameters, in state RUNNING.

        Raises:
            StorageInternalError: where the database did not answer; the study is :attr:`uncertain` then.
        """
        assert not self.uncertain
        number = len(self.records)
        if self.planned:
            point = self.planned[0]
            template = _running(point.params, point.distributions, point.origin, {})
            self._shown.add_trial(template)
        else:
            template = self._draw(number)
        self.uncertain = True
        trial_id = self._storage.create_new_trial(self._study_id, template_trial=template)
        created = self._storage.get_trial_number_from_id(trial_id)
        if created != number:  # somebody asked beside us, without holding the sweep
            raise SweepError(f"{self.name}: another program writes to this study; trial {created} is not ours.")
        self.uncertain = False
        origin = template.user_attrs[ORIGIN]
        self._keep(Record(number, trial_id, TrialState.RUNNING, dict(template.params), origin))
        return self.records[-1]

    def _draw(self, number: int) -> FrozenTrial:
        assert self._sampler is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._shown.sampler = make_sampler(self._sampler, self._seed, number)
            trial = self._shown.ask()
            self._suggest(trial)
        drawn = trial._cached_frozen_trial
        return _running(drawn.params, drawn.distributions, self._sampler, drawn.system_attrs)

    def launched(self, record: Record, launch: Mapping[str, Any]) -> None:
        """Remember the MLflow run and the attempt."""
        record.launch = dict(launch)
        self._patiently(lambda: self._storage.set_trial_user_attr(record.trial_id, LAUNCH, record.launch))

    def tell(
        self,
        record: Record,
        state: TrialState,
        values: Sequence[float] | None,
        outcome: Mapping[str, Any],
        series: Mapping[int, float],
    ) -> None:
        """The end of a trial; telling it again changes nothing.

        Args:
            record: of the trial.
            state: COMPLETE, PRUNED or FAIL.
            values: the objectives of a complete trial; of a pruned one the last epoch that was reported counts.
            outcome: what else it came to, for the database's readers.
            series: each epoch's objective; the trial itself has reported them, except while the database was away.
        """
        trial: FrozenTrial = self._patiently(lambda: self._write_end(record.trial_id, state, values, outcome, series))
        self._keep(record_of(trial))
        self._show_end(trial)

    def _write_end(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float] | None,
        outcome: Mapping[str, Any],
        series: Mapping[int, float],
    ) -> FrozenTrial:
        trial = self._storage.get_trial(trial_id)
        if trial.state.is_finished():
            return trial
        known = {**series, **trial.intermediate_values}
        for step in sorted(known.keys() - trial.intermediate_values.keys()):
            self._storage.set_trial_intermediate_value(trial_id, step, known[step])
        self._storage.set_trial_user_attr(trial_id, OUTCOME, dict(outcome))
        if state == TrialState.PRUNED and known:
            values = [known[max(known)]]
        self._storage.set_trial_state_values(trial_id, state, values)
        told = copy.copy(trial)  # rather than read once more what was just written
        told.state, told.values, told.intermediate_values = state, values, known
        told.user_attrs = {**trial.user_attrs, OUTCOME: dict(outcome)}
        return told

    def _show_end(self, trial: FrozenTrial) -> None:
        shown, storage = _as_shown(trial), self._shown._storage
        if storage.get_trial(trial.number).state.is_finished():
            return
        for step, value in shown.intermediate_values.items():
            storage.set_trial_intermediate_value(trial.number, step, value)
        storage.set_trial_state_values(trial.number, shown.state, shown.values)

    def frozen(self) -> list[FrozenTrial]:
        """All trials as the database has them, for reports."""
        return self._storage.get_all_trials(self._study_id, deepcopy=False)


def _open_study(
    storage: BaseStorage, name: str, directions: Sequence[str], facts: Mapping[str, Any]
) -> tuple[int, dict[str, Any]]:
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        study_id = storage.create_new_study([StudyDirection[word.upper()] for word in directions], name)
    known = dict(storage.get_study_user_attrs(study_id))
    for key, value in facts.items():  # all of them in one go would be better; a kill in between adds the rest next time
        if key not in known:
            storage.set_study_user_attr(study_id, key, value)
            known[key] = value
    return study_id, known


def _running(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution], origin: str, system: Mapping[str, Any]
) -> FrozenTrial:
    return create_trial(
        state=TrialState.RUNNING,
        params=dict(params),
        distributions=dict(distributions),
        user_attrs={ORIGIN: origin},
        system_attrs=dict(system),
    )


def _as_shown(trial: FrozenTrial) -> FrozenTrial:
    """What the sampler sees: a crash as a pruned trial."""
    state = TrialState.PRUNED if trial.state == TrialState.FAIL else trial.state
    return create_trial(
        state=state,
        values=trial.values if state == TrialState.COMPLETE or trial.values else None,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values if state.is_finished() else {},
    )


def record_of(trial: FrozenTrial) -> Record:
    """A trial as the database has it."""
    return Record(
        number=trial.number,
        trial_id=trial._trial_id,
        state=trial.state,
        params=trial.params,
        origin=trial.user_attrs.get(ORIGIN, ""),
        value=trial.values[0] if trial.values else None,
        launch=trial.user_attrs.get(LAUNCH, {}),
        outcome=trial.user_attrs.get(OUTCOME, {}),
    )


def best(records: Iterable[Record], direction: str) -> Record | None:
    """The complete trial with the best value, the earlier of two; None where none is complete."""
    complete = [record for record in records if record.state == TrialState.COMPLETE and record.value is not None]
    sign = 1 if direction == "maximize" else -1
    return max(complete, key=lambda record: (sign * (record.value or 0.0), -record.number), default=None)


def best_setting(records: Iterable[Record], direction: str) -> Setting | None:
    """The setting with the best mean over its complete trials, the earlier of two.

    None where none is complete. With one seed it is the setting of :func:`best`.
    """
    values: dict[Setting, list[float]] = {}
    for record in records:
        if record.state == TrialState.COMPLETE and record.value is not None:
            values.setdefault(setting_of(record.params), []).append(record.value)
    choose = max if direction == "maximize" else min
    return choose(values, key=lambda setting: fmean(values[setting]), default=None)


def to_repeat(records: Sequence[Record], direction: str) -> Record | None:
    """The best trial of the best setting, whose number stands for that setting; None where none is complete."""
    setting = best_setting(records, direction)
    return best((record for record in records if setting_of(record.params) == setting), direction)


def setting_of(params: Mapping[str, Any]) -> Setting:
    """The parameters of a trial but its seed, in which the trainings of one setting differ."""
    return frozenset((key, value) for key, value in params.items() if key != SEED)
