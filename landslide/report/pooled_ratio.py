"""Ratios of counts pooled over tiles, and how far each tile pulls one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RATIOS = {
    "accuracy": ((1, 0, 0, 1), (1, 1, 1, 1)),
    "precision": ((1, 0, 0, 0), (1, 1, 0, 0)),
    "recall": ((1, 0, 0, 0), (1, 0, 1, 0)),
    "f1": ((2, 0, 0, 0), (2, 1, 1, 0)),
    "iou": ((1, 0, 0, 0), (1, 1, 1, 0)),
}
"""Weights of TP, FP, FN, TN in numerator and denominator."""


def parts_of(counts: npt.NDArray[np.int64] | Array, metric: str) -> tuple[Array, Array]:
    """Numerator and denominator of a ratio.

    Args:
        counts: of pixels, ``(..., 4)``: true positive, false positive, false negative, true negative.
        metric: one of :data:`RATIOS`.

    Returns:
        float64, ``(...)``, twice.
    """
    upper, lower = (np.array(weights, dtype=np.float64) for weights in RATIOS[metric])
    return counts @ upper, counts @ lower


def ratio(numerator: Array, denominator: Array) -> Array:
    """NaN where both are 0, without a warning."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerator / denominator)


def influence_of(numerator: Array, denominator: Array) -> Array:
    """How far each tile pulls a pooled ratio, times the number of tiles (jackknife, Tukey 1958).

    Args:
        numerator: float64, ``(..., tiles)``.
        denominator: the same.

    Returns:
        float64, ``(..., tiles)``: (tiles - 1) times what the ratio loses without the tile.
    """
    whole = [part.sum(-1, keepdims=True) for part in (numerator, denominator)]
    without = ratio(whole[0] - numerator, whole[1] - denominator)
    return np.asarray((numerator.shape[-1] - 1) * (ratio(*whole) - without))


def quotient(value: float, scale: float) -> float:
    """NaN where the scale is 0."""
    return value / scale if scale else float("nan")
