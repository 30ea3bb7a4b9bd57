"""The lie of the land: a valley floor, two sides, side valleys, and fractal relief over all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from landslide.data.synthetic.canvas import GSD_M, Float, noise, ramp, turned, uniform
from landslide.data.synthetic.counties import County


@dataclass(frozen=True)
class Ground:
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
        """Height and width."""
        return int(self.dem.shape[0])


def _valley(rng: np.random.Generator, size_px: int) -> tuple[Float, Float]:
    """Coordinates along and across a meandering valley whose axis passes within the tile, or just outside it."""
    extent = size_px * GSD_M
    along, across = turned(size_px, rng.uniform(0, 2 * np.pi))
    bends = 2 * np.pi * along / np.float32(extent * rng.uniform(0.8, 1.6)) + np.float32(rng.uniform(0, 2 * np.pi))
    offset = rng.uniform(0.10, 0.55) * extent
    return along, across + np.float32(offset) + np.float32(extent * rng.uniform(0.02, 0.06)) * np.sin(bends)


def make_ground(rng: np.random.Generator, size_px: int, county: County) -> Ground:
    """A valley floor, two sides that flatten towards the top, side valleys, and fractal relief over all."""
    extent = size_px * GSD_M
    along, across = _valley(rng, size_px)
    floor, cap = extent * rng.uniform(0.03, 0.10), extent * rng.uniform(0.25, 0.55)
    beyond = np.maximum(np.abs(across) - np.float32(floor), 0)
    # so that the slope sets in without a crease
    away = np.asarray(beyond * beyond / (beyond + np.float32(0.06 * extent)), dtype=np.float32)
    side = np.float32(uniform(rng, county.grade) * cap) * np.tanh(away / np.float32(cap))
    taper = 0.12 + 0.88 * ramp(away, 0, 0.15 * extent)
    spacing = extent * rng.uniform(0.25, 0.55)
    bend = 1.2 * noise(rng, size_px, size_px, exponent=2.6, shortest_px=3.0)
    spurs = np.abs(np.sin(np.pi * along / np.float32(spacing) + bend))
    relief = county.roughness * noise(rng, size_px, size_px * 1.2, exponent=2.5) + county.gullies * spurs
    dem = side + np.float32(extent) * taper * relief + 0.03 * along
    return _ground(np.asarray(dem - dem.min() + rng.uniform(600, 2000), dtype=np.float32), along, across)


def _ground(dem: Float, along: Float, across: Float) -> Ground:
    smooth = ndimage.gaussian_filter(dem, 2.5, mode="nearest", truncate=3.0)
    rise_y, rise_x = np.gradient(smooth, np.float32(GSD_M))
    slope = np.hypot(rise_x, rise_y)
    steep = np.maximum(slope, np.float32(1e-4))
    return Ground(dem, smooth, -rise_x / steep, -rise_y / steep, slope, along, across)
