"""The sheet of an audit: pairs of tiles that show the same ground, which is framed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from landslide.report.figures import FALSE_ALARM, UInt8, styled

Box = tuple[int, int, int, int]
"""Row and column of the upper left corner, height, width, in pixels."""

_PAIRS_A_ROW = 3


@dataclass(frozen=True)
class Half:
    """One tile of a pair."""

    image: UInt8
    """``(H, W, 3)``."""
    box: Box
    """The shared ground."""
    words: str
    """Under the picture."""


@styled
def pairs_figure(pairs: Sequence[tuple[Half, Half]], title: str) -> Figure:
    """Pairs of tiles side by side, three pairs a row.

    Args:
        pairs: at least one.
        title: above all of them.
    """
    across = min(_PAIRS_A_ROW, len(pairs))
    rows = -(-len(pairs) // across)
    figure = Figure(figsize=(4.2 * across, 2.4 * rows + 0.4), layout="compressed")
    axes = figure.subplots(rows, 2 * across, squeeze=False)
    halves = [half for pair in pairs for half in pair]
    for axis, half in zip(axes.flat, halves, strict=False):
        axis.imshow(half.image, interpolation="nearest")
        row, column, height, width = half.box
        axis.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, fill=False, color=FALSE_ALARM, linewidth=2))
        axis.set(xticks=(), yticks=())
        axis.set_xlabel(textwrap.fill(half.words, 30), fontsize="small")
        axis.spines[:].set_visible(False)
    for axis in axes.flat[len(halves) :]:
        axis.set_visible(False)
    figure.suptitle(title, fontsize="medium")
    return figure
