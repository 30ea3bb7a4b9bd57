"""County groups: what their tiles have in common, and which tile is of which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class County:
    """What the tiles of one county group have in common; pairs are the ends of a uniform range."""

    name: str
    grade: tuple[float, float]  # rise over run of the valley side
    roughness: float  # standard deviation of the fractal relief, as a share of the tile's width
    gullies: float  # depth of the side valleys, as a share of the tile's width
    river: float  # probability
    forest: tuple[float, float]  # share of the tile
    dryness: tuple[float, float]  # of the grass: 0 green, 1 straw
    fields: tuple[float, float]  # share of the tile
    terraced: float  # probability that the fields follow the contours
    soils: tuple[int, ...]  # rows of SOILS


SOILS = np.array(
    [
        [0.66, 0.54, 0.39],  # tan
        [0.58, 0.41, 0.29],  # red-brown
        [0.60, 0.57, 0.52],  # grey rubble
        [0.72, 0.65, 0.49],  # pale yellow
        [0.47, 0.39, 0.30],  # dark loam
    ],
    dtype=np.float32,
)

_COUNTIES = {
    county.name: county
    for county in (
        County("hill", (0.35, 0.65), 0.035, 0.03, 0.15, (0.45, 0.85), (0.0, 0.5), (0.10, 0.35), 0.3, (0, 1, 4)),
        County("gorge", (0.60, 1.00), 0.035, 0.06, 0.80, (0.55, 0.95), (0.0, 0.4), (0.05, 0.20), 0.2, (0, 2, 3)),
        County("karst", (0.30, 0.60), 0.055, 0.02, 0.10, (0.30, 0.70), (0.1, 0.6), (0.10, 0.35), 0.4, (2, 3, 4)),
        County("terrace", (0.30, 0.55), 0.025, 0.02, 0.20, (0.10, 0.45), (0.1, 0.6), (0.30, 0.60), 0.8, (0, 1, 3)),
        County("loess", (0.40, 0.80), 0.035, 0.08, 0.25, (0.02, 0.30), (0.4, 1.0), (0.10, 0.35), 0.5, (0, 1, 3)),
    )
}

_COUNTY_CYCLE = ("hill", "gorge", "terrace", "hill", "karst", "gorge", "loess", "hill", "terrace", "gorge")
"""The county of tile ``index`` is entry ``index % 10``: groups differ in size as Bijie's do, and never shift."""


def tile_name(index: int) -> str:
    """File name, without ending, of tile ``index``: its county group, then its number within the group.

    Examples:
        >>> [tile_name(index) for index in (0, 1, 3, 10)]
        ['hill001', 'gorge001', 'hill002', 'hill004']
    """
    turns, place = divmod(index, len(_COUNTY_CYCLE))
    county = _COUNTY_CYCLE[place]
    number = turns * _COUNTY_CYCLE.count(county) + _COUNTY_CYCLE[: place + 1].count(county)
    return f"{county}{number:03d}"


def county_of(index: int) -> County:
    """Of tile ``index`` in its half of the dataset."""
    return _COUNTIES[_COUNTY_CYCLE[index % len(_COUNTY_CYCLE)]]
