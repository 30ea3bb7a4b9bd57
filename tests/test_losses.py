"""Losses against formulas written in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from landslide.errors import ConfigError
from landslide.losses import BCE, MCC, BCEDice, SmoothedTargets, Tversky
from tests.conftest import ROOT, compose_run

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


# ------------------------------------------------------------------------------------ each loss of conf/ by formula
def tversky(alpha: float, beta: float, logits: Float, target: Float) -> float:
    p = 1 / (1 + np.exp(-logits))
    tp, fp, fn = np.sum(p * target), np.sum(p * (1 - target)), np.sum((1 - p) * target)
    return float(1 - (tp + 0.5) / (tp + 0.5 + alpha * fp + beta * fn))


def focal(logits: Float, target: Float) -> float:
    """Lin et al. 2017, equation 5, for masks of 0 and 1."""
    p = 1 / (1 + np.exp(-logits))
    of_truth, weight = np.where(target == 1, p, 1 - p), np.where(target == 1, 0.25, 0.75)
    return float(np.mean(-weight * (1 - of_truth) ** 2 * np.log(of_truth)))


def lovasz(logits: Float, target: Float) -> float:
    """The convex closure of the Jaccard loss of wrong pixels, added up set by set (Berman et al. 2018, equation 9)."""
    errors, truth = np.maximum(1 - logits * (2 * target - 1), 0).ravel(), target.ravel() == 1
    order, loss, wrong, before = np.argsort(-errors, kind="stable"), 0.0, np.zeros(truth.size, dtype=bool), 0.0
    for pixel in order:
        wrong[pixel] = True
        jaccard_loss = wrong.sum() / (truth | wrong).sum()
        loss += errors[pixel] * (jaccard_loss - before)
        before = jaccard_loss
    return float(loss)


def mcc(logits: Float, target: Float) -> float:
    """One minus Pearson's correlation of a binary truth with a binary draw of each probability."""
    p, n = 1 / (1 + np.exp(-logits)), target.size
    covariance = np.sum(p * target) / n - p.mean() * target.mean()
    return float(1 - covariance / np.sqrt(p.mean() * (1 - p.mean()) * target.mean() * (1 - target.mean())))


FORMULAS: dict[str, Callable[[Float, Float], float]] = {
    "bce": cross_entropy,
    "dice": soft_dice,
    "bce_dice": lambda logits, target: (cross_entropy(logits, target) + soft_dice(logits, target)) / 2,
    "jaccard": partial(tversky, 1.0, 1.0),
    "tversky": partial(tversky, 0.3, 0.7),
    "focal": focal,
    "lovasz": lovasz,
    "mcc": mcc,
}
NAMES = sorted(path.stem for path in (ROOT / "conf" / "loss").glob("*.yaml"))


def configured(name: str) -> nn.Module:
    loss: nn.Module = instantiate(compose_run(f"loss={name}").loss)
    return loss


def test_every_loss_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_loss_is_its_formula(name: str, seed: int) -> None:
    logits, target = batch(seed)
    found = configured(name)(logits.float(), target.float()).item()
    assert found == pytest.approx(FORMULAS[name](logits.numpy(), target.numpy()), rel=1e-4)


def test_weights_of_one_half_and_of_one_are_dice_and_jaccard_on_masks() -> None:
    # Given: a prediction that is sure, with 2 pixels right, 1 false and 3 missed
    logits = torch.tensor([20.0, 20, 20, -20, -20, -20, -20]).view(1, 1, 1, 7)
    target = torch.tensor([1.0, 1, 0, 1, 1, 1, 0]).view(1, 1, 1, 7)
    # Then
    assert Tversky(0.5, 0.5)(logits, target).item() == pytest.approx(1 - (2 * 2 + 1) / (2 * 2 + 1 + 3 + 1))
    assert Tversky(1.0, 1.0)(logits, target).item() == pytest.approx(1 - (2 + 0.5) / (2 + 1 + 3 + 0.5))
    assert Tversky(1.0, 0.0)(logits, target).item() == pytest.approx(1 - (2 + 0.5) / (2 + 1 + 0.5))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0], ids=["no landslide", "some", "landslide everywhere"])
def test_following_the_gradient_lowers_the_loss_whatever_the_mask(name: str, share: float) -> None:
    # Given
    start, target = batch(5, share)
    logits, loss = start.float().requires_grad_(), configured(name)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    values = []
    # When
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(logits, target.float())
        value.backward()
        optimizer.step()
        values.append(value.item())
    # Then
    assert np.isfinite(values).all()
    assert values[-1] < (0.9 * values[0] if share == 0.2 else values[0] - 1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_around_the_loss_does_not_change_it(name: str) -> None:
    logits, target = batch(6)
    expected = configured(name)(logits.float(), target.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = configured(name)(logits.float(), target.float())
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_sure_logits_give_a_finite_loss_and_gradient(name: str) -> None:
    logits = torch.tensor([[[[-1e4, 1e4, -1e4, 1e4]]]], requires_grad=True)
    value = configured(name)(logits, torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]]))
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_of_a_batch_without_a_landslide_mcc_tells_a_false_alarm_from_none() -> None:
    target = torch.zeros(1, 1, 4, 4)
    assert MCC()(torch.full_like(target, -30.0), target).item() == pytest.approx(0.5, abs=0.01)
    assert MCC()(torch.full_like(target, 0.0), target).item() > 0.99


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lovasz"])
def test_a_loss_of_soft_targets_is_finite_and_descends(name: str) -> None:
    start, target = batch(8)
    loss = SmoothedTargets(configured(name), 0.2)
    logits = start.float().requires_grad_()
    value = loss(logits, target.float())
    value.backward()
    assert logits.grad is not None
    lower = loss(logits.detach() - 0.1 * logits.grad / logits.grad.norm(), target.float())
    assert lower.item() < value.item()


def test_a_loss_of_masks_alone_is_refused_with_label_smoothing_and_taken_without() -> None:
    with pytest.raises(ConfigError, match=r"^regularization\.label_smoothing=0\.1: .*=0, or another loss\.$"):
        SmoothedTargets(configured("lovasz"), 0.1)
    logits, target = batch(9)
    plain = configured("lovasz")(logits.float(), target.float())
    assert torch.equal(SmoothedTargets(configured("lovasz"), 0.0)(logits.float(), target.float()), plain)


@pytest.mark.parametrize(("make", "value"), [(Tversky, {"alpha": -0.1}), (Tversky, {"beta": float("nan")})])
def test_a_weight_below_nothing_is_refused(make: Callable[..., nn.Module], value: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"^loss.{next(iter(value))}=.*0 or more"):
        make(**value)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_share_of_dice_outside_0_to_1_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"^loss\.dice_weight="):
        BCEDice(weight)
