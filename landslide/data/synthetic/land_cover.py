"""What lies on the ground before the event: plants, fields, bare ground, rivers, roads and villages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from landslide.data.synthetic.canvas import (
    GSD_M,
    Bool,
    Float,
    around,
    jitter,
    noise,
    paint,
    places,
    ramp,
    somewhere,
    top_share,
    turned,
    uniform,
)
from landslide.data.synthetic.counties import SOILS, County
from landslide.data.synthetic.terrain import Ground

_RUBBLE = np.array([0.64, 0.61, 0.56], dtype=np.float32)
_FOREST = np.array([0.19, 0.27, 0.17], dtype=np.float32)
_GRASS = np.array([0.33, 0.42, 0.23], dtype=np.float32)
_STRAW = np.array([0.50, 0.46, 0.30], dtype=np.float32)
_WATER = np.array([[0.20, 0.27, 0.25], [0.33, 0.38, 0.33], [0.47, 0.42, 0.33]], dtype=np.float32)
_PAVING = np.array([[0.48, 0.48, 0.48], [0.78, 0.76, 0.71]], dtype=np.float32)
_ROOFS = np.array([[0.80, 0.80, 0.80], [0.60, 0.58, 0.58], [0.45, 0.55, 0.70], [0.62, 0.42, 0.35]], dtype=np.float32)
_GRAVEL = np.array([0.66, 0.64, 0.59], dtype=np.float32)


def scenery(
    rng: np.random.Generator, ground: Ground, county: County, palette: Palette, outline: Float
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


# ------------------------------------------------------------------------------------------------------------- soil
@dataclass(frozen=True)
class Palette:
    """The soil of a tile, and the same fine and coarse unevenness for all that is bare in it."""

    soil: Float
    grain: Float
    mottle: Float

    def bare(self, rng: np.random.Generator, fresh: float = 0.0) -> Float:
        """Bare ground ``(3, H, W)`` of the tile's soil; a ``fresh`` share of broken rock makes it greyer."""
        tone = 1 + 0.02 * self.grain + 0.07 * self.mottle
        return jitter(rng, self.soil + np.float32(fresh) * (_RUBBLE - self.soil), 0.10, 0.03)[:, None, None] * tone


def make_palette(rng: np.random.Generator, size_px: int, county: County) -> Palette:
    """The soil of a tile: between two of its county, a little off."""
    first, second = SOILS[rng.choice(county.soils, 2)]
    soil = jitter(rng, first + np.float32(rng.uniform(0, 0.5)) * (second - first))
    return Palette(soil, noise(rng, size_px, 6, exponent=0.5), noise(rng, size_px, size_px / 4, exponent=1.2))


# ------------------------------------------------------------------------------------------------- plants and fields
def _plants(rng: np.random.Generator, ground: Ground, county: County, palette: Palette) -> tuple[Float, Float]:
    """Grass, shrubs and forest: colour ``(3, H, W)`` and height of the canopy ``(H, W)``; steep ground is wooded."""
    size_px = ground.size_px
    patches = noise(rng, size_px, size_px / 2, exponent=1.5)
    dry = np.clip(uniform(rng, county.dryness) + 0.18 * palette.mottle, 0, 1)
    grass, straw = jitter(rng, _GRASS)[:, None, None], jitter(rng, _STRAW)[:, None, None]
    albedo = (grass + dry * (straw - grass)) * (1 + 0.05 * palette.grain + 0.06 * patches)
    crowns = noise(rng, size_px, rng.uniform(4.5, 8.0), exponent=0.8, shortest_px=2.2)
    score = patches + 0.8 * ground.slope / (ground.slope.mean() + np.float32(0.05)) + 0.25 * crowns
    edge = top_share(score, uniform(rng, county.forest))
    wood = ramp(score, edge - 0.12, edge + 0.12)
    leaves = jitter(rng, _FOREST)[:, None, None] * (1 + 0.16 * np.clip(crowns, -2, 2) + 0.10 * palette.mottle)
    paint(albedo, leaves, wood)
    return albedo, np.asarray(wood * (3.0 + np.float32(rng.uniform(0.7, 1.3)) * crowns), dtype=np.float32)


def _parcels(rng: np.random.Generator, ground: Ground, terraced: bool) -> tuple[Float, Float]:
    """Coordinates of the field pattern in units of one parcel: straight, or in steps along the contours."""
    warp = 4 * noise(rng, ground.size_px, ground.size_px / 2, exponent=2.2)
    if terraced:
        step = rng.uniform(3.0, 6.0)
        return (ground.along + warp) / np.float32(rng.uniform(35, 80)), ground.smooth / np.float32(step)
    u, v = turned(ground.size_px, rng.uniform(0, np.pi))
    return (u + warp) / np.float32(rng.uniform(28, 70)), (v + warp) / np.float32(rng.uniform(14, 32))


def _fields(rng: np.random.Generator, ground: Ground, county: County, albedo: Float, palette: Palette) -> Bool:
    """Paint whole parcels on the gentlest ground, some of them bare; returns where they lie, bool ``(H, W)``."""
    long, short = _parcels(rng, ground, rng.random() < county.terraced)
    row = np.floor(short).astype(np.int64)
    shift = rng.random(64, dtype=np.float32)  # so that the cross walls of neighbouring rows do not line up
    cell = np.floor(long + shift[row % 64]).astype(np.int64)
    number = (row - row.min()) * (np.ptp(cell) + 1) + cell - cell.min()
    wanted = palette.mottle * 0.5 - ground.slope / (ground.slope.std() + np.float32(0.02))
    mean = np.bincount(number.ravel(), wanted.ravel()) / np.maximum(np.bincount(number.ravel()), 1)
    score = mean[number].astype(np.float32)
    inside = score > top_share(score, uniform(rng, county.fields))
    paint(albedo, _crops(rng, number, short, palette), np.float32(0.95) * inside)
    return np.asarray(inside)


def _crops(rng: np.random.Generator, number: npt.NDArray[np.int64], short: Float, palette: Palette) -> Float:
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
def _bare_patches(
    rng: np.random.Generator, ground: Ground, albedo: Float, height: Float, palette: Palette, outline: Float
) -> None:
    """Clearings, earth works and quarries: scars' own colours, on gentle ground or lying across the slope."""
    extent = ground.size_px * GSD_M
    gentle = np.exp(-6 * ground.slope / (ground.slope.mean() + np.float32(0.05)))
    for _ in range(int(rng.integers(1, 4))):
        row, column = somewhere(rng, gentle)
        radius, stretch = extent * rng.uniform(0.04, 0.10), rng.uniform(1.0, 2.2)
        contour = np.arctan2(ground.down_x[row, column], -ground.down_y[row, column])
        u, v = around(ground.size_px, row, column, float(contour + rng.normal(0, 0.25)))
        reach = np.hypot(u / np.float32(radius * stretch), v / np.float32(radius)) + 0.22 * outline
        alpha = ramp(-reach, -1.06, -0.94)
        benches = 1 + 0.10 * np.sign(np.sin(12 * reach)) if rng.random() < 0.4 else 1.0
        paint(albedo, 0.94 * palette.bare(rng) * np.float32(benches), alpha * np.float32(rng.uniform(0.75, 1.0)))
        height *= 1 - alpha


# ----------------------------------------------------------------------------------------- rivers, roads and villages
def _river(rng: np.random.Generator, ground: Ground, albedo: Float, height: Float, palette: Palette) -> None:
    """Water along the valley's axis between bars of gravel."""
    width = rng.uniform(3, 9)
    distance = np.abs(ground.across) + 1.5 * palette.mottle
    bed = ramp(-distance, -(width + rng.uniform(2, 14)), -width)
    paint(albedo, jitter(rng, _GRAVEL)[:, None, None] * (1 + 0.10 * palette.grain), bed)
    paint(albedo, jitter(rng, _WATER[rng.integers(len(_WATER))]), ramp(-distance, -width - 2, -width))
    height *= 1 - bed


def _road(rng: np.random.Generator, ground: Ground, albedo: Float, height: Float, palette: Palette) -> Float:
    """A road that climbs slowly along the contours, with a bare cut above it; returns its distance in metres."""
    climb = ground.smooth + np.float32(rng.uniform(-0.08, 0.08)) * ground.along
    level = climb[tuple(rng.integers(ground.size_px // 6, ground.size_px * 5 // 6, 2))]
    rise_y, rise_x = np.gradient(climb, np.float32(GSD_M))
    above = (climb - level) / np.maximum(np.hypot(rise_x, rise_y), np.float32(0.06))
    half = rng.uniform(1.6, 3.6)
    above[_closed(np.abs(above) < half + 10)] = np.inf  # a ring round a knoll is no road
    cut = ramp(above, half - 1, half + 1) * ramp(-above + 2 * palette.mottle, -half - rng.uniform(2, 8), -half)
    paint(albedo, palette.bare(rng), cut * ramp(palette.mottle, -0.6, 0.3))
    paving = _PAVING[rng.integers(2)] if rng.random() < 0.65 else palette.soil
    lane = ramp(-np.abs(above), -half - 1.2, -half + 0.8)
    paint(albedo, jitter(rng, paving, 0.08, 0.02)[:, None, None] * (1 + 0.03 * palette.grain), lane)
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


def _village(rng: np.random.Generator, ground: Ground, albedo: Float, height: Float, near: Float) -> None:
    """A few roofs on gentle ground, along the road if there is one; ``near`` is the distance to it."""
    weight = np.exp(-6 * ground.slope - (np.abs(near) / 12) ** 2)
    centre = somewhere(rng, weight)
    x, y = around(ground.size_px, *centre, 0.0)
    weight = weight * np.exp(-(x * x + y * y) / np.float32(45.0**2))
    turn = rng.uniform(0, np.pi)
    for row, column in places(rng, weight, int(rng.integers(3, 14))):
        u, v = around(ground.size_px, row, column, float(turn + rng.normal(0, 0.15)))
        house = (np.abs(u) < rng.uniform(4, 9)) & (np.abs(v) < rng.uniform(3, 6))
        albedo[:, house] = jitter(rng, _ROOFS[rng.integers(len(_ROOFS))], 0.06, 0.02)[:, None]
        height[house] = 5.0
