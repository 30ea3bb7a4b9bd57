"""Landslide scars: where they start, how they run downhill, and what they leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from landslide.data.synthetic.canvas import GSD_M, Float, metres, paint, places, ramp, top_share
from landslide.data.synthetic.land_cover import Palette
from landslide.data.synthetic.terrain import Ground

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
class Scar:
    """One landslide on the tile's grid, float32 ``(H, W)`` each.

    ``depth`` is how far inside the outline a pixel lies, in metres, negative outside; ``progress`` runs from 0 at the
    crown to 1 at the toe; ``side`` is the signed distance from the path, in metres.
    """

    depth: Float
    progress: Float
    side: Float
    width: float


def _runs(rng: np.random.Generator, ground: Ground, length: float) -> Float:
    """Ways that water would take from steep starts: ground coordinates, float32 ``(_STEPS, _CANDIDATES, 2)``.

    A way keeps some of its direction, and slows down on flat ground, where debris comes to rest.
    """
    size_px = ground.size_px
    margin = size_px // 12
    core = (slice(margin, size_px - margin),) * 2
    weight = np.zeros_like(ground.slope)
    weight[core] = np.maximum(ground.slope[core] - np.float32(top_share(ground.slope, 0.4)), 1e-6)
    place = places(rng, weight, _CANDIDATES)[:, ::-1].astype(np.float32)  # column, row
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


def _best_run(rng: np.random.Generator, ground: Ground, length: float, taken: list[Float]) -> Float:
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


def _scar(rng: np.random.Generator, ground: Ground, way: Float, width: float, outline: Float) -> Scar:
    """A smooth union of discs along ``way``, with an outline roughened by noise."""
    profile = _PROFILES[rng.integers(len(_PROFILES))]
    at = np.linspace(0, 1, _STEPS, dtype=np.float32)
    radius = np.interp(at, np.linspace(0, 1, len(profile)), profile).astype(np.float32) * np.float32(width / 2)
    ahead = np.gradient(way, axis=0)
    ahead /= np.maximum(np.hypot(*ahead.T)[:, None], 1e-3)
    x, y = metres(ground.size_px)
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
    return Scar(depth, progress / total, side / total, width)


def _window(way: Float, margin_px: float, size_px: int) -> tuple[slice, slice]:
    """Rows and columns of the box round ``way``, grown by a margin and cut to the tile."""
    low = np.clip(np.floor(way.min(axis=0) - margin_px), 0, size_px).astype(int)
    high = np.clip(np.ceil(way.max(axis=0) + margin_px), 0, size_px).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def make_scars(rng: np.random.Generator, ground: Ground, outline: Float) -> list[Scar]:
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


def dig(dem: Float, scars: list[Scar]) -> Float:
    """The terrain after the event: a hollow below each crown, a heap at each toe."""
    for scar in scars:
        body = ramp(scar.depth, 0, 0.25 * scar.width)
        moved = ramp(scar.progress, 0.45, 0.85) * 1.4 - 1.0
        change = np.float32(min(0.12 * scar.width, 6.0)) * body * moved
        dem = dem + ndimage.gaussian_filter(change, 1.2, mode="nearest", truncate=2.5)
    return np.asarray(dem, dtype=np.float32)


def _streaks(rng: np.random.Generator, scar: Scar) -> Float:
    """Furrows that run with the slide: noise that is short across the path and long along it."""
    table = rng.standard_normal((64, 64)).astype(np.float32)
    across_and_along = np.stack([scar.side / np.float32(2.2 * GSD_M), scar.progress * 6])
    return np.asarray(ndimage.map_coordinates(table, across_and_along, order=1, mode="grid-wrap"), dtype=np.float32)


def paint_scar(rng: np.random.Generator, scar: Scar, albedo: Float, height: Float, palette: Palette) -> None:
    """Lay bare soil over the scar: a steep crown, streaks down its length, rubble at the toe, sometimes new plants."""
    toe = ramp(scar.progress, 0.55, 0.9)
    crown = ramp(-scar.progress, -0.22, -0.05) * ramp(-scar.depth, -0.2 * scar.width, 0)
    rim = ramp(-scar.depth, -4.0, -1.0)  # the low step down into the scar, in shade
    streaks = _streaks(rng, scar)
    tone = 1 + 0.28 * (1 - 0.4 * toe) * streaks + (0.06 + 0.12 * toe) * palette.grain - 0.40 * crown - 0.18 * rim
    alpha = ramp(scar.depth, -0.8, 0.8)
    regrown = rng.uniform(0.3, 0.7) * ramp(palette.mottle, 0.5, 1.3) if rng.random() < 0.25 else 0.0
    alpha = alpha * np.float32(rng.uniform(0.9, 1.0)) * (1 - regrown)
    paint(albedo, palette.bare(rng, fresh=rng.uniform(0.40, 0.75)) * tone, alpha)
    height += alpha * (0.90 * streaks + (0.45 + 0.6 * toe) * palette.grain - height)  # furrows and rubble cast shade
