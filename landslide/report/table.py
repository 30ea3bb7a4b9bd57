"""The tables of a comparison, a row a stratum or a row a run, and their forms: Markdown, CSV, LaTeX, terminal."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from landslide.report.labels import SEED
from landslide.report.runs import UNDER_WAY, Objective, Run
from landslide.report.statistics import Estimate
from landslide.report.strata import NUMBERS, RATIOS, SELECTED, Row, Stratum

MISSING = "\N{EN DASH}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
MARK = "\N{DAGGER}"
"""Of a heading over what was selected on the tiles that it is measured on."""

_LONG = 32
"""Characters beyond which the words of a printed column are wrapped."""

_MOST_NAMED = 4

_PAPER = 106
"""Characters of a table that fit beside each other on paper."""

_MACHINE_BOUND = frozenset({"time_s", "time_to_best_s", "images_per_s", "memory_mb"})
"""Numbers that say something of the device."""

_WIDE = ("runs", "settings", "gflops", "parameters", "images_per_s", "accuracy", "epoch", "iou", "precision", "recall")
_WIDER = ("time_s", "seeds", "f1_last", "f1_interval")
"""Columns that a narrow terminal goes without, in this order."""


@dataclass(frozen=True)
class Cell:
    """One field of a table."""

    text: str
    value: float | None = None
    """By which it is sorted; None sorts by the text."""
    best: bool = False
    """Whether it is the best of its column."""
    runs: tuple[Run, ...] = ()
    """That it is a number of, or that it names."""


@dataclass(frozen=True)
class Column:
    """One column: a heading over cells."""

    key: str
    heading: str
    cells: tuple[Cell, ...]
    numeric: bool = True
    second: bool = False
    """Whether it stands in a second table on paper, and is left out in the terminal."""
    rankable: bool = True
    """Whether its cells may be put in order."""

    def linked(self, runs: Sequence[tuple[Run, ...]]) -> Column:
        """The same, each cell that is not missing with the runs that it is a number of."""
        cells = zip(self.cells, runs, strict=True)
        return replace(
            self, cells=tuple(cell if cell.text == MISSING else replace(cell, runs=each) for cell, each in cells)
        )


@dataclass(frozen=True)
class _Number:
    """How a number is shown."""

    key: str
    heading: str
    text: Callable[[float], str]
    larger_is_better: bool | None = None
    second: bool = False


def _fixed(digits: int) -> Callable[[float], str]:
    return f"{{:.{digits}f}}".format


def clock(seconds: float) -> str:
    """``10:12`` of 612 seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


_SHOWN = (
    *(_Number(key, heading, _fixed(4), larger_is_better=True) for key, heading in RATIOS.items()),
    _Number("f1_last", "F1, last epoch", _fixed(4), larger_is_better=True),
    _Number("average_precision", "PR area", _fixed(4), larger_is_better=True, second=True),
    _Number("ece", "ECE", _fixed(4), larger_is_better=False, second=True),
    _Number("threshold", "Threshold", _fixed(3), second=True),
    _Number("f1_at_threshold", "F1 at threshold", _fixed(4), larger_is_better=True, second=True),
    _Number("temperature", "Temperature", _fixed(2), second=True),
    _Number("time_s", "Time (min:s)", clock, larger_is_better=False),
    _Number("time_to_best_s", "To best epoch (min:s)", clock, larger_is_better=False, second=True),
    _Number("images_per_s", "Images/s", _fixed(1), larger_is_better=True),
    _Number("memory_mb", "Memory (MB)", _fixed(0), larger_is_better=False, second=True),
    _Number("parameters", "Parameters (M)", lambda value: f"{value / 1e6:.2f}"),
    _Number("gflops", "GFLOPs", _fixed(1)),
)
_INTERVALS = ("f1", "f1_last")


def strata_columns(strata: Sequence[Stratum], objective: Objective, *, one_device: bool) -> list[Column]:
    """The table of strata.

    Args:
        strata: best first.
        objective: of the comparison.
        one_device: whether all were trained on the same; else times are shown and not ranked.
    """
    runs = [tuple(row.run for row in stratum.rows) for stratum in strata]
    columns = [words("Model", [stratum.name for stratum in strata])]
    if any(stratum.described for stratum in strata):
        columns.append(words("Settings", [stratum.described for stratum in strata]))
    for number in _numbers(objective):
        rankable = one_device or number.key not in _MACHINE_BOUND
        columns.append(_ranked(number, [_mean_cell(stratum, number) for stratum in strata], rankable))
        if number.key in _INTERVALS:
            columns.append(_interval_column(number, strata))
    columns.insert(_position(columns, "time_s"), _epoch_column(strata))
    if any(len(stratum.rows) > 1 for stratum in strata):
        seeds = [Cell(str(len(runs)), len(runs), runs=runs) for runs in map(_counted, strata)]
        columns.append(Column("seeds", "Seeds", tuple(seeds)))
    columns.append(words("Status", [stratum.status for stratum in strata]))
    named = [Cell(_run_names(stratum), runs=those) for stratum, those in zip(strata, runs, strict=True)]
    return [*columns, Column("runs", "Runs", tuple(named), numeric=False)]


def run_columns(rows: Sequence[Row], objective: Objective, *, one_device: bool) -> list[Column]:
    """The table of runs, for the page."""
    columns = [words("Run", [row.label.text for row in rows], key="model")]
    for number in _numbers(objective):
        cells = [_cell(number, row.numbers.get(number.key), (row.run,)) for row in rows]
        columns.append(_ranked(number, cells, one_device or number.key not in _MACHINE_BOUND))
    columns.append(words("Status", [row.run.status.lower() for row in rows]))
    return [*columns, Column("runs", "MLflow run", tuple(Cell(row.run.name, runs=(row.run,)) for row in rows), False)]


def caption(objective: Objective, strata: Sequence[Stratum]) -> str:
    """What the numbers are: said under every table."""
    several = any(len(stratum.finished) > 1 for stratum in strata)
    over = f"Mean {PLUS_MINUS} standard deviation over seeds. " if several else ""
    said = f"{of_intervals(strata)} " if any(stratum.interval("f1") for stratum in strata) else ""
    return (
        f"{MARK} At the best epoch by {objective.metric}, selected on these tiles, so it flatters; the last epoch is "
        f"not selected. {over}{said}Pixels are pooled over tiles; F1, IoU, precision and recall are of the landslide "
        "class. Time is training with validation; images/s is the median over epochs; "
        "GFLOPs are one forward pass of one image, 2 x multiply-adds."
    )


CALIBRATION = (
    "PR area is the area under the precision-recall curve (average precision), ECE the expected calibration error over "
    "16 groups of equal width. The threshold is the one with the highest F1, the temperature what logits are divided "
    "by to be calibrated best; both are chosen on these tiles. Memory is the most that training held, of the GPU, else "
    "of the process."
)
"""What the numbers of the second table are."""


def second_columns(columns: Sequence[Column]) -> list[Column]:
    """The table of what the first one leaves out on paper, row by row; empty where nothing of it is known."""
    known = [
        replace(column, second=False)
        for column in columns
        if column.second and any(cell.value is not None for cell in column.cells)
    ]
    return [columns[0], *known] if known else []


def of_intervals(strata: Sequence[Stratum]) -> str:
    """What 95 % intervals are of, in a sentence."""
    several = any(len(stratum.finished) > 1 for stratum in strata)
    return f"95 % intervals are {'over seeds and tiles; of one seed, over tiles alone' if several else 'over tiles'}."


def reasons(rows: Sequence[Row]) -> list[str]:
    """A sentence for each run that failed, and one for those that still go and for those that were interrupted."""
    failed = [
        f"{row.label.text} {row.run.status.lower()}: {row.run.reason.rstrip('.') or 'no reason was stored'}."
        for row in rows
        if not row.run.finished and (row.run.reason or row.run.status == "FAILED")
    ]
    unended = {
        why: [row.label.text for row in rows if row.run.status in states and not row.run.reason]
        for why, states in (("Still going", UNDER_WAY), ("Interrupted", ("KILLED",)))
    }
    return failed + [f"{why}, so without numbers here: {listed(names)}." for why, names in unended.items() if names]


def to_markdown(columns: Sequence[Column]) -> str:
    """A table of GitHub's Markdown, the best values bold."""
    columns = [column for column in columns if not column.second]
    lines = [
        [column.heading for column in columns],
        ["---:" if column.numeric else "---" for column in columns],
        *([_marked(cell, escape_markdown, "**{}**") for cell in cells] for cells in _lines(columns)),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>|~])", r"\\\1", " ".join(text.split()))


def to_latex(columns: Sequence[Column], *, above: str, below: str, label: str = "tab:landslide-comparison") -> str:
    """A ``table*`` for a paper; needs the package booktabs.

    Args:
        columns: of the table; those that only a screen needs are left out.
        above: the caption.
        below: a note under the table; empty for none.
        label: by which a paper refers to it.
    """
    columns = [column for column in columns if not column.second and column.key not in {"settings", "runs"}]
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            r"\begin{table*}",
            r"  \centering\footnotesize\setlength{\tabcolsep}{3pt}",
            f"  \\caption{{{escape_latex(above)}}}",
            f"  \\label{{{label}}}",
            *(_tabular(part) for part in _parts(columns)),
            *([f"  \\par\\smallskip {escape_latex(below)}"] if below else []),
            r"\end{table*}",
            "",
        ]
    )


def _tabular(columns: Sequence[Column]) -> str:
    lines = [[_marked(cell, escape_latex, r"\textbf{{{}}}") for cell in cells] for cells in _lines(columns)]
    return "\n".join(
        [
            r"  \par\smallskip",
            f"  \\begin{{tabular}}{{{''.join(map(_alignment, columns))}}}",
            r"    \toprule",
            f"    {' & '.join(escape_latex(column.heading) for column in columns)} \\\\",
            r"    \midrule",
            *(f"    {' & '.join(line)} \\\\" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
        ]
    )


def _parts(columns: Sequence[Column]) -> list[list[Column]]:
    """The columns of as many tables under each other as paper is too narrow for all; each begins with the first one."""
    first, *others = columns
    parts = [[first]]
    for column in others:
        if len(parts[-1]) > 1 and sum(map(_characters, [*parts[-1], column])) > _PAPER:
            parts.append([first])
        parts[-1].append(column)
    return parts


def _characters(column: Column) -> float:
    """As wide as the widest of them, with the space between two columns."""
    if _alignment(column).startswith("p"):
        return 0.24 * _PAPER
    return max(len(text) for text in (column.heading, *(cell.text for cell in column.cells))) + 1.5


def _alignment(column: Column) -> str:
    if column.numeric:
        return "r"
    return r"p{0.24\linewidth}" if any(len(cell.text) > _LONG for cell in column.cells) else "l"


_LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    MISSING: "--",
    MARK: r"\dag{}",
    PLUS_MINUS: r"$\pm$",
}


_UNSET = frozenset("\xad\xab\xbb\xd0\xde\xf0\xfeĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲų\u017f")
"""Below U+0180, letters that pdfLaTeX lacks in its default fonts."""


def escape_latex(text: str) -> str:
    r"""Text that pdfLaTeX sets as it is; of a character that its default fonts lack, the number in Unicode.

    Examples:
        >>> escape_latex("50 % of run_1 \N{SNOWMAN}")
        '50 \\% of run\\_1 [U+2603]'
    """
    return "".join(_LATEX.get(char) or (char if _is_set(char) else f"[U+{ord(char):04X}]") for char in text)


def _is_set(char: str) -> bool:
    return char.isspace() or (char.isprintable() and char < "\u0180" and char not in _UNSET)


def runs_csv(rows: Sequence[Row]) -> str:
    """Every run with every number in full, an empty field where it is missing; a last column for each setting."""
    settings = list(dict.fromkeys(key for row in rows for key in row.label.settings))
    lines = [["run_id", "run_name", "model", "stratum", SEED, "status", "reason", *NUMBERS, *settings]]
    for row in rows:
        run = row.run
        texts = [run.id, run.name, row.label.text, row.label.stratum, run.params.get(SEED, ""), run.status, run.reason]
        values = [csv_number(row.numbers.get(key)) for key in NUMBERS]
        lines.append([*texts, *values, *(row.label.settings.get(key, "") for key in settings)])
    return to_csv(lines)


def strata_csv(strata: Sequence[Stratum]) -> str:
    """Every stratum: of each number its mean and standard deviation over seeds, of each ratio its 95 % interval too."""
    keys = [f"{key}{end}" for end in ("", "_last") for key in RATIOS]
    parts = [f"{key}_{part}" for key in NUMBERS for part in ("mean", "sd", *(("low", "high") if key in keys else ()))]
    lines = [["stratum", "seeds", "tiles", *parts]]
    for stratum in strata:
        interval = stratum.interval("f1")
        line = [stratum.name, str(len(stratum.finished)), str(interval.tiles) if interval else ""]
        for key in NUMBERS:
            line += [csv_number(stratum.mean(key)), csv_number(stratum.sd(key))]
            if key in keys:
                found = stratum.interval(key)
                line += [csv_number(found.low), csv_number(found.high)] if found else ["", ""]
        lines.append(line)
    return to_csv(lines)


def to_csv(lines: Iterable[Sequence[object]]) -> str:
    """Lines of a CSV file; None is an empty field."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(lines)
    return buffer.getvalue()


def csv_number(value: float | None) -> str:
    """In full; empty where it is missing or undefined."""
    return "" if value is None or value != value else repr(value)  # noqa: PLR0124  (NaN alone is not equal to itself)


def print_table(console: Console, columns: Sequence[Column], dim: Sequence[bool] | None = None) -> None:
    """Print a table, without its less telling columns where the terminal is too narrow for all.

    Args:
        console: to print to.
        columns: of the table; those of the second one are left out.
        dim: for each row, whether it holds no result.
    """
    columns = [column for column in columns if not column.second]
    table = _terminal_table(columns, dim)
    for key in (*_WIDE, *_WIDER):
        if Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
            break
        columns = [column for column in columns if column.key != key]
        table = _terminal_table(columns, dim)
    console.print(table)


def _terminal_table(columns: Sequence[Column], dim: Sequence[bool] | None) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(column.heading), justify="right" if column.numeric else "left")
    for at, cells in enumerate(_lines(columns)):
        style = "dim" if dim and dim[at] else ""
        table.add_row(*(Text(cell.text, "bold green" if cell.best else style) for cell in cells))
    return table


def _lines(columns: Sequence[Column]) -> Iterable[tuple[Cell, ...]]:
    return zip(*(column.cells for column in columns), strict=True)


def _marked(cell: Cell, escape: Callable[[str], str], bold: str) -> str:
    return bold.format(escape(cell.text)) if cell.best else escape(cell.text)


def _numbers(objective: Objective) -> list[_Number]:
    """The objective has a column of its own where it is none of the ratios."""
    if objective.metric.removeprefix("val/") in RATIOS:
        return list(_SHOWN)
    return [_Number("objective", objective.metric, _fixed(4), objective.maximize), *_SHOWN]


def _mean_cell(stratum: Stratum, number: _Number) -> Cell:
    runs = tuple(row.run for row in stratum.rows if number.key in row.numbers)
    mean, sd = stratum.mean(number.key), stratum.sd(number.key)
    cell = _cell(number, mean, runs)
    if mean is None:
        return cell
    spread = ""
    if sd is not None and len(set(stratum.values(number.key))) > 1:  # unlike the number of parameters
        spread = f" {PLUS_MINUS} {number.text(sd)}"
    some = f" ({len(runs)} of {len(stratum.finished)} runs)" if len(runs) < len(stratum.finished) else ""
    return replace(cell, text=f"{cell.text}{spread}{some}")


def _cell(number: _Number, value: float | None, runs: tuple[Run, ...]) -> Cell:
    return Cell(MISSING) if value is None else Cell(number.text(value), value, runs=runs)


def _ranked(number: _Number, cells: Sequence[Cell], rankable: bool) -> Column:
    """The best number of a column is marked, as text: two that look the same are both the best."""
    known = [cell for cell in cells if cell.value is not None]
    if rankable and number.larger_is_better is not None and len(known) > 1:
        choose = max if number.larger_is_better else min
        best = number.text(choose(cell.value for cell in known if cell.value is not None))
        cells = [replace(cell, best=cell.value is not None and number.text(cell.value) == best) for cell in cells]
    return Column(number.key, number.heading + _mark(number), tuple(cells), second=number.second, rankable=rankable)


def _interval_column(number: _Number, strata: Sequence[Stratum]) -> Column:
    cells = []
    for stratum in strata:
        found = stratum.interval(number.key)
        cells.append(replace(interval_cell(found.low, found.high), runs=_counted(stratum)) if found else Cell(MISSING))
    second = number.key != "f1" or all(cell.value is None for cell in cells)
    return Column(f"{number.key}_interval", f"{number.heading}, 95 %{_mark(number)}", tuple(cells), second=second)


def _mark(number: _Number) -> str:
    return MARK if number.key in SELECTED else ""


def _counted(stratum: Stratum) -> tuple[Run, ...]:
    return tuple(row.run for row in stratum.finished)


def interval_cell(low: float, high: float) -> Cell:
    """``0.8150 to 0.8320``, sorted by its lower end; a dash where an end is undefined."""
    return Cell(MISSING) if math.isnan(low) or math.isnan(high) else Cell(f"{low:.4f} to {high:.4f}", low)


def estimate_text(found: Estimate | None) -> str:
    """``0.8446 ± 0.0071``; without the deviation where there is one seed, a dash where the mean is undefined."""
    if found is None or math.isnan(found.mean):
        return MISSING
    return f"{found.mean:.4f}" if math.isnan(found.sd) else f"{found.mean:.4f} {PLUS_MINUS} {found.sd:.4f}"


def listed(texts: Sequence[str], between: str = ", ") -> str:
    """The first few of them, and how many more there are."""
    more = len(texts) - _MOST_NAMED
    return between.join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def words(heading: str, texts: Sequence[str], key: str = "") -> Column:
    """A column of words; its key is the heading in small letters unless it is given."""
    return Column(key or heading.lower(), heading, tuple(map(Cell, texts)), numeric=False)


def _epoch_column(strata: Sequence[Stratum]) -> Column:
    """The best epoch of each run, and of how many."""
    cells = []
    for stratum in strata:
        best = ", ".join(f"{value:.0f}" for value in stratum.values("best_epoch")) or MISSING
        epochs = stratum.values("epochs")
        of = " to ".join(dict.fromkeys(f"{end:.0f}" for end in (min(epochs), max(epochs)))) if epochs else ""
        text = f"{best} / {of}" if of else best
        cells.append(Cell(text, stratum.mean("best_epoch"), runs=_counted(stratum)))
    return Column("epoch", f"Best epoch{MARK}", tuple(cells))


def _position(columns: Sequence[Column], key: str) -> int:
    return next(at for at, column in enumerate(columns) if column.key == key)


def _run_names(stratum: Stratum) -> str:
    if len(stratum.rows) == 1:
        run = stratum.rows[0].run
        return f"{run.name} {run.id[:8]}"
    return ", ".join(f"{row.seed}: {row.run.id[:8]}" for row in stratum.rows)
