"""A seeded landslide dataset in Bijie's layout, with a DEM: for tests, demonstrations and first runs without data.

Each tile is a small piece of mountain country seen from above: a valley, fractal slopes, forest and grass, fields,
a road along the contours, now and then a river or a village. Landslide scars start on steep ground and run downhill.
Bare fields, clearings, quarries, gravel and road cuts are made of the same soils, and the colours of scars overlap with
theirs, so that no threshold on a channel or an index finds the scars: texture, shape and the lie of the ground do.

Map of the file: counties, noise, terrain, plants, fields, bare ground, roads and rivers, scars, light, writing.

Colours are float32 in ``[0, 1]`` and channels first, ``(3, H, W)``, until the last step; lengths are in metres on the
ground unless a name ends in ``_px``. Rows run down the image, and north is up.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image
from scipy import fft, ndimage

from landslide.errors import DataError

Float = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

GENERATOR_VERSION = 1
"""Raised whenever the same settings give other tiles: datasets of an older version are refused, not mixed."""

GSD_M = 2.0
"""Metres on the ground a pixel covers: a 128 px tile shows a hillside, and a road is three pixels wide."""

DEM_UNIT = "decimetre"
MIN_SIZE_PX = 32
SETTINGS_FILE = "synthetic.json"


# ---------------------------------------------------------------------------------------------------------- counties
@dataclass(frozen=True)
class _County:
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
    soils: tuple[int, ...]  # rows of _SOILS


_SOILS = np.array(
    [
        [0.66, 0.54, 0.39],  # tan
        [0.58, 0.41, 0.29],  # red-brown
        [0.60, 0.57, 0.52],  # grey rubble
        [0.72, 0.65, 0.49],  # pale yellow
        [0.47, 0.39, 0.30],  # dark loam
    ],
    dtype=np.float32,
)

_RUBBLE = np.array([0.64, 0.61, 0.56], dtype=np.float32)

_COUNTIES = {
    county.name: county
    for county in (
        _County("hill", (0.35, 0.65), 0.035, 0.03, 0.15, (0.45, 0.85), (0.0, 0.5), (0.10, 0.35), 0.3, (0, 1, 4)),
        _County("gorge", (0.60, 1.00), 0.035, 0.06, 0.80, (0.55, 0.95), (0.0, 0.4), (0.05, 0.20), 0.2, (0, 2, 3)),
        _County("karst", (0.30, 0.60), 0.055, 0.02, 0.10, (0.30, 0.70), (0.1, 0.6), (0.10, 0.35), 0.4, (2, 3, 4)),
        _County("terrace", (0.30, 0.55), 0.025, 0.02, 0.20, (0.10, 0.45), (0.1, 0.6), (0.30, 0.60), 0.8, (0, 1, 3)),
        _County("loess", (0.40, 0.80), 0.035, 0.08, 0.25, (0.02, 0.30), (0.4, 1.0), (0.10, 0.35), 0.5, (0, 1, 3)),
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


# ------------------------------------------------------------------------------------------------------------- noise
@lru_cache(maxsize=64)
def _amplitude(side_px: int, exponent: float, longest_px: float, shortest_px: float) -> Float:
    """Spectral amplitude ``f ** -exponent`` between two wavelengths: float32 ``(side, side // 2 + 1)``."""
    rows, columns = np.fft.fftfreq(side_px)[:, None], np.fft.rfftfreq(side_px)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    band = (frequency >= 0.999 / longest_px) & (frequency <= 1.0 / shortest_px)
    spectrum = np.where(band, frequency**-exponent, 0.0)
    spectrum *= side_px**2 / np.sqrt(4 * (spectrum**2).sum())  # Parseval: unit deviation, in expectation
    return spectrum.astype(np.float32)


def _noise(
    rng: np.random.Generator, size_px: int, longest_px: float, *, exponent: float = 1.6, shortest_px: float = 1.0
) -> Float:
    """Fractal noise by spectral synthesis: float32 ``(size, size)``, zero mean and, in expectation, unit deviation."""
    # A field that is long against the tile is cut from a larger one: a period as long as the tile would show.
    side_px = size_px if longest_px <= size_px / 3 else fft.next_fast_len(int(size_px * 1.5), real=True)
    amplitude = _amplitude(side_px, exponent, longest_px, shortest_px)
    phases = rng.standard_normal((*amplitude.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = fft.irfft2(phases * amplitude, s=(side_px, side_px))
    return np.asarray(field[:size_px, :size_px], dtype=np.float32)


def _uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(rng.uniform(*ends))


def _ramp(field: Float, low: float, high: float) -> Float:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def _top_share(score: Float, share: float) -> float:
    """The threshold above which ``share`` of the field lies; a sparse sample is enough."""
    return float(np.quantile(score[::3, ::3], 1 - share))


def _paint(albedo: Float, colour: Float, alpha: Float) -> None:
    """Lay ``colour``, ``(3,)`` or ``(3, H, W)``, over ``albedo`` in place, as thick as ``alpha`` ``(H, W)``."""
    layer = colour[:, None, None] if colour.ndim == 1 else colour
    albedo += alpha * (layer - albedo)


# ----------------------------------------------------------------------------------------------------------- terrain
@dataclass(frozen=True)
class _Ground:
    """The lie of the land; every field is float32 ``(H, W)``.

    ``dem`` is elevation; ``smooth`` the same without its small forms; ``down_x`` and ``down_y`` the unit vector that
    points downhill; ``slope`` rise over run; ``along`` and ``across`` the coordinates of the valley, whose axis is at
    ``across == 0``.
    """

    dem: Float
    smooth: Float
    down_x: Float
    down_y: Float
    slope: Float
    along: Float
    across: Float

    @property
    def size_px(self) -> int:
        return int(self.dem.shape[0])


@lru_cache(maxsize=4)
def _metres(size_px: int) -> tuple[Float, Float]:
    """Ground coordinates of the pixel centres, x to the right and y down, from the tile's centre."""
    axis = ((np.arange(size_px) - (size_px - 1) / 2) * GSD_M).astype(np.float32)
    return np.broadcast_to(axis[None, :], (size_px, size_px)), np.broadcast_to(axis[:, None], (size_px, size_px))


def _turned(size_px: int, angle: float) -> tuple[Float, Float]:
    """Ground coordinates turned by ``angle`` radians."""
    x, y = _metres(size_px)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def _valley(rng: np.random.Generator, size_px: int) -> tuple[Float, Float]:
    """Coordinates along and across a meandering valley whose axis passes within the tile, or just outside it."""
    extent = size_px * GSD_M
    along, across = _turned(size_px, rng.uniform(0, 2 * np.pi))
    bends = 2 * np.pi * along / np.float32(extent * rng.uniform(0.8, 1.6)) + np.float32(rng.uniform(0, 2 * np.pi))
    offset = rng.uniform(0.10, 0.55) * extent
    return along, across + np.float32(offset) + np.float32(extent * rng.uniform(0.02, 0.06)) * np.sin(bends)


def _terrain(rng: np.random.Generator, size_px: int, county: _County) -> _Ground:
    """A valley floor, two sides that flatten towards the top, side valleys, and fractal relief over all."""
    extent = size_px * GSD_M
    along, across = _valley(rng, size_px)
    floor, cap = extent * rng.uniform(0.03, 0.10), extent * rng.uniform(0.25, 0.55)
    beyond = np.maximum(np.abs(across) - np.float32(floor), 0)
    # so that the slope sets in without a crease
    away = np.asarray(beyond * beyond / (beyond + np.float32(0.06 * extent)), dtype=np.float32)
    side = np.float32(_uniform(rng, county.grade) * cap) * np.tanh(away / np.float32(cap))
    taper = 0.12 + 0.88 * _ramp(away, 0, 0.15 * extent)
    spacing = extent * rng.uniform(0.25, 0.55)
    bend = 1.2 * _noise(rng, size_px, size_px, exponent=2.6, shortest_px=3.0)
    spurs = np.abs(np.sin(np.pi * along / np.float32(spacing) + bend))
    relief = county.roughness * _noise(rng, size_px, size_px * 1.2, exponent=2.5) + county.gullies * spurs
    dem = side + np.float32(extent) * taper * relief + 0.03 * along
    return _ground(np.asarray(dem - dem.min() + rng.uniform(600, 2000), dtype=np.float32), along, across)


def _ground(dem: Float, along: Float, across: Float) -> _Ground:
    smooth = ndimage.gaussian_filter(dem, 2.5, mode="nearest", truncate=3.0)
    rise_y, rise_x = np.gradient(smooth, np.float32(GSD_M))
    slope = np.hypot(rise_x, rise_y)
    steep = np.maximum(slope, np.float32(1e-4))
    return _Ground(dem, smooth, -rise_x / steep, -rise_y / steep, slope, along, across)


# ------------------------------------------------------------------------------------------------------------ plants
_FOREST = np.array([0.19, 0.27, 0.17], dtype=np.float32)
_GRASS = np.array([0.33, 0.42, 0.23], dtype=np.float32)
_STRAW = np.array([0.50, 0.46, 0.30], dtype=np.float32)


def _jitter(rng: np.random.Generator, colour: Float, lightness: float = 0.12, hue: float = 0.03) -> Float:
    """The colour, a little lighter or darker and a little off in each channel."""
    shift = (1 + lightness * rng.standard_normal()) * (1 + hue * rng.standard_normal(3))
    return np.asarray(np.clip(colour * shift, 0.02, 0.98), dtype=np.float32)


@dataclass(frozen=True)
class _Palette:
    """The soil of a tile, and the same fine and coarse unevenness for all that is bare in it."""

    soil: Float
    grain: Float
    mottle: Float

    def bare(self, rng: np.random.Generator, fresh: float = 0.0) -> Float:
        """Bare ground ``(3, H, W)`` of the tile's soil; a ``fresh`` share of broken rock makes it greyer."""
        tone = 1 + 0.02 * self.grain + 0.07 * self.mottle
        return _jitter(rng, self.soil + np.float32(fresh) * (_RUBBLE - self.soil), 0.10, 0.03)[:, None, None] * tone


def _palette(rng: np.random.Generator, size_px: int, county: _County) -> _Palette:
    first, second = _SOILS[rng.choice(county.soils, 2)]
    soil = _jitter(rng, first + np.float32(rng.uniform(0, 0.5)) * (second - first))
    return _Palette(soil, _noise(rng, size_px, 6, exponent=0.5), _noise(rng, size_px, size_px / 4, exponent=1.2))


def _plants(rng: np.random.Generator, ground: _Ground, county: _County, palette: _Palette) -> tuple[Float, Float]:
    """Grass, shrubs and forest: colour ``(3, H, W)`` and height of the canopy ``(H, W)``; steep ground is wooded."""
    size_px = ground.size_px
    patches = _noise(rng, size_px, size_px / 2, exponent=1.5)
    dry = np.clip(_uniform(rng, county.dryness) + 0.18 * palette.mottle, 0, 1)
    grass, straw = _jitter(rng, _GRASS)[:, None, None], _jitter(rng, _STRAW)[:, None, None]
    albedo = (grass + dry * (straw - grass)) * (1 + 0.05 * palette.grain + 0.06 * patches)
    crowns = _noise(rng, size_px, rng.uniform(4.5, 8.0), exponent=0.8, shortest_px=2.2)
    score = patches + 0.8 * ground.slope / (ground.slope.mean() + np.float32(0.05)) + 0.25 * crowns
    edge = _top_share(score, _uniform(rng, county.forest))
    wood = _ramp(score, edge - 0.12, edge + 0.12)
    leaves = _jitter(rng, _FOREST)[:, None, None] * (1 + 0.16 * np.clip(crowns, -2, 2) + 0.10 * palette.mottle)
    _paint(albedo, leaves, wood)
    return albedo, np.asarray(wood * (3.0 + np.float32(rng.uniform(0.7, 1.3)) * crowns), dtype=np.float32)


# ------------------------------------------------------------------------------------------------------------ fields
def _parcels(rng: np.random.Generator, ground: _Ground, terraced: bool) -> tuple[Float, Float]:
    """Coordinates of the field pattern in units of one parcel: straight, or in steps along the contours."""
    warp = 4 * _noise(rng, ground.size_px, ground.size_px / 2, exponent=2.2)
    if terraced:
        step = rng.uniform(3.0, 6.0)
        return (ground.along + warp) / np.float32(rng.uniform(35, 80)), ground.smooth / np.float32(step)
    u, v = _turned(ground.size_px, rng.uniform(0, np.pi))
    return (u + warp) / np.float32(rng.uniform(28, 70)), (v + warp) / np.float32(rng.uniform(14, 32))


def _fields(rng: np.random.Generator, ground: _Ground, county: _County, albedo: Float, palette: _Palette) -> Bool:
    """Paint whole parcels on the gentlest ground, some of them bare; returns where they lie, bool ``(H, W)``."""
    long, short = _parcels(rng, ground, rng.random() < county.terraced)
    row = np.floor(short).astype(np.int64)
    shift = rng.random(64, dtype=np.float32)  # so that the cross walls of neighbouring rows do not line up
    cell = np.floor(long + shift[row % 64]).astype(np.int64)
    number = (row - row.min()) * (np.ptp(cell) + 1) + cell - cell.min()
    wanted = palette.mottle * 0.5 - ground.slope / (ground.slope.std() + np.float32(0.02))
    mean = np.bincount(number.ravel(), wanted.ravel()) / np.maximum(np.bincount(number.ravel()), 1)
    score = mean[number].astype(np.float32)
    inside = score > _top_share(score, _uniform(rng, county.fields))
    _paint(albedo, _crops(rng, number, short, palette), np.float32(0.95) * inside)
    return np.asarray(inside)


def _crops(rng: np.random.Generator, number: npt.NDArray[np.int64], short: Float, palette: _Palette) -> Float:
    """Colour ``(3, H, W)`` of the parcels ``number``: crops, stubble or bare earth, some furrowed, with dark walls."""
    kinds = 64
    bare = rng.random(kinds) < rng.uniform(0.3, 0.6)
    crop = _GRASS + rng.random((kinds, 1), dtype=np.float32) * (_STRAW - _GRASS)
    tones = np.where(bare[:, None], 0.88 * palette.soil, crop)
    tones = tones * (1 + 0.14 * rng.standard_normal((kinds, 1))) * (1 + 0.03 * rng.standard_normal((kinds, 3)))
    kind = number * 37 % kinds
    ploughed = bare | (rng.random(kinds) < 0.3)
    furrowed = ploughed[kind] * 0.11 * np.sin(2 * np.pi * short * np.float32(rng.uniform(2.5, 4)))
    wall = np.abs(short - np.round(short)) < 0.07
    tone = (1 + furrowed + 0.03 * palette.grain + 0.05 * palette.mottle) * (1 - 0.30 * wall)
    return np.asarray(tones.T.astype(np.float32)[:, kind] * tone, dtype=np.float32)


# ------------------------------------------------------------------------------------------------------- bare ground
def _somewhere(rng: np.random.Generator, weight: Float) -> tuple[int, int]:
    """A row and a column, drawn with probability proportional to ``weight`` ``(H, W)``."""
    row, column = _places(rng, weight, 1)[0]
    return int(row), int(column)


def _places(rng: np.random.Generator, weight: Float, number: int) -> npt.NDArray[np.int64]:
    """Rows and columns ``(number, 2)``, drawn with probability proportional to ``weight`` ``(H, W)``."""
    total = np.cumsum(weight, dtype=np.float64)
    flat = np.searchsorted(total, rng.random(number) * total[-1], side="right")
    return np.stack(np.divmod(np.minimum(flat, weight.size - 1), weight.shape[1]), axis=1)


def _bare_patches(
    rng: np.random.Generator, ground: _Ground, albedo: Float, height: Float, palette: _Palette, outline: Float
) -> None:
    """Clearings, earth works and quarries: scars' own colours, on gentle ground or lying across the slope."""
    extent = ground.size_px * GSD_M
    gentle = np.exp(-6 * ground.slope / (ground.slope.mean() + np.float32(0.05)))
    for _ in range(int(rng.integers(1, 4))):
        row, column = _somewhere(rng, gentle)
        radius, stretch = extent * rng.uniform(0.04, 0.10), rng.uniform(1.0, 2.2)
        contour = np.arctan2(ground.down_x[row, column], -ground.down_y[row, column])
        u, v = _around(ground.size_px, row, column, float(contour + rng.normal(0, 0.25)))
        reach = np.hypot(u / np.float32(radius * stretch), v / np.float32(radius)) + 0.22 * outline
        alpha = _ramp(-reach, -1.06, -0.94)
        benches = 1 + 0.10 * np.sign(np.sin(12 * reach)) if rng.random() < 0.4 else 1.0
        _paint(albedo, 0.94 * palette.bare(rng) * np.float32(benches), alpha * np.float32(rng.uniform(0.75, 1.0)))
        height *= 1 - alpha


def _around(size_px: int, row: int, column: int, angle: float) -> tuple[Float, Float]:
    """Ground coordinates with their origin at a pixel, turned by ``angle``."""
    x, y = _metres(size_px)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - x[row, column], y - y[row, column]
    return dx * cos + dy * sin, dy * cos - dx * sin


# -------------------------------------------------------------------------------------------------- roads and rivers
_WATER = np.array([[0.20, 0.27, 0.25], [0.33, 0.38, 0.33], [0.47, 0.42, 0.33]], dtype=np.float32)
_PAVING = np.array([[0.48, 0.48, 0.48], [0.78, 0.76, 0.71]], dtype=np.float32)
_ROOFS = np.array([[0.80, 0.80, 0.80], [0.60, 0.58, 0.58], [0.45, 0.55, 0.70], [0.62, 0.42, 0.35]], dtype=np.float32)
_GRAVEL = np.array([0.66, 0.64, 0.59], dtype=np.float32)


def _river(rng: np.random.Generator, ground: _Ground, albedo: Float, height: Float, palette: _Palette) -> None:
    """Water along the valley's axis between bars of gravel."""
    width = rng.uniform(3, 9)
    distance = np.abs(ground.across) + 1.5 * palette.mottle
    bed = _ramp(-distance, -(width + rng.uniform(2, 14)), -width)
    _paint(albedo, _jitter(rng, _GRAVEL)[:, None, None] * (1 + 0.10 * palette.grain), bed)
    _paint(albedo, _jitter(rng, _WATER[rng.integers(len(_WATER))]), _ramp(-distance, -width - 2, -width))
    height *= 1 - bed


def _road(rng: np.random.Generator, ground: _Ground, albedo: Float, height: Float, palette: _Palette) -> Float:
    """A road that climbs slowly along the contours, with a bare cut above it; returns its distance in metres."""
    climb = ground.smooth + np.float32(rng.uniform(-0.08, 0.08)) * ground.along
    level = climb[tuple(rng.integers(ground.size_px // 6, ground.size_px * 5 // 6, 2))]
    rise_y, rise_x = np.gradient(climb, np.float32(GSD_M))
    above = (climb - level) / np.maximum(np.hypot(rise_x, rise_y), np.float32(0.06))
    half = rng.uniform(1.6, 3.6)
    above[_closed(np.abs(above) < half + 10)] = np.inf  # a ring round a knoll is no road
    cut = _ramp(above, half - 1, half + 1) * _ramp(-above + 2 * palette.mottle, -half - rng.uniform(2, 8), -half)
    _paint(albedo, palette.bare(rng), cut * _ramp(palette.mottle, -0.6, 0.3))
    paving = _PAVING[rng.integers(2)] if rng.random() < 0.65 else palette.soil
    lane = _ramp(-np.abs(above), -half - 1.2, -half + 0.8)
    _paint(albedo, _jitter(rng, paving, 0.08, 0.02)[:, None, None] * (1 + 0.03 * palette.grain), lane)
    height *= 1 - np.maximum(lane, cut)
    return np.asarray(above, dtype=np.float32)


def _closed(lines: Bool) -> Bool:
    """The parts of ``lines`` ``(H, W)`` that do not reach the edge of the tile."""
    label, number = ndimage.label(lines)
    closed = np.ones(number + 1, dtype=np.bool_)
    for edge in (label[0], label[-1], label[:, 0], label[:, -1]):
        closed[edge] = False
    closed[0] = False
    return np.asarray(closed[label])


def _village(rng: np.random.Generator, ground: _Ground, albedo: Float, height: Float, near: Float) -> None:
    """A few roofs on gentle ground, along the road if there is one; ``near`` is the distance to it."""
    weight = np.exp(-6 * ground.slope - (np.abs(near) / 12) ** 2)
    centre = _somewhere(rng, weight)
    x, y = _around(ground.size_px, *centre, 0.0)
    weight = weight * np.exp(-(x * x + y * y) / np.float32(45.0**2))
    turn = rng.uniform(0, np.pi)
    for row, column in _places(rng, weight, int(rng.integers(3, 14))):
        u, v = _around(ground.size_px, row, column, float(turn + rng.normal(0, 0.15)))
        house = (np.abs(u) < rng.uniform(4, 9)) & (np.abs(v) < rng.uniform(3, 6))
        albedo[:, house] = _jitter(rng, _ROOFS[rng.integers(len(_ROOFS))], 0.06, 0.02)[:, None]
        height[house] = 5.0


# ------------------------------------------------------------------------------------------------------------- scars
_STEPS = 22
_CANDIDATES = 32

_PROFILES = np.array(
    [
        [0.55, 0.85, 1.00, 1.05, 1.10, 1.00, 0.70],  # a tongue
        [1.15, 1.20, 0.90, 0.60, 0.65, 1.05, 1.00],  # a bowl, a chute, a fan
        [0.35, 0.50, 0.70, 0.90, 1.15, 1.35, 1.10],  # widening all the way
        [1.20, 1.25, 1.10, 0.95, 0.80, 0.60, 0.35],  # narrowing all the way
    ],
    dtype=np.float32,
)


@dataclass(frozen=True)
class _Scar:
    """One landslide on the tile's grid, float32 ``(H, W)`` each.

    ``depth`` is how far inside the outline a pixel lies, in metres, negative outside; ``progress`` runs from 0 at the
    crown to 1 at the toe; ``side`` is the signed distance from the path, in metres.
    """

    depth: Float
    progress: Float
    side: Float
    width: float


def _runs(rng: np.random.Generator, ground: _Ground, length: float) -> Float:
    """Ways that water would take from steep starts: ground coordinates, float32 ``(_STEPS, _CANDIDATES, 2)``.

    A way keeps some of its direction, and slows down on flat ground, where debris comes to rest.
    """
    size_px = ground.size_px
    margin = size_px // 12
    core = (slice(margin, size_px - margin),) * 2
    weight = np.zeros_like(ground.slope)
    weight[core] = np.maximum(ground.slope[core] - np.float32(_top_share(ground.slope, 0.4)), 1e-6)
    place = _places(rng, weight, _CANDIDATES)[:, ::-1].astype(np.float32)  # column, row
    way = [place]
    heading = np.zeros_like(place)
    for _ in range(_STEPS - 1):
        column, row = np.clip(np.rint(place), 0, size_px - 1).astype(np.int64).T
        down = np.stack([ground.down_x[row, column], ground.down_y[row, column]], axis=1)
        heading = np.asarray(0.55 * heading + 0.45 * down, dtype=np.float32)
        pace = np.clip(ground.slope[row, column] / 0.2, 0.15, 1.0)[:, None] * np.float32(length / (_STEPS - 1) / GSD_M)
        step = pace * heading / np.maximum(np.hypot(*heading.T)[:, None], 1e-3)
        place = np.asarray(place + step, dtype=np.float32)
        way.append(place)
    return np.stack(way).astype(np.float32)


def _best_run(rng: np.random.Generator, ground: _Ground, length: float, taken: list[Float]) -> Float:
    """The way, in pixels ``(_STEPS, 2)``, that drops most, stays in the tile and keeps off the scars there are."""
    ways = _runs(rng, ground, length)
    column, row = np.clip(np.rint(ways), 0, ground.size_px - 1).astype(np.int64).transpose(2, 0, 1)
    drop = (ground.smooth[row[0], column[0]] - ground.smooth[row[-1], column[-1]]) / length
    outside = ((ways < 2) | (ways > ground.size_px - 3)).any(axis=2).mean(axis=0)
    score = drop - 1.5 * outside + 0.15 * rng.random(_CANDIDATES)
    for other in taken:
        gap = np.hypot(*(ways.mean(axis=0) - other.mean(axis=0)).T)
        score = score - np.exp(-gap / (0.15 * ground.size_px))
    return np.asarray(ways[:, int(np.argmax(score))])


def _scar(rng: np.random.Generator, ground: _Ground, way: Float, width: float, outline: Float) -> _Scar:
    """A smooth union of discs along ``way``, with an outline roughened by noise."""
    profile = _PROFILES[rng.integers(len(_PROFILES))]
    at = np.linspace(0, 1, _STEPS, dtype=np.float32)
    radius = np.interp(at, np.linspace(0, 1, len(profile)), profile).astype(np.float32) * np.float32(width / 2)
    ahead = np.gradient(way, axis=0)
    ahead /= np.maximum(np.hypot(*ahead.T)[:, None], 1e-3)
    x, y = _metres(ground.size_px)
    centre = (way - (ground.size_px - 1) / 2) * np.float32(GSD_M)
    soft = np.float32(max(0.12 * width, GSD_M))
    total = np.full_like(ground.dem, 1e-20)
    progress, side = np.zeros_like(total), np.zeros_like(total)
    near = _window(way, 1.3 * width / GSD_M, ground.size_px)  # further out the sums stay nothing
    for i in range(_STEPS):
        dx, dy = x[near] - centre[i, 0], y[near] - centre[i, 1]
        weight = np.exp(np.minimum((radius[i] - np.sqrt(dx * dx + dy * dy)) / soft, 30))
        total[near] += weight
        progress[near] += weight * at[i]
        side[near] += weight * (dy * ahead[i, 0] - dx * ahead[i, 1])
    depth = soft * np.log(total) - soft * np.float32(0.7) + np.float32(0.09 * width) * outline
    return _Scar(depth, progress / total, side / total, width)


def _window(way: Float, margin_px: float, size_px: int) -> tuple[slice, slice]:
    """Rows and columns of the box round ``way``, grown by a margin and cut to the tile."""
    low = np.clip(np.floor(way.min(axis=0) - margin_px), 0, size_px).astype(int)
    high = np.clip(np.ceil(way.max(axis=0) + margin_px), 0, size_px).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _scars(rng: np.random.Generator, ground: _Ground, outline: Float) -> list[_Scar]:
    """One to three scars; the share of the tile that they take is spread like Bijie's."""
    share = float(np.clip(0.080 * np.exp(0.70 * rng.standard_normal()), 0.025, 0.36))
    number = int(rng.choice([1, 2, 3], p=[0.65, 0.25, 0.10]))
    parts = rng.dirichlet(np.full(number, 6.0)) * share
    scars, taken = [], list[Float]()
    for part in sorted(parts, reverse=True):
        slenderness = rng.uniform(1.3, 2.0) if part > 0.15 else rng.uniform(1.5, 4.5)
        length = float(np.sqrt(part * slenderness)) * ground.size_px * GSD_M
        way = _best_run(rng, ground, length, taken)
        taken.append(way)
        scars.append(_scar(rng, ground, way, max(length / slenderness, 4 * GSD_M), outline))
    return scars


def _dig(dem: Float, scars: list[_Scar]) -> Float:
    """The terrain after the event: a hollow below each crown, a heap at each toe."""
    for scar in scars:
        body = _ramp(scar.depth, 0, 0.25 * scar.width)
        moved = _ramp(scar.progress, 0.45, 0.85) * 1.4 - 1.0
        change = np.float32(min(0.12 * scar.width, 6.0)) * body * moved
        dem = dem + ndimage.gaussian_filter(change, 1.2, mode="nearest", truncate=2.5)
    return np.asarray(dem, dtype=np.float32)


def _streaks(rng: np.random.Generator, scar: _Scar) -> Float:
    """Furrows that run with the slide: noise that is short across the path and long along it."""
    table = rng.standard_normal((64, 64)).astype(np.float32)
    places = np.stack([scar.side / np.float32(2.2 * GSD_M), scar.progress * 6])
    return np.asarray(ndimage.map_coordinates(table, places, order=1, mode="grid-wrap"), dtype=np.float32)


def _paint_scar(
    rng: np.random.Generator, scar: _Scar, albedo: Float, height: Float, palette: _Palette, patches: Float
) -> None:
    """Lay bare soil over the scar: a steep crown, streaks down its length, rubble at the toe, sometimes new plants."""
    toe = _ramp(scar.progress, 0.55, 0.9)
    crown = _ramp(-scar.progress, -0.22, -0.05) * _ramp(-scar.depth, -0.2 * scar.width, 0)
    rim = _ramp(-scar.depth, -4.0, -1.0)  # the low step down into the scar, in shade
    streaks = _streaks(rng, scar)
    tone = 1 + 0.28 * (1 - 0.4 * toe) * streaks + (0.06 + 0.12 * toe) * palette.grain - 0.40 * crown - 0.18 * rim
    alpha = _ramp(scar.depth, -0.8, 0.8)
    regrown = rng.uniform(0.3, 0.7) * _ramp(patches, 0.5, 1.3) if rng.random() < 0.25 else 0.0
    alpha = alpha * np.float32(rng.uniform(0.9, 1.0)) * (1 - regrown)
    _paint(albedo, palette.bare(rng, fresh=rng.uniform(0.40, 0.75)) * tone, alpha)
    height += alpha * (0.90 * streaks + (0.45 + 0.6 * toe) * palette.grain - height)  # furrows and rubble cast shade


# ------------------------------------------------------------------------------------------------------------- light
def _hillshade(surface: Float, azimuth: float, elevation: float) -> Float:
    """Cosine of the sun's angle of incidence over that on flat ground, ``(H, W)``, 0 in its own shadow."""
    rise_y, rise_x = np.gradient(surface, np.float32(GSD_M))
    east, north = np.sin(azimuth) / np.tan(elevation), np.cos(azimuth) / np.tan(elevation)
    facing = 1 - rise_x * np.float32(east) + rise_y * np.float32(north)
    return np.asarray(np.maximum(facing, 0) / np.sqrt(1 + rise_x**2 + rise_y**2), dtype=np.float32)


def _photograph(rng: np.random.Generator, albedo: Float, surface: Float) -> Bytes:
    """Sun, haze, colour balance, blur and sensor noise of one pass: uint8 ``(H, W, 3)``."""
    size_px = surface.shape[0]
    shade = _hillshade(surface, np.radians(rng.uniform(100, 175)), np.radians(rng.uniform(42, 68)))
    ambient = rng.uniform(0.30, 0.50)
    scene = albedo * np.float32(rng.uniform(0.70, 1.15)) * (np.float32(ambient) + np.float32(1 - ambient) * shade)
    haze = rng.uniform(0, 0.28)
    veil = _jitter(rng, np.array([0.52, 0.56, 0.60], dtype=np.float32), 0.12, 0.02)
    scene += np.float32(haze) * (veil[:, None, None] - scene)
    scene *= (1 + 0.04 * rng.standard_normal(3).astype(np.float32))[:, None, None]
    blur = rng.uniform(0.35, 0.65)
    scene = ndimage.gaussian_filter(scene, (0, blur, blur), truncate=3.0)
    scene += np.float32(rng.uniform(0.004, 0.012)) * rng.standard_normal((1, size_px, size_px), dtype=np.float32)
    return np.ascontiguousarray((np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))


# ------------------------------------------------------------------------------------------------------------- tiles
@dataclass(frozen=True)
class SyntheticTile:
    """One tile.

    Attributes:
        image: uint8, ``(H, W, 3)``, RGB.
        mask: uint8, ``(H, W)``, 255 on landslide and 0 elsewhere; all 0 on a non-landslide tile.
        dem: float32, ``(H, W)``, elevation of the bare ground in metres.
    """

    image: Bytes
    mask: Bytes
    dem: Float


def synthesize_tile(seed: int, index: int, size_px: int, landslide: bool = True) -> SyntheticTile:
    """Make one tile, which depends on the arguments alone: a larger dataset begins with the smaller one.

    Args:
        seed: of the dataset, not negative.
        index: of the tile in its half of the dataset, from 0; it also gives the county group.
        size_px: height and width, at least 32.
        landslide: whether scars are drawn. The two halves share no scenery.

    Raises:
        DataError: a number is out of range.
    """
    _check_numbers(seed=(seed, 0), index=(index, 0), size_px=(size_px, MIN_SIZE_PX))
    rng = np.random.default_rng((seed, index, size_px, int(landslide)))
    county = _COUNTIES[_COUNTY_CYCLE[index % len(_COUNTY_CYCLE)]]
    ground = _terrain(rng, size_px, county)
    palette = _palette(rng, size_px, county)
    outline = _noise(rng, size_px, size_px / 4, exponent=2.2)
    albedo, height = _scenery(rng, ground, county, palette, outline)
    scars = _scars(rng, ground, outline) if landslide else []
    for scar in scars:
        _paint_scar(rng, scar, albedo, height, palette, palette.mottle)
    dem = _dig(ground.dem, scars)
    mask = np.zeros(dem.shape, dtype=np.uint8)
    for scar in scars:
        mask[scar.depth > 0] = 255
    return SyntheticTile(_photograph(rng, albedo, dem + height), mask, dem)


def _scenery(
    rng: np.random.Generator, ground: _Ground, county: _County, palette: _Palette, outline: Float
) -> tuple[Float, Float]:
    """All but the scars: colour ``(3, H, W)`` and the height of plants and houses ``(H, W)`` in metres."""
    albedo, height = _plants(rng, ground, county, palette)
    height *= ~_fields(rng, ground, county, albedo, palette)
    _bare_patches(rng, ground, albedo, height, palette, outline)
    if rng.random() < county.river:
        _river(rng, ground, albedo, height, palette)
    near = np.zeros_like(height)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.25, 0.6, 0.15]))):
        near = _road(rng, ground, albedo, height, palette)
    if rng.random() < 0.3:
        _village(rng, ground, albedo, height, near)
    return albedo, height


# ----------------------------------------------------------------------------------------------------------- writing
def synthesize(
    root: Path,
    *,
    count: int,
    non_landslide: int,
    size_px: int,
    seed: int,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Path:
    """Write a dataset at ``root`` in Bijie's layout, or return at once where it stands already.

    It is written aside and renamed, under a lock: no reader sees half of it, and of two processes one writes.

    Args:
        root: folder to make; the DEM goes to ``dem/`` beside ``image/``, 16 bit, in decimetres.
        count: tiles with landslides, at least 1.
        non_landslide: tiles without, at least 0; where 0, ``non-landslide/`` is there and empty.
        size_px: height and width, at least 32.
        seed: not negative.
        progress: wraps the iterable of tiles, as ``tqdm`` does.

    Returns:
        ``root``.

    Raises:
        DataError: a number is out of range, or something else stands at ``root``, which is left as it was.
    """
    _check_numbers(count=(count, 1), non_landslide=(non_landslide, 0), size_px=(size_px, MIN_SIZE_PX), seed=(seed, 0))
    settings = {
        "version": GENERATOR_VERSION,
        "seed": seed,
        "count": count,
        "non_landslide": non_landslide,
        "size_px": size_px,
        "gsd_m": GSD_M,
        "dem_unit": DEM_UNIT,
    }
    if _stands(root, settings):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.parent / f".{root.name}.lock"):
        if not _stands(root, settings):
            with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as aside:
                _write(Path(aside) / root.name, settings, progress or iter).rename(root)
    return root


def _check_numbers(**numbers: tuple[int, int]) -> None:
    for name, (given, least) in numbers.items():
        if given < least:
            raise DataError(f"synthetic dataset: {name} is {given}; it must be at least {least}.")


def _stands(root: Path, settings: dict[str, Any]) -> bool:
    """Whether the dataset of these settings is at ``root``; False where nothing is.

    Raises:
        DataError: something else is there.
    """
    if not root.exists() and not root.is_symlink():
        return False
    found = _settings_at(root)
    if found == settings:
        return True
    if found is None:
        what = f"something that is not a synthetic dataset (no readable {SETTINGS_FILE})"
    else:
        other = [
            f"{key} {found.get(key)} instead of {value}" for key, value in settings.items() if found.get(key) != value
        ]
        what = f"a synthetic dataset of other settings ({', '.join(other) or 'unknown keys'})"
    raise DataError(f"{root}: found {what}. Choose another folder for the dataset, or move this one away.")


def _settings_at(root: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((root / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(root: Path, settings: dict[str, Any], progress: Callable[[Iterable[int]], Iterable[int]]) -> Path:
    for folder in ("landslide/image", "landslide/mask", "landslide/dem", "non-landslide/image", "non-landslide/dem"):
        (root / folder).mkdir(parents=True)
    count = settings["count"]
    for number in progress(range(count + settings["non_landslide"])):
        landslide = number < count
        index = number if landslide else number - count
        tile = synthesize_tile(settings["seed"], index, settings["size_px"], landslide)
        _write_tile(root / ("landslide" if landslide else "non-landslide"), tile_name(index), tile, landslide)
    (root / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return root


def _write_tile(folder: Path, name: str, tile: SyntheticTile, with_mask: bool) -> None:
    decimetres = np.rint(tile.dem * 10).astype(np.uint16)
    Image.fromarray(tile.image).save(folder / "image" / f"{name}.png")
    Image.fromarray(decimetres).save(folder / "dem" / f"{name}.png")
    if with_mask:
        Image.fromarray(tile.mask).save(folder / "mask" / f"{name}.png")
