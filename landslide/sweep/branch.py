"""The search of one stratum, or its repeats: which study, which trials, how far it is, and which models it keeps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage

from landslide.config import HOLD_OUT
from landslide.errors import SweepError
from landslide.sweep.parameter import SEED
from landslide.sweep.space import Space, Stratum
from landslide.sweep.study import (
    REPEATS,
    SEARCH,
    Patiently,
    Point,
    Record,
    StratumStudy,
    qmc_points,
    setting_of,
    to_repeat,
)
from landslide.sweep.trial import make_pruner
from landslide.sweep.values import quoted
from landslide.training.result import RunResult


@dataclass
class Branch:
    """One stratum's search, or its repeats, under way."""

    sweep: str
    """Name of the whole."""
    stratum: Stratum
    space: Space
    study: StratumStudy
    kind: str
    folder: Path
    """Its trials' folders lie here, named by number."""
    target: int | None
    """Trials in all; None asks as long as there are seconds left."""
    budget_s: float | None
    """Seconds of training after which none is asked for."""
    against: Sequence[str]
    keep_models: str
    pruner: str
    setting: Mapping[str, Any] = field(default_factory=dict)
    """Of repeats: the parameters that are trained anew."""
    stopped: str | None = None
    """Why no further trial is asked for."""

    @property
    def run_kind(self) -> str:
        """Of its MLflow runs."""
        return "run" if self.kind == SEARCH else "repeat"

    @property
    def run_tags(self) -> dict[str, str]:
        """Of its MLflow runs; a repeat says of which trial it is, since a search that goes on may repeat several."""
        tags = {"landslide.stratum": self.stratum.name, "landslide.sweep": self.sweep}
        return tags if self.kind == SEARCH else {**tags, "landslide.repeat_of": str(self.study.facts["of_trial"])}

    @property
    def title(self) -> str:
        """For people."""
        return self.stratum.name if self.kind == SEARCH else f"{self.stratum.name}, repeats"

    @property
    def shown_best(self) -> Record | None:
        """The best complete trial; None where trials are folds: the easiest group is no best setting."""
        folds = any(parameter.key == HOLD_OUT for parameter in self.space.parameters)
        return None if folds else self.study.best

    @property
    def budget(self) -> str:
        """From how much the best setting of its search is chosen, for people."""
        tried = self.target
        if self.space.sampler == "grid":
            begun = [record.params for record in self.study.records]
            tried = len({setting_of(params) for params in (*begun, *(point.params for point in self.study.planned))})
        settings = "1 setting" if tried == 1 else f"{tried} settings"
        seconds = f"{self.budget_s:.0f} s of training" if self.budget_s is not None else ""
        return " or ".join(word for word in (settings if tried is not None else "", seconds) if word)

    def may_ask(self) -> bool:
        """Whether another trial belongs to it."""
        records = self.study.records
        if self.stopped is not None or (self.target is not None and len(records) >= self.target):
            return False
        return self.budget_s is None or sum(record.seconds for record in records) < self.budget_s

    @property
    def complete(self) -> bool:
        """Nothing is left to ask for, nor unfinished."""
        return not self.may_ask() and not self.study.unfinished()

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """What a trial's config is composed with."""
        if self.kind == SEARCH:
            return self.space.overrides(self.stratum, params)
        return [*self.space.overrides(self.stratum, self.setting), *(f"{key}={value}" for key, value in params.items())]

    def subdir(self, number: int) -> str:
        """Of a trial, below ``hydra.sweep.dir``."""
        return f"{self.sweep}/{self.study.name.partition('/')[2]}/{number}"

    def judged_by(self, record: Record) -> list[str]:
        """What tells a job to which trial it reports; Optuna takes no reports of several objectives."""
        if self.against:
            return []
        return [f"sweep.trial={quoted(f'{self.study.name}:{record.trial_id}')}", f"sweep.pruner={self.pruner}"]

    def run_name(self, record: Record) -> str:
        """Of a trial, in MLflow and in the terminal."""
        label = self.space.label(record.params) if self.kind == SEARCH else f"repeat seed={record.params['seed']}"
        stratum = self.stratum.name if len(self.space.strata) > 1 or self.stratum.overrides else ""
        return " ".join(word for word in (stratum, label) if word) or "run"

    def values(self, result: RunResult) -> list[float]:
        """The objectives of a finished trial."""
        return [result.score, *(result.costs[metric] for metric in self.against)]

    def keeps_model(self, record: Record) -> bool:
        """Whether a trial's weights stay: of the best setting, whatever its seed, since all of them may be tested."""
        return record.finished and setting_of(record.params) == self.study.best_setting()

    def keep_the_better(self, number: int) -> None:
        """Of two settings only the better keeps its weights, at once: a long sweep needs no large disk.

        With several seeds a setting is judged by their mean, so it keeps all weights until the last seed is trained.
        """
        if self.keep_models != "finalists":
            return
        told, best, waiting = self.study.records[number], self.study.best, self.study.settings_open()
        kept = self.study.best_setting(besides=waiting)
        for record in self.study.records if SEED in told.params or told is best else [told]:
            setting = setting_of(record.params)
            gone = [] if setting == kept or setting in waiting else ["model"]
            gone += [] if record is best and not gone else ["checkpoints"]
            for name in gone if record.finished else ():
                shutil.rmtree(self.folder / str(record.number) / name, ignore_errors=True)


def search_branch(
    storage: BaseStorage,
    name: str,
    stratum: Stratum,
    space: Space,
    cfg: DictConfig,
    settings: DictConfig,
    *,
    folder: Path,
    facts: Mapping[str, Any],
    patiently: Patiently,
) -> Branch:
    """The search of one stratum, from the database where it was begun.

    Raises:
        SweepError: where the database holds a study of this name with other distributions.
    """
    suggest = partial(space.suggest, stratum=stratum)
    adaptive = space.sampler not in ("grid", "qmc")
    study = StratumStudy(
        storage,
        f"{name}/{stratum.name}",
        directions=[cfg.objective.direction, *("minimize" for _ in settings.against)],
        planned=_planned(space, stratum, cfg, suggest),
        sampler=space.sampler if adaptive else None,
        suggest=suggest,
        pruner=make_pruner(settings.pruner, int(cfg.trainer.max_epochs)),
        seed=int(cfg.seed),
        facts={
            **facts,
            "stratum": stratum.name,
            "kind": SEARCH,
            "overrides": [*space.fixed, *stratum.overrides],
        },
        patiently=patiently,
    )
    return Branch(
        sweep=name,
        stratum=stratum,
        space=space,
        study=study,
        kind=SEARCH,
        folder=folder / stratum.name,
        target=_target(space, settings, study),
        budget_s=settings.timeout_s,
        against=list(settings.against),
        keep_models=_keep_models(cfg),
        pruner=settings.pruner,
    )


def _planned(
    space: Space, stratum: Stratum, cfg: DictConfig, suggest: Callable[[optuna.Trial], dict[str, Any]]
) -> list[Point]:
    """The trials whose parameters are known beforehand."""
    if space.sampler == "grid":
        origin = {str(values): name for name, values in reversed(space.known_points(cfg))}
        points = space.points(stratum)[: space.n_trials]
        return [_point(space, origin.get(str(values), "grid"), values) for values in points]
    known = [_point(space, origin, values) for origin, values in space.known_points(cfg)]
    if space.sampler == "qmc":
        drawn = qmc_points(suggest, cfg.seed, max(0, space.n_trials - len(known)))
        return [*known, *drawn][: space.n_trials]
    return known


def _target(space: Space, settings: DictConfig, study: StratumStudy) -> int | None:
    """How many trials there will be in all; None as many as fit."""
    if space.sampler == "grid":  # beside its points there may be trials of the grid that it was before
        return len(study.records) + len(study.planned)
    limited = space.sampler == "qmc" or settings.n_trials is not None or settings.timeout_s is None
    return space.n_trials if limited else None


def repeats_branch(
    storage: BaseStorage, search: Branch, cfg: DictConfig, repeats: int, facts: Mapping[str, Any], patiently: Patiently
) -> Branch | None:
    """The best setting of a stratum, trained anew with the seeds that follow the search's; None where there is none.

    Seeds that were listed are taken as they are, the search's own among them. Where there is one setting alone, it is
    the best one also where its training failed: with other seeds it may not.
    """
    only = None if search.space.parameters else search.study.records[0]
    found = to_repeat(search.study.records, cfg.objective.direction) or only
    axis = [value for parameter in search.space.parameters if parameter.key == SEED for value in parameter.values]
    last = max([int(cfg.seed), *axis])
    seeds = list(search.space.seeds) or [last + 1 + index for index in range(repeats)]
    if found is None:
        return None
    known = IntDistribution(0, 2**32 - 1)  # of all seeds, so that more of them may be asked for later
    place = f"{REPEATS}-of-{found.number}"  # a search that goes on may find a better one
    study = StratumStudy(
        storage,
        f"{search.study.name}/{place}",
        directions=[cfg.objective.direction],
        planned=[Point("repeat", {"seed": seed}, {"seed": known}) for seed in seeds],
        sampler=None,
        suggest=lambda _: {},
        pruner=make_pruner("none", 1),
        seed=0,
        facts={
            **facts,
            "stratum": search.stratum.name,
            "kind": REPEATS,
            "overrides": search.overrides(found.params),
            "of_trial": found.number,
        },
        patiently=patiently,
    )
    return Branch(
        sweep=search.sweep,
        stratum=search.stratum,
        space=search.space,
        study=study,
        kind=REPEATS,
        folder=search.folder / place,
        target=len(study.records) + len(study.planned),
        budget_s=None,
        against=[],
        keep_models=search.keep_models,
        pruner="none",
        setting=dict(found.params),
    )


def _keep_models(cfg: DictConfig) -> str:
    return str(OmegaConf.select(cfg, "tracking.keep_models") or "none")


def _point(space: Space, origin: str, values: Mapping[str, Any]) -> Point:
    distributions = {parameter.key: parameter.distribution for parameter in space.parameters}
    return Point(origin, dict(values), {key: distributions[key] for key in values})


def require_same_distributions(branch: Branch) -> None:
    """Refuse a study whose trials were drawn from another space.

    Raises:
        SweepError: naming the first parameter that differs.
    """
    known = {parameter.key: parameter.distribution for parameter in branch.space.parameters}
    for trial in branch.study.frozen():  # what a condition shuts out the first one may not have
        for key, distribution in trial.distributions.items():
            if branch.kind == SEARCH and known.get(key) != distribution:
                raise SweepError(
                    f"{branch.study.name}: its trials drew {key} from {distribution}, and it is now "
                    f"{known.get(key, 'not searched')}. Begin anew with sweep.fresh=true, or name another sweep.name."
                )
