"""A table with its words, as a page shows it under the main one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from landslide.report.sweep_table import Cell, Column, to_markdown
from landslide.report.table import MISSING, escape_markdown


@dataclass(frozen=True)
class Section:
    """One table, what it is called, and what its numbers are."""

    title: str
    caption: str
    columns: tuple[Column, ...]
    """Of equal length, at least one cell each; the first one names the rows."""

    def markdown(self) -> str:
        """Heading, table and caption."""
        return f"## {self.title}\n\n{to_markdown(self.columns)}\n{escape_markdown(self.caption)}\n"


def names(heading: str, texts: Sequence[str]) -> Column:
    """A column of words."""
    return Column(heading, tuple(map(Cell, texts)), numeric=False)


def means(heading: str, rows: Sequence[Sequence[float]], form: str, *, larger_is_better: bool | None = None) -> Column:
    """A column of means over seeds, with the standard deviation where there are several.

    Args:
        heading: of the column.
        rows: the values of each row's seeds, NaN where one is undefined.
        form: of a number.
        larger_is_better: whether the largest or the smallest mean is marked; None marks none.
    """
    known = [[value for value in values if not math.isnan(value)] for values in rows]
    texts = [form.format(mean(values)) if values else MISSING for values in known]
    best: set[str] = set()
    if larger_is_better is not None and sum(map(bool, known)) > 1:
        choose = max if larger_is_better else min
        best = {form.format(choose(mean(values) for values in known if values))}
    spread = [f" ± {form.format(stdev(values))}" if len(values) > 1 else "" for values in known]
    return Column(heading, tuple(Cell(text + sd, best=text in best) for text, sd in zip(texts, spread, strict=True)))
