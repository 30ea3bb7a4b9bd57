"""Landslide by landslide: which of them each model finds, by their size, and how often it raises a false alarm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from landslide.report.figures import PALETTE, styled
from landslide.report.pictures import Picture
from landslide.report.runs import AT
from landslide.report.section import Runs, Section, means
from landslide.report.table import Column, csv_number, words
from landslide.report.table import to_csv as csv_text

SIZES_M2 = (0.0, 100.0, 1_000.0, 10_000.0, 100_000.0, math.inf)
"""Limits of the size classes: a decade each, as in the logarithmic classes of McColl and Cook 2024."""

HALF = 0.5
"""Share of its pixels from which a landslide counts as half found."""

SELECTED = f"{AT['best']}; mean ± standard deviation over seeds."


@dataclass(frozen=True)
class Landslides:
    """What one run makes of the landslides of its validation tiles, at p >= 0.5."""

    area_m2: npt.NDArray[np.float64]
    """``(landslides,)``, of the part that lies in the tile; NaN where the ground sampling distance is unknown."""
    found: npt.NDArray[np.float64]
    """``(landslides,)``: share of its pixels that is predicted."""
    false_alarms: npt.NDArray[np.int64]
    """``(tiles,)``: predicted patches that touch no landslide."""
    tile_km2: npt.NDArray[np.float64]
    """``(tiles,)``; NaN likewise."""
    empty: npt.NDArray[np.bool_]
    """``(tiles,)``: no landslide in the mask."""
    boundary_px: tuple[int, int, int, int]
    """True boundary, how much of it is matched, predicted boundary, how much of it is matched; over all tiles."""

    @property
    def boundary_f1(self) -> float:
        """Harmonic mean of both matched shares, pixels pooled over tiles; NaN where there is no boundary at all.

        Csurka et al. 2013 average over images instead, where a tile with a short boundary weighs as much as any.
        """
        true, true_matched, predicted, predicted_matched = self.boundary_px
        if not true + predicted:
            return math.nan
        if not true_matched:
            return 0.0
        recall, precision = true_matched / true, predicted_matched / predicted
        return 2 * precision * recall / (precision + recall)

    def found_share(self, least: float) -> float:
        """Share of the landslides of which more than nothing, and at least this share, is found; NaN without any."""
        return _share((self.found > 0) & (self.found >= least))

    def found_by_size(self) -> list[float]:
        """Share of the landslides of each size class that is at least half found; NaN where it has none."""
        return [_share(self.found[inside] >= HALF) for inside in self._classes()]

    def numbers_by_size(self) -> list[int]:
        """How many landslides each size class has."""
        return [int(inside.sum()) for inside in self._classes()]

    def alarms(self, *, empty: bool) -> tuple[float, float]:
        """False alarms an image and a km2, on the images with a landslide or on those without; NaN without any."""
        chosen = self.empty == empty
        if not chosen.any():
            return math.nan, math.nan
        alarms = float(self.false_alarms[chosen].sum())
        return alarms / float(chosen.sum()), alarms / float(self.tile_km2[chosen].sum())

    def _classes(self) -> list[npt.NDArray[np.bool_]]:
        return [(self.area_m2 >= low) & (self.area_m2 < high) for low, high in pairwise(SIZES_M2)]


def read_landslides(stored: Mapping[str, npt.NDArray[Any]]) -> Landslides | None:
    """What :func:`~landslide.training.landslides.measure_landslides` left in a run's ``validation/*.npz``.

    Args:
        stored: the arrays of the file.

    Returns:
        None for a run of before these numbers were stored.
    """
    if "landslide_px" not in stored:
        return None
    counts = stored["counts"]
    tile_m2 = stored["height_px"] * stored["width_px"] * stored["gsd_m"] ** 2
    pixel_m2 = tile_m2 / counts.sum(1)  # tiles are resized: a pixel of the network's grid is not one of the image
    alarm = stored["patch_tile"][stored["patch_true_px"] == 0]
    boundary = ("true_px", "true_matched_px", "predicted_px", "predicted_matched_px")
    true, true_matched, predicted, predicted_matched = (int(stored[f"boundary_{name}"].sum()) for name in boundary)
    return Landslides(
        area_m2=stored["landslide_px"] * pixel_m2[stored["landslide_tile"]],
        found=stored["landslide_found_px"] / stored["landslide_px"],
        false_alarms=np.bincount(alarm, minlength=len(counts)),
        tile_km2=tile_m2 / 1e6,
        empty=counts[:, 0] + counts[:, 2] == 0,
        boundary_px=(true, true_matched, predicted, predicted_matched),
    )


Strata = Mapping[str, Sequence[Landslides]]
"""By model: its runs, which differ in the seed alone."""


def make_sections(strata: Strata, runs: Runs) -> list[Section]:
    """The tables: found, boundaries and false alarms; and what is found by size, where areas are known.

    Args:
        strata: at least one model, each with at least one run.
        runs: by model, for the links of its numbers.
    """
    sections = [_overall(strata, runs)]
    if shown := _shown_classes(strata):
        sections.append(_by_size(strata, shown, runs))
    return sections


def make_picture(strata: Strata) -> Picture | None:
    """What is found by size of the landslide; None where no area is known.

    Args:
        strata: the models that figures show, in their order, for each has its colour; one without a run is left out.
    """
    known = {label: runs for label, runs in strata.items() if runs}
    shown = _shown_classes(known) if known else []
    if not shown:
        return None
    rows = {label: [[run.found_by_size()[at] for run in runs] for at in shown] for label, runs in strata.items()}
    said = []
    for label in known:
        shares = [f"{fmean(seeds):.0%} of {_class(at)}" for at, seeds in zip(shown, rows[label], strict=True)]
        said.append(f"{label}: {', '.join(shares)}")
    return Picture(
        "found_by_size",
        "Landslides found, by their size",
        f"{AT['best']}. Share of the landslides of a size of which at least half of the pixels is found; in brackets "
        "how many there are. A dot is the mean over seeds, a line reaches from the worst seed to the best.",
        f"Share of landslides found by size. {'; '.join(said)}.",
        found_by_size_figure([_heading(known, at) for at in shown], rows),
    )


@styled
def found_by_size_figure(headings: Sequence[str], found: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """What each model finds of the landslides of each size.

    Args:
        headings: of the size classes.
        found: by model, for each class: the share that each of its seeds finds; a model without seeds is not drawn.
    """
    figure = Figure(figsize=(max(5.0, 1.9 * len(headings)), 3.6), layout="constrained")
    axis = figure.subplots()
    for row, (colour, (label, classes)) in enumerate(zip(PALETTE, found.items(), strict=False)):
        if all(classes):
            at = np.arange(len(headings)) + 0.6 * ((row + 0.5) / len(found) - 0.5)
            worst, best = ([choose(seeds) for seeds in classes] for choose in (min, max))
            axis.vlines(at, worst, best, color=colour, alpha=0.6)
            axis.plot(at, [fmean(seeds) for seeds in classes], "o", color=colour, label=label, markersize=6)
    axis.set_xticks(range(len(headings)), headings)
    axis.set(ylim=(-0.03, 1.03), xlim=(-0.5, len(headings) - 0.5), ylabel="share of landslides half found")
    axis.grid(axis="y", alpha=0.2)
    figure.legend(loc="outside lower center", ncols=min(4, len(found)))
    return figure


def to_csv(strata: Mapping[str, Mapping[str, Landslides]]) -> str:
    """Every number in full, a line a run; an empty field where it is undefined.

    Args:
        strata: by model, then by run id.
    """
    sizes = [f"m2_{low:g}_to_{high:g}" for low, high in pairwise(SIZES_M2)]
    alarms = [f"false_alarms_{unit}_{where}" for where in ("landslide", "non_landslide") for unit in ("image", "km2")]
    by_size = [f"{what}_{size}" for what in ("landslides", "half_found") for size in sizes]
    lines = [["model", "run_id", "landslides", "found", "half_found", "boundary_f1", *alarms, *by_size]]
    for label, runs in strata.items():
        for run_id, run in runs.items():
            shares = [run.found_share(0), run.found_share(HALF), run.boundary_f1]
            numbers = [*shares, *run.alarms(empty=False), *run.alarms(empty=True)]
            fields = [len(run.found), *numbers, *run.numbers_by_size(), *run.found_by_size()]
            lines.append([label, run_id, *map(csv_number, fields)])
    return csv_text(lines)


def _overall(strata: Strata, runs: Runs) -> Section:
    columns = [
        words("Model", list(strata)),
        _shares("Found", strata, runs, lambda run: run.found_share(0)),
        _shares("Half found", strata, runs, lambda run: run.found_share(HALF)),
        _shares("Boundary F1", strata, runs, lambda run: run.boundary_f1),
    ]
    for empty, where in ((False, "landslide images"), (True, "non-landslide images")):
        for at, unit in enumerate(("an image", "a km²")):
            alarms = {label: [run.alarms(empty=empty)[at] for run in each] for label, each in strata.items()}
            if not all(math.isnan(value) for values in alarms.values() for value in values):
                heading = f"False alarms {unit}, {where}"
                columns.append(means(heading, alarms, "{:.2f}", runs, larger_is_better=False))
    return Section(
        "Landslide by landslide",
        f"{_numbers(strata)}A landslide is a connected part of the mask; it is found where any of its pixels is "
        "predicted, half found from half of them. A false alarm is a connected part of the prediction that touches no "
        "landslide. Boundary F1 matches boundaries nearer than 0.75 % of the tile's diagonal (Csurka et al. 2013), "
        f"pixels pooled over tiles. {SELECTED}",
        tuple(columns),
    )


def _by_size(strata: Strata, shown: Sequence[int], runs: Runs) -> Section:
    found = {label: [run.found_by_size() for run in each] for label, each in strata.items()}
    columns = []
    for at in shown:
        shares = {label: [sizes[at] for sizes in each] for label, each in found.items()}
        columns.append(means(_heading(strata, at), shares, "{:.3f}", runs, larger_is_better=True))
    return Section(
        "Landslides half found, by their size",
        "Share of the landslides of a size of which at least half of the pixels is found; in brackets how many there "
        f"are. Sizes are of the part that lies in the tile. {SELECTED}",
        (words("Model", list(strata)), *columns),
    )


def _shares(heading: str, strata: Strata, runs: Runs, share: Callable[[Landslides], float]) -> Column:
    found = {label: [share(run) for run in each] for label, each in strata.items()}
    return means(heading, found, "{:.3f}", runs, larger_is_better=True)


def _numbers(strata: Strata) -> str:
    """How many landslides and images there are, where all runs saw the same."""
    if not _same_tiles(strata):
        return ""
    run = next(iter(strata.values()))[0]
    without = f"; {_images(run, empty=True)} without one" if run.empty.any() else ""
    return f"{len(run.found)} landslides in {_images(run, empty=False)}{without}. "


def _images(run: Landslides, *, empty: bool) -> str:
    chosen = run.empty == empty
    km2 = float(run.tile_km2[chosen].sum())
    return f"{chosen.sum()} images" + ("" if math.isnan(km2) else f" ({km2:.2f} km²)")


def _same_tiles(strata: Strata) -> bool:
    first, *others = (run for runs in strata.values() for run in runs)
    return all(
        np.array_equal(run.area_m2, first.area_m2, equal_nan=True) and np.array_equal(run.empty, first.empty)
        for run in others
    )


def _shown_classes(strata: Strata) -> list[int]:
    """The size classes of which every run has a landslide."""
    numbers = np.array([run.numbers_by_size() for runs in strata.values() for run in runs])  # (runs, classes)
    return [int(at) for at in np.flatnonzero((numbers > 0).all(0))]


def _class(at: int) -> str:
    low, high = SIZES_M2[at : at + 2]
    if low == 0:
        return f"under {high:,.0f} m²"
    return f"{low:,.0f} m² and more" if math.isinf(high) else f"{low:,.0f} to {high:,.0f} m²"


def _heading(strata: Strata, at: int) -> str:
    """A size class, and how many landslides it has where all runs saw the same."""
    if not _same_tiles(strata):
        return _class(at)
    return f"{_class(at)} ({next(iter(strata.values()))[0].numbers_by_size()[at]})"


def _share(chosen: npt.NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if len(chosen) else math.nan
