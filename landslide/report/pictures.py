"""The figures of a comparison: which models they show, what each says in words, and how it is put on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from landslide.metrics import ratios
from landslide.report import figures
from landslide.report.runs import Artifacts, Objective
from landslide.report.summary import duration
from landslide.report.table import Row


@dataclass(frozen=True)
class Picture:
    """One figure with its words."""

    name: str
    """Of its file, without the ending."""
    title: str
    caption: str
    description: str
    """What it shows, for those who cannot see it."""
    figure: Figure
    photographic: bool = False
    """Whether it holds images, and is smaller as PNG than as SVG."""


def shown(rows: Sequence[Row]) -> list[Row]:
    """The finished runs that figures show: the best ones, as many as can be told apart."""
    return [row for row in rows if row.run.finished][: figures.MOST_MODELS]


def make_pictures(rows: Sequence[Row], artifacts: Mapping[str, Artifacts], objective: Objective) -> list[Picture]:
    """The figures that the stored data allow.

    Args:
        rows: of the table, best first.
        artifacts: by run id, of the rows that :func:`shown` chooses.
        objective: of the comparison.
    """
    best = shown(rows)
    finished = sum(row.run.finished for row in rows)
    note = f" The best {len(best)} of {finished} finished runs." if finished > len(best) else ""
    pictures = [
        _tiles({row.label.text: artifacts[row.run.id].panel for row in best}, note),
        _matrices({row.label.text: artifacts[row.run.id] for row in best}, note),
        _curves(best, objective, note),
        _time(best, note),
    ]
    return [picture for picture in pictures if picture]


def _tiles(panels: Mapping[str, figures.Panel | None], note: str) -> Picture | None:
    there = {label: panel for label, panel in panels.items() if panel is not None and len(panel.tile_id)}
    if not there:
        return None
    rule = next(iter(there.values())).rule
    return Picture(
        "tiles",
        "The same tiles, seen by every model",
        f"F1 of each tile is under its prediction; the table pools the pixels of all validation tiles.{note}",
        f"Image, truth and prediction of {', '.join(there)}, with F1 of each tile. {rule}",
        figures.tiles_figure(there),
        photographic=True,
    )


def _matrices(artifacts: Mapping[str, Artifacts], note: str) -> Picture | None:
    counts = {label: found.counts for label, found in artifacts.items() if found.counts is not None}
    if not counts:
        return None
    recalls = [f"{label} finds {ratios(values)['recall']:.1%}" for label, values in counts.items()]
    return Picture(
        "confusion_matrices",
        "Confusion matrices",
        f"Pixels of all validation tiles at the best epoch, and their share of the true class (the row).{note}",
        f"Confusion matrices. Of the landslide pixels, {', '.join(recalls)}.",
        figures.confusion_matrices_figure(counts),
    )


def _curves(rows: Sequence[Row], objective: Objective, note: str) -> Picture | None:
    histories = {row.label.text: row.run.history for row in rows}
    if not any(series for history in histories.values() for series in history.values()):
        return None
    best = {row.label.text: int(row.numbers["best_epoch"]) for row in rows if "best_epoch" in row.numbers}
    epochs = [f"{label} is best at epoch {epoch}" for label, epoch in best.items()]
    return Picture(
        "loss_curves",
        "Loss and objective by epoch",
        f"Dashed: training loss. Solid: validation. The dot is the best epoch. Scales are shared.{note}",
        f"Curves of the losses and of {objective.metric} by epoch. {', '.join(epochs)}.",
        figures.loss_curves_figure(histories, objective.metric, best),
    )


def _time(rows: Sequence[Row], note: str) -> Picture | None:
    points = {
        row.label.text: (row.numbers["time_s"], row.numbers["f1"])
        for row in rows
        if {"time_s", "f1"} <= set(row.numbers)
    }
    if not points:
        return None
    said = [f"{label}: F1 {f1:.4f} in {duration(seconds)}" for label, (seconds, f1) in points.items()]
    return Picture(
        "f1_against_time",
        "F1 against training time",
        f"Up and to the left is better.{note}",
        f"F1 at the best epoch against training time. {'; '.join(said)}.",
        figures.f1_against_time_figure(points),
    )
