"""What all parts of a scene are drawn with: coordinates on the ground, noise, places by chance, and paint."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft

Float = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

GSD_M = 2.0
"""Metres on the ground a pixel covers: a 128 px tile shows a hillside, and a road is three pixels wide."""


# ------------------------------------------------------------------------------------------------------- coordinates
@lru_cache(maxsize=4)
def metres(size_px: int) -> tuple[Float, Float]:
    """Ground coordinates of the pixel centres, x to the right and y down, from the tile's centre."""
    axis = ((np.arange(size_px) - (size_px - 1) / 2) * GSD_M).astype(np.float32)
    return np.broadcast_to(axis[None, :], (size_px, size_px)), np.broadcast_to(axis[:, None], (size_px, size_px))


def turned(size_px: int, angle: float) -> tuple[Float, Float]:
    """Ground coordinates turned by ``angle`` radians."""
    x, y = metres(size_px)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def around(size_px: int, row: int, column: int, angle: float) -> tuple[Float, Float]:
    """Ground coordinates with their origin at a pixel, turned by ``angle``."""
    x, y = metres(size_px)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - x[row, column], y - y[row, column]
    return dx * cos + dy * sin, dy * cos - dx * sin


# ------------------------------------------------------------------------------------------------------------ chance
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


def noise(
    rng: np.random.Generator, size_px: int, longest_px: float, *, exponent: float = 1.6, shortest_px: float = 1.0
) -> Float:
    """Fractal noise by spectral synthesis: float32 ``(size, size)``, zero mean and, in expectation, unit deviation."""
    # A field that is long against the tile is cut from a larger one: a period as long as the tile would show.
    side_px = size_px if longest_px <= size_px / 3 else fft.next_fast_len(int(size_px * 1.5), real=True)
    amplitude = _amplitude(side_px, exponent, longest_px, shortest_px)
    phases = rng.standard_normal((*amplitude.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = fft.irfft2(phases * amplitude, s=(side_px, side_px))
    return np.asarray(field[:size_px, :size_px], dtype=np.float32)


def uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """A number between two ends."""
    return float(rng.uniform(*ends))


def somewhere(rng: np.random.Generator, weight: Float) -> tuple[int, int]:
    """A row and a column, drawn with probability proportional to ``weight`` ``(H, W)``."""
    row, column = places(rng, weight, 1)[0]
    return int(row), int(column)


def places(rng: np.random.Generator, weight: Float, number: int) -> npt.NDArray[np.int64]:
    """Rows and columns ``(number, 2)``, drawn with probability proportional to ``weight`` ``(H, W)``."""
    total = np.cumsum(weight, dtype=np.float64)
    flat = np.searchsorted(total, rng.random(number) * total[-1], side="right")
    return np.stack(np.divmod(np.minimum(flat, weight.size - 1), weight.shape[1]), axis=1)


# ------------------------------------------------------------------------------------------------- fields and colours
def ramp(field: Float, low: float, high: float) -> Float:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def top_share(score: Float, share: float) -> float:
    """The threshold above which ``share`` of the field lies; a sparse sample is enough."""
    return float(np.quantile(score[::3, ::3], 1 - share))


def paint(albedo: Float, colour: Float, alpha: Float) -> None:
    """Lay ``colour``, ``(3,)`` or ``(3, H, W)``, over ``albedo`` in place, as thick as ``alpha`` ``(H, W)``."""
    layer = colour[:, None, None] if colour.ndim == 1 else colour
    albedo += alpha * (layer - albedo)


def jitter(rng: np.random.Generator, colour: Float, lightness: float = 0.12, hue: float = 0.03) -> Float:
    """The colour, a little lighter or darker and a little off in each channel."""
    shift = (1 + lightness * rng.standard_normal()) * (1 + hue * rng.standard_normal(3))
    return np.asarray(np.clip(colour * shift, 0.02, 0.98), dtype=np.float32)
