"""Figures of one run and of several, drawn from arrays: this module knows no run, no store and no pyplot state.

What is true of all of them: a model has one colour everywhere, the palette (Okabe and Ito, 2008) is told apart by
colour-blind readers, and text and axes are drawn in :data:`INK`, which a web page replaces by its own text colour.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatter

from landslide.metrics import THRESHOLD_BIN, ratios

if TYPE_CHECKING:
    from landslide.report.calibration import Curve, Reliability
    from landslide.report.statistics import Difference

Series = list[tuple[int, float]]
"""Points of one metric: epoch from 1, value."""

UInt8 = npt.NDArray[np.uint8]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#8C564B")
MOST_MODELS = len(PALETTE)
"""More than this many models cannot be told apart in one figure."""

INK = "#1f2329"
HIT, FALSE_ALARM, MISS = "#FFFFFF", "#E66100", "#35B5FF"

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
}
_COLUMNS = 4
_TRAINING: dict[str, Any] = {"linestyle": (0, (2, 1.5)), "linewidth": 1.2}
_VALIDATION: dict[str, Any] = {"linewidth": 1.8}
_P = ParamSpec("_P")


@dataclass(frozen=True)
class Panel:
    """A few validation tiles and what one run predicts for them."""

    images: UInt8
    """``(k, H, W, 3)``."""
    masks: UInt8
    """``(k, H, W)``, 0 background, 1 landslide."""
    probability: UInt8
    """``(k, H, W)``: bin ``floor(p * 256)``."""
    tile_id: Sequence[str]
    rule: str
    """One line: how these tiles were chosen."""


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """A function that draws a figure, in the style of all of them."""

    @wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def to_png(figure: Figure, dpi: float = 300) -> bytes:
    """The figure on white, as a PNG file."""
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        lay_out(figure)
        quickly = {"compress_level": 3}  # half the time of 6, for a tenth more bytes
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", pil_kwargs=quickly)
    return buffer.getvalue()


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element for a web page: no background, text in the colour of the page.

    Args:
        figure: drawn here.
        name: different for each figure of a page, so that what one refers to is not found in another.
    """
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        lay_out(figure)
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    text = buffer.getvalue()
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text[text.index("<svg") :])
    return text.replace(INK, "currentColor")


def lay_out(figure: Figure) -> None:
    """Work the layout out, once for all files of a figure; each would do it anew, and draw everything twice for it."""
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
        figure.set_layout_engine(None)


def confusion_matrix_figure(counts: npt.ArrayLike, title: str) -> Figure:
    """The confusion matrix of one run.

    Args:
        counts: int64, ``(4,)``: TP, FP, FN, TN pixels.
        title: above the matrix.
    """
    return confusion_matrices_figure({title: counts})


@styled
def confusion_matrices_figure(counts: Mapping[str, npt.ArrayLike]) -> Figure:
    """Confusion matrices side by side, shaded by the share of the true class on one scale.

    Args:
        counts: by model: int64, ``(4,)``: TP, FP, FN, TN pixels.
    """
    figure, axes = _grid(len(counts), width=2.3, height=2.5)
    for axis, (label, values) in zip(axes.flat, counts.items(), strict=False):
        _draw_matrix(axis, np.asarray(values), label)
    for axis in axes[:, 0]:
        axis.set_ylabel("truth")
        axis.set_yticks((0.5, 1.5), ("background", "landslide"), rotation=90, va="center")
    return figure


@styled
def curves_figure(history: Mapping[str, Series]) -> Figure:
    """Losses and validation metrics of one run by epoch.

    Args:
        history: by metric key, such as ``val/f1``; an empty or missing series is left out.
    """
    figure = Figure(figsize=(7.2, 3), layout="constrained")
    losses, metrics = figure.subplots(1, 2)
    groups = (losses, ("train/loss", "val/loss")), (metrics, ("val/f1", "val/iou", "val/precision", "val/recall"))
    for axis, keys in groups:
        for key, colour in zip(keys, PALETTE, strict=False):
            if points := history.get(key):
                axis.plot(*zip(*points, strict=True), color=colour, label=key, marker=".", markersize=3)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        if axis.lines:
            axis.legend()
    losses.set_title("loss")
    metrics.set_title("validation tiles, landslide class")
    return figure


@styled
def loss_curves_figure(
    histories: Mapping[str, Sequence[tuple[Mapping[str, Series], int | None]]], objective: str
) -> Figure:
    """Losses of each model by epoch, and under them its objective with a dot at the best epoch; shared axes.

    Args:
        histories: by model, of each of its runs: by metric key ``train/loss``, ``val/loss`` and the objective; and the
            best epoch, None where there is none.
        objective: metric key.
    """
    columns, bands = shape(len(histories))
    figure = Figure(figsize=(max(2.2 * columns, 4), 3.6 * bands + 0.3), layout="constrained")
    axes = figure.subplots(2 * bands, columns, squeeze=False, sharex=True)
    losses, objectives = axes[0::2].flat, axes[1::2].flat
    for top, bottom, colour, (label, runs) in zip(losses, objectives, PALETTE, histories.items(), strict=False):
        top.set_title(wrapped(label))
        look: dict[str, Any] = {"color": colour, "alpha": 1.0 if len(runs) == 1 else 0.6}
        for history, best in runs:
            _draw(top, history["train/loss"], **look, **_TRAINING)
            _draw(top, history["val/loss"], **look, **_VALIDATION)
            _draw(bottom, history[objective], **look, **_VALIDATION)
            _draw(bottom, [point for point in history[objective] if point[0] == best], color=colour, marker="o")
    _share(axes, len(histories), names=("loss", objective))
    handles = [
        Line2D([], [], color=INK, label="training", **_TRAINING),
        Line2D([], [], color=INK, label="validation", **_VALIDATION),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def panel_figure(images: UInt8, masks: UInt8, probability: UInt8, tile_id: Sequence[str], rule: str) -> Figure:
    """What one run predicts for a few tiles, beside image and truth.

    Args:
        images: uint8, ``(k, H, W, 3)``.
        masks: uint8, ``(k, H, W)``, 0 background, 1 landslide.
        probability: uint8, ``(k, H, W)``: bin ``floor(p * 256)``.
        tile_id: k names.
        rule: one line: how these tiles were chosen.
    """
    return tiles_figure({"prediction": Panel(images, masks, probability, tile_id, rule)})


@styled
def tiles_figure(panels: Mapping[str, Panel]) -> Figure:
    """Tiles downwards; across them the image, the truth and the prediction of every model.

    Args:
        panels: by model. The first one says which tiles are shown; a model that has not stored one of them
            leaves its place empty.
    """
    first = next(iter(panels.values()))
    rows, columns = len(first.tile_id), 2 + len(panels)
    figure = Figure(figsize=(1.5 * columns, 1.62 * rows + 0.75), layout="compressed")
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, tile in enumerate(first.tile_id):
        _bare(axes[row, 0], first.images[row], textwrap.shorten(tile, 24, placeholder="…"))
        _bare(axes[row, 1], _shaded(first.images[row], {HIT: first.masks[row] > 0}), "")
        for axis, panel in zip(axes[row, 2:], panels.values(), strict=True):
            _draw_prediction(axis, panel, tile)
    for axis, title in zip(axes[0], ("image", "truth", *panels), strict=True):
        axis.set_title(wrapped(title))
    _tiles_legend(figure, first.rule, columns)
    return figure


@styled
def outlines_figure(images: UInt8, masks: UInt8, tile_id: Sequence[str], rule: str) -> Figure:
    """Tiles of a dataset with the outlines of their landslides.

    Args:
        images: uint8, ``(k, H, W, 3)``.
        masks: uint8, ``(k, H, W)``, 0 background, 1 landslide.
        tile_id: k names.
        rule: one line: how these tiles were chosen.
    """
    columns = min(6, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.15 * rows + 0.4), layout="compressed")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, image, mask, name in zip(axes.flat, images, masks, tile_id, strict=False):
        _bare(axis, image, f"{textwrap.shorten(name, 24, placeholder='…')}  {mask.mean():.1%}")
        if mask.any():
            edged = np.pad(mask, 1)  # so that an outline closes along the edge of the tile
            rows_at, columns_at = np.arange(-1, len(edged) - 1), np.arange(-1, edged.shape[1] - 1)
            axis.contour(columns_at, rows_at, edged, levels=[0.5], colors=[FALSE_ALARM], linewidths=1.2)
            axis.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    for axis in axes.flat[len(images) :]:
        axis.set_visible(False)
    figure.suptitle(f"{rule}. Outlined: landslide, with its share of the tile.", fontsize="medium")
    return figure


@styled
def f1_against_time_figure(points: Mapping[str, tuple[float, float]]) -> Figure:
    """F1 at the best epoch against the time of the whole training.

    Args:
        points: by model: seconds of training, F1.
    """
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    longest = max(seconds for seconds, _ in points.values())
    unit, name = (60.0, "minutes") if longest > 180 else (1.0, "seconds")
    for colour, (seconds, f1) in zip(PALETTE, points.values(), strict=False):
        axis.scatter(seconds / unit, f1, color=colour, s=46, zorder=3)
    axis.margins(x=0.12, y=0.15)
    axis.set_xlabel(f"{name} of training, validation included")
    axis.set_ylabel("F1 at the best epoch")
    axis.grid(alpha=0.2)
    _label_points(axis, {label: (seconds / unit, f1) for label, (seconds, f1) in points.items()})
    return figure


@styled
def forest_figure(
    estimates: Mapping[str, tuple[float, float, float]], differences: Sequence[Difference], metric: str
) -> Figure:
    """Estimates of each stratum, and differences of pairs, each with its 95 % interval.

    Args:
        estimates: by stratum: value, low and high end.
        differences: of pairs; none leaves that panel out. Filled are those that a corrected test tells apart.
        metric: for people.
    """
    lines = max(len(estimates), len(differences))
    figure = Figure(figsize=(7.4 if differences else 4.6, 0.27 * lines + 1.1), layout="constrained")
    axes = figure.subplots(1, 2 if differences else 1, squeeze=False)[0]
    for at, (colour, (value, low, high)) in enumerate(zip(PALETTE, estimates.values(), strict=False)):
        axes[0].plot((low, high), (at, at), color=colour, linewidth=1.8)
        axes[0].plot(value, at, "o", color=colour, markersize=5)
    axes[0].set_yticks(range(len(estimates)), [textwrap.shorten(label, 34, placeholder="…") for label in estimates])
    axes[0].set_xlabel(f"{metric}, 95 % interval")
    if differences:
        for at, pair in enumerate(differences):
            axes[1].plot((pair.low, pair.high), (at, at), color=INK, linewidth=1.2)
            face = INK if pair.told_apart else "none"
            axes[1].plot(pair.difference, at, "s", color=INK, markerfacecolor=face, markersize=4.5)
        axes[1].axvline(0, color=INK, linewidth=0.8, alpha=0.5)
        names = [textwrap.shorten(f"{pair.first} - {pair.second}", 40, placeholder="…") for pair in differences]
        axes[1].set_yticks(range(len(differences)), names)
        axes[1].set_xlabel(f"difference in {metric}, 95 % interval")
    for axis in axes:
        axis.set_ylim(max(len(axis.get_yticks()), 1) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x", alpha=0.2)
        axis.xaxis.get_major_locator().set_params(nbins=5)
    return figure


@styled
def precision_recall_figure(curves: Mapping[str, Curve], marks: Mapping[str, Mapping[float, str]]) -> Figure:
    """Precision against recall over all thresholds.

    Args:
        curves: by model.
        marks: by model, thresholds to mark and the marker of each.
    """
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axis = figure.subplots()
    for colour, (label, curve) in zip(PALETTE, curves.items(), strict=False):
        axis.plot(curve.recall, curve.precision, color=colour, linewidth=1.6, label=wrapped(label))
        for threshold, marker in marks[label].items():
            at = int(np.argmin(np.abs(curve.threshold - threshold)))
            axis.plot(curve.recall[at], curve.precision[at], marker, color=colour, markersize=6, markerfacecolor="none")
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01), aspect="equal")
    axis.grid(alpha=0.2)
    axis.legend(loc="lower left")
    return figure


@styled
def reliability_figure(points: Mapping[str, Reliability]) -> Figure:
    """Share of landslide pixels against predicted probability, and how many pixels are in each group.

    Args:
        points: by model.
    """
    figure = Figure(figsize=(4.8, 5), layout="constrained")
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axis.plot((0, 1), (0, 1), color=INK, linewidth=0.8, alpha=0.5)
    for colour, (label, found) in zip(PALETTE, points.items(), strict=False):
        look: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 3.5, "linewidth": 1.2}
        axis.plot(found.probability, found.share, label=wrapped(label), **look)
        below.plot(found.probability, found.pixels, **look)
    axis.set(ylabel="share that is landslide", xlim=(0, 1), ylim=(0, 1))
    below.set(xlabel="predicted probability of landslide", ylabel="pixels", yscale="log")
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.yaxis.set_minor_formatter(LogFormatter())  # the default one writes in TeX, which these figures do not read
    for each in (axis, below):
        each.grid(alpha=0.2)
    axis.legend(loc="upper left")
    return figure


def shape(models: int) -> tuple[int, int]:
    """Columns and rows of a figure with a panel a model."""
    columns = min(models, _COLUMNS)
    return columns, -(-models // columns)


def _grid(models: int, *, width: float, height: float) -> tuple[Figure, npt.NDArray[Any]]:
    columns, bands = shape(models)
    figure = Figure(figsize=(width * columns + 0.3, height * bands), layout="compressed")
    axes = figure.subplots(bands, columns, squeeze=False)
    for axis in axes.flat[models:]:
        axis.set_visible(False)
    return figure, axes


def wrapped(label: str) -> str:
    """A label that fits above a panel."""
    return textwrap.fill(label, 22, max_lines=3, placeholder="…")


def _draw(axis: Axes, points: Series, **line: Any) -> None:
    if points:
        axis.plot(*zip(*points, strict=True), **line)


def _draw_matrix(axis: Axes, counts: npt.NDArray[np.int64], title: str) -> None:
    hits, false_alarms, misses, rejections = (int(count) for count in counts)
    pixels = np.array([[rejections, false_alarms], [misses, hits]])  # (truth, prediction)
    share = pixels / np.maximum(pixels.sum(axis=1, keepdims=True), 1)
    axis.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolor="white", linewidth=1.5)
    for (row, column), value in np.ndenumerate(share):
        text = f"{value:.1%}\n{pixels[row, column]:,}"
        colour = "white" if value > 0.55 else "#10243a"
        axis.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, linespacing=1.5)
    axis.set(aspect="equal", ylim=(2, 0), xlabel="prediction")
    axis.set_title(wrapped(title))
    axis.set_xticks((0.5, 1.5), ("background", "landslide"))
    axis.set_yticks(())
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _share(axes: npt.NDArray[Any], models: int, names: tuple[str, str]) -> None:
    """One scale for all losses and one for all objectives, so that heights can be compared across models."""
    for offset, name in enumerate(names):
        group = axes[offset::2]
        drawn = list(group.flat)[:models]
        limits = [axis.get_ylim() for axis in drawn if axis.lines]
        for axis in drawn:
            if limits:
                axis.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
            axis.grid(alpha=0.2)
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.tick_params(labelleft=axis in group[:, 0], labelbottom=offset == 1)
        for axis in list(group.flat)[models:]:
            axis.set_visible(False)
        for axis in group[:, 0]:
            axis.set_ylabel(name)
    for axis in axes[1::2].flat:
        axis.set_xlabel("epoch")


def _bare(axis: Axes, image: UInt8, below: str) -> None:
    axis.imshow(image, interpolation="nearest")
    axis.set(xticks=(), yticks=())
    axis.set_xlabel(below, fontsize="small")
    axis.spines[:].set_visible(False)


def _shaded(image: UInt8, areas: Mapping[str, npt.NDArray[np.bool_]]) -> UInt8:
    """The image in dark grey, (H, W, 3), with each area in its colour."""
    grey = image.mean(axis=-1, keepdims=True) * 0.5
    shaded = np.repeat(grey, 3, axis=-1)
    for colour, area in areas.items():
        shaded[area] = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return shaded.astype(np.uint8)


def _draw_prediction(axis: Axes, panel: Panel, tile: str) -> None:
    if tile not in panel.tile_id:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "not stored", ha="center", va="center", transform=axis.transAxes)
        return
    row = panel.tile_id.index(tile)
    truth, found = panel.masks[row] > 0, panel.probability[row] >= THRESHOLD_BIN
    hits, false_alarms, misses = truth & found, ~truth & found, truth & ~found
    counts = [area.sum() for area in (hits, false_alarms, misses, ~truth & ~found)]
    f1 = ratios(counts)["f1"]
    shaded = _shaded(panel.images[row], {HIT: hits, FALSE_ALARM: false_alarms, MISS: misses})
    _bare(axis, shaded, "no landslide, none found" if np.isnan(f1) else f"F1 {f1:.4f}")


def _tiles_legend(figure: Figure, rule: str, columns: int) -> None:
    names = {HIT: "landslide, found", FALSE_ALARM: "false alarm", MISS: "missed"}
    handles = [Patch(facecolor=colour, edgecolor=INK, label=name, linewidth=0.5) for colour, name in names.items()]
    title = textwrap.fill(rule, 24 * columns)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, title=title)


def _label_points(axis: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each label on the roomier side of its point, and lower where the one above it would be overprinted."""
    low, high = axis.get_xlim()
    height = axis.get_ylim()[1] - axis.get_ylim()[0]
    above = {False: np.inf, True: np.inf}
    for label, (x, y) in sorted(points.items(), key=lambda item: -item[1][1]):
        left = x > (low + high) / 2
        at = min(y, above[left] - 0.065 * height)
        above[left] = at
        axis.annotate(
            label,
            (x, at),
            xytext=(-8 if left else 8, 0),
            textcoords="offset points",
            va="center",
            ha="right" if left else "left",
        )
