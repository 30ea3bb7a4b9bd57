"""Histograms of predicted probability, collected on the device while a validation runs."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from landslide.metrics import BINS


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
