"""What a command would run, for how long and on how much disk; nothing of it is begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, open_dict
from optuna.storages import BaseStorage, InMemoryStorage
from rich.console import Console

from landslide.errors import OutOfMemory, UserError
from landslide.sweep.branch import Branch, search_branch
from landslide.sweep.generations import choose_generation
from landslide.sweep.plan import Request, read_request, repeats_wanted
from landslide.sweep.slots import visible_gpus
from landslide.sweep.status import SweepStatus, find_sweep
from landslide.sweep.storage import open_existing, resolve_url
from landslide.sweep.study import REPEATS, SEARCH
from landslide.training.estimate import estimate_fit_s


@dataclass(frozen=True)
class StratumPreview:
    """One stratum: its search, then its repeats."""

    name: str
    target: int | None
    """Trials in all; None where seconds alone are the budget."""
    origins: Mapping[str, int]
    """How many trials come from where: settings known beforehand, then the sampler."""
    finished: int
    """Trials of the search that came to an end before."""
    repeated: int
    """Likewise of the repeats."""
    spent_s: float
    """On training, by the search."""
    trial_s: float | None
    """That a trial takes; None where its default setting cannot be trained."""
    measured: bool
    """From batches of the default setting, else from trials that have finished."""
    problem: str | None
    """Why the default setting cannot be trained."""


@dataclass(frozen=True)
class Preview:
    """What a command would do."""

    request: Request
    name: str
    before: SweepStatus | None
    """How far it is, where it was begun."""
    strata: Sequence[StratumPreview]
    pruner: str
    repeats: int
    """Of the best setting of each stratum."""
    budget_s: float | None
    """Of training, for the search of each stratum."""
    slots: int
    devices: int
    """That trials can have for themselves; 1 where they share a processor."""

    def left_s(self, stratum: StratumPreview) -> float | None:
        """Seconds that all slots spend on what is left of a stratum; None where that cannot be told."""
        if stratum.trial_s is None:
            return None
        trials = None if stratum.target is None else max(0, stratum.target - stratum.finished)
        limits = [] if trials is None else [trials * stratum.trial_s]
        limits += [] if self.budget_s is None else [max(0.0, self.budget_s - stratum.spent_s)]
        return min(limits) + max(0, self.repeats - stratum.repeated) * stratum.trial_s

    @property
    def wall_s(self) -> float:
        """Seconds from the start to the end, of all strata of which something can be told."""
        # batches are timed on the whole device, trials in as many slots as there were
        alone = min(self.slots, self.devices)
        return sum((self.left_s(each) or 0.0) / (alone if each.measured else self.slots) for each in self.strata)


def preview(
    arguments: list[str], params: Mapping[str, Any], loader: ConfigLoader, config: DictConfig, console: Console
) -> Preview:
    """Read a command as a sweep does, look what it has done before, and time what it has not.

    Args:
        arguments: overrides as typed, without those of ``hydra``.
        params: ``hydra.sweeper.params`` of the study file.
        loader: composes.
        config: composed of everything that is not searched, the part ``hydra`` included.
        console: shows what is timed.

    Raises:
        UserError: what the sweep itself would raise.
    """
    request, settings = read_request(arguments, params, loader, config), config.sweep
    url = resolve_url(settings.storage)
    storage = open_existing(url) or InMemoryStorage()
    name = choose_generation(storage, request.name, request.space, request.identities, settings, console)
    before = find_sweep(storage, url, name)
    with TemporaryDirectory() as scratch:
        strata = [
            _stratum(
                _branch(request, index, settings, storage, name), request.configs[index], before, Path(scratch), console
            )
            for index in range(len(request.configs))
        ]
    return Preview(
        request=request,
        name=name,
        before=before,
        strata=strata,
        pruner=settings.pruner,
        repeats=repeats_wanted(request.space, settings),
        budget_s=settings.timeout_s,
        slots=settings.slots,
        devices=max(1, len(visible_gpus(config))),
    )


def _branch(request: Request, index: int, settings: DictConfig, storage: BaseStorage, name: str) -> Branch:
    """The search as it will be made, or go on, in a database that is forgotten."""
    forgotten, stratum = InMemoryStorage(), request.space.strata[index]
    study = f"{name}/{stratum.name}"
    if study in optuna.get_all_study_names(storage):
        optuna.copy_study(from_study_name=study, from_storage=storage, to_storage=forgotten)
    return search_branch(
        forgotten,
        name,
        stratum,
        request.space,
        request.configs[index],
        settings,
        folder=request.base,
        facts={},
        patiently=lambda write: write(),
    )


def _stratum(
    branch: Branch, cfg: DictConfig, before: SweepStatus | None, scratch: Path, console: Console
) -> StratumPreview:
    name = branch.stratum.name
    studies = [study for study in (before.studies if before else ()) if study.stratum == name]
    search = next((study for study in studies if study.kind == SEARCH), None)
    of_trial = search.to_repeat.number if search and search.to_repeat else None
    repeats = [study for study in studies if study.kind == REPEATS and study.of_trial == of_trial]
    known = [record.origin for record in branch.study.records]
    known = [*known, *(point.origin for point in branch.study.planned)][: branch.target]
    origins = Counter(known)
    if branch.target is not None and branch.target > len(known):
        origins[branch.space.sampler] += branch.target - len(known)
    trained = [trial for trial in search.told if trial.state != "failed"] if search else []
    trial_s: float | None = None
    problem = None
    if trained:
        around = median(max(0.0, (trial.duration_s or 0.0) - trial.seconds) for trial in trained)
        trial_s = mean(trial.seconds for trial in trained) + around  # a median, since an interrupted trial waited
    else:
        try:
            with console.status(f"Timing a few batches of {name}"):
                trial_s = estimate_fit_s(_as_job(cfg), scratch)
        except (UserError, OutOfMemory) as error:
            problem = str(error)
    return StratumPreview(
        name=name,
        target=branch.target,
        origins=origins,
        finished=len(search.told) if search else 0,
        repeated=sum(len(study.told) for study in repeats),
        spent_s=search.seconds if search else 0.0,
        trial_s=trial_s,
        measured=not trained,
        problem=problem,
    )


def _as_job(cfg: DictConfig) -> DictConfig:
    """Without the part ``hydra``, which Hydra keeps from a job too."""
    cfg = cfg.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg
