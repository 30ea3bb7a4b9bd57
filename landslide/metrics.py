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
import torch
from torch import Tensor
from torchmetrics import Metric

BINS = 256
"""Probability bins of a tile's histogram: bin ``floor(p * 256)``, the last one closed."""

THRESHOLD_BIN = BINS // 2
"""First bin that is predicted as landslide: p >= 0.5."""

COUNTS = ("TP", "FP", "FN", "TN")
"""Order of confusion counts in every array of this package; landslide is the positive class."""


def probability_bin(probability: Tensor) -> Tensor:
    """Bin of each probability.

    Args:
        probability: floating, any shape, in ``[0, 1]``.

    Returns:
        uint8 of the same shape.

    Examples:
        >>> probability_bin(torch.tensor([0.0, 0.499, 0.5, 1.0])).tolist()
        [0, 127, 128, 255]
    """
    return (probability.float() * BINS).clamp_(max=BINS - 1).to(torch.uint8)


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


class TileHistograms(Metric):
    """For each tile, how many pixels of each true class fell into each bin of predicted probability.

    Integers all the way: float32 sums lose pixels beyond 2**24, which is 256 tiles of 256 x 256.

    Args:
        tiles: number of tiles of the part that is evaluated.
    """

    full_state_update = False
    histograms: Tensor

    def __init__(self, tiles: int) -> None:
        super().__init__()
        self.add_state("histograms", torch.zeros(tiles, 2, BINS, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, bins: Tensor, mask: Tensor, position: Tensor) -> None:
        """Add tiles.

        Args:
            bins: uint8, ``(N, H, W)``, from :func:`probability_bin`.
            mask: uint8, ``(N, H, W)``, 0 background, 1 landslide.
            position: int64, ``(N,)``, the row of each tile.
        """
        row = torch.arange(len(bins), device=bins.device).view(-1, 1, 1)
        cell = (row * 2 + mask) * BINS + bins  # int64, (N, H, W)
        found = torch.bincount(cell.flatten(), minlength=len(bins) * 2 * BINS)
        self.histograms.index_add_(0, position, found.view(-1, 2, BINS))

    def compute(self) -> Tensor:
        """int64, ``(tiles, 2, 256)``; a tile that was never seen has only zeros."""
        return self.histograms
