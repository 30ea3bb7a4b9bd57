"""What the studies of a sweep hold, read once: the rest of the report knows no Optuna."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from landslide.report.figures import Series
from landslide.report.labels import ARCHITECTURES, SEED, short_names
from landslide.report.runs import Objective

FINISHED, PRUNED, FAILED, RUNNING, WAITING = "finished", "pruned", "failed", "running", "waiting"
ENOUGH_TRIALS = 20
"""Finished ones, below which importances are noise."""

_STATES = {
    TrialState.COMPLETE: FINISHED,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
    TrialState.RUNNING: RUNNING,
    TrialState.WAITING: WAITING,
}
_LEAST_TOP = 5
"""Trials in the best share that PED-ANOVA looks at; Optuna advises against fewer."""


@dataclass(frozen=True)
class Trial:
    """One trial of a study."""

    number: int
    state: str
    """``finished``, ``pruned``, ``failed``, ``running`` (also: interrupted) or ``waiting``."""
    values: tuple[float, ...]
    """The objective at the best epoch, then what it was searched against; only the objective of a pruned trial;
    empty where there is none, and always of one that failed or still runs."""
    epoch: int | None
    """The best one, from 1."""
    seconds: float | None
    """Of training; None where it was not told."""
    reason: str
    """Why it failed or was pruned, in one line; else empty."""
    origin: str
    """``default``, ``paper``, ``grid``, ``qmc``, or the name of the sampler that asked for it."""
    run_id: str
    """Of MLflow; empty where it never got one."""
    params: Mapping[str, Any]
    curve: Series
    """The objective by epoch, as far as it was reported; only finite values."""
    ended: float
    """POSIX seconds; infinite where it has not ended."""

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end, so that its value may stand beside others."""
        return self.state == FINISHED and bool(self.values)

    @cached_property
    def setting(self) -> str:
        """What it was trained with, but for the seed."""
        return repr(sorted((name, value) for name, value in self.params.items() if name != SEED))


@dataclass(frozen=True)
class Parameter:
    """One axis of the space, over all strata."""

    key: str
    label: str
    """Its short name."""
    choices: tuple[Any, ...]
    """Of a categorical one, in their order; else empty."""
    low: float
    high: float
    """Ends of a numeric one, both included."""
    log: bool

    def position(self, value: Any) -> float:
        """The number itself, or the index of a choice."""
        return float(value) if not self.choices else float(self.choices.index(value))

    def share(self, value: Any) -> float:
        """Where between its ends a value lies, 0 to 1; one half where both ends are the same."""
        if self.choices:
            low, high, at = 0.0, len(self.choices) - 1.0, self.position(value)
        elif self.log:
            low, high, at = math.log(self.low), math.log(self.high), math.log(value)
        else:
            low, high, at = self.low, self.high, float(value)
        return (at - low) / (high - low) if high > low else 0.5


@dataclass(frozen=True)
class Stratum:
    """One search: of an architecture, or of whatever the sweep keeps apart."""

    name: str
    trials: tuple[Trial, ...]
    repeats: tuple[Trial, ...]
    """One setting, trained anew with other seeds."""
    repeated_number: int | None
    """Of the trial that had this setting; None where the study of the repeats does not say it."""
    settings: Mapping[str, Any]
    """What the study says of itself."""
    importances: Mapping[str, float]
    """By parameter, their sum 1, largest first; empty where too little has finished to tell."""
    front: tuple[int, ...]
    """Numbers of the trials that no other one beats in everything; empty where one number is searched for."""
    maximize: bool

    @property
    def label(self) -> str:
        """What it is called in tables and figures."""
        return ARCHITECTURES.get(self.name, self.name)

    @cached_property
    def finished(self) -> list[Trial]:
        """Trials with a value to compare."""
        return [trial for trial in self.trials if trial.finished]

    @cached_property
    def best(self) -> Trial | None:
        """The best trial of the setting with the best mean over its seeds, the first of two; None without any."""
        choose = max if self.maximize else min
        settings: dict[str, list[Trial]] = {}
        for trial in self.finished:
            settings.setdefault(trial.setting, []).append(trial)
        seeds = choose(settings.values(), key=lambda trials: fmean(trial.values[0] for trial in trials), default=[])
        return choose(seeds, key=lambda trial: trial.values[0], default=None)

    def known(self, origin: str) -> Trial | None:
        """A finished trial of a setting that was known beforehand, ``default`` or ``paper``, whatever its seed."""
        known = {trial.setting for trial in self.trials if trial.origin == origin}
        return next((trial for trial in self.finished if trial.setting in known), None)

    def score(self, trial: Trial) -> float:
        """The objective of a finished trial; where a grid has seeds, the mean of its setting over them."""
        return fmean(self.scores(trial))

    def scores(self, trial: Trial) -> list[float]:
        """The objective of a finished trial; where a grid has seeds, of each finished one of its setting."""
        seeds = [each for each in self.finished if each.setting == trial.setting] if self.seeded else [trial]
        return [each.values[0] for each in seeds]

    @property
    def seeded(self) -> bool:
        """Whether its trials differ in their seeds."""
        return any(SEED in trial.params for trial in self.trials)

    @property
    def repeated(self) -> list[float]:
        """The objective of each finished repeat of the best trial; empty where they are of an earlier best one."""
        return [] if self.outdated else [trial.values[0] for trial in self.repeats if trial.finished]

    @property
    def outdated(self) -> bool:
        """Whether the repeats are of a trial that is no longer the best, as after a sweep that went on."""
        of = self.repeated_number
        return of is not None and self.best is not None and of != self.best.number

    @property
    def seconds(self) -> float:
        """Of training, over all trials of the search, those that failed or were pruned included."""
        return sum(trial.seconds or 0.0 for trial in self.trials)

    def count(self, state: str) -> int:
        """Trials of the search in a state."""
        return sum(trial.state == state for trial in self.trials)


def read_strata(studies: Iterable[Study]) -> tuple[Stratum, ...]:
    """The strata of a sweep, best objective first; those without a finished trial come last, in the order given.

    Args:
        studies: of one sweep, searches and repeats; each says in its attributes what it is.
    """
    searches: dict[str, Study] = {}
    repeats: dict[str, Study] = {}
    for study in studies:
        settings = study.user_attrs
        (repeats if settings["kind"] == "repeats" else searches)[settings["stratum"]] = study
    strata = [_read(name, study, repeats.get(name)) for name, study in searches.items()]
    return tuple(sorted(strata, key=_rank))


def read_parameters(studies: Iterable[Study]) -> tuple[Parameter, ...]:
    """The axes of the space, in the order in which trials first name them."""
    distributions: dict[str, list[BaseDistribution]] = {}
    for study in studies:
        if study.user_attrs["kind"] == "repeats":
            continue
        for trial in study.get_trials(deepcopy=False):
            for key, distribution in trial.distributions.items():
                known = distributions.setdefault(key, [])
                if distribution not in known:
                    known.append(distribution)
    labels = short_names(list(distributions))
    return tuple(_parameter(key, labels[key], found) for key, found in distributions.items())


def seeds_alone(strata: Iterable[Stratum]) -> bool:
    """Whether trials differ in nothing but their seed, so that nothing was tuned."""
    return {key for stratum in strata for trial in stratum.trials for key in trial.params} == {SEED}


def objective_of(study: Study) -> Objective:
    """The number that a study searches for."""
    stored = study.user_attrs["objective"]
    return Objective(stored["metric"], maximize=stored["direction"] == "maximize")


def _rank(stratum: Stratum) -> tuple[bool, float]:
    if stratum.best is None:
        return True, 0.0
    value = stratum.score(stratum.best)
    return False, -value if stratum.maximize else value


def _read(name: str, study: Study, repeats: Study | None) -> Stratum:
    maximize = objective_of(study).maximize
    frozen = study.get_trials(deepcopy=False)
    several = len(study.directions) > 1
    return Stratum(
        name=name,
        trials=tuple(_trial(trial, maximize) for trial in frozen),
        repeats=tuple(_trial(trial, maximize) for trial in repeats.get_trials(deepcopy=False)) if repeats else (),
        repeated_number=repeats.user_attrs.get("of_trial") if repeats else None,
        settings=study.user_attrs,
        importances=_importances(study, frozen),
        front=tuple(trial.number for trial in study.best_trials) if several else (),
        maximize=maximize,
    )


def _trial(frozen: FrozenTrial, maximize: bool) -> Trial:
    outcome = frozen.user_attrs.get("outcome", {})
    launch = frozen.user_attrs.get("launch", {})
    curve = sorted((step, value) for step, value in frozen.intermediate_values.items() if math.isfinite(value))
    state = _STATES[frozen.state]
    return Trial(
        number=frozen.number,
        state=state,
        values=_values(frozen, curve, maximize),
        epoch=outcome.get("epoch"),
        seconds=outcome.get("seconds"),
        reason=" ".join(str(outcome.get("reason") or "").split()),
        origin=frozen.user_attrs.get("origin", ""),
        run_id=outcome.get("run_id") or launch.get("run_id") or "",
        params=frozen.params,
        curve=curve,
        ended=frozen.datetime_complete.timestamp() if frozen.datetime_complete else math.inf,
    )


def _values(frozen: FrozenTrial, curve: Series, maximize: bool) -> tuple[float, ...]:
    if frozen.state == TrialState.COMPLETE:
        return tuple(frozen.values) if all(map(math.isfinite, frozen.values)) else ()
    if frozen.state == TrialState.PRUNED and curve:  # Optuna's own value of it is that of its last epoch
        return ((max if maximize else min)(value for _, value in curve),)
    return ()


def _importances(study: Study, frozen: Sequence[FrozenTrial]) -> dict[str, float]:
    """PED-ANOVA (Watanabe, Bansal and Hutter 2023): what tells the best trials from all finished ones."""
    finished = [trial for trial in frozen if trial.state == TrialState.COMPLETE]
    varied = {key for trial in finished for key, axis in trial.distributions.items() if not axis.single()}
    if len(finished) < ENOUGH_TRIALS or len(varied) < 2:
        return {}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, _LEAST_TOP / len(finished)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some regimes for parameter")  # of a condition that held once
        warnings.filterwarnings("ignore", "Argument ``normalize``", ExperimentalWarning)
        found = get_param_importances(study, evaluator=evaluator, params=sorted(varied), normalize=False)
    total = sum(found.values())  # of nothing, Optuna would make equal shares
    return {key: value / total for key, value in found.items()} if total > 0 else {}


def _parameter(key: str, label: str, distributions: Sequence[BaseDistribution]) -> Parameter:
    categorical = [axis for axis in distributions if isinstance(axis, CategoricalDistribution)]
    choices = tuple(dict.fromkeys(choice for axis in categorical for choice in axis.choices))
    numeric = [axis for axis in distributions if isinstance(axis, FloatDistribution | IntDistribution)]
    return Parameter(
        key=key,
        label=label,
        choices=choices,
        low=min((float(axis.low) for axis in numeric), default=0.0),
        high=max((float(axis.high) for axis in numeric), default=0.0),
        log=any(axis.log for axis in numeric),
    )
