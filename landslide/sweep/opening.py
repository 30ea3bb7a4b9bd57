"""A sweep under way, found or begun: what can be wrong is found here, before the first trial."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig
from optuna.storages import BaseStorage
from rich.console import Console

from landslide.config import WORKER, without_credentials
from landslide.errors import StorageError, SweepError
from landslide.report.selection import BUDGET
from landslide.sweep.branch import Branch, require_same_distributions, search_branch
from landslide.sweep.generations import choose_generation
from landslide.sweep.plan import ASKED, IDENTITY, PARENT, Request, read_request, repeats_wanted
from landslide.sweep.space import Space
from landslide.sweep.storage import (
    AdvisoryLocks,
    Claims,
    OneController,
    is_sqlite,
    open_storage,
    patiently,
    resolve_url,
)
from landslide.sweep.study import STOPPED, Record
from landslide.terminal import tell
from landslide.tracking.run import create_run, find_parent, require_run
from landslide.tracking.spool import discard_unsent
from landslide.tracking.store import Store, answering, open_store


@dataclass
class Sweep:
    """A sweep under way."""

    name: str
    folder: Path
    request: Request
    settings: DictConfig
    """A composed :class:`~landslide.config.SweepConfig`."""
    command: str
    """That goes on with it."""
    store: Store
    storage: BaseStorage
    claims: Claims
    shared: bool
    """Others may work on it at the same time."""
    console: Console
    facts: dict[str, Any] = field(default_factory=dict)
    """That every study of it remembers."""
    branches: list[Branch] = field(default_factory=list)
    interrupted: int | None = None
    """By which signal."""

    @property
    def space(self) -> Space:
        """What varies."""
        return self.request.space

    @property
    def cfg(self) -> DictConfig:
        """What all strata agree in."""
        return self.request.configs[0]

    @property
    def leads(self) -> bool:
        """Whether this is its controller, and no worker of it."""
        return bool(self.settings.role != WORKER)

    @property
    def parent_id(self) -> str:
        """The MLflow run that stands for the sweep."""
        return str(self.facts[PARENT])

    @property
    def records(self) -> list[Record]:
        """Trials of all its studies."""
        return [record for branch in self.branches for record in branch.study.records]

    @property
    def way_on(self) -> str:
        """Which command goes on with it, for people; with ``sweep.fresh`` it would begin another."""
        return f"The same command{' without sweep.fresh' if self.settings.fresh else ''} goes on"

    def tell(self, sentence: str) -> None:
        """Say a sentence, whatever characters are in it."""
        tell(self.console, sentence)

    def patiently(self, write: Any) -> Any:
        """Write to the database of the sweep, again where it was away."""
        return patiently(write, self.tell)


def open_sweep(
    arguments: list[str], params: Mapping[str, Any], context: HydraContext, config: DictConfig, console: Console
) -> Sweep:
    """Read what is asked for, and find or make everything but the first trial.

    Args:
        arguments: overrides as typed, without those of ``hydra``.
        params: ``hydra.sweeper.params`` of the study file.
        context: of the command, whose loader composes.
        config: composed of everything that is not searched, the part ``hydra`` included.
        console: is told what a person should read first.

    Raises:
        UserError: for what the user can mend.
    """
    request, settings = read_request(arguments, params, context.config_loader, config), config.sweep
    for note in request.space.notes:
        tell(console, note)
    store = open_store(request.configs[0].tracking.uri)
    try:
        request.base.mkdir(parents=True, exist_ok=True)  # where that can't be, no database is made for it
    except OSError as error:  # of `/proc` that there is no such file
        raise StorageError(
            f"{request.base}: {error.strerror}. Choose another place, or make this one usable."
        ) from error
    url = resolve_url(settings.storage)
    storage = open_storage(url)
    name = choose_generation(storage, request.name, request.space, request.identities, settings, console)
    folder, shared = request.base / name, not is_sqlite(url)
    claims: Claims = AdvisoryLocks(url, name, leads=settings.role != WORKER) if shared else OneController(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = Sweep(name, folder, request, settings, _command(arguments, config), store, storage, claims, shared, console)
    with claims.alone():
        _begin(state)
    console.print(_announcement(state), markup=False, highlight=False)
    if request.disk:
        console.print(f"{request.disk}\n")
    return state


def _command(arguments: Sequence[str], config: DictConfig) -> str:
    """What goes on with the sweep: without a password, and without what would begin it anew."""
    words = [
        word
        for word in (*config.hydra.overrides.hydra, *arguments)
        if word.lstrip("+").partition("=")[0] not in ("hydra.mode", "sweep.fresh")
    ]
    return without_credentials(f"python train.py -m {shlex.join(words)}".rstrip())


def _begin(state: Sweep) -> None:
    """The MLflow run of the sweep and the studies of its strata, found or made."""
    begun = [
        study.user_attrs[PARENT]
        for study in state.storage.get_all_studies()
        if study.study_name.startswith(f"{state.name}/") and PARENT in study.user_attrs
    ]
    if not begun and any(state.folder.glob("*/[0-9]*")):  # a new trial 0 would go on from an old checkpoint
        raise SweepError(
            f"{state.folder}: holds trials that the database does not know. Name the database that they were begun with"
            " (sweep.storage=...), give the sweep another name (sweep.name=...), or remove that folder."
        )
    if state.leads:
        discard_unsent(state.folder)  # how it ended when its server was lost; it goes on
    state.facts = {
        PARENT: _open_parent(state, begun[0] if begun else None),
        "sweep": state.name,
        ASKED: state.request.name,
        "objective": {"metric": state.cfg.objective.metric, "direction": state.cfg.objective.direction},
        "against": list(state.settings.against),
        "settings": {"sampler": state.space.sampler, "pruner": state.settings.pruner},
    }
    request = state.request
    for stratum, cfg, known in zip(request.space.strata, request.configs, request.identities, strict=True):
        branch = search_branch(
            state.storage,
            state.name,
            stratum,
            state.space,
            cfg,
            state.settings,
            folder=state.folder,
            facts={**state.facts, IDENTITY: dict(known)},
            patiently=state.patiently,
        )
        require_same_distributions(branch)
        state.branches.append(branch)
    renew_facts(state, state.branches)
    if state.leads:
        with answering(state.store):
            for branch in state.branches:
                state.store.client.set_tag(state.parent_id, f"{BUDGET}{branch.stratum.name}", branch.budget)


def _open_parent(state: Sweep, known: str | None) -> str:
    """The MLflow run of the sweep, found or made; what had ended goes on.

    Args:
        state: the sweep.
        known: its id, where the database has it.
    """
    experiment, client = state.cfg.tracking.experiment, state.store.client
    with answering(state.store):
        parent_id = known or find_parent(state.store, experiment, state.name)
        if parent_id is None:
            tags = {"landslide.kind": "multirun", "landslide.sweep": state.name}
            tags["landslide.sampler"] = state.space.sampler  # of a search not all runs are compared
            return create_run(state.store, experiment, state.name, tags)
        require_run(state.store, parent_id, f"sweep '{state.name}'", "Name the store that it was begun in.")
        if state.leads:  # a worker that comes late would leave it running for good
            client.update_run(parent_id, "RUNNING")
            client.set_tag(parent_id, "landslide.sweep_state", "paused")  # if this start has no end
    return parent_id


def renew_facts(state: Sweep, branches: Sequence[Branch]) -> None:
    """What a later start may change, for who reads the database alone; a worker's words are not the sweep's."""
    if not state.leads:
        return
    for branch in branches:
        budget = {
            "n_trials": branch.target,
            "timeout_s": branch.budget_s,
            "repeats": repeats_wanted(state.space, state.settings),
        }
        branch.study.set_fact("settings", {**state.facts["settings"], **budget})
        branch.study.set_fact("folder", str(state.folder.absolute()))
        branch.study.set_fact("command", state.command)
        branch.study.set_fact(STOPPED, None)


def _announcement(state: Sweep) -> str:
    settings, space = state.settings, state.space
    total = sum(branch.target or 0 for branch in state.branches)
    done = sum(record.finished for record in state.records)
    how = "" if space.sampler == "grid" else f", searched by {space.sampler}"
    how += "" if settings.pruner == "none" else f", pruned by {settings.pruner}"
    budget = f"{settings.timeout_s:.0f} s of training a stratum" if settings.timeout_s else ""
    runs = f"{total} runs" if total else ""
    amount = " and ".join(word for word in (runs, budget) if word)
    others = "" if all(branch.complete for branch in state.branches) else ", the others go on"
    before = f"; {done} are finished{others}" if 0 < done != total else ""
    return f"{amount}{how}{before}; in the MLflow page they are under '{state.name}' (landslide ui)"
