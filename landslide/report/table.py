"""The table of a comparison, one row a run, and its forms: Markdown, CSV, LaTeX and the terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from landslide.report.labels import Label, label_runs
from landslide.report.runs import Objective, Run

MISSING = "\N{EN DASH}"
RATIOS = {"accuracy": "Accuracy", "precision": "Precision", "recall": "Recall", "f1": "F1", "iou": "IoU"}

_STORED = {key: f"best/{key}" for key in RATIOS} | {
    "f1_last": "last/f1",
    "best_epoch": "best/epoch",
    "time_s": "time/fit_s",
    "parameters": "model/parameters",
    "gflops": "model/gflops",
}
"""By key of the CSV file: the metric that holds it."""

_NUMBERS = ("objective", *_STORED, "epochs", "images_per_s")
_WIDE = ("run", "settings", "gflops", "parameters", "images_per_s", "f1_last", "accuracy", "epoch", "iou")
"""Columns that a narrow terminal goes without, in this order."""


@dataclass(frozen=True)
class Row:
    """One run of the table."""

    run: Run
    label: Label
    score: float | None
    """The objective at the best epoch; None where the run has not finished."""
    numbers: Mapping[str, float]
    """By key of the CSV file; what was not stored is not in it."""


@dataclass(frozen=True)
class Column:
    """One column: its heading, the text of a cell, and whether a larger or a smaller number is better."""

    key: str
    heading: str
    text: Callable[[Row], str]
    larger_is_better: bool | None = None
    numeric: bool = True


def make_rows(runs: Sequence[Run], objective: Objective) -> tuple[Row, ...]:
    """Rows, best objective first; what has not finished comes last, in the order given."""
    labels = label_runs(runs)
    rows = [
        Row(run, label, run.score(objective), _numbers(run, objective)) for run, label in zip(runs, labels, strict=True)
    ]
    sign = -1 if objective.maximize else 1
    return tuple(sorted(rows, key=lambda row: (not row.run.finished, row.score is None, sign * (row.score or 0))))


def make_columns(rows: Sequence[Row], objective: Objective) -> list[Column]:
    """The columns that these rows need."""
    columns = [Column("model", "Model", lambda row: row.label.text, numeric=False)]
    if any(row.label.described for row in rows):
        columns.append(Column("settings", "Settings", lambda row: row.label.described, numeric=False))
    if objective.metric.removeprefix("val/") not in RATIOS:
        columns.append(_number("objective", objective.metric, "{:.4f}", larger_is_better=objective.maximize))
    columns += [_number(key, heading, "{:.4f}", larger_is_better=True) for key, heading in RATIOS.items()]
    columns += [
        _number("f1_last", "F1, last epoch", "{:.4f}", larger_is_better=True),
        Column("epoch", "Best epoch", _epochs),
        Column("time_s", "Time (min:s)", _time, larger_is_better=False),
        _number("images_per_s", "Images/s", "{:.1f}", larger_is_better=True),
        Column("parameters", "Parameters (M)", _millions),
        _number("gflops", "GFLOPs", "{:.1f}"),
        Column("status", "Status", lambda row: row.run.status.lower(), numeric=False),
        Column("run", "Run", lambda row: f"{row.run.name} {row.run.id[:8]}", numeric=False),
    ]
    return columns


def best_texts(column: Column, rows: Sequence[Row]) -> set[str]:
    """The text of the best number in a column; empty where nothing is better or worse, or nothing to compare with.

    As text, so that two numbers that look the same are both the best.
    """
    known = [row for row in rows if column.key in row.numbers]
    if column.larger_is_better is None or len(known) < 2:
        return set()
    choose = max if column.larger_is_better else min
    return {column.text(choose(known, key=lambda row: row.numbers[column.key]))}


def caption(objective: Objective) -> str:
    """What the numbers are: said under every table."""
    return (
        f"Accuracy to IoU at the best epoch by {objective.metric}, selected on these validation tiles, "
        "so they flatter. Pixels are pooled over tiles; F1, IoU, precision and recall are of the landslide class. "
        "Time is training with validation; images/s is the median over epochs; "
        "GFLOPs are one forward pass of one image, 2 x multiply-adds."
    )


def reasons(rows: Sequence[Row]) -> list[str]:
    """A sentence for each run that did not finish."""
    return [
        f"{row.label.text} {row.run.status.lower()}: {row.run.reason.rstrip('.') or 'no reason was stored'}."
        for row in rows
        if not row.run.finished and (row.run.reason or row.run.status == "FAILED")
    ]


def to_markdown(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A table of GitHub's Markdown, the best values bold."""
    lines = [
        [column.heading for column in columns],
        ["---:" if column.numeric else "---" for column in columns],
        *_cells(rows, columns, escape=escape_markdown, bold="**{}**"),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>|~])", r"\\\1", " ".join(text.split()))


def to_latex(rows: Sequence[Row], columns: Sequence[Column], *, above: str, below: str) -> str:
    """A ``table*`` for a paper; needs the package booktabs.

    Args:
        rows: of the table.
        columns: all but the ones that only a screen needs.
        above: the caption.
        below: a note under the table.
    """
    columns = [column for column in columns if column.key not in {"settings", "run"}]
    lines = _cells(rows, columns, escape=escape_latex, bold=r"\textbf{{{}}}")
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            r"\begin{table*}",
            r"  \centering\footnotesize\setlength{\tabcolsep}{3pt}",
            f"  \\caption{{{escape_latex(above)}}}",
            r"  \label{tab:landslide-comparison}",
            f"  \\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in columns)}}}",
            r"    \toprule",
            f"    {' & '.join(escape_latex(column.heading) for column in columns)} \\\\",
            r"    \midrule",
            *(f"    {' & '.join(line)} \\\\" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
            f"  \\par\\smallskip {escape_latex(below)}",
            r"\end{table*}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {char: f"\\{char}" for char in "&%$#_{}"} | {"<": r"\textless{}", ">": r"\textgreater{}", MISSING: "--"}
    return "".join(special.get(char, char) for char in text)


def to_csv(rows: Sequence[Row]) -> str:
    """Every number in full, an empty field where it is missing; a last column for each setting that differs."""
    settings = list(dict.fromkeys(key for row in rows for key in row.label.settings))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["run_id", "run_name", "model", "status", "reason", *_NUMBERS, *settings])
    for row in rows:
        run = row.run
        texts = [run.id, run.name, row.label.text, run.status, run.reason]
        values = [repr(row.numbers[key]) if key in row.numbers else "" for key in _NUMBERS]
        writer.writerow([*texts, *values, *(row.label.settings.get(key, "") for key in settings)])
    return buffer.getvalue()


def print_table(console: Console, rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """Print the table, without its less telling columns where the terminal is too narrow for all."""
    table = _terminal_table(rows, columns)
    for key in _WIDE:
        if Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
            break
        columns = [column for column in columns if column.key != key]
        table = _terminal_table(rows, columns)
    console.print(table)


def _terminal_table(rows: Sequence[Row], columns: Sequence[Column]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(column.heading), justify="right" if column.numeric else "left")
    best = [best_texts(column, rows) for column in columns]
    for row in rows:
        texts = [column.text(row) for column in columns]
        style = "" if row.run.finished else "dim"
        cells = [
            Text(text, "bold green" if text in marked else style) for text, marked in zip(texts, best, strict=True)
        ]
        table.add_row(*cells)
    return table


def _cells(rows: Sequence[Row], columns: Sequence[Column], escape: Callable[[str], str], bold: str) -> list[list[str]]:
    best = [best_texts(column, rows) for column in columns]
    return [
        [
            bold.format(escape(text)) if (text := column.text(row)) in marked else escape(text)
            for column, marked in zip(columns, best, strict=True)
        ]
        for row in rows
    ]


def _numbers(run: Run, objective: Objective) -> dict[str, float]:
    if not run.finished:
        return {}
    numbers = {key: run.metrics[name] for key, name in _STORED.items() if name in run.metrics}
    epochs = [epoch for series in run.history.values() for epoch, _ in series]
    speeds = [speed for _, speed in run.history["time/images_per_s"]]
    score = run.score(objective)
    return (
        ({"objective": score} if score is not None else {})
        | numbers
        | ({"epochs": max(epochs)} if epochs else {})
        | ({"images_per_s": median(speeds)} if speeds else {})
    )


def _number(key: str, heading: str, form: str, *, larger_is_better: bool | None = None) -> Column:
    return Column(
        key,
        heading,
        lambda row: form.format(row.numbers[key]) if key in row.numbers else MISSING,
        larger_is_better,
    )


def _epochs(row: Row) -> str:
    best, epochs = (f"{row.numbers[key]:.0f}" if key in row.numbers else MISSING for key in ("best_epoch", "epochs"))
    return f"{best} / {epochs}" if epochs != MISSING else best


def _time(row: Row) -> str:
    if "time_s" not in row.numbers:
        return MISSING
    minutes, seconds = divmod(round(row.numbers["time_s"]), 60)
    return f"{minutes}:{seconds:02d}"


def _millions(row: Row) -> str:
    return f"{row.numbers['parameters'] / 1e6:.2f}" if "parameters" in row.numbers else MISSING
