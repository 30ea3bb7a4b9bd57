"""The tables of a sweep, one row a stratum or one row a trial, and their forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from landslide.report import table
from landslide.report.labels import ARCHITECTURES, SEED
from landslide.report.runs import Objective
from landslide.report.summary import metric_name
from landslide.report.sweep_trials import FAILED, PRUNED, RUNNING, Parameter, Stratum, Trial, seeds_alone
from landslide.report.table import MISSING, clock, escape_markdown

SETTING = "Tuned setting"
_WIDE = ("Run", SETTING, "Repeats", "Seeds", "Difference", "SD", "Running", "Failed")
"""Columns that a narrow terminal goes without, in this order."""

_AGAINST = {
    "time/fit_s": ("Training (s)", 1.0),
    "model/parameters": ("Parameters (M)", 1e6),
    "model/gflops": ("GFLOPs", 1.0),
    "memory/peak_mb": ("Peak memory (MB)", 1.0),
}
"""Heading, and how many of the metric's own unit are one of the shown."""


@dataclass(frozen=True)
class Cell:
    """One field of a table."""

    text: str
    best: bool = False
    """Whether it is the best of its column."""
    run_id: str = ""
    """Of the MLflow run that it names, or that its number is of."""


@dataclass(frozen=True)
class Column:
    """One column: a heading over cells."""

    heading: str
    cells: tuple[Cell, ...]
    numeric: bool = True


Columns = Sequence[Column]


def strata_table(strata: Sequence[Stratum], parameters: Sequence[Parameter]) -> list[Column]:
    """What tuning did to each stratum: default, tuned and repeated, and what it took."""
    columns = [_names(strata, [stratum.label for stratum in strata])]
    if any(stratum.front for stratum in strata):
        columns.append(_numbers("On the front", [str(len(stratum.front)) for stratum in strata]))
    else:
        columns += _gains(strata)
    columns += [*_counts(strata), _numbers("Time (min:s)", [clock(stratum.seconds) for stratum in strata])]
    if not any(stratum.front for stratum in strata) and not seeds_alone(strata):
        settings = [setting_text(stratum.best.params, parameters) if stratum.best else MISSING for stratum in strata]
        columns.append(_texts(SETTING, settings))
    return columns


def trials_table(
    strata: Sequence[Stratum], parameters: Sequence[Parameter], objective: Objective, against: Sequence[str]
) -> list[Column]:
    """Every trial of every stratum, then its repeats."""
    rows = [
        (stratum, trial, kind)
        for stratum in strata
        for kind, trials in (("search", stratum.trials), ("repeat", stratum.repeats))
        for trial in trials
    ]
    trials = [trial for _, trial, _ in rows]
    chosen = not seeds_alone(strata)
    best = [
        kind == "search" and trial is stratum.best and not stratum.front and chosen for stratum, trial, kind in rows
    ]
    values = [_number(trial.values[0]) if trial.values else MISSING for trial in trials]
    return [
        _names(strata, [stratum.label for stratum, _, _ in rows]),
        _numbers("Trial", [str(trial.number) for trial in trials]),
        _texts("Kind", [kind for _, _, kind in rows]),
        _texts("State", [trial.state for trial in trials]),
        _linked(Column(metric_name(objective.metric), tuple(map(Cell, values, best))), trials),
        *_against(trials, against),
        *_setting(trials, parameters),
        _numbers("Best epoch", [MISSING if trial.epoch is None else str(trial.epoch) for trial in trials]),
        _numbers("Time (min:s)", [MISSING if trial.seconds is None else clock(trial.seconds) for trial in trials]),
        _texts("Origin", [trial.origin for trial in trials]),
        _texts("Reason", [trial.reason for trial in trials]),
        Column("Run", tuple(Cell(trial.run_id, run_id=trial.run_id) for trial in trials), numeric=False),
    ]


def front_table(
    strata: Sequence[Stratum], parameters: Sequence[Parameter], objective: Objective, against: Sequence[str]
) -> list[Column]:
    """The trials on the Pareto front of each stratum, best objective first."""
    rows = [
        (stratum.label, trial)
        for stratum in strata
        for trial in sorted(front(stratum), key=lambda trial: trial.values[0], reverse=objective.maximize)
    ]
    trials = [trial for _, trial in rows]
    return [
        _names(strata, [label for label, _ in rows]),
        _numbers("Trial", [str(trial.number) for trial in trials]),
        _linked(_numbers(metric_name(objective.metric), [_number(trial.values[0]) for trial in trials]), trials),
        *_against(trials, against),
        *_setting(trials, parameters),
        Column("Run", tuple(Cell(trial.run_id, run_id=trial.run_id) for trial in trials), numeric=False),
    ]


def front(stratum: Stratum) -> list[Trial]:
    """The trials of a stratum that no other one beats in everything."""
    return [trial for trial in stratum.finished if trial.number in stratum.front]


def against_name(metric: str) -> str:
    """``time/fit_s`` is Training (s)."""
    return _AGAINST[metric][0] if metric in _AGAINST else metric


def against_number(metric: str, value: float) -> float:
    """A value in the unit of its heading."""
    return value / _AGAINST[metric][1] if metric in _AGAINST else value


def setting_text(params: Mapping[str, Any], parameters: Sequence[Parameter]) -> str:
    """A setting in words: ``lr 0.00123, batch_size 8``, without its seed; a dash where nothing else is varied."""
    axes = [axis for axis in parameters if axis.key in params and axis.key != SEED]
    known = [f"{axis.label} {value_text(params[axis.key])}" for axis in axes]
    return ", ".join(known) or MISSING


def value_text(value: Any) -> str:
    """A value as it is typed, floats with three digits."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def to_csv(strata: Sequence[Stratum], parameters: Sequence[Parameter], against: Sequence[str]) -> str:
    """Every number in full, an empty field where it is missing; a last column for each parameter."""
    keys = [axis.key for axis in parameters]
    seed = [] if "seed" in keys else ["seed"]  # which the repeats vary
    columns = ["stratum", "kind", "number", "state", "value", *against, "epoch", "seconds", "reason", "origin"]
    lines: list[list[object]] = [[*columns, "run_id", *keys, *seed]]
    for stratum in strata:
        for kind, trials in (("search", stratum.trials), ("repeat", stratum.repeats)):
            for trial in trials:
                values = [repr(value) for value in trial.values] + [""] * (1 + len(against) - len(trial.values))
                facts = [trial.epoch, trial.seconds, trial.reason, trial.origin, trial.run_id]
                setting = _whole_setting(stratum, trial, kind)
                texts = [_csv_text(setting[key]) if key in setting else "" for key in [*keys, *seed]]
                lines.append([stratum.name, kind, trial.number, trial.state, *values, *facts, *texts])
    return table.to_csv(lines)


def to_markdown(columns: Columns) -> str:
    """A table of GitHub's Markdown, the best values bold."""
    lines = [
        [column.heading for column in columns],
        ["---:" if column.numeric else "---" for column in columns],
        *([_markdown(cell) for cell in cells] for cells in zip(*(column.cells for column in columns), strict=True)),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def print_table(console: Console, columns: Columns) -> None:
    """Print a table, without its less telling columns where the terminal is too narrow for all."""
    table = _terminal_table(columns)
    for heading in _WIDE:
        if Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
            break
        columns = [column for column in columns if column.heading != heading]
        table = _terminal_table(columns)
    console.print(table)


def _terminal_table(columns: Columns) -> RichTable:
    table = RichTable(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(column.heading), justify="right" if column.numeric else "left")
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(cell.text, "bold green" if cell.best else "") for cell in cells))
    return table


def _counts(strata: Sequence[Stratum]) -> list[Column]:
    """Finished, pruned and failed trials, and those that still run where there are any."""
    columns = [_numbers("Finished", [str(len(stratum.finished)) for stratum in strata])]
    for state in (PRUNED, FAILED, RUNNING):
        found = [stratum.count(state) for stratum in strata]
        if state != RUNNING or any(found):
            columns.append(_numbers(state.capitalize(), [str(count) for count in found]))
    return columns


def _gains(strata: Sequence[Stratum]) -> list[Column]:
    over_seeds = [stratum.scores(stratum.best) if stratum.best and stratum.seeded else [] for stratum in strata]
    if seeds_alone(strata):
        return _over_seeds("Seeds", over_seeds, strata)
    columns = []
    for origin, heading in (("default", "Default"), ("paper", "Table I")):
        known = [stratum.known(origin) for stratum in strata]
        if origin == "default" or any(known):
            scores = zip(strata, known, strict=True)
            texts = [_number(one.score(trial)) if trial else MISSING for one, trial in scores]
            columns.append(_linked(_numbers(heading, texts), _alone(strata, known)))
    best = [stratum.best for stratum in strata]
    tuned = [one.score(trial) if trial else None for one, trial in zip(strata, best, strict=True)]
    columns.append(_linked(_ranked("Tuned", tuned, strata), _alone(strata, best)))
    columns.append(_numbers("Difference", [gain_text(stratum) for stratum in strata]))
    repeated = [stratum.repeated for stratum in strata]
    if any(repeated):
        columns += _over_seeds("Repeats", repeated, strata)
    elif any(over_seeds):
        seeds, _, spread = _over_seeds("Seeds", over_seeds, strata)
        columns += [seeds, spread]
    return columns


def _over_seeds(heading: str, values: Sequence[Sequence[float]], strata: Sequence[Stratum]) -> list[Column]:
    return [
        _numbers(heading, [str(len(each)) for each in values]),
        _ranked("Mean", [mean(each) if each else None for each in values], strata),
        _numbers("SD", [_number(stdev(each)) if len(each) > 1 else MISSING for each in values]),
    ]


def gain_text(stratum: Stratum) -> str:
    """Tuned minus default, with its sign; a dash where one of them has not finished."""
    default = stratum.known("default")
    return f"{stratum.score(stratum.best) - stratum.score(default):+.4f}" if stratum.best and default else MISSING


def _against(trials: Sequence[Trial], against: Sequence[str]) -> list[Column]:
    def text(metric: str, values: Sequence[float]) -> str:
        return f"{against_number(metric, values[0]):.4g}" if values else MISSING

    return [
        _linked(_numbers(against_name(metric), [text(metric, trial.values[at : at + 1]) for trial in trials]), trials)
        for at, metric in enumerate(against, start=1)
    ]


def _setting(trials: Sequence[Trial], parameters: Sequence[Parameter]) -> list[Column]:
    """A column a parameter; the repeats show their seed, and else the setting that they repeat is said above."""
    columns = [(axis.key, axis.label) for axis in parameters]
    if any("seed" in trial.params for trial in trials) and "seed" not in dict(columns):
        columns.append(("seed", "seed"))
    return [
        _numbers(label, [value_text(trial.params[key]) if key in trial.params else MISSING for trial in trials])
        for key, label in columns
    ]


def _whole_setting(stratum: Stratum, trial: Trial, kind: str) -> Mapping[str, Any]:
    """Of a repeat, also what it shares with the trial that it repeats."""
    number = stratum.best.number if stratum.repeated_number is None and stratum.best else stratum.repeated_number
    shared = {} if kind == "search" or number is None else stratum.trials[number].params
    return {**shared, **trial.params}


def _ranked(heading: str, values: Sequence[float | None], strata: Sequence[Stratum]) -> Column:
    known = [value for value in values if value is not None]
    choose = max if strata[0].maximize else min
    best = {_number(choose(known))} if len(known) > 1 else set()
    texts = [MISSING if value is None else _number(value) for value in values]
    return Column(heading, tuple(Cell(text, best=text in best) for text in texts))


def _alone(strata: Sequence[Stratum], trials: Sequence[Trial | None]) -> list[Trial | None]:
    """Without those of which a mean over seeds stands in the table, which is of no one run."""
    return [None if stratum.seeded else trial for stratum, trial in zip(strata, trials, strict=True)]


def _linked(column: Column, trials: Sequence[Trial | None]) -> Column:
    """With the run of each number's trial."""
    pairs = zip(column.cells, trials, strict=True)
    runs = [(cell, trial.run_id if trial and cell.text != MISSING else "") for cell, trial in pairs]
    return replace(column, cells=tuple(replace(cell, run_id=run_id) for cell, run_id in runs))


def _names(strata: Sequence[Stratum], labels: Sequence[str]) -> Column:
    return _texts("Model" if any(stratum.name in ARCHITECTURES for stratum in strata) else "Search", labels)


def _texts(heading: str, texts: Sequence[str]) -> Column:
    return Column(heading, tuple(map(Cell, texts)), numeric=False)


def _numbers(heading: str, texts: Sequence[str]) -> Column:
    return Column(heading, tuple(map(Cell, texts)))


def _number(value: float) -> str:
    return f"{value:.4f}"


def _csv_text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else value_text(value)


def _markdown(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    return f"**{text}**" if cell.best else text
