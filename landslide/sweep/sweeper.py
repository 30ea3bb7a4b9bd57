"""Many runs from one command: a grid or a search, resumed where it was, with a comparison at the end."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext, TaskFunction
from mlflow.entities import Metric
from mlflow.utils.time import get_current_time_millis
from omegaconf import DictConfig, OmegaConf
from optuna.storages import BaseStorage
from rich.console import Console

from landslide import config as run_config
from landslide.errors import StorageError, SweepError, TrackingError
from landslide.report import compare
from landslide.report.comparison import with_searches
from landslide.report.runs import Objective
from landslide.report.selection import BUDGET, best_alone
from landslide.report.strata import Row
from landslide.report.sweep import SweepReport, report_sweep
from landslide.sweep.controller import Controller
from landslide.sweep.plan import (
    IDENTITY,
    PARENT,
    Branch,
    changes,
    generation_name,
    is_run,
    newest_generation,
    read_request,
    repeats_branch,
    repeats_wanted,
    require_same_distributions,
    search_branch,
)
from landslide.sweep.slots import Task, make_slots
from landslide.sweep.space import Space
from landslide.sweep.storage import (
    AdvisoryLocks,
    Claims,
    OneController,
    is_sqlite,
    known_to_jobs,
    open_storage,
    patiently,
    resolve_url,
)
from landslide.sweep.study import REPEATS, SEARCH
from landslide.sweep.watch import Watch
from landslide.terminal import open_console, tell
from landslide.tracking.run import TrackedRun, create_run, find_parent, require_run, send_rest, sync_command
from landslide.tracking.spool import Spool, discard_unsent, unsent_folders
from landslide.tracking.store import Store, answering, open_store, wait_for
from landslide.training.result import RUN, write_json

NOTE_LENGTH = 8000
"""MLflow cuts what is longer."""

EXIT_FAILED = 1
INTERRUPTED = 128
"""Plus the signal, as a shell has it."""


@dataclass
class Sweep:
    """A sweep under way."""

    name: str
    folder: Path
    space: Space
    settings: DictConfig
    compose: Callable[[list[str]], DictConfig]
    command: str
    """That goes on with it."""
    configs: Sequence[DictConfig]
    """Of each stratum, with nothing searched."""
    store: Store
    storage: BaseStorage
    claims: Claims
    shared: bool
    console: Console
    facts: dict[str, Any]
    branches: list[Branch]
    interrupted: int | None = None

    @property
    def cfg(self) -> DictConfig:
        """What all strata agree in."""
        return self.configs[0]

    @property
    def parent_id(self) -> str:
        """The MLflow run that stands for the sweep."""
        return str(self.facts[PARENT])

    def tell(self, sentence: str) -> None:
        """Say a sentence, whatever characters are in it."""
        tell(self.console, sentence)

    def patiently(self, write: Any) -> Any:
        """Write to the database of the sweep, again where it was away."""
        return patiently(write, self.tell)


def sweep(
    arguments: list[str],
    params: Mapping[str, Any],
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
) -> None:
    """Run what the command asks for, or go on with it, then compare.

    Raises:
        UserError: for what the user can mend; nothing was trained then, or all that was trained is kept.
        SystemExit: 1 where a trial failed, 128 + the signal after Ctrl-C or SIGTERM.
    """
    console = open_console()
    state = _open(arguments, params, hydra_context, config, console)
    told = run_config.without_credentials(OmegaConf.to_yaml(config))
    (state.folder / "multirun.yaml").write_text(told, encoding="utf-8")
    try:
        with known_to_jobs(resolve_url(config.sweep.storage)), answering(state.store):
            if all(branch.complete for branch in state.branches):
                state.tell(
                    f"Everything of '{state.name}' is finished: {_counts(state)}. To train it anew: sweep.fresh=true"
                )
            gc.collect()
            gc.freeze()  # or Python would search all modules and trials for garbage in each trial
            _train(state, Task(hydra_context, task_function, config))
            if config.sweep.role == run_config.WORKER:
                state.tell("Nothing is left to train here; the controller compares.")
            else:
                _finish(state)
    except TrackingError as error:
        _end_without_store(state, error)
    except (SweepError, StorageError):  # the database, or a trial's folder; what was trained is kept
        if config.sweep.role != run_config.WORKER:
            with answering(state.store):
                _end_parent(state, "KILLED", "paused")
        raise
    unsent = unsent_folders(state.folder)
    if unsent:
        state.tell(f"Not whole in MLflow: {', '.join(map(str, unsent))}. Send the rest: {sync_command(state.folder)}")
    if state.interrupted:
        sys.exit(INTERRUPTED + state.interrupted)
    if unsent or any(record.outcome.get("failed") for branch in state.branches for record in branch.study.records):
        sys.exit(EXIT_FAILED)


def _open(
    arguments: list[str], params: Mapping[str, Any], context: HydraContext, config: DictConfig, console: Console
) -> Sweep:
    """Everything that can be wrong is found here, before the first trial."""
    request = read_request(arguments, params, context.config_loader, config)
    space, configs, identities, settings = request.space, request.configs, request.identities, config.sweep
    for note in space.notes:
        tell(console, note)
    store = open_store(configs[0].tracking.uri)
    request.base.mkdir(parents=True, exist_ok=True)  # where that can't be, no database is made for it
    url = resolve_url(settings.storage)
    storage = open_storage(url)
    name = choose_generation(storage, request.name, space, identities, settings, console)
    folder = request.base / name
    shared = not is_sqlite(url)
    claims: Claims = (
        AdvisoryLocks(url, name, leads=settings.role != run_config.WORKER) if shared else OneController(folder)
    )
    folder.mkdir(parents=True, exist_ok=True)
    state = Sweep(
        name=name,
        folder=folder,
        space=space,
        settings=settings,
        compose=request.compose,
        command=_command(arguments, config),
        configs=configs,
        store=store,
        storage=storage,
        claims=claims,
        shared=shared,
        console=console,
        facts={},
        branches=[],
    )
    with claims.alone():
        _begin(state, identities)
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
    return run_config.without_credentials(f"python train.py -m {shlex.join(words)}".rstrip())


def choose_generation(
    storage: BaseStorage,
    wanted: str,
    space: Space,
    identities: Sequence[Mapping[str, str]],
    settings: DictConfig,
    console: Console,
) -> str:
    """Which sweep of this name goes on, or whether a new one begins.

    Raises:
        SweepError: where it is not the sweep that was begun, and ``sweep.on_change`` does not say what then.
    """
    newest = newest_generation(storage, wanted)
    name = generation_name(wanted, newest)
    if newest == 0 or settings.role == run_config.WORKER:
        if newest == 0 and settings.role == run_config.WORKER:
            raise SweepError(
                f"sweep.role=worker: there is no sweep '{wanted}' to work for. Start its controller first, with the "
                "same command without sweep.role."
            )
        return name
    if settings.fresh:
        return generation_name(wanted, newest + 1)
    begun = {study.study_name: study.user_attrs for study in storage.get_all_studies()}
    told: list[str] = []
    for stratum, now in zip(space.strata, identities, strict=True):
        before = begun.get(f"{name}/{stratum.name}", {}).get(IDENTITY)
        if before is not None:
            told += [line for line in changes(before, now) if line not in told]
    if not told or settings.on_change == "continue":
        if told:
            tell(console, f"'{name}' goes on, although {'; '.join(told)}.")
        return name
    if settings.on_change == "fresh":
        tell(console, f"'{name}' was another search ({'; '.join(told)}); a new one begins.")
        return generation_name(wanted, newest + 1)
    raise SweepError(
        f"sweep '{name}' is not the one that was begun:\n  "
        + "\n  ".join(told)
        + "\nGive it another name (sweep.name=...), begin anew (sweep.on_change=fresh), or go on all the same "
        "(sweep.on_change=continue)."
    )


def _begin(state: Sweep, identities: Sequence[Mapping[str, str]]) -> None:
    """The MLflow run of the sweep and the studies of its strata, found or made."""
    begun = [
        study.user_attrs
        for study in state.storage.get_all_studies()
        if study.study_name.startswith(f"{state.name}/") and PARENT in study.user_attrs
    ]
    settings, experiment = state.settings, state.cfg.tracking.experiment
    if not begun and any(state.folder.glob("*/[0-9]*")):  # a new trial 0 would go on from an old checkpoint
        raise SweepError(
            f"{state.folder}: holds trials that the database does not know. Name the database that they were begun with"
            " (sweep.storage=...), give the sweep another name (sweep.name=...), or remove that folder."
        )
    leads = settings.role != run_config.WORKER
    if leads:
        discard_unsent(state.folder)  # how it ended when its server was lost; it goes on
    with answering(state.store):
        parent_id = begun[0][PARENT] if begun else find_parent(state.store, experiment, state.name)
        if parent_id is None:
            tags = {"landslide.kind": "multirun", "landslide.sweep": state.name}
            tags["landslide.sampler"] = state.space.sampler  # of a search not all runs are compared
            parent_id = create_run(state.store, experiment, state.name, tags)
        else:
            require_run(state.store, parent_id, f"sweep '{state.name}'", "Name the store that it was begun in.")
            if leads:  # a worker that comes late would leave it running for good
                state.store.client.update_run(parent_id, "RUNNING")
                state.store.client.set_tag(parent_id, "landslide.sweep_state", "paused")  # if this start has no end
    state.facts = {
        PARENT: parent_id,
        "sweep": state.name,
        "objective": {"metric": state.cfg.objective.metric, "direction": state.cfg.objective.direction},
        "against": list(settings.against),
        "settings": {"sampler": state.space.sampler, "pruner": settings.pruner},
    }
    for stratum, cfg, known in zip(state.space.strata, state.configs, identities, strict=True):
        branch = search_branch(
            state.storage,
            state.name,
            stratum,
            state.space,
            cfg,
            settings,
            folder=state.folder,
            facts={**state.facts, IDENTITY: dict(known)},
            patiently=state.patiently,
        )
        require_same_distributions(branch)
        state.branches.append(branch)
    _renew_facts(state, state.branches)
    if leads:
        with answering(state.store):
            for branch in state.branches:
                state.store.client.set_tag(parent_id, f"{BUDGET}{branch.stratum.name}", branch.budget)


def _renew_facts(state: Sweep, branches: Sequence[Branch]) -> None:
    """What a later start may change, for who reads the database alone; a worker's words are not the sweep's."""
    if state.settings.role == run_config.WORKER:
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


def _announcement(state: Sweep) -> str:
    settings, space = state.settings, state.space
    total = sum(branch.target or 0 for branch in state.branches)
    done = sum(record.finished for branch in state.branches for record in branch.study.records)
    how = "" if space.sampler == "grid" else f", searched by {space.sampler}"
    how += "" if settings.pruner == "none" else f", pruned by {settings.pruner}"
    budget = f"{settings.timeout_s:.0f} s of training a stratum" if settings.timeout_s else ""
    runs = f"{total} runs" if total else ""
    amount = " and ".join(word for word in (runs, budget) if word)
    before = f"; {done} are finished, the others go on" if 0 < done != total else ""
    return f"{amount}{how}{before}; in the MLflow page they are under '{state.name}' (landslide ui)"


def _train(state: Sweep, task: Task) -> None:
    settings = state.settings
    slots = make_slots(task, settings.slots, state.tell)
    watch = Watch(state.console, state.branches, len(slots))
    controller = Controller(
        state.store,
        state.parent_id,
        state.cfg.tracking.experiment,
        state.claims,
        slots,
        watch,
        shared=state.shared,
        max_attempts=settings.max_attempts,
    )
    try:
        with watch.shown():
            controller.train(state.branches)
            if settings.role != run_config.WORKER and controller.signal is None:
                _repeat(state, watch, controller)
    finally:
        state.interrupted = controller.signal
        for slot in slots:
            slot.close()


def _repeat(state: Sweep, watch: Watch, controller: Controller) -> None:
    """The best setting of each stratum anew, with the same seeds for all."""
    if not repeats_wanted(state.space, state.settings):
        return
    found = [
        repeats_branch(state.storage, branch, cfg, state.settings.repeats, state.facts, state.patiently)
        for branch, cfg in zip(list(state.branches), state.configs, strict=True)
    ]
    repeats = [branch for branch in found if branch is not None]
    _renew_facts(state, repeats)
    state.branches += repeats
    watch.branches += repeats
    controller.train(repeats)


def _counts(state: Sweep) -> str:
    return ", ".join(f"{branch.title} {len(branch.study.records)}" for branch in state.branches)


def _end_without_store(state: Sweep, error: TrackingError) -> None:
    """Leave what a lost server would have been told, so that ``landslide sync`` tells it; what was trained is kept."""
    facts = {"run_id": state.parent_id, "tracking_uri": run_config.without_credentials(state.store.uri)}
    write_json(state.folder / RUN, {**facts, "environment": {}})
    TrackedRun(Spool(state.folder)).set_status("KILLED" if state.interrupted else "FAILED")
    finished = sum(record.finished for branch in state.branches for record in branch.study.records)
    state.tell(
        f"{error}\nThe sweep ends here, with {finished} runs finished. Their results are in {state.folder}; the same "
        f"command goes on. Once they are sent, compare them: landslide compare {state.parent_id}"
    )


def _finish(state: Sweep) -> None:
    _hand_on_finalists(state)
    wait_for(state.store, state.tell, 0 if state.interrupted else None)  # after a signal nobody waits
    _send_rest(state)
    try:
        _report(state)
    finally:
        _end_parent(state, _status(state), "finished" if state.interrupted is None else "paused")


def _end_parent(state: Sweep, status: str, sweep_state: str) -> None:
    state.store.client.set_tag(state.parent_id, "landslide.sweep_state", sweep_state)
    state.store.client.set_terminated(state.parent_id, status)


def _report(state: Sweep) -> None:
    objective = Objective(state.cfg.objective.metric, maximize=state.cfg.objective.direction == "maximize")
    client = state.store.client
    if not any(record.launch for branch in state.branches for record in branch.study.records):
        return
    compared = _compared(state)
    tried = sum(len(branch.study.records) for branch in state.branches if branch.kind == SEARCH)
    notes = [] if compared == [state.parent_id] else [best_alone(state.name, tried)]
    comparison = compare(client, compared, objective, notes=notes)
    place = state.folder / "comparison"
    report = _search_report(state) if state.space.parameters else None
    folds = report is not None and report.folds is not None
    if report is not None:
        comparison = with_searches(comparison, {state.name: report.pictures})
    pages, note = {"comparison": comparison.write(place)}, comparison.markdown()
    if report is not None:
        pages["search"] = report.write(place)
        if folds or state.space.sampler != "grid":
            note = f"{report.markdown()}\n{note}"
            state.console.print()
            report.terminal(state.console)
    if not folds:  # whose runs are measured on different tiles
        state.console.print()
        comparison.terminal(state.console)
    state.console.print()
    for what, files in pages.items():
        page = next(file for file in files if file.suffix == ".html")
        state.console.print(f"The whole {what}: {page}", markup=False, soft_wrap=True)
    state.console.print("Every run: landslide ui")
    client.log_artifacts(state.parent_id, str(place))
    client.set_tag(state.parent_id, "mlflow.note.content", _within_note(note))
    if not folds:
        _show_winner(state, comparison.rows[0])


def _search_report(state: Sweep) -> SweepReport:
    studies = [optuna.load_study(study_name=branch.study.name, storage=state.storage) for branch in state.branches]
    compose_one = state.compose if is_run(state.cfg) else None
    uri = state.store.client.tracking_uri
    return report_sweep(studies, tracking_uri=uri, command=state.command, compose=compose_one)


def _compared(state: Sweep) -> list[str]:
    """What is compared: of a search without repeats its best trials, which the studies know without asking MLflow."""
    found = [branch.study.best for branch in state.branches if branch.kind == SEARCH]
    best = [record.launch["run_id"] for record in found if record is not None]
    repeated = any(
        record.launch for branch in state.branches if branch.kind == REPEATS for record in branch.study.records
    )
    return best if best and state.space.sampler != "grid" and not repeated else [state.parent_id]


def _show_winner(state: Sweep, winner: Row) -> None:
    """Put the best run's figures on the parent, so that a list of multiruns shows what each came to."""
    if winner.score is None:
        return
    client, now = state.store.client, get_current_time_millis()
    client.set_tag(state.parent_id, "landslide.best_run", f"{winner.run.name} {winner.run.id}")
    best = [Metric(key, value, now, 0) for key, value in winner.run.metrics.items() if key.startswith("best/")]
    client.log_batch(state.parent_id, metrics=best)


def _within_note(text: str) -> str:
    rest = "\n\nThe rest is in the artifact comparison.html."
    return text if len(text) <= NOTE_LENGTH else text[: NOTE_LENGTH - len(rest)].rpartition("\n")[0] + rest


def _status(state: Sweep) -> str:
    if state.interrupted:
        return "KILLED"
    records = [record for branch in state.branches for record in branch.study.records]
    return "FAILED" if all(record.outcome.get("failed") for record in records) else "FINISHED"


def _finalists(state: Sweep) -> list[Path]:
    return [
        branch.folder / str(record.number)
        for branch in state.branches
        for record in branch.study.records
        if branch.keeps_model(record)
    ]


def _hand_on_finalists(state: Sweep) -> None:
    if state.cfg.tracking.get("keep_models") != "finalists":
        return
    for folder in _finalists(state):
        if (folder / "model").is_dir():  # else it was handed on before
            TrackedRun(Spool(folder)).log_model()


def _send_rest(state: Sweep) -> None:
    """The finalists' models, and what was kept while the server was away."""
    for branch in state.branches:
        for record in branch.study.records:
            place = branch.folder / str(record.number)
            if record.finished and (place / "unsent").is_dir():
                try:
                    send_rest(state.store, record.launch["run_id"], place)
                except TrackingError as error:  # told again at the end, with the cure
                    state.tell(str(error))
