"""Figures of a sweep. A stratum has one colour in all of them, that of its rank.

They are our own and not those of ``optuna.visualization.matplotlib``: these open a pyplot window for each figure,
change the style of every later figure of the process, and show one study at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from landslide.report.figures import INK, PALETTE, shape, styled, wrapped
from landslide.report.sweep_table import against_name, against_number, value_text
from landslide.report.sweep_trials import FAILED, FINISHED, PRUNED, Parameter, Stratum, Trial

_MANY = 300
"""More marks or lines than this are drawn as pixels, so that a page stays small."""

_PALE = "#9aa3ad"


@styled
def default_and_tuned_figure(strata: Sequence[Stratum], metric: str) -> Figure:
    """The default setting, the tuned one and its repeats, a line a stratum.

    Args:
        strata: best first, each with a finished trial.
        metric: in words.
    """
    figure = Figure(figsize=(6.4, 0.55 * len(strata) + 1.5), layout="constrained")
    axis = figure.subplots()
    for row, (stratum, colour) in enumerate(zip(strata, PALETTE, strict=False)):
        assert stratum.best
        tuned, default = stratum.score(stratum.best), stratum.known("default")
        if default:
            axis.plot([stratum.score(default), tuned], [row, row], color=colour, linewidth=1.2, alpha=0.6)
            axis.plot(stratum.score(default), row, "o", color=colour, markerfacecolor="none", markersize=7)
        axis.plot(tuned, row, "o", color=colour, markersize=7)
        if repeats := stratum.repeated:
            spread = float(np.std(repeats, ddof=1)) if len(repeats) > 1 else None
            axis.errorbar(np.mean(repeats), row + 0.28, xerr=spread, fmt="D", color=colour, markersize=5, capsize=3)
    axis.set_yticks(range(len(strata)), [wrapped(stratum.label) for stratum in strata])
    axis.set_ylim(len(strata) - 0.4, -0.6)
    axis.set_xlabel(metric)
    axis.grid(axis="x", alpha=0.2)
    marks = [("default", {"marker": "o", "markerfacecolor": "none"}), ("tuned", {"marker": "o"})]
    if any(stratum.repeated for stratum in strata):
        marks.append(("tuned, other seeds: mean, SD", {"marker": "D"}))
    _legend(figure, marks)
    return figure


@styled
def best_against_seconds_figure(strata: Sequence[Stratum], metric: str) -> Figure:
    """The best objective so far against the seconds of training that were spent on it.

    Args:
        strata: best first, each with a finished trial. Seconds are summed over trials in the order in which they
            ended, those that were pruned or failed included.
        metric: in words.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    divisor, unit = _unit(max(stratum.seconds for stratum in strata))
    for stratum, colour in zip(strata, PALETTE, strict=False):
        seconds, best = best_so_far(stratum)
        axis.step(seconds / divisor, best, where="post", color=colour, label=stratum.label)
        axis.plot(seconds[-1] / divisor, best[-1], "o", color=colour, markersize=4)
    axis.set(xlabel=f"{unit} of training, summed over trials", ylabel=f"best {metric} so far", xlim=(0, None))
    axis.grid(alpha=0.2)
    figure.legend(loc="outside lower center", ncols=min(len(strata), 4))
    return figure


def best_so_far(stratum: Stratum) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Seconds of training spent, and the best objective then: float64, ``(n,)``, from the first finished trial on."""
    ended = sorted((trial for trial in stratum.trials if np.isfinite(trial.ended)), key=lambda trial: trial.ended)
    choose, worst = (max, -np.inf) if stratum.maximize else (min, np.inf)
    values = [trial.values[0] if trial.finished else worst for trial in ended]
    seconds = np.cumsum([trial.seconds or 0.0 for trial in ended])
    best = np.array(list(accumulate(values, choose)))
    known = np.isfinite(best)
    return seconds[known], best[known]


@styled
def history_figure(strata: Sequence[Stratum], metric: str) -> Figure:
    """The objective of every trial in its order, and the best so far.

    Args:
        strata: best first, each with a finished trial.
        metric: in words.
    """
    figure, panels = _panels(strata, height=2.4)
    for axis, stratum, colour in panels:
        for state, inside in ((FINISHED, colour), (PRUNED, "none")):
            marked = [trial for trial in stratum.trials if trial.state == state and trial.values]
            numbers, values = [trial.number for trial in marked], [trial.values[0] for trial in marked]
            many = len(marked) > _MANY
            axis.scatter(numbers, values, s=14, edgecolors=colour, facecolors=inside, rasterized=many)
        ended = [trial.number for trial in stratum.trials if trial.state == FAILED]
        at_the_foot = axis.get_xaxis_transform()
        axis.scatter(ended, [0.03] * len(ended), s=20, marker="x", color=INK, transform=at_the_foot, linewidths=1)
        numbers = [trial.number for trial in stratum.finished]
        best = list(accumulate((trial.values[0] for trial in stratum.finished), max if stratum.maximize else min))
        axis.step([*numbers, stratum.trials[-1].number], [*best, best[-1]], where="post", color=colour)
    _share(panels, "trial", metric)
    marks: list[tuple[str, dict[str, Any]]] = [("finished", {"marker": "o"})]
    if any(stratum.count(PRUNED) for stratum in strata):
        marks.append(("pruned, its best epoch", {"marker": "o", "markerfacecolor": "none"}))
    if any(stratum.count(FAILED) for stratum in strata):
        marks.append(("failed", {"marker": "x"}))
    _legend(figure, [*marks, ("best so far", {"linestyle": "-"})])
    return figure


@styled
def intermediate_values_figure(strata: Sequence[Stratum], metric: str) -> Figure:
    """The objective of every trial by epoch.

    Args:
        strata: best first, each with a finished trial.
        metric: in words.
    """
    figure, panels = _panels(strata, height=2.4)
    for axis, stratum, colour in panels:
        curves = {
            state: [t.curve for t in stratum.trials if t.state == state and t.curve] for state in (FINISHED, PRUNED)
        }
        look: dict[str, Any] = {"rasterized": sum(map(len, curves.values())) > _MANY}
        axis.add_collection(LineCollection(curves[FINISHED], colors=colour, linewidths=0.8, alpha=0.45, **look))
        axis.add_collection(LineCollection(curves[PRUNED], colors=_PALE, linewidths=0.8, **look))
        ends = [curve[-1] for curve in curves[PRUNED]]
        axis.scatter(*_columns(ends), s=18, marker="x", color=_PALE, linewidths=1, zorder=3, **look)
        if stratum.best and stratum.best.curve:
            axis.plot(*_columns(stratum.best.curve), color=colour, linewidth=2.2)
        axis.autoscale_view()
    _share(panels, "epoch", metric)
    marks: list[tuple[str, dict[str, Any]]] = [("finished", {"linestyle": "-", "linewidth": 0.8})]
    if any(stratum.count(PRUNED) for stratum in strata):
        marks.append(("pruned", {"linestyle": "-", "linewidth": 0.8, "marker": "x", "color": _PALE}))
    _legend(figure, [*marks, ("best trial", {"linestyle": "-", "linewidth": 2.2})])
    return figure


@styled
def importances_figure(strata: Sequence[Stratum], parameters: Sequence[Parameter]) -> Figure:
    """How much each parameter tells the best trials from the others, as shares of 1.

    Args:
        strata: best first, with importances or without.
        parameters: of the space.
    """
    there = [axis for axis in parameters if any(axis.key in stratum.importances for stratum in strata)]
    figure, panels = _panels(strata, height=0.3 * len(there) + 1.0)
    for axis, stratum, colour in panels:
        axis.barh(range(len(there)), [stratum.importances.get(each.key, 0.0) for each in there], color=colour)
        axis.set_ylim(len(there) - 0.4, -0.6)
        axis.set(xlim=(0, 1), xlabel="share")
        axis.set_yticks(range(len(there)), [each.label for each in there])
        axis.label_outer()
    return figure


@styled
def slices_figure(strata: Sequence[Stratum], parameters: Sequence[Parameter], metric: str) -> Figure:
    """The objective against each parameter; the best trial of a stratum has a ring.

    Args:
        strata: best first, each with a finished trial.
        parameters: of the space, those that vary.
        metric: in words.
    """
    _, bands = shape(len(parameters))
    columns = -(-len(parameters) // bands)
    figure = Figure(figsize=(max(2.4 * columns, 5), 2.4 * bands + 0.4), layout="constrained")
    axes = figure.subplots(bands, columns, squeeze=False, sharey=True)
    for axis, parameter in zip(axes.flat, parameters, strict=False):
        for rank, (stratum, colour) in enumerate(zip(strata, PALETTE, strict=False)):
            aside = 0.1 * (rank - (len(strata) - 1) / 2) if parameter.choices else 0.0
            _draw_slice(axis, stratum, parameter, colour, aside)
        _scale(axis, parameter)
    for axis in axes.flat[len(parameters) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel(metric)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=stratum.label)
        for stratum, colour in zip(strata, PALETTE, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


@styled
def parallel_coordinates_figure(strata: Sequence[Stratum], parameters: Sequence[Parameter], metric: str) -> Figure:
    """A line a finished trial, through its value of each parameter to its objective; the best quarter in colour.

    Args:
        strata: best first, each with a finished trial.
        parameters: of the space, those that vary. Where a trial has none of it, its line goes below the axis.
        metric: in words.
    """
    size = max(1.5 * (len(parameters) + 1), 5), 2.5 * len(strata)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.12))
    axes = figure.subplots(len(strata), 1, squeeze=False)
    for axis, stratum, colour in zip(axes.flat, strata, PALETTE, strict=False):
        _draw_parallel(axis, stratum, parameters, colour)
        axis.set_title(wrapped(stratum.label), loc="left")
        axis.set_xticks(range(len(parameters) + 1), [*(each.label for each in parameters), metric])
    return figure


@styled
def pareto_figure(strata: Sequence[Stratum], metric: str, against: Sequence[str]) -> Figure:
    """The objective against each measure that is minimised beside it; the Pareto front is joined.

    Args:
        strata: best first, each with a finished trial.
        metric: in words.
        against: metric keys of the other measures, in the order of the trials' values.
    """
    columns, bands = shape(len(against))
    figure = Figure(figsize=(max(3.4 * columns, 5), 3.2 * bands + 0.4), layout="constrained")
    axes = figure.subplots(bands, columns, squeeze=False)
    for at, (axis, measure) in enumerate(zip(axes.flat, against, strict=False), start=1):
        for stratum, colour in zip(strata, PALETTE, strict=False):
            points = [(against_number(measure, trial.values[at]), trial.values[0]) for trial in stratum.finished]
            axis.scatter(*_columns(points), s=12, color=colour, alpha=0.35, rasterized=len(points) > _MANY)
            on_it = [trial.number in stratum.front for trial in stratum.finished]
            front = sorted(point for point, best in zip(points, on_it, strict=True) if best)
            line = "-" if len(against) == 1 else ""  # of three measures the front is no line
            axis.plot(*_columns(front), linestyle=line, marker="o", markersize=5, color=colour, label=stratum.label)
        axis.set(xlabel=against_name(measure), ylabel=metric)
        axis.grid(alpha=0.2)
    for axis in axes.flat[len(against) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, title="on the front (pale: not)")
    return figure


def _panels(strata: Sequence[Stratum], height: float) -> tuple[Figure, list[tuple[Axes, Stratum, str]]]:
    """A panel a stratum with its name above, values on one scale."""
    columns, bands = shape(len(strata))
    figure = Figure(figsize=(max(2.4 * columns, 6.4), height * bands + 0.4), layout="constrained")
    axes = figure.subplots(bands, columns, squeeze=False, sharey=True)
    for axis, stratum in zip(axes.flat, strata, strict=False):
        axis.set_title(wrapped(stratum.label))
    for axis in axes.flat[len(strata) :]:
        axis.set_visible(False)
    return figure, list(zip(axes.flat, strata, PALETTE, strict=False))


def _share(panels: Sequence[tuple[Axes, Stratum, str]], x: str, y: str) -> None:
    for axis, _, _ in panels:
        axis.set(xlabel=x, ylabel=y)
        axis.label_outer()
        axis.set_xlabel(x)  # also where an empty place is below
        axis.grid(alpha=0.2)
        locate: Callable[..., Any] = axis.xaxis.get_major_locator().set_params
        locate(integer=True)


def _legend(figure: Figure, marks: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    plain: dict[str, Any] = {"linestyle": "", "color": INK}
    handles = [Line2D([], [], **plain | dict(look), label=label) for label, look in marks]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _unit(seconds: float) -> tuple[float, str]:
    for divisor, unit in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds > 3 * divisor:
            return divisor, unit
    return 1.0, "seconds"


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _draw_slice(axis: Axes, stratum: Stratum, parameter: Parameter, colour: str, aside: float) -> None:
    trials = [trial for trial in stratum.finished if parameter.key in trial.params]
    points = [(parameter.position(trial.params[parameter.key]) + aside, trial.values[0]) for trial in trials]
    axis.scatter(*_columns(points), s=12, color=colour, alpha=0.8, linewidths=0, rasterized=len(points) > _MANY)
    best = [point for point, trial in zip(points, trials, strict=True) if trial is stratum.best]
    axis.scatter(*_columns(best), s=60, facecolors="none", edgecolors=colour, linewidths=1.4)


def _scale(axis: Axes, parameter: Parameter) -> None:
    axis.set_xlabel(parameter.label)
    axis.grid(alpha=0.2)
    if parameter.choices:
        texts = [value_text(choice) for choice in parameter.choices]
        axis.set_xticks(range(len(texts)), texts, rotation=90 if max(map(len, texts)) > 6 else 0)
        axis.set_xlim(-0.6, len(texts) - 0.4)
    elif parameter.log:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(numticks=4))
        axis.xaxis.set_major_formatter(lambda value, _: value_text(float(value)))
        axis.xaxis.set_minor_formatter(NullFormatter())


def _draw_parallel(axis: Axes, stratum: Stratum, parameters: Sequence[Parameter], colour: str) -> None:
    values = [trial.values[0] for trial in stratum.finished]
    low, high = min(values), max(values)
    ranked = sorted(stratum.finished, key=lambda trial: trial.values[0], reverse=stratum.maximize)
    top = -(-len(ranked) // 4)
    lines = [_line(trial, parameters, low, high) for trial in ranked]
    look: dict[str, Any] = {"rasterized": len(lines) > _MANY}
    axis.add_collection(LineCollection(lines[top:], colors=_PALE, linewidths=0.6, alpha=0.5, **look))
    axis.add_collection(LineCollection(lines[1:top], colors=colour, linewidths=0.9, alpha=0.7, **look))
    axis.plot(*_columns(lines[0]), color=colour, linewidth=2.2)
    axis.set(xlim=(-0.15, len(parameters) + 0.45), ylim=(-0.25, 1.08), yticks=())
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    for at, parameter in enumerate(parameters):
        _draw_axis(axis, at, _ticks(parameter))
    _draw_axis(axis, len(parameters), {0.0: f"{low:.4f}", 1.0: f"{high:.4f}"})


def _line(trial: Trial, parameters: Sequence[Parameter], low: float, high: float) -> list[tuple[float, float]]:
    shares = [each.share(trial.params[each.key]) if each.key in trial.params else -0.18 for each in parameters]
    return list(enumerate([*shares, (trial.values[0] - low) / (high - low) if high > low else 0.5]))


def _ticks(parameter: Parameter) -> dict[float, str]:
    if parameter.choices:
        return {parameter.share(choice): value_text(choice) for choice in parameter.choices}
    return {0.0: value_text(parameter.low), 1.0: value_text(parameter.high)}


def _draw_axis(axis: Axes, at: int, ticks: Mapping[float, str]) -> None:
    axis.plot([at, at], [0, 1], color=INK, linewidth=0.8)
    for height, text in ticks.items():
        beside, va = ((4, 2), "bottom") if height == 1 else ((4, -2), "top") if height == 0 else ((4, 0), "center")
        axis.annotate(text, (at, height), xytext=beside, textcoords="offset points", va=va, fontsize="small")
