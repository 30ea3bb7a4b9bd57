"""A grid of runs: one trial after the other under one MLflow parent run, with a comparison at the end."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from mlflow.entities import Metric
from mlflow.utils.time import get_current_time_millis
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape

from landslide import config as run_config
from landslide.errors import ConfigError, TrackingError
from landslide.report import compare
from landslide.report.runs import Objective
from landslide.report.table import Row
from landslide.sweep.space import TrialPlan, describe, grid
from landslide.terminal import open_console, tell
from landslide.tracking.model import MODEL
from landslide.tracking.run import TrackedRun, create_child, create_run, fail_run, send_rest, sync_command
from landslide.tracking.spool import Spool, unsent_folders
from landslide.tracking.store import Store, answering, open_store, wait_for
from landslide.training.checkpoint import CHECKPOINTS, RUN, read_run, write_json
from landslide.training.disk import require_disk
from landslide.training.run import RunResult

NOTE_LENGTH = 8000
"""MLflow cuts what is longer."""

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


@dataclass
class Sweep:
    """A multirun under way."""

    store: Store
    parent_id: str
    experiment: str
    console: Console
    finished: dict[int, RunResult] = field(default_factory=dict)
    finalists: dict[str, int] = field(default_factory=dict)
    """Trial whose weights stay, by architecture."""
    failed: int = 0
    interrupted: bool = False

    def tell(self, sentence: str) -> None:
        """Say a sentence, whatever characters are in it."""
        tell(self.console, sentence)

    def wait_for_store(self) -> None:
        """Go on once the store answers; after Ctrl-C nobody waits.

        Raises:
            TrackingError: where it does not.
        """
        wait_for(self.store, self.tell, 0 if self.interrupted else None)


def sweep(
    arguments: list[str],
    params: Mapping[str, Any],
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
) -> None:
    """Run every trial, then compare them.

    A trial that fails does not end the others. Ctrl-C ends the current trial, and what finished is still compared.

    Raises:
        UserError: for what the user can mend; nothing was trained then.
        SystemExit: 1 where a trial failed, 130 after Ctrl-C.
    """
    console = open_console()
    loader = hydra_context.config_loader
    overrides = OverridesParser.create(config_loader=loader).parse_overrides([*describe(params), *arguments])
    plans = grid(overrides, groups=loader.list_groups(""))
    configs = _compose_all(plans, hydra_context, config)
    store = open_store(configs[0].tracking.uri)
    folder = Path(config.hydra.sweep.dir)
    disk = require_disk(configs, folder)
    OmegaConf.save(config, folder / "multirun.yaml")
    state = _begin(store, plans, configs[0], _name(overrides), console)
    console.print(f"{disk}\n")
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=hydra_context, task_function=task_function, config=config
    )
    try:
        with answering(store):
            for plan, cfg in zip(plans, configs, strict=True):
                _run_trial(state, launcher, plan, cfg, len(plans))
                if state.interrupted:
                    break
            _finish(state, plans, configs[0], folder)
    except TrackingError as error:
        _end_without_store(state, error, folder)
    unsent = unsent_folders(folder)
    if unsent:
        state.tell(f"Not whole in MLflow: {', '.join(map(str, unsent))}. Send the rest: {sync_command(folder)}")
    if state.interrupted:
        sys.exit(EXIT_INTERRUPTED)
    if state.failed or unsent:
        sys.exit(EXIT_FAILED)


def _name(overrides: Sequence[Override]) -> str:
    varied = [override for override in overrides if override.is_sweep_override()] or overrides
    return " ".join(str(override.input_line) for override in varied) or "multirun"


def _compose_all(plans: Sequence[TrialPlan], context: HydraContext, config: DictConfig) -> list[DictConfig]:
    """Compose and check every trial, so that a wrong value is found before the first one trains."""
    configs = []
    for plan in plans:
        try:
            composed = context.config_loader.load_sweep_config(config, list(plan.overrides))
        except ValueError as error:  # a check without a name of its own, such as of `data=3,4`
            raise ConfigError(f"{' '.join(plan.overrides)}: does not compose ({error}).") from error
        try:
            run_config.check(composed)
        except ConfigError as error:
            asked = f" That is trial {plan.number + 1} of {len(plans)}: {plan.name}" if len(plans) > 1 else ""
            raise ConfigError(f"{error}{asked}") from error
        configs.append(composed)
    return configs


def _begin(store: Store, plans: Sequence[TrialPlan], cfg: DictConfig, name: str, console: Console) -> Sweep:
    parent_id = create_run(store, cfg.tracking.experiment, name[:250], {"landslide.kind": "multirun"})
    console.print(f"{len(plans)} runs; in the MLflow page they are under '{name}' (landslide ui)", markup=False)
    return Sweep(store, parent_id, cfg.tracking.experiment, console)


def _run_trial(state: Sweep, launcher: Any, plan: TrialPlan, cfg: DictConfig, total: int) -> None:
    state.console.rule(escape(f"{plan.number + 1}/{total}  {plan.name}"), align="left", characters="-")
    state.wait_for_store()
    run_id = create_child(state.store, state.parent_id, state.experiment, plan.name or "run", plan.number)
    overrides = [*plan.overrides, f"tracking.run_id={run_id}"]
    try:
        job = launcher.launch([overrides], initial_job_idx=plan.number)[0]
        state.finished[plan.number] = job.return_value
        _keep_the_better(state, plan.number, cfg)
    except KeyboardInterrupt:
        state.interrupted = True
        _end_if_running(state, run_id, "KILLED")
        state.console.print("\nInterrupted. Comparing what has finished.")
    except Exception as error:  # one bad trial never ends a sweep, whatever it died of; the reason is kept and shown
        state.failed += 1
        reason = str(error) or type(error).__name__
        if _end_if_running(state, run_id, "FAILED"):
            fail_run(state.store, run_id, reason)
        state.console.print(f"[bold red]failed:[/bold red] {escape(f'{type(error).__name__}: {reason}')}")


def _end_if_running(state: Sweep, run_id: str, status: str) -> bool:
    state.wait_for_store()
    client = state.store.client
    running: bool = client.get_run(run_id).info.status == "RUNNING"
    if running:
        client.set_terminated(run_id, status)
    return running


def _end_without_store(state: Sweep, error: TrackingError, folder: Path) -> None:
    """Leave what a lost server would have been told, so that ``landslide sync`` tells it; what was trained is kept."""
    facts = {"run_id": state.parent_id, "tracking_uri": run_config.without_credentials(state.store.uri)}
    write_json(folder / RUN, {**facts, "environment": {}})
    TrackedRun(Spool(folder)).set_status("KILLED" if state.interrupted else "FAILED")
    state.tell(
        f"{error}\nThe multirun ends here, with {len(state.finished)} runs finished. Their results are in {folder}; "
        f"once they are sent, compare them: landslide compare {state.parent_id}"
    )


def _finish(state: Sweep, plans: Sequence[TrialPlan], cfg: DictConfig, folder: Path) -> None:
    objective = Objective(cfg.objective.metric, maximize=cfg.objective.direction == "maximize")
    client = state.store.client
    _hand_on_finalists(state)
    state.wait_for_store()
    _send_rest(state, folder)
    try:
        comparison = compare(client, [state.parent_id], objective)
        files = comparison.write(folder / "comparison")
        state.console.print()
        comparison.terminal(state.console)
        page = next(file for file in files if file.suffix == ".html")
        state.console.print(f"\nThe whole comparison: {page}\nEvery run: landslide ui", markup=False)
        client.log_artifacts(state.parent_id, str(folder / "comparison"))
        client.set_tag(state.parent_id, "mlflow.note.content", _within_note(comparison.markdown()))
        _show_winner(state, comparison.rows[0])
    finally:
        client.set_terminated(state.parent_id, _status(state, len(plans)))


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


def _status(state: Sweep, planned: int) -> str:
    if state.interrupted:
        return "KILLED"
    return "FAILED" if state.failed == planned else "FINISHED"


def _keep_the_better(state: Sweep, number: int, cfg: DictConfig) -> None:
    """Of two runs of an architecture only the better keeps its weights, at once: a long sweep needs no large disk."""
    if cfg.tracking.keep_models != "finalists":
        return
    rival = state.finalists.setdefault(cfg.arch.name, number)
    if rival == number:
        return
    sign = 1 if cfg.objective.direction == "maximize" else -1
    better = sign * state.finished[number].score > sign * state.finished[rival].score
    state.finalists[cfg.arch.name], loser = (number, rival) if better else (rival, number)
    for name in (MODEL, CHECKPOINTS):
        shutil.rmtree(Path(state.finished[loser].folder) / name)


def _hand_on_finalists(state: Sweep) -> None:
    for number in state.finalists.values():
        TrackedRun(Spool(Path(state.finished[number].folder))).log_model()


def _send_rest(state: Sweep, folder: Path) -> None:
    """The finalists' models, and what was kept while the server was away."""
    for place in unsent_folders(folder):
        recorded = read_run(place)
        assert recorded is not None  # it is written before anything is logged
        try:
            send_rest(state.store, recorded["run_id"], place)
        except TrackingError as error:  # told again at the end, with the cure
            state.tell(str(error))
