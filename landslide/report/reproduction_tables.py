"""Tables I and II of the paper beside ours, the rankings that follow from them, and the times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landslide.report.paper import CITATION, METRICS, TABLE_II, Reported
from landslide.report.reproduction_models import TIME, Model, Shown
from landslide.report.reproduction_settings import Change, scaled, settings_table, titled
from landslide.report.reproduction_verdicts import one_device, rankings, reported, verdict_on
from landslide.report.statistics import Estimate
from landslide.report.strata import RATIOS
from landslide.report.table import (
    MISSING,
    PLUS_MINUS,
    Cell,
    Column,
    csv_number,
    estimate_text,
    interval_cell,
    to_csv,
    words,
)


@dataclass(frozen=True)
class Table:
    """A table with its words."""

    title: str
    columns: Sequence[Column]
    caption: str


def make_tables(models: Sequence[Model], shown: Mapping[str, Shown], changes: Sequence[Change]) -> list[Table]:
    """Tables I and II, rankings and times; without Table I where nothing has finished.

    Args:
        models: in the order of Table II.
        shown: by architecture, what those that finished have recorded.
        changes: what is not as the paper has it.
    """
    first = next((model for model in models if model.runs), None)
    settings = [] if first is None else [_settings(first, shown[first.arch], changes)]
    return [*settings, _results(models, changes), _orders(models, changes), _times(models, changes)]


def _settings(model: Model, shown: Shown, changes: Sequence[Change]) -> Table:
    return Table(
        titled("Table I and section IV: hyperparameters", changes),
        settings_table(model.runs[0], shown.artifacts.split, shown.artifacts.environment, changes),
        f"Ours as {model.name} of seed {model.seeds[0]} recorded it; the models share them.",
    )


def _results(models: Sequence[Model], changes: Sequence[Change]) -> Table:
    rows = [(model, quantity) for model in models for quantity in (*METRICS, TIME)]
    found = [model.estimate(quantity) for model, quantity in rows]
    runs = [model.runs for model, _ in rows]
    ours = [
        estimate_text(each) if quantity != TIME else minutes_text(model.minutes)
        for (model, quantity), each in zip(rows, found, strict=True)
    ]
    one_seed = any(each is not None and each.seeds == 1 for each in found)
    return Table(
        titled("Table II: performance", changes),
        [
            words("Model", [model.name for model, _ in rows]),
            words("Quantity", [RATIOS.get(quantity, "Time (min)") for _, quantity in rows]),
            _numbers(CITATION, [theirs_text(TABLE_II[model.arch], quantity) for model, quantity in rows]),
            _numbers("Ours", ours, [model.mean(quantity) for model, quantity in rows]).linked(runs),
            Column("interval", "95 % interval", tuple(map(_interval, found))).linked(runs),
            words("Verdict on ours", [verdict_on(model, quantity, changes) for model, quantity in rows]),
        ],
        f"Ours at the last epoch, mean {PLUS_MINUS} standard deviation over seeds, pixels of all validation tiles "
        "pooled; the 95 % interval is of the mean, over seeds and tiles"
        f"{' (of one seed: over tiles alone)' if one_seed else ''}. Better and worse: our interval lies above or "
        "below the paper's number. Scores of the landslide class.",
    )


def _orders(models: Sequence[Model], changes: Sequence[Change]) -> Table:
    found = rankings(models)
    runs = [tuple(run for model in models for run in model.runs)] * len(found)
    several = " Our runs were trained on several devices, so their times are not ranked."
    return Table(
        titled("Rankings", changes),
        [
            words("By", [RATIOS.get(ranking.quantity, "Training time") for ranking in found]),
            words(CITATION, [", ".join(ranking.theirs) for ranking in found]),
            words("Ours", [", ".join(ranking.ours) for ranking in found]),
            _numbers("Kendall's tau", [two_digits(ranking.tau) for ranking in found]).linked(runs),
            _numbers("p", [two_digits(ranking.p) for ranking in found]).linked(runs),
        ],
        "Best first. Of four models even the same order (tau 1) has p = 0.08: two of the 24 orders are so far from "
        f"chance.{'' if one_device(models) else several}",
    )


def _times(models: Sequence[Model], changes: Sequence[Change]) -> Table:
    theirs = {model.arch: TABLE_II[model.arch].minutes for model in models}
    ours = {model.arch: model.minutes for model in models if one_device(models)}
    return Table(
        titled("Training time as a ratio to the fastest", changes),
        [
            words("Model", [model.name for model in models]),
            _numbers(CITATION, ratio_texts(theirs, list(theirs))),
            _numbers("Ours", ratio_texts(ours, list(theirs))).linked([model.runs for model in models]),
        ],
        "Minutes are of two machines, and of two programs on them; ratios are what can be compared. Runs that "
        "trained side by side (sweep.slots) shared a machine, which moves ours.",
    )


def results_csv(models: Sequence[Model], changes: Sequence[Change]) -> str:
    """Table II with every number in full; an empty field where one is missing."""
    lines = [["model", "quantity", "paper", "ours", "sd", "low", "high", "seeds", "tiles", "verdict", "scaled"]]
    for model in models:
        for quantity in (*METRICS, TIME):
            found = model.estimate(quantity)
            spread = [found.sd, found.low, found.high] if found else [None] * 3
            numbers = [reported(TABLE_II[model.arch], quantity), model.mean(quantity), *spread]
            tiles = str(found.tiles) if found else ""
            name = "minutes" if quantity == TIME else quantity
            told = [str(len(model.runs)), tiles, verdict_on(model, quantity, changes), scaled(changes)]
            lines.append([model.arch, name, *map(csv_number, numbers), *told])
    return to_csv(lines)


def theirs_text(row: Reported, quantity: str) -> str:
    """A number of Table II with the digits that it is printed with."""
    return f"{row.minutes:.0f}" if quantity == TIME else f"{reported(row, quantity):.5f}"


def two_digits(number: float) -> str:
    """``0.67``."""
    return MISSING if math.isnan(number) else f"{number:.2f}"


def minutes_text(minutes: float) -> str:
    """``12.4``."""
    return MISSING if math.isnan(minutes) else f"{minutes:.1f}"


def ratio_texts(minutes: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """Each as a multiple of the least; a dash where it is missing.

    Examples:
        >>> ratio_texts({"unet": 3.0, "fpn": 2.0}, ["unet", "fpn"])
        ['1.50', '1.00']
    """
    known = [value for value in minutes.values() if not math.isnan(value)]
    values = {name: value / min(known) for name, value in minutes.items() if not math.isnan(value)}
    return [f"{values[name]:.2f}" if name in values else MISSING for name in names]


def _numbers(heading: str, texts: Sequence[str], values: Sequence[float] = ()) -> Column:
    known = [None if math.isnan(value) else value for value in values] or [None] * len(texts)
    return Column(heading, heading, tuple(map(Cell, texts, known)))


def _interval(found: Estimate | None) -> Cell:
    return Cell(MISSING) if found is None else interval_cell(found.low, found.high)
