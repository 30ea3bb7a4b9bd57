"""``landslide sweep``: how far sweeps are, and what one would do."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landslide.cli.storage_options import add_storage, storage_of

if TYPE_CHECKING:
    from rich.console import Console

    from landslide.sweep.preview import Preview
    from landslide.sweep.status import StudyStatus, SweepStatus

CONF = Path(__file__).parents[2] / "conf"

LAST_TRIALS = 15
"""Of one sweep, listed with their reasons."""


def add(commands: Any) -> None:
    """Add the command and its own sub-commands."""
    parser = commands.add_parser("sweep", help="how far sweeps are, and what one would do", description=__doc__)
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_status(kinds)
    _add_plan(kinds)


def _add_status(kinds: Any) -> None:
    status = kinds.add_parser(
        "status",
        help="how far each sweep is, its best so far, and how to go on",
        description="How far each sweep is, from its database alone: finished trials and those to come, the best of "
        "each stratum, what runs, what was interrupted, and what goes on with it. The newest stands last.",
    )
    status.add_argument("name", nargs="?", metavar="NAME", help="only this sweep, with its last trials")
    add_storage(status)
    status.set_defaults(run=run_status)


def _add_plan(kinds: Any) -> None:
    plan = kinds.add_parser(
        "plan",
        help="what `python train.py -m ...` would run, for how long and on how much disk",
        description="What `python train.py -m OVERRIDES...` would run: strata, space, trials, whether it goes on with "
        "a sweep that was begun, disk and time. Nothing is written but the tile cache. The time comes from finished "
        "trials of the same sweep, else from a few batches of each stratum's default setting, which are trained for "
        "it. Exit status 1 where a default setting cannot be trained.",
    )
    plan.add_argument("overrides", nargs="*", metavar="OVERRIDES", help="the same words as after `python train.py -m`")
    plan.set_defaults(run=run_plan)


def run_status(arguments: argparse.Namespace) -> int:
    """Print every sweep, or one with its last trials."""
    from landslide.sweep.status import read_sweeps
    from landslide.terminal import open_console

    sweeps = read_sweeps(storage_of(arguments), arguments.name)
    console = open_console()
    for number, sweep in enumerate(sweeps):
        if number:
            console.print()
        _show_sweep(console, sweep)
        if arguments.name:
            _show_last_trials(console, sweep)
        _show_way_on(console, sweep)
    return 0


def _show_sweep(console: Console, sweep: SweepStatus) -> None:
    from rich.markup import escape
    from rich.table import Table

    from landslide.terminal import tell

    settings = sweep.studies[0].settings
    facts = [f"{sweep.state}, by {sweep.controller}" if sweep.controller else sweep.state]
    facts += [str(settings["sampler"])] if "sampler" in settings else []
    facts += [f"pruned by {settings['pruner']}"] if settings.get("pruner", "none") != "none" else []
    facts += [f"last change {sweep.changed:%Y-%m-%d %H:%M}"] if sweep.changed else []
    metric = sweep.objective.get("metric", "objective")
    console.print(f"[bold]{escape(sweep.name)}[/bold]: {escape(', '.join(facts))}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stratum", overflow="fold")
    opened = {"running": "running", "interrupted": "stopped", "unfinished": "open"}
    shown = [state for state in opened if any(study.count(state) for study in sweep.studies)]
    for name in ("finished", *(opened[state] for state in shown), "pruned", "failed", metric):
        table.add_column(escape(name), justify="right", no_wrap=True)
    table.add_column("of", overflow="fold")
    table.add_column("training", justify="right", no_wrap=True)
    for study in sweep.studies:
        counts = [str(study.count(state)) for state in (*shown, "pruned", "failed")]
        value, what = _result(study)
        table.add_row(
            escape(study.title),
            _progress(study),
            *counts,
            value,
            escape(what),
            _duration(study.seconds),
        )
    console.print(table)
    for study in sweep.studies:
        if study.stopped:
            tell(
                console, f"{study.title}: no further trials, because {study.stopped}. The same command tries once more."
            )


def _progress(study: StudyStatus) -> str:
    if study.target is not None or study.budget_s is None:
        return f"{len(study.told)}/{'?' if study.target is None else study.target}"
    return f"{len(study.told)}, {min(1.0, study.seconds / study.budget_s):.0%} of time"


def _result(study: StudyStatus) -> tuple[str, str]:
    """The best value and its parameters; of repeats the mean, since none of them is chosen."""
    from statistics import mean

    from landslide.sweep.study import SEARCH

    if study.kind != SEARCH:
        values = [trial.value for trial in study.trials if trial.state == "complete" and trial.value is not None]
        return (f"{mean(values):.4f}", f"mean of {len(values)} seeds") if values else ("-", "")
    best = study.best
    return ("-", "") if best is None or best.value is None else (f"{best.value:.4f}", best.label)


def _show_last_trials(console: Console, sweep: SweepStatus) -> None:
    from rich.markup import escape
    from rich.table import Table

    from landslide.sweep.study import REPEATS

    trials = sorted(
        ((study, trial) for study in sweep.studies for trial in study.trials), key=lambda pair: pair[1].changed
    )
    table = Table("trial", "state", "value", "parameters", "training", "reason", box=None, pad_edge=False)
    for study, trial in trials[-LAST_TRIALS:]:
        table.add_row(
            escape(f"{study.stratum}{', repeat' if study.kind == REPEATS else ''} {trial.number}"),
            trial.state,
            "-" if trial.value is None else f"{trial.value:.4f}",
            escape(trial.label),
            _duration(trial.seconds) if trial.seconds else "-",
            escape(trial.reason),
        )
    before = len(trials) - LAST_TRIALS
    console.print(f"\nThe last {LAST_TRIALS} trials, of {len(trials)}:" if before > 0 else "\nTrials:")
    console.print(table)


def _show_way_on(console: Console, sweep: SweepStatus) -> None:
    from landslide.sweep.status import FINISHED, UNDER_WAY
    from landslide.terminal import tell

    if sweep.state == FINISHED:
        return
    if sweep.state != UNDER_WAY and sweep.command:
        tell(console, f"Go on: {sweep.command}")
    elif sweep.state != UNDER_WAY:
        tell(console, "It cannot go on: another sweep of this name was begun after it.")


def run_plan(arguments: argparse.Namespace) -> int:
    """Print what would run; 1 where a stratum's default setting cannot be trained."""
    from hydra.errors import CompactHydraException

    from landslide.cli.exit_status import USER_ERROR, tell_refusal
    from landslide.terminal import open_console

    console = open_console()
    try:
        found = _preview(arguments.overrides, console)
    except CompactHydraException as error:  # in Hydra's words, as train.py
        tell_refusal(error, CONF)
        return USER_ERROR
    _show_plan(console, found)
    return 1 if any(stratum.problem for stratum in found.strata) else 0


def _preview(overrides: list[str], console: Console) -> Preview:
    """Compose as ``train.py -m`` does.

    Raises:
        UserError: what the sweep itself would raise.
        CompactHydraException: for what Hydra refuses.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    from landslide.config import composing, register
    from landslide.sweep.preview import preview

    register()
    with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        with composing(overrides):
            config = loader.load_configuration("config", overrides, run_mode=RunMode.MULTIRUN)
        words = list(config.hydra.overrides.task)
        return preview(words, config.hydra.sweeper.get("params") or {}, loader, config, console)


def _show_plan(console: Console, found: Preview) -> None:
    from rich.markup import escape
    from rich.table import Table

    from landslide.terminal import tell

    space = found.request.space
    console.print(f"[bold]{escape(found.name)}[/bold]: {escape(_beginning(found))}", soft_wrap=True)
    for note in space.notes:
        tell(console, note)
    facts = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, (key, text) in enumerate(space.describe().items()):
        facts.add_row("" if number else "space", escape(f"{key}: {text}"))
    facts.add_row("sampler", space.sampler + (f", pruned by {found.pruner}" if found.pruner != "none" else ""))
    if found.budget_s is not None:
        facts.add_row("budget", f"{_duration(found.budget_s)} of training for each stratum")
    if found.repeats:
        facts.add_row("repeats", f"{found.repeats} of the best setting of each stratum")
    if found.slots > 1:
        facts.add_row("slots", str(found.slots))
    console.print(facts)
    table = Table("stratum", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("trials", "finished", "one trial", "all that is left"):
        table.add_column(name, justify="right")
    table.add_column("from")
    for stratum in found.strata:
        left = found.left_s(stratum)
        table.add_row(
            escape(stratum.name),
            "?" if stratum.target is None else str(stratum.target),
            str(stratum.finished),
            "-" if stratum.trial_s is None else _duration(stratum.trial_s),
            "-" if left is None else _duration(left),
            escape(", ".join(f"{origin} {count}" for origin, count in stratum.origins.items())),
        )
    console.print(table)
    for stratum in found.strata:
        if stratum.problem:
            console.print(
                f"{stratum.name} cannot be trained: {stratum.problem}", markup=False, style="red", soft_wrap=True
            )
    if found.request.disk:
        tell(console, found.request.disk)
    _show_time(console, found)


def _beginning(found: Preview) -> str:
    from landslide.sweep.status import FINISHED, UNDER_WAY

    if found.before is None:
        return "begins"
    if found.before.state == UNDER_WAY:
        return f"is under way, by {found.before.controller}"
    finished = sum(stratum.finished for stratum in found.strata)
    left = any(found.left_s(stratum) != 0 for stratum in found.strata)
    if found.before.state == FINISHED and not left:
        return f"everything is finished, {finished} trials. To train it anew: sweep.fresh=true"
    return f"goes on, {finished} trials are finished"


def _show_time(console: Console, found: Preview) -> None:
    from landslide.terminal import tell

    measured = [stratum.name for stratum in found.strata if stratum.measured and not stratum.problem]
    known = [stratum.name for stratum in found.strata if not stratum.measured]
    if not measured and not known:
        return
    tell(
        console,
        f"time: about {_about(found.wall_s)}{' for the others' if len(measured + known) < len(found.strata) else ''}",
    )
    if known:
        tell(console, f"  judged by the trials that have finished: {', '.join(known)}")
    if measured:
        shared = " The slots share one device." if found.slots > found.devices else ""
        tell(
            console,
            f"  estimated from a few batches of the default setting: {', '.join(measured)}. Without pruning and early "
            f"stopping, and without the seconds in which a trial prepares, writes "
            f"checkpoints and records.{shared}",
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
