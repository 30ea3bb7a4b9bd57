"""A table with its words, as a page shows it under the main one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from landslide.report.runs import Run
from landslide.report.table import MISSING, PLUS_MINUS, Cell, Column, escape_markdown, to_markdown

Runs = Mapping[str, Sequence[Run]]
"""By model: the runs that its numbers are of."""


@dataclass(frozen=True)
class Section:
    """One table, what it is called, and what its numbers are."""

    title: str
    caption: str
    columns: tuple[Column, ...]
    """Of equal length, at least one cell each; the first one names the rows."""

    def markdown(self) -> str:
        """Title, table and caption."""
        return f"**{self.title}**\n\n{to_markdown(self.columns)}\n{escape_markdown(self.caption)}"


def means(
    heading: str, rows: Mapping[str, Sequence[float]], form: str, runs: Runs, *, larger_is_better: bool
) -> Column:
    """A column of means over seeds, a row a model, with the standard deviation where there are several seeds.

    Args:
        heading: of the column.
        rows: by model, the values of its seeds; NaN where one is undefined.
        form: of a number.
        runs: by model.
        larger_is_better: whether the largest or the smallest mean is marked, where there are several.
    """
    cells = [_mean(values, form, tuple(runs.get(model, ()))) for model, values in rows.items()]
    known = [cell.value for cell in cells if cell.value is not None]
    if len(known) > 1:
        best = form.format(max(known) if larger_is_better else min(known))
        cells = [replace(cell, best=cell.value is not None and form.format(cell.value) == best) for cell in cells]
    return Column(heading.lower(), heading, tuple(cells))


def _mean(values: Sequence[float], form: str, runs: tuple[Run, ...]) -> Cell:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Cell(MISSING)
    spread = f" {PLUS_MINUS} {form.format(stdev(known))}" if len(known) > 1 else ""
    return Cell(form.format(fmean(known)) + spread, fmean(known), runs=runs)
