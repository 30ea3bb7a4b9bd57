"""Losses: each maps logits ``(N, 1, H, W)`` and a target ``(N, 1, H, W)`` in [0, 1] to one number.

Those that compare areas pool the batch, so that a tile weighs by its pixels. Dice, Tversky and Jaccard are smoothed by
half a pixel: where no landslide is in the batch, false alarms still cost and still have a gradient. Those of
segmentation-models-pytorch are 0 there, whatever is predicted, which is why they are not used.
"""

from __future__ import annotations

import torch
from segmentation_models_pytorch.losses import LovaszLoss, MCCLoss
from torch import Tensor, nn
from torch.nn import functional as F

from landslide.errors import ConfigError


class BCE(nn.BCEWithLogitsLoss):
    """Binary cross-entropy, the paper's loss (its sigmoid is inside, which is stable in low precision)."""


class Tversky(nn.Module):
    """One minus the Tversky index, pooled over the batch: (TP + s) / (TP + alpha FP + beta FN + s), s half a pixel.

    Equal weights of one half give soft Dice, equal weights of 1 soft Jaccard (Tversky 1977; Salehi et al. 2017).

    Args:
        alpha: cost of falsely alarmed pixels, 0 or more.
        beta: cost of missed pixels, 0 or more.

    Examples:
        >>> logits = torch.tensor([[[[-20.0, 20.0]]]])
        >>> round(Tversky()(logits, torch.tensor([[[[0.0, 1.0]]]])).item(), 4)
        0.0
    """

    SMOOTHING = 0.5
    """Empty against empty is a match."""

    def __init__(self, alpha: float = 0.5, beta: float = 0.5) -> None:
        super().__init__()
        for name, value in (("alpha", alpha), ("beta", beta)):
            if not value >= 0:
                raise ConfigError(f"loss.{name}={value}: must be 0 or more.")
        self.alpha = alpha
        self.beta = beta

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss in [0, 1]; of a batch without a landslide it is 0 only where none is predicted."""
        probability = torch.sigmoid(logits)
        true_positive = (probability * target).sum() + self.SMOOTHING
        false_positive = (probability * (1 - target)).sum()
        false_negative = ((1 - probability) * target).sum()
        return 1 - true_positive / (true_positive + self.alpha * false_positive + self.beta * false_negative)


class BCEDice(nn.Module):
    """Mean of binary cross-entropy and soft Dice (Milletari et al. 2016; Isensee et al. 2021 for the sum).

    Args:
        dice_weight: share of Dice in ``[0, 1]``.

    Examples:
        >>> logits = torch.tensor([[[[-20.0, 20.0]]]])
        >>> round(BCEDice()(logits, torch.tensor([[[[0.0, 1.0]]]])).item(), 4)
        0.0
    """

    def __init__(self, dice_weight: float = 0.5) -> None:
        super().__init__()
        if not 0 <= dice_weight <= 1:
            raise ConfigError(f"loss.dice_weight={dice_weight}: must be at least 0 and at most 1.")
        self.dice_weight = dice_weight
        self.dice = Tversky()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss; 0 for a perfect prediction, also of an empty batch of masks."""
        bce = F.binary_cross_entropy_with_logits(logits, target)
        dice: Tensor = self.dice(logits, target)
        return (1 - self.dice_weight) * bce + self.dice_weight * dice


class MCC(MCCLoss):  # type: ignore[misc]
    """One minus the Matthews correlation of probability and target, pooled over the batch (Abhishek and Hamarneh 2021).

    Of a batch without a landslide it lies between 0.5, where nothing is predicted, and 1.
    """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss in [0, 2]."""
        loss: Tensor = super().forward(torch.sigmoid(logits), target)
        return loss


class SmoothedTargets(nn.Module):
    """Another loss on targets drawn towards one half.

    Args:
        loss: the loss to call.
        smoothing: 0 leaves the mask as it is, 0.1 trains towards 0.05 and 0.95 (Szegedy et al. 2016).

    Raises:
        ConfigError: for a loss that is defined on masks of 0 and 1 only.
    """

    def __init__(self, loss: nn.Module, smoothing: float) -> None:
        super().__init__()
        if smoothing and isinstance(loss, LovaszLoss):
            raise ConfigError(
                f"regularization.label_smoothing={smoothing}: the Lovász hinge sorts the errors of a mask of 0 and 1. "
                "Give regularization.label_smoothing=0, or another loss."
            )
        self.loss = loss
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar loss; in evaluation of the mask as it is, so that val/loss can be compared across smoothings."""
        if self.training and self.smoothing:
            target = target * (1 - self.smoothing) + 0.5 * self.smoothing
        loss: Tensor = self.loss(logits, target)
        return loss
