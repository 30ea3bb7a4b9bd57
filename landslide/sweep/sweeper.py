"""Many runs from one command: a grid or a search, resumed where it was, with a comparison at the end."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from landslide.config import without_credentials
from landslide.errors import StorageError, SweepError, TrackingError
from landslide.sweep.branch import Branch, repeats_branch
from landslide.sweep.closing import end_parent, end_without_store, finish
from landslide.sweep.controller import Controller
from landslide.sweep.opening import Sweep, open_sweep, renew_facts
from landslide.sweep.plan import repeats_wanted
from landslide.sweep.slots import Task, make_slots
from landslide.sweep.storage import known_to_jobs, resolve_url
from landslide.sweep.watch import Watch
from landslide.terminal import open_console
from landslide.tracking.run import sync_command
from landslide.tracking.spool import unsent_folders
from landslide.tracking.store import answering

EXIT_FAILED = 1
INTERRUPTED = 128
"""Plus the signal, as a shell has it."""


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
    state = open_sweep(arguments, params, hydra_context, config, open_console())
    told = without_credentials(OmegaConf.to_yaml(config))
    (state.folder / "multirun.yaml").write_text(told, encoding="utf-8")
    try:
        with known_to_jobs(resolve_url(config.sweep.storage)), answering(state.store):
            _train_and_finish(state, Task(hydra_context, task_function, config))
    except TrackingError as error:
        end_without_store(state, error)
    except (SweepError, StorageError):  # the database, or a trial's folder; what was trained is kept
        if state.leads:
            with answering(state.store):
                end_parent(state, "KILLED", "paused")
        raise
    unsent = unsent_folders(state.folder)
    if unsent:
        state.tell(f"Not whole in MLflow: {', '.join(map(str, unsent))}. Send the rest: {sync_command(state.folder)}")
    if state.interrupted:
        sys.exit(INTERRUPTED + state.interrupted)
    if unsent or any(record.outcome.get("failed") for record in state.records):
        sys.exit(EXIT_FAILED)


def _train_and_finish(state: Sweep, task: Task) -> None:
    if all(branch.complete for branch in state.branches) and all(branch.complete for branch in _repeats(state)):
        counts = ", ".join(f"{branch.title} {len(branch.study.records)}" for branch in state.branches)
        state.tell(f"Everything of '{state.name}' is finished: {counts}. To train it anew: sweep.fresh=true")
    gc.collect()
    gc.freeze()  # or Python would search all modules and trials for garbage in each trial
    _train(state, task)
    if state.leads:
        finish(state)
    else:
        state.tell("Nothing is left to train here; the controller compares.")


def _train(state: Sweep, task: Task) -> None:
    settings = state.settings
    slots = make_slots(task, settings.slots, state.tell)
    repeats = repeats_wanted(state.space, settings) if state.leads else 0  # which are the controller's
    watch = Watch(state.console, state.branches, len(slots), repeats)
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
            if controller.signal is None:
                _repeat(state, watch, controller)
    finally:
        state.interrupted = controller.signal
        if state.interrupted:
            state.tell(f"\nInterrupted. {state.way_on}; comparing what has finished.")
        for slot in slots:
            slot.close()


def _repeats(state: Sweep) -> list[Branch]:
    """Of the best setting of each stratum, as it is now, with the same seeds for all; none of a worker."""
    if not state.leads or not repeats_wanted(state.space, state.settings):
        return []
    found = [
        repeats_branch(state.storage, branch, cfg, state.settings.repeats, state.facts, state.patiently)
        for branch, cfg in zip(list(state.branches), state.request.configs, strict=True)
    ]
    return [branch for branch in found if branch is not None]


def _repeat(state: Sweep, watch: Watch, controller: Controller) -> None:
    repeats = _repeats(state)
    if not repeats:
        return
    renew_facts(state, repeats)
    state.branches += repeats
    watch.add_repeats(repeats)
    controller.train(repeats)
