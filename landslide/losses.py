"""Losses: each maps logits ``(N, 1, H, W)`` and a target ``(N, 1, H, W)`` in [0, 1] to one number."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BCE(nn.BCEWithLogitsLoss):
    """Binary cross-entropy, the paper's loss (its sigmoid is inside, which is stable in low precision)."""


class BCEDice(nn.Module):
    """Mean of binary cross-entropy and soft Dice.

    Dice is pooled over the batch, so that a tile without a landslide adds its false alarms instead of an
    undefined ratio (Milletari et al. 2016; Isensee et al. 2021 for the sum).

    Args:
        dice_weight: share of Dice in ``[0, 1]``.

    Examples:
        >>> logits = torch.tensor([[[[-20.0, 20.0]]]])
        >>> round(BCEDice()(logits, torch.tensor([[[[0.0, 1.0]]]])).item(), 4)
        0.0
    """

    def __init__(self, dice_weight: float = 0.5) -> None:
        super().__init__()
        self.dice_weight = dice_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss; 0 for a perfect prediction, also of an empty batch of masks."""
        bce = F.binary_cross_entropy_with_logits(logits, target)
        probability = torch.sigmoid(logits)
        overlap = 2 * (probability * target).sum() + 1.0  # one pixel of smoothing: empty against empty is a match
        dice = 1 - overlap / (probability.sum() + target.sum() + 1.0)
        return (1 - self.dice_weight) * bce + self.dice_weight * dice


class SmoothedTargets(nn.Module):
    """Another loss on targets drawn towards one half.

    Args:
        loss: the loss to call.
        smoothing: 0 leaves the mask as it is, 0.1 trains towards 0.05 and 0.95 (Szegedy et al. 2016).
    """

    def __init__(self, loss: nn.Module, smoothing: float) -> None:
        super().__init__()
        self.loss = loss
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss; in evaluation of the mask as it is, so that val/loss can be compared across smoothings."""
        smoothing = self.smoothing if self.training else 0.0
        loss: Tensor = self.loss(logits, target * (1 - smoothing) + 0.5 * smoothing)
        return loss
