"""What a sweep will do: its name, its strata, what each of them tries, and whether it is the sweep that was begun."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage

from landslide import __version__
from landslide import config as run_config
from landslide.errors import ConfigError, SweepError
from landslide.sweep.launched import require_processes
from landslide.sweep.parameter import SEED
from landslide.sweep.rules import read_space
from landslide.sweep.slots import BASIC_LAUNCHER
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

IDENTITY, PARENT, ASKED = "identity", "parent_id", "asked_name"
"""What each study of a sweep remembers: of what it is made, its MLflow run, and the name without a number."""

CHECKED_POINTS = 200
"""A grid of no more points is composed and checked point by point, a larger one value by value."""

NOT_IDENTITY = ("sweep", "tracking", "ckpt_path", "data.root", "data.cache_dir", "trainer.threads")
"""Values that do not make it another sweep: how it is run, and where things lie."""


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
        folds = any(parameter.key == run_config.HOLD_OUT for parameter in self.space.parameters)
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


@dataclass(frozen=True)
class Request:
    """What a command asks for, after everything in it was checked; nothing is written yet but the tile cache."""

    space: Space
    compose: Callable[[list[str]], DictConfig]
    """From overrides to the config of a run."""
    configs: Sequence[DictConfig]
    """Of each stratum, with nothing searched."""
    identities: Sequence[Mapping[str, str]]
    """Of each stratum."""
    name: str
    """Of the sweep, without the number of one that was begun anew."""
    base: Path
    """Folder of all sweeps."""
    disk: str | None
    """How much its runs will write; None for a task that is not this package's run."""


def read_request(arguments: list[str], params: Mapping[str, Any], loader: ConfigLoader, config: DictConfig) -> Request:
    """Read a command and check it.

    Args:
        arguments: overrides as typed, without those of ``hydra``.
        params: ``hydra.sweeper.params`` of the study file.
        loader: composes.
        config: composed of everything that is not searched, the part ``hydra`` included.

    Raises:
        UserError: for what the user can mend.
    """
    compose_one = partial(compose, loader, config)
    require_processes(config)
    space = read_space(arguments, params, config.sweep, loader, compose_one)
    configs, networks = compose_all(compose_one, space)
    base, disk = Path(config.hydra.sweep.dir), None
    if is_run(configs[0]):
        from landslide.training.disk import require_disk
        from landslide.training.hardware import choose_hardware

        if config.hydra.launcher._target_ == BASIC_LAUNCHER:  # any other may train on another machine
            for each in (*configs, *networks):
                choose_hardware(each.trainer)
        axis = next((len(parameter.values) for parameter in space.parameters if parameter.key == SEED), 1)
        disk = require_disk(networks, base, again=axis - 1 + repeats_wanted(space, config.sweep))
        _require_groups(compose_one, space)
    identities = [identity(each, space, config.sweep, data_digest(each)) for each in configs]
    return Request(space, compose_one, configs, identities, sweep_name(config.sweep, space, config), base, disk)


def repeats_wanted(space: Space, settings: DictConfig) -> int:
    """How often the best setting of each stratum is trained anew; seeds that are listed say it by their number."""
    return len(space.seeds) or int(settings.repeats)


def sweep_name(settings: DictConfig, space: Space, config: DictConfig) -> str:
    """The name that was given, else the study file's, else one made from what varies.

    A name made from the command has a digest of it, so another command is another sweep; but not where it differs only
    in the order of what is fixed, or in how it is run. A study in a subfolder of ``sweeps/`` has ``-`` in its name for
    ``/``, which divides a sweep from its strata.
    """
    given: str | None = settings.name or OmegaConf.select(config, "hydra.runtime.choices.sweeps")
    if given:
        return given.replace("/", "-")
    varied = [parameter.key.rpartition(".")[2] for parameter in space.parameters]
    strata = list(settings.strata) if len(space.strata) > 1 else []
    fixed = sorted((word for word in space.fixed if not belongs(key_of(word), NOT_IDENTITY)), key=key_of)
    said = json.dumps([space.describe(), fixed, [stratum.overrides for stratum in space.strata], space.seeds])
    words = re.sub(r"[^A-Za-z0-9_-]+", "", "-".join([*strata, *varied])) or "sweep"
    return f"{words[:60]}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def compose(loader: ConfigLoader, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The config of one run.

    Raises:
        ConfigError: for what does not compose, or what no run could use.
    """
    try:
        composed = loader.load_sweep_config(config, list(overrides))
    except ValueError as error:  # a check without a name of its own, such as of `data=3,4`
        raise ConfigError(f"{' '.join(overrides)}: does not compose ({error}).") from error
    if is_run(composed):
        run_config.check(composed)
    return composed


def is_run(cfg: DictConfig) -> bool:
    """Whether it is this package's run, whose values we can check; another task checks its own."""
    return OmegaConf.get_type(cfg) is run_config.RunConfig


def compose_all(
    compose_one: Callable[[list[str]], DictConfig], space: Space
) -> tuple[list[DictConfig], list[DictConfig]]:
    """Each stratum's config with nothing searched; and what is searched, composed and checked.

    Of the latter one of each network, which is what disks and sizes depend on.

    Raises:
        ConfigError: see :func:`compose`.
    """
    defaults = [compose_one(space.overrides(stratum, {})) for stratum in space.strata]
    points = [(stratum, values) for stratum in space.strata for values in _points_to_check(space, stratum)]
    networks: dict[tuple[Any, Any], DictConfig] = {}
    for number, (stratum, values) in enumerate(points):
        try:
            composed = compose_one(space.overrides(stratum, values))
        except ConfigError as error:
            label = " ".join(word for word in (*stratum.overrides, space.label(values)) if word)
            asked = f" That is trial {number + 1} of {len(points)}: {label}" if len(points) > 1 else ""
            raise ConfigError(f"{error}{asked}") from error
        key = OmegaConf.select(composed, "arch.name"), OmegaConf.select(composed, "encoder.name")
        networks.setdefault(key, composed)
    return defaults, list(networks.values())


def _require_groups(compose_one: Callable[[list[str]], DictConfig], space: Space) -> None:
    """Refuse a group that is held out in some trial and that the data have not.

    Raises:
        DataError: naming it and the groups that there are.
    """
    from landslide.data.layouts import list_tiles
    from landslide.data.splits import divide

    for parameter in space.parameters:
        for group in parameter.values if parameter.key == run_config.HOLD_OUT else ():
            data = compose_one([*space.overrides(space.strata[0], {}), parameter.override(group)]).data
            divide(list_tiles(data), data.split, data.negatives)


def _points_to_check(space: Space, stratum: Stratum) -> list[dict[str, Any]]:
    if space.sampler == "grid" and len(points := space.points(stratum)) <= CHECKED_POINTS:
        return points
    return space.corners(stratum)


def key_of(word: str) -> str:
    """Of an override or of its name, the name in the composed config: ``arch.depth`` of ``+arch.depth=3``."""
    return re.split("[=@]", word.lstrip("+~"))[0]


def belongs(key: str, names: Iterable[str]) -> bool:
    """Whether it is one of these names, or lies in one of them."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def identity(cfg: DictConfig, space: Space, settings: DictConfig, digest: str | None) -> dict[str, str]:
    """What makes it this search and no other: space, how it is searched, every other value, data, version."""
    searched = tuple(parameter.key for parameter in space.parameters)
    flat = {key: value for key, value in _flat(cfg).items() if not belongs(key, (*NOT_IDENTITY, *searched))}
    return {
        **flat,
        **{f"space of {key}": text for key, text in space.describe().items()},
        "sweep.sampler": space.sampler,  # a pruner decides nothing of what comes next, and may change
        "sweep.against": str(list(settings.against)),
        "data digest": str(digest),
        "version": __version__,
    }


def _flat(cfg: DictConfig) -> dict[str, str]:
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in ("hydra", "sweep")])
    return run_config.flat_params(plain)


def data_digest(cfg: DictConfig) -> str | None:
    """Of the tiles that all trials see; None for a task that is not this package's run.

    Raises:
        DataError: for data that no trial could read, before the first one begins.
        ConfigError: for an objective that these data have not.
    """
    if not is_run(cfg):
        return None
    from landslide.data.datamodule import TileDataModule
    from landslide.training.run import require_empty_tiles

    data = TileDataModule(cfg.data, augmentation=0.0, seed=cfg.seed)
    require_empty_tiles(cfg, data)
    return str(data.cache.digest)


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
