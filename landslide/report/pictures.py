"""The figures of a comparison: which models they show, what each says in words, and how it is put on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from landslide.metrics import ratios
from landslide.report import calibration, figures
from landslide.report.figures import Series
from landslide.report.runs import AT, Artifacts, Objective
from landslide.report.strata import RATIOS, Stratum
from landslide.report.table import clock

if TYPE_CHECKING:
    from landslide.report.comparison import Comparison

_MOST_PAIRS = 28
"""In a figure; as many as 8 strata have."""


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


def shown(strata: Sequence[Stratum]) -> list[Stratum]:
    """The strata that figures show: the best ones, as many as can be told apart; of each, its finished runs."""
    return [stratum for stratum in strata if stratum.finished][: figures.MOST_MODELS]


def make_pictures(comparison: Comparison) -> list[Picture]:
    """The figures that the stored data allow; none where no run has finished."""
    best = shown(comparison.strata)
    finished = sum(bool(stratum.finished) for stratum in comparison.strata)
    note = f" The best {len(best)} of {finished}." if finished > len(best) else ""
    pictures = [
        _forest(comparison, best, note),
        None if comparison.details.panels else _tiles(comparison.artifacts, best, note),
        _matrices(best, note),
        _precision_recall(best, note),
        _reliability(best, note),
        _curves(comparison, best, comparison.objective, note),
        _time(best, note) if comparison.one_device else None,
    ]
    return [picture for picture in pictures if picture]


def _forest(comparison: Comparison, best: Sequence[Stratum], note: str) -> Picture | None:
    metric = comparison.metric
    found = {stratum.name: stratum.interval(metric) for stratum in best}
    estimates = {
        name: (each.mean, each.low, each.high)
        for name, each in found.items()
        if each is not None and not np.isnan([each.mean, each.low, each.high]).any()
    }
    if not estimates:
        return None
    recipes = comparison.questions[-1]
    drawn = [pair for pair in recipes.pairs if not np.isnan(pair.low)]
    pairs = [pair for pair in drawn if {pair.first, pair.second} <= estimates.keys()][:_MOST_PAIRS]
    said = [f"{name} {mean:.4f} ({low:.4f} to {high:.4f})" for name, (mean, low, high) in estimates.items()]
    differences = (
        f' Right: the question "{recipes.title}"; filled where told apart after Holm\'s correction.' if pairs else ""
    )
    return Picture(
        "estimates",
        f"{RATIOS[metric]} with its uncertainty",
        f"{AT['best']}. {comparison.caption_of_intervals}{differences}{note}",
        f"{RATIOS[metric]} and its 95 % interval: {'; '.join(said)}."
        + "".join(f" {sentence}" for sentence in recipes.said("best") if pairs),
        figures.forest_figure(estimates, pairs, RATIOS[metric]),
    )


def _tiles(artifacts: Mapping[str, Artifacts], best: Sequence[Stratum], note: str) -> Picture | None:
    panels = {stratum.name: artifacts[stratum.finished[0].run.id].panel for stratum in best}
    there = {label: panel for label, panel in panels.items() if panel is not None and len(panel.tile_id)}
    if not there:
        return None
    rule = next(iter(there.values())).rule
    seeds = " Of several seeds the first one is shown." if any(len(stratum.finished) > 1 for stratum in best) else ""
    return Picture(
        "tiles",
        "The same tiles, seen by every model",
        f"{AT['best']}. F1 of each tile is under its prediction; the table pools the pixels of all validation "
        f"tiles.{seeds}{note}",
        f"Image, truth and prediction of {', '.join(there)}, with F1 of each tile. {rule}",
        figures.tiles_figure(there),
        photographic=True,
    )


def _matrices(best: Sequence[Stratum], note: str) -> Picture | None:
    found = {stratum.name: stratum.counts("best") for stratum in best}
    counts = {label: each.sum(axis=(0, 1)) for label, each in found.items() if each is not None}
    if not counts:
        return None
    recalls = [f"{label} finds {ratios(values)['recall']:.1%}" for label, values in counts.items()]
    seeds = ", all seeds together" if any(len(stratum.finished) > 1 for stratum in best) else ""
    return Picture(
        "confusion_matrices",
        "Confusion matrices",
        f"{AT['best']}. Pixels of all validation tiles{seeds}, and their share of the true class (the row).{note}",
        f"Confusion matrices. Of the landslide pixels, {', '.join(recalls)}.",
        figures.confusion_matrices_figure(counts),
    )


def _precision_recall(best: Sequence[Stratum], note: str) -> Picture | None:
    found = {stratum: stratum.histogram for stratum in best}
    there = {stratum: each for stratum, each in found.items() if each is not None and each[1].any()}
    if not there:
        return None
    chosen = {stratum: calibration.best_threshold(each)[0] for stratum, each in there.items()}
    said = [
        f"{stratum.name}: area {stratum.mean('average_precision'):.4f}, best threshold {chosen[stratum]:.3f}"
        for stratum in there
    ]
    return Picture(
        "precision_recall",
        "Precision and recall at every threshold",
        f"{AT['best']}. Pixels of all validation tiles and seeds. Circle: threshold 0.5. Square: the threshold with "
        f"the highest F1, selected on these tiles too.{note}",
        f"Precision-recall curves. {'; '.join(said)}.",
        figures.precision_recall_figure(
            {stratum.name: calibration.pr_curve(each) for stratum, each in there.items()},
            {stratum.name: {0.5: "o", chosen[stratum]: "s"} for stratum in there},
        ),
    )


def _reliability(best: Sequence[Stratum], note: str) -> Picture | None:
    found = {stratum: stratum.histogram for stratum in best}
    there = {stratum: each for stratum, each in found.items() if each is not None and each.any()}
    if not there:
        return None
    said = []
    for stratum, histogram in there.items():
        temperature = calibration.best_temperature(histogram)
        after = ""
        if np.isfinite(temperature):
            error = calibration.expected_calibration_error(histogram, temperature)
            after = f", {error:.4f} after logits are divided by {temperature:.2f} (selected on these tiles too)"
        said.append(f"{stratum.name} {calibration.expected_calibration_error(histogram):.4f}{after}")
    return Picture(
        "reliability",
        "How far a probability can be taken at its word",
        f"{AT['best']}. On the diagonal, what is called landslide with probability p is landslide in a share p. "
        f"Expected calibration error: {'; '.join(said)}.{note}",
        f"Reliability diagram. Expected calibration error: {'; '.join(said)}.",
        figures.reliability_figure({each.name: calibration.reliability(found) for each, found in there.items()}),
    )


def _curves(comparison: Comparison, best: Sequence[Stratum], objective: Objective, note: str) -> Picture | None:
    histories: dict[str, list[tuple[Mapping[str, Series], int | None]]] = {
        stratum.name: [
            (comparison.histories[row.run.id], int(row.numbers["best_epoch"]) if "best_epoch" in row.numbers else None)
            for row in stratum.finished
        ]
        for stratum in best
    }
    if not any(series for runs in histories.values() for history, _ in runs for series in history.values()):
        return None
    epochs = [
        f"{label} is best at epoch {', '.join(str(epoch) for _, epoch in runs if epoch is not None)}"
        for label, runs in histories.items()
        if any(epoch is not None for _, epoch in runs)
    ]
    each = " A line is a seed." if any(len(runs) > 1 for runs in histories.values()) else ""
    return Picture(
        "loss_curves",
        "Loss and objective by epoch",
        f"Dashed: training loss. Solid: validation. The dot is the best epoch, selected on these tiles.{each} "
        f"Scales are shared.{note}",
        f"Curves of the losses and of {objective.metric} by epoch. {'; '.join(epochs)}.",
        figures.loss_curves_figure(histories, objective.metric),
    )


def _time(best: Sequence[Stratum], note: str) -> Picture | None:
    points = {
        stratum.name: (seconds, f1)
        for stratum in best
        if (seconds := stratum.mean("time_s")) is not None and (f1 := stratum.mean("f1")) is not None
    }
    if not points:
        return None
    said = [f"{label}: F1 {f1:.4f} in {clock(seconds)} min:s" for label, (seconds, f1) in points.items()]
    means = " Means over seeds." if any(len(stratum.finished) > 1 for stratum in best) else ""
    return Picture(
        "f1_against_time",
        "F1 against training time",
        f"{AT['best']}. Up and to the left is better.{means}{note}",
        f"F1 at the best epoch against training time. {'; '.join(said)}.",
        figures.f1_against_time_figure(points),
    )
