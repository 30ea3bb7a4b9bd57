"""An error atlas: the tiles that every model misses, those that only one gets right, and how far models agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy.stats import rankdata

from landslide.metrics import ratios
from landslide.report.figures import styled, wrapped
from landslide.report.pictures import Picture
from landslide.report.runs import AT, Run
from landslide.report.section import Section
from landslide.report.table import MISSING, Cell, Column, words
from landslide.report.table import to_csv as csv_text

RIGHT = 0.5
"""F1 of a tile from which a model gets it right."""

_RULE = (
    f"A model gets a tile right where F1 of the tile is {RIGHT} or more, on average over its seeds; tiles without a "
    f"landslide have no F1 and are left out. {AT['best']}."
)


@dataclass(frozen=True)
class Atlas:
    """F1 of every tile with a landslide, by model."""

    models: tuple[str, ...]
    """At least one."""
    tile_id: tuple[str, ...]
    """Tiles with a landslide."""
    landslide_share: npt.NDArray[np.float64]
    """``(tiles,)``: of the tile's pixels."""
    f1: npt.NDArray[np.float64]
    """``(models, tiles)``, mean over seeds."""
    runs: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    """By model, the seeds."""

    @property
    def mean_f1(self) -> npt.NDArray[np.float64]:
        """``(tiles,)``: over models."""
        return np.asarray(self.f1.mean(0))

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """``(models, tiles)``: who gets what right."""
        return self.f1 >= RIGHT

    @property
    def missed_by_all(self) -> list[int]:
        """Tiles that no model gets right, lowest mean F1 first."""
        return self._ordered(self.right.sum(0) == 0)

    @property
    def right_in_one(self) -> list[int]:
        """Tiles that a single model gets right, lowest mean F1 first; with two models, where they differ."""
        return self._ordered(self.right.sum(0) == 1)

    def agreement(self) -> npt.NDArray[np.float64]:
        """Share of the tiles that two models both get right or both miss, ``(models, models)``."""
        return np.asarray((self.right[:, None] == self.right[None]).mean(-1))

    def rank_correlation(self) -> npt.NDArray[np.float64]:
        """Spearman's, of F1 over tiles, ``(models, models)``; NaN where a model has one F1 on all tiles."""
        if len(self.tile_id) < 2:
            return np.full((len(self.models), len(self.models)), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.corrcoef(rankdata(self.f1, axis=1)))

    def _ordered(self, chosen: npt.NDArray[np.bool_]) -> list[int]:
        order = np.argsort(self.mean_f1, kind="stable")
        return [int(tile) for tile in order[chosen[order]]]


def make_atlas(
    tile_id: Sequence[str],
    counts: Mapping[str, npt.NDArray[np.int64]],
    runs: Mapping[str, tuple[Run, ...]] | None = None,
) -> Atlas | None:
    """The atlas of at least one model, validated on the same tiles.

    Args:
        tile_id: of the tiles.
        counts: by model, ``(seeds, tiles, 4)`` in the order of :data:`~landslide.metrics.COUNTS`.
        runs: by model, for the links of its numbers; None links none.

    Returns:
        None where no tile holds a landslide.
    """
    first = next(iter(counts.values()))[0]  # (tiles, 4)
    landslide = first[:, 0] + first[:, 2]
    chosen = np.flatnonzero(landslide).tolist()
    if not chosen:
        return None
    return Atlas(
        tuple(counts),
        tuple(tile_id[tile] for tile in chosen),
        landslide[chosen] / first[chosen].sum(1),
        np.stack([ratios(each[:, chosen])["f1"].mean(0) for each in counts.values()]),
        runs or {},
    )


def make_sections(atlas: Atlas) -> list[Section]:
    """The tiles that every model misses, and those that only one gets right; none where there are no such tiles.

    Args:
        atlas: of at least two models.
    """
    found = [
        ("Tiles that every model misses", atlas.missed_by_all),
        ("Tiles that only one model gets right", atlas.right_in_one),
    ]
    of = f"of {len(atlas.tile_id)} tiles, by the {len(atlas.models)} models of the figures"
    return [
        Section(title, f"{len(chosen)} {of}. {_RULE} Bold: right.", _columns(atlas, chosen))
        for title, chosen in found
        if chosen
    ]


def make_picture(atlas: Atlas) -> Picture:
    """How far models agree on which tiles are hard.

    Args:
        atlas: of at least two models.
    """
    share, rank = atlas.agreement(), atlas.rank_correlation()
    pairs = [(one, other) for one in range(len(share)) for other in range(one)]
    said = [f"{atlas.models[other]} and {atlas.models[one]} {share[one, other]:.0%}" for one, other in pairs]
    return Picture(
        "agreement",
        "Do models fail on the same tiles?",
        "The share of tiles that two models both get right or both miss, and under it Spearman's rank correlation of "
        f"their F1 over tiles, by which the cell is shaded. {_RULE}",
        f"Share of tiles on which two models agree: {', '.join(said)}.",
        agreement_figure(atlas.models, share, rank),
    )


@styled
def agreement_figure(models: Sequence[str], share: npt.NDArray[np.float64], rank: npt.NDArray[np.float64]) -> Figure:
    """A matrix of models: shaded by rank correlation, with the share of tiles on which two agree written in.

    Args:
        models: their names.
        share: ``(models, models)``, in [0, 1].
        rank: ``(models, models)``, in [-1, 1] or NaN; below 0 it is as pale as 0.
    """
    size = 1.05 * len(models) + 1.4
    figure = Figure(figsize=(size, size * 0.85), layout="constrained")
    axis = figure.subplots()
    shaded = np.ma.masked_where(np.eye(len(models), dtype=bool), np.nan_to_num(rank))  # with itself each agrees
    axis.pcolormesh(shaded, cmap="Blues", vmin=0, vmax=1, edgecolor="white", linewidth=1.5)
    for (row, column), value in np.ndenumerate(rank):
        if row != column:
            text = f"{share[row, column]:.0%}\n{MISSING if np.isnan(value) else f'{value:.2f}'}"
            colour = "white" if value > 0.65 else "#10243a"
            axis.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, linespacing=1.5)
    places, labels = np.arange(len(models)) + 0.5, [wrapped(model) for model in models]
    axis.set(aspect="equal", ylim=(len(models), 0))
    axis.set_xticks(places, labels, rotation=30, ha="right")
    axis.set_yticks(places, labels)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


def to_csv(atlas: Atlas) -> str:
    """F1 of every tile with a landslide, a line a tile and a column a model, in full."""
    lines = [["tile_id", "landslide_share", *atlas.models]]
    for tile, name in enumerate(atlas.tile_id):
        lines.append([name, repr(float(atlas.landslide_share[tile])), *map(repr, atlas.f1[:, tile].tolist())])
    return csv_text(lines)


def _columns(atlas: Atlas, tiles: Sequence[int]) -> tuple[Column, ...]:
    share = [100 * float(atlas.landslide_share[tile]) for tile in tiles]
    columns = [
        words("Tile", [atlas.tile_id[tile] for tile in tiles]),
        Column("share", "Landslide (%)", tuple(Cell(f"{value:.1f}", value) for value in share)),
    ]
    for model, values in zip(atlas.models, atlas.f1[:, list(tiles)].tolist(), strict=True):
        runs = atlas.runs.get(model, ())
        cells = tuple(Cell(f"{value:.3f}", value, best=value >= RIGHT, runs=runs) for value in values)
        columns.append(Column(model, f"F1, {model}", cells))
    return tuple(columns)
