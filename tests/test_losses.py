"""Losses against formulas written in NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from landslide.losses import BCE, BCEDice, SmoothedTargets

Float = npt.NDArray[np.float64]


def batch(seed: int, share: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (3, 1, 16, 16))
    target = (random.random(logits.shape) < share).astype(np.float64)
    return torch.from_numpy(logits), torch.from_numpy(target)


def cross_entropy(logits: Float, target: Float) -> float:
    """-y log p - (1 - y) log(1 - p), in logarithms of sums of exponentials."""
    return float(np.mean(target * np.logaddexp(0, -logits) + (1 - target) * np.logaddexp(0, logits)))


def soft_dice(logits: Float, target: Float) -> float:
    """Over all pixels at once, with one pixel of smoothing."""
    probability = 1 / (1 + np.exp(-logits))
    return float(1 - (2 * np.sum(probability * target) + 1) / (np.sum(probability) + np.sum(target) + 1))


@pytest.mark.parametrize("seed", range(3))
def test_bce_is_the_mean_cross_entropy_of_all_pixels(seed: int) -> None:
    logits, target = batch(seed)
    assert BCE()(logits, target).item() == pytest.approx(cross_entropy(logits.numpy(), target.numpy()), rel=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_bce_dice_is_the_weighted_sum_of_both(weight: float) -> None:
    logits, target = batch(7)
    expected = (1 - weight) * cross_entropy(logits.numpy(), target.numpy()) + weight * soft_dice(
        logits.numpy(), target.numpy()
    )
    assert BCEDice(dice_weight=weight)(logits, target).item() == pytest.approx(expected, rel=1e-12)


def test_dice_is_pooled_over_the_batch() -> None:
    # Given: tiles of very different landslide share
    logits, target = batch(1)
    target[0] = 0
    target[1] = 1
    # When
    pooled = BCEDice(dice_weight=1.0)(logits, target).item()
    # Then
    by_tile = [soft_dice(one.numpy(), true.numpy()) for one, true in zip(logits, target, strict=True)]
    assert pooled == pytest.approx(soft_dice(logits.numpy(), target.numpy()))
    assert pooled != pytest.approx(np.mean(by_tile), abs=0.01)


@pytest.mark.parametrize("loss", [BCE(), BCEDice(), BCEDice(dice_weight=1.0)], ids=["bce", "bce_dice", "dice"])
@pytest.mark.parametrize("share", [0.0, 1.0], ids=["no landslide", "landslide everywhere"])
def test_the_gradient_on_a_mask_of_one_value_is_finite_and_not_zero(loss: nn.Module, share: float) -> None:
    # Given: smp's Dice has loss 0 and gradient 0 on an empty mask
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    target = torch.full((2, 1, 8, 8), share)
    # When
    loss(logits, target).backward()
    # Then
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (torch.sign(logits.grad) == (1 if share == 0 else -1)).all()


@pytest.mark.parametrize("loss", [BCE(), BCEDice(), BCEDice(dice_weight=1.0)], ids=["bce", "bce_dice", "dice"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_perfect_prediction_costs_nothing(loss: nn.Module, share: float) -> None:
    _, target = batch(2, share)
    assert loss(40 * (2 * target - 1), target).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", [BCE(), BCEDice()], ids=["bce", "bce_dice"])
def test_logits_of_any_size_give_a_finite_loss_and_gradient(loss: nn.Module) -> None:
    logits = torch.tensor([[[[-1e4, 1e4, -1e4, 1e4]]]], requires_grad=True)
    value = loss(logits, torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]]))
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_smoothing_draws_targets_towards_one_half() -> None:
    # Given
    logits, target = batch(3)
    # When
    smoothed = SmoothedTargets(BCE(), 0.1)(logits, target).item()
    # Then: 0 becomes 0.05 and 1 becomes 0.95
    towards = np.where(target.numpy() == 1, 0.95, 0.05)
    assert smoothed == pytest.approx(cross_entropy(logits.numpy(), towards), rel=1e-12)


def test_no_smoothing_leaves_the_loss_as_it_is() -> None:
    logits, target = batch(4)
    assert torch.equal(SmoothedTargets(BCEDice(), 0.0)(logits, target), BCEDice()(logits, target))


def test_smoothed_targets_are_best_met_at_their_own_value() -> None:
    # Given: a landslide pixel, smoothing 0.2, so the target is 0.9
    loss, target = SmoothedTargets(BCE(), 0.2), torch.ones(1, 1, 1, 1)
    # When
    costs = {p: loss(torch.logit(torch.full((1, 1, 1, 1), p)), target).item() for p in (0.8, 0.9, 0.99)}
    # Then
    assert min(costs, key=lambda p: costs[p]) == 0.9
