"""What a prediction means landslide by landslide: what was found, what is a false alarm, how well boundaries fit.

All of it is measured on the grid that the network sees, at p >= 0.5, and stored beside the counts of pixels;
:mod:`landslide.report.landslides` turns it into areas and shares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from landslide.metrics import THRESHOLD_BIN

TOLERANCE = 0.0075
"""How far boundaries may lie apart, as a share of the tile's diagonal (Csurka et al. 2013): 2.7 px of a 256 px tile."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)

Region = npt.NDArray[np.bool_]


def measure_landslides(masks: npt.NDArray[np.uint8], probability: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
    """Landslides, predicted patches and boundaries of some tiles.

    A landslide is a part of the mask whose pixels touch by a side or a corner, a patch is such a part of the
    prediction. A boundary is the pixels of a region that have a side in common with a pixel outside; where the tile
    cuts a region there is none. A pixel of one boundary is matched where the other one is nearer than
    :data:`TOLERANCE` (Csurka, Larlus and Perronnin 2013, "What is a good evaluation measure for semantic
    segmentation?", BMVC).

    Args:
        masks: ``(tiles, H, W)``, 0 background, 1 landslide.
        probability: ``(tiles, H, W)``, in 256 bins.

    Returns:
        int64 arrays by the name that they are stored under. For each landslide: ``landslide_tile`` (its position),
        ``landslide_px``, ``landslide_found_px``. For each patch: ``patch_tile``, ``patch_px``, ``patch_true_px``; it
        is a false alarm where the last one is 0. For each tile: ``boundary_true_px``, ``boundary_true_matched_px``,
        ``boundary_predicted_px``, ``boundary_predicted_matched_px``.

    Examples:
        >>> masks = np.array([[[1, 0, 1, 0]]], dtype=np.uint8)
        >>> found = measure_landslides(masks, np.array([[[255, 0, 0, 0]]], dtype=np.uint8))
        >>> found["landslide_px"].tolist(), found["landslide_found_px"].tolist()
        ([1, 1], [1, 0])
    """
    disc = _disc(TOLERANCE * float(np.hypot(*masks.shape[1:])))
    landslides, patches, boundaries = [], [], []
    for position, (mask, bins) in enumerate(zip(masks, probability, strict=True)):
        truth, predicted = mask > 0, bins >= THRESHOLD_BIN
        landslides.append(_parts(truth, predicted, position))
        patches.append(_parts(predicted, truth, position))
        true, other = _boundary(truth), _boundary(predicted)
        boundaries.append(
            [true.sum(), (true & _near(other, disc)).sum(), other.sum(), (other & _near(true, disc)).sum()]
        )
    names = {
        "landslide": (("tile", "px", "found_px"), np.concatenate(landslides)),
        "patch": (("tile", "px", "true_px"), np.concatenate(patches)),
        "boundary": (("true_px", "true_matched_px", "predicted_px", "predicted_matched_px"), np.array(boundaries)),
    }
    return {f"{what}_{name}": rows[:, at] for what, (names, rows) in names.items() for at, name in enumerate(names)}


def _parts(region: Region, other: Region, position: int) -> npt.NDArray[np.int64]:
    """A row for each connected part of a region, ``(parts, 3)``: the tile, its pixels, and those also in the other."""
    labels, parts = ndimage.label(region, structure=_EIGHT_NEIGHBOURS)
    pixels = np.bincount(labels[region], minlength=parts + 1)[1:]
    shared = np.bincount(labels[region & other], minlength=parts + 1)[1:]
    return np.stack([np.full(parts, position), pixels, shared], axis=1)


def _boundary(region: Region) -> Region:
    """Pixels of a region beside one outside it; what lies beyond the tile is as the pixel at its edge."""
    return np.asarray(region & ~ndimage.binary_erosion(region, border_value=1))


def _disc(radius_px: float) -> npt.NDArray[np.int64]:
    """Steps down and across that are shorter than a radius, ``(steps, 2)``."""
    reach = int(radius_px)
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.argwhere(np.hypot(down, across) < radius_px) - reach


def _near(boundary: Region, disc: npt.NDArray[np.int64]) -> Region:
    """Pixels with one of the boundary within a disc: SciPy's dilation, of which this takes a tenth of the time."""
    reach = int(disc.max())
    height, width = boundary.shape
    wide = np.pad(boundary, reach)
    near = np.zeros_like(boundary)
    for row, column in (disc + reach).tolist():
        near |= wide[row : row + height, column : column + width]
    return near
