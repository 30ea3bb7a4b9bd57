"""One tile: its scene, photographed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from landslide.data.synthetic.canvas import GSD_M, Bytes, Float, jitter, noise
from landslide.data.synthetic.counties import county_of
from landslide.data.synthetic.land_cover import make_palette, scenery
from landslide.data.synthetic.scars import dig, make_scars, paint_scar
from landslide.data.synthetic.terrain import make_ground
from landslide.errors import DataError

MIN_SIZE_PX = 32


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
    check_numbers(seed=(seed, 0), index=(index, 0), size_px=(size_px, MIN_SIZE_PX))
    rng = np.random.default_rng((seed, index, size_px, int(landslide)))
    county = county_of(index)
    ground = make_ground(rng, size_px, county)
    palette = make_palette(rng, size_px, county)
    outline = noise(rng, size_px, size_px / 4, exponent=2.2)
    albedo, height = scenery(rng, ground, county, palette, outline)
    scars = make_scars(rng, ground, outline) if landslide else []
    for scar in scars:
        paint_scar(rng, scar, albedo, height, palette)
    dem = dig(ground.dem, scars)
    mask = np.zeros(dem.shape, dtype=np.uint8)
    for scar in scars:
        mask[scar.depth > 0] = 255
    return SyntheticTile(_photograph(rng, albedo, dem + height), mask, dem)


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
    veil = jitter(rng, np.array([0.52, 0.56, 0.60], dtype=np.float32), 0.12, 0.02)
    scene += np.float32(haze) * (veil[:, None, None] - scene)
    scene *= (1 + 0.04 * rng.standard_normal(3).astype(np.float32))[:, None, None]
    blur = rng.uniform(0.35, 0.65)
    scene = ndimage.gaussian_filter(scene, (0, blur, blur), truncate=3.0)
    scene += np.float32(rng.uniform(0.004, 0.012)) * rng.standard_normal((1, size_px, size_px), dtype=np.float32)
    return np.ascontiguousarray((np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))


def check_numbers(**numbers: tuple[int, int]) -> None:
    """Refuse numbers of a dataset that are out of range.

    Args:
        numbers: by name, the number given and the least that is allowed.

    Raises:
        DataError: naming the first one.
    """
    for name, (given, least) in numbers.items():
        if given < least:
            raise DataError(f"synthetic dataset: {name} is {given}; it must be at least {least}.")
