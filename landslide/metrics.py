"""Pixel-pooled metrics of the landslide class, from counts that are stored for every tile.

Everything is derived from one thing that is measured: for each validation tile, a histogram of the predicted
probability for each true class. Confusion counts are sums over it, so later analyses need no second inference.

The one policy for empty masks: a ratio whose denominator is zero is NaN. NaN is not logged and is shown as a dash.
F1 and IoU are therefore NaN only where neither truth nor prediction holds a landslide pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 256
"""Probability bins of a tile's histogram: bin ``floor(p * 256)``, the last one closed."""

THRESHOLD_BIN = BINS // 2
"""First bin that is predicted as landslide: p >= 0.5."""

COUNTS = ("TP", "FP", "FN", "TN")
"""Order of confusion counts in every array of this package; landslide is the positive class."""


def counts_from_histograms(histograms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Confusion counts at p >= 0.5.

    Args:
        histograms: int64, ``(..., 2, 256)``: pixels by true class (background, landslide) and probability bin.

    Returns:
        int64, ``(..., 4)`` in the order of :data:`COUNTS`.
    """
    background, landslide = histograms[..., 0, :], histograms[..., 1, :]
    return np.stack(
        [
            landslide[..., THRESHOLD_BIN:].sum(-1),
            background[..., THRESHOLD_BIN:].sum(-1),
            landslide[..., :THRESHOLD_BIN].sum(-1),
            background[..., :THRESHOLD_BIN].sum(-1),
        ],
        axis=-1,
    )


def ratios(counts: npt.ArrayLike) -> dict[str, Any]:
    """Accuracy, precision, recall, F1 and IoU of the landslide class (Oak et al. 2024, section III-F).

    Pool first, divide last: pass the sum over tiles to have every pixel weigh the same.

    Args:
        counts: int64, ``(..., 4)`` in the order of :data:`COUNTS`.

    Returns:
        float64 arrays of shape ``(...)``, or floats for one row; NaN where the denominator is zero. ``iou`` is
        the Jaccard index.

    Examples:
        >>> {name: round(value, 3) for name, value in ratios([1, 1, 1, 7]).items()}
        {'accuracy': 0.8, 'precision': 0.5, 'recall': 0.5, 'f1': 0.5, 'iou': 0.333}
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "accuracy": (tp + tn) / (tp + fp + fn + tn),
            "precision": tp / (tp + fp),
            "recall": tp / (tp + fn),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "iou": tp / (tp + fp + fn),
        }
    return {name: float(value) if np.ndim(value) == 0 else value for name, value in found.items()}


def false_alarm(counts: npt.NDArray[np.int64]) -> float:
    """Share of landslide-free ground that is called landslide: pixels of tiles without any landslide in their mask.

    Args:
        counts: int64, ``(tiles, 4)`` in the order of :data:`COUNTS`.

    Returns:
        In [0, 1]; NaN where every tile holds a landslide.

    Examples:
        >>> false_alarm(np.array([[5, 4, 0, 1], [0, 1, 0, 9], [0, 2, 0, 8]]))
        0.15
    """
    _, fp, _, tn = counts[counts[:, 0] + counts[:, 2] == 0].sum(0).tolist()
    return float(fp / (fp + tn)) if fp + tn else float("nan")
