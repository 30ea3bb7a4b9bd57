"""How far a probability of landslide can be taken at its word, and which threshold serves best.

Everything is computed from a histogram pooled over tiles, int64 ``(2, 256)``: pixels of background (row 0) and of
landslide (row 1) by bin of predicted probability, as runs store them. A bin stands for the probability at its middle,
which is wrong by 1/512 at most.

What is chosen here, a threshold or a temperature, is chosen on the tiles of the histogram, and flatters on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from landslide.metrics import BINS

Histogram = npt.NDArray[np.int64]
"""``(2, 256)``: pixels of background and of landslide by bin of probability."""
Array = npt.NDArray[np.float64]

GROUPS = 16
"""Of a reliability diagram, each of equal width: Guo et al. take 15, of which 256 bins are no multiple."""
_MIDDLE = (np.arange(BINS) + 0.5) / BINS
_COLDEST, _HOTTEST = 0.05, 20.0
"""Temperatures that are searched."""


@dataclass(frozen=True)
class Curve:
    """Precision against recall, a point for each threshold."""

    threshold: Array
    """``(256,)``, falling: landslide is what has at least this probability."""
    precision: Array
    """``(256,)``; NaN where nothing is called landslide."""
    recall: Array
    """``(256,)``, rising to 1; NaN where there is no landslide."""


@dataclass(frozen=True)
class Reliability:
    """Predicted probability and what came true, by group of equal width in probability."""

    probability: Array
    """``(groups,)``: mean of what was predicted; NaN in an empty group."""
    share: Array
    """``(groups,)``: share of landslide pixels; NaN in an empty group."""
    pixels: npt.NDArray[np.int64]
    """``(groups,)``."""


def pr_curve(histogram: Histogram) -> Curve:
    """Precision and recall at each threshold that the bins allow.

    Args:
        histogram: int64, ``(2, 256)``.
    """
    false_positive, true_positive = histogram[:, ::-1].cumsum(axis=1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        precision = true_positive / (true_positive + false_positive)
        recall = true_positive / true_positive[-1]
    return Curve(np.arange(BINS)[::-1] / BINS, precision, recall)


def average_precision(histogram: Histogram) -> float:
    """Area under the precision-recall curve: precision weighted by the recall that each threshold adds.

    Args:
        histogram: int64, ``(2, 256)``.

    Returns:
        In [0, 1]; NaN where there is no landslide.
    """
    curve = pr_curve(histogram)
    gained = np.diff(curve.recall, prepend=0.0)
    return float(np.sum(gained * np.nan_to_num(curve.precision))) if histogram[1].sum() else float("nan")


def best_threshold(histogram: Histogram) -> tuple[float, float]:
    """The threshold with the highest F1, the nearest to 0.5 of those that share it, and this F1.

    Args:
        histogram: int64, ``(2, 256)``.

    Returns:
        A multiple of 1/256, and F1; both NaN where there is no landslide.
    """
    if not histogram[1].sum():
        return float("nan"), float("nan")
    false_positive, true_positive = histogram[:, ::-1].cumsum(axis=1)
    threshold = np.arange(BINS)[::-1] / BINS
    f1 = 2 * true_positive / (true_positive + false_positive + histogram[1].sum())
    best = np.flatnonzero(f1 == f1.max())
    chosen = best[np.argmin(np.abs(threshold[best] - 0.5))]
    return float(threshold[chosen]), float(f1[chosen])


def reliability(histogram: Histogram, temperature: float = 1.0) -> Reliability:
    """The points of a reliability diagram.

    Args:
        histogram: int64, ``(2, 256)``.
        temperature: by which logits are divided before, as found by :func:`best_temperature`.
    """
    probability = calibrated(temperature)
    pixels = histogram.sum(0)
    group = np.minimum((probability * GROUPS).astype(np.intp), GROUPS - 1)
    total, predicted, landslide = (
        np.bincount(group, weights=weights, minlength=GROUPS)
        for weights in (pixels, pixels * probability, histogram[1])
    )
    with np.errstate(invalid="ignore"):
        return Reliability(predicted / total, landslide / total, total.astype(np.int64))


def expected_calibration_error(histogram: Histogram, temperature: float = 1.0) -> float:
    """Mean distance of predicted probability of landslide from the share that came true, weighted by pixels.

    Over 16 groups of equal width (Naeini et al. 2015; Guo et al. 2017), for the landslide class, as torchmetrics'
    ``BinaryCalibrationError`` has it.

    Args:
        histogram: int64, ``(2, 256)``.
        temperature: by which logits are divided before.

    Returns:
        In [0, 1]; NaN without pixels.
    """
    found = reliability(histogram, temperature)
    distance = np.nan_to_num(np.abs(found.probability - found.share))
    return float(np.average(distance, weights=found.pixels)) if found.pixels.sum() else float("nan")


def best_temperature(histogram: Histogram) -> float:
    """The temperature by which logits have to be divided for the least negative log-likelihood (Guo et al. 2017).

    Args:
        histogram: int64, ``(2, 256)``.

    Returns:
        Above 1 where the network is too sure of itself, between 0.05 and 20; NaN where there is but one class, for
        which no finite temperature is the best.
    """
    if not histogram.sum(axis=1).all():
        return float("nan")
    logits = logit(_MIDDLE)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(histogram[0] @ np.logaddexp(0, scaled) + histogram[1] @ np.logaddexp(0, -scaled))

    found = minimize_scalar(loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def calibrated(temperature: float) -> Array:
    """Probability that each bin stands for once logits are divided by a temperature.

    Returns:
        float64, ``(256,)``, rising.
    """
    return np.asarray(expit(logit(_MIDDLE) / temperature))
