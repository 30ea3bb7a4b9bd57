"""Metrics against scikit-learn and NumPy, on masks that they never saw."""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)

from landslide.metrics import BINS, COUNTS, counts_from_histograms, ratios
from landslide.training.histograms import TileHistograms, probability_bin

SIDE = 24


def tiles(number: int, seed: int, share: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Random probabilities float32 and masks uint8, ``(number, SIDE, SIDE)``."""
    random = np.random.default_rng(seed)
    mask = (random.random((number, SIDE, SIDE)) < share).astype(np.uint8)
    probability = np.clip(0.35 * mask + random.random(mask.shape) * 0.8, 0, 1).astype(np.float32)
    return torch.from_numpy(probability), torch.from_numpy(mask)


def measured(probability: torch.Tensor, mask: torch.Tensor) -> npt.NDArray[np.int64]:
    """Histograms of all tiles in one update."""
    metric = TileHistograms(len(mask))
    metric.update(probability_bin(probability), mask, torch.arange(len(mask)))
    return metric.compute().numpy()


# ------------------------------------------------------------------------------------------------------------ ratios
@pytest.mark.parametrize("seed", range(5))
def test_ratios_agree_with_scikit_learn(seed: int) -> None:
    # Given
    random = np.random.default_rng(seed)
    truth = random.random(4000) < random.uniform(0.02, 0.6)
    prediction = truth ^ (random.random(4000) < random.uniform(0.02, 0.6))
    tp, fp = (truth & prediction).sum(), (~truth & prediction).sum()
    fn, tn = (truth & ~prediction).sum(), (~truth & ~prediction).sum()
    # When
    found = ratios(np.array([tp, fp, fn, tn]))
    # Then
    assert found == pytest.approx(
        {
            "accuracy": accuracy_score(truth, prediction),
            "precision": precision_score(truth, prediction),
            "recall": recall_score(truth, prediction),
            "f1": f1_score(truth, prediction),
            "iou": jaccard_score(truth, prediction),
        },
        rel=1e-12,
    )
    assert all(type(value) is float for value in found.values())


def test_ratios_of_many_rows_are_the_ratios_of_each_row() -> None:
    counts = np.random.default_rng(0).integers(1, 1000, (3, 5, 4))
    found = ratios(counts)
    for row in np.ndindex(3, 5):
        tp, fp, fn, tn = (int(value) for value in counts[row])
        assert found["f1"][row] == pytest.approx(tp / (tp + 0.5 * (fp + fn)))
        assert found["accuracy"][row] == pytest.approx(1 - (fp + fn) / (tp + fp + fn + tn))
    assert found["iou"].shape == (3, 5)
    assert found["iou"].dtype == np.float64


def test_pooled_ratios_weigh_pixels_and_not_tiles() -> None:
    # Given: a tile full of landslide that was found, a tile with one missed pixel
    counts = np.array([[100, 0, 0, 0], [0, 0, 1, 99]])
    # Then
    assert ratios(counts.sum(0))["recall"] == pytest.approx(100 / 101)
    assert ratios(counts)["recall"].mean() == 0.5


@pytest.mark.parametrize(
    ("case", "counts", "undefined"),
    [
        ("nothing there, nothing found", [0, 0, 0, 9], {"precision", "recall", "f1", "iou"}),
        ("nothing there, something found", [0, 2, 0, 7], {"recall"}),
        ("something there, nothing found", [0, 0, 2, 7], {"precision"}),
        ("all wrong", [0, 4, 5, 0], set()),
        ("all landslide, all found", [9, 0, 0, 0], set()),
        ("no pixel at all", [0, 0, 0, 0], {"accuracy", "precision", "recall", "f1", "iou"}),
    ],
)
def test_a_ratio_is_nan_only_where_its_denominator_is_zero(case: str, counts: list[int], undefined: set[str]) -> None:
    found = ratios(counts)
    assert {name for name, value in found.items() if math.isnan(value)} == undefined, case
    assert all(0 <= value <= 1 for name, value in found.items() if name not in undefined)


def test_missed_and_false_landslides_score_zero_and_not_nan() -> None:
    assert ratios([0, 2, 0, 7])["f1"] == 0
    assert ratios([0, 0, 2, 7])["iou"] == 0


def test_undefined_ratios_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # NumPy's; others may come from what is collected meanwhile
        ratios(np.zeros((3, 4), dtype=np.int64))


# -------------------------------------------------------------------------------------------------------------- bins
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_edge_belongs_to_the_bin_above_it(dtype: torch.dtype) -> None:
    # Given: k / 256 is exact in floating point
    edges = torch.arange(BINS, dtype=dtype) / BINS
    # When
    bins = probability_bin(edges)
    # Then
    assert bins.dtype == torch.uint8
    assert bins.tolist() == list(range(256))


def test_the_largest_number_below_an_edge_belongs_to_the_bin_below() -> None:
    edges = torch.arange(1, BINS + 1, dtype=torch.float32) / BINS
    below = torch.nextafter(edges, torch.zeros_like(edges))
    assert probability_bin(below).tolist() == list(range(256))


def test_certainty_falls_into_the_last_bin_and_does_not_wrap() -> None:
    assert probability_bin(torch.tensor([0.0, 1.0])).tolist() == [0, 255]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_probabilities_fall_into_the_bins_of_their_exact_value(dtype: torch.dtype) -> None:
    # Given: every value of 8 significant bits that lies in [0, 1]
    probability = torch.linspace(0, 1, 5000).to(dtype)
    exact = np.array(probability.tolist())  # Python floats
    # When, then
    assert probability_bin(probability).tolist() == np.minimum(np.floor(exact * 256), 255).astype(int).tolist()


def test_binning_leaves_the_probabilities_as_they_are() -> None:
    probability = torch.tensor([0.25, 1.0])
    probability_bin(probability)
    assert probability.tolist() == [0.25, 1.0]


# -------------------------------------------------------------------------------------------------------- histograms
def test_histograms_agree_with_numpy_for_each_tile_and_class() -> None:
    # Given
    probability, mask = tiles(6, seed=1)
    # When
    found = measured(probability, mask)
    # Then
    assert found.dtype == np.int64
    for row in range(6):
        for label in (0, 1):
            values = probability[row].numpy()[mask[row].numpy() == label]
            expected, _ = np.histogram(values, bins=256, range=(0, 1))
            assert found[row, label].tolist() == expected.tolist()


def test_counts_of_each_tile_agree_with_scikit_learn() -> None:
    # Given
    probability, mask = tiles(7, seed=2)
    # When
    counts = counts_from_histograms(measured(probability, mask))
    # Then
    assert COUNTS == ("TP", "FP", "FN", "TN")
    for row in range(7):
        (tn, fp), (fn, tp) = confusion_matrix(
            mask[row].flatten().numpy(), probability[row].flatten().numpy() >= 0.5, labels=[0, 1]
        )
        assert counts[row].tolist() == [tp, fp, fn, tn]


def test_batches_in_any_order_fill_the_rows_that_they_name() -> None:
    # Given
    probability, mask = tiles(7, seed=3)
    whole = measured(probability, mask)
    # When: three batches, shuffled, the last one of a single tile
    metric = TileHistograms(7)
    for rows in ([6, 1, 3], [0, 5, 2], [4]):
        metric.update(probability_bin(probability[rows]), mask[rows], torch.tensor(rows))
    # Then
    assert np.array_equal(metric.compute().numpy(), whole)


def test_a_tile_that_was_never_seen_has_only_zeros_and_reset_forgets_all() -> None:
    probability, mask = tiles(1, seed=4)
    metric = TileHistograms(3)
    metric.update(probability_bin(probability), mask, torch.tensor([1]))
    assert metric.compute().sum((1, 2)).tolist() == [0, SIDE * SIDE, 0]
    metric.reset()
    assert metric.histograms.sum() == 0


def test_pooled_counts_stay_exact_beyond_two_to_the_24() -> None:
    # Given: 257 tiles of 256 x 256, all found but for one pixel; float32 cannot count these
    mask = torch.ones(257, 256, 256, dtype=torch.uint8)
    bins = torch.full_like(mask, 255)
    bins[0, 0, 0] = 0
    metric = TileHistograms(257)
    # When
    for start in range(0, 257, 64):
        rows = torch.arange(start, min(start + 64, 257))
        metric.update(bins[rows], mask[rows], rows)
    # Then
    pooled = counts_from_histograms(metric.compute().numpy()).sum(0)
    assert pooled.tolist() == [257 * 65536 - 1, 0, 1, 0]
    assert ratios(pooled)["recall"] == 16842751 / 16842752 < 1


def test_pooled_counts_stay_exact_beyond_two_to_the_31() -> None:
    # Given: histograms of two tiles, of 2**31 + 1 and 2**33 + 3 pixels
    histograms = np.zeros((2, 2, 256), dtype=np.int64)
    histograms[0, 1, 200] = 2**31 + 1
    histograms[1, 0, 10] = 2**33
    histograms[1, 0, 128] = 3
    # When
    pooled = counts_from_histograms(histograms).sum(0)
    # Then
    assert pooled.dtype == np.int64
    assert pooled.tolist() == [2**31 + 1, 3, 0, 2**33]
    assert ratios(pooled)["precision"] == (2**31 + 1) / (2**31 + 4)


def test_a_tile_adds_to_what_its_row_holds_in_integers() -> None:
    # Given: a row that holds more than int32 and float32 can
    metric = TileHistograms(1)
    metric.histograms[0, 1, 255] = 2**40
    # When
    metric.update(
        torch.full((1, 1, 1), 255, dtype=torch.uint8), torch.ones(1, 1, 1, dtype=torch.uint8), torch.tensor([0])
    )
    # Then
    assert metric.compute()[0, 1, 255].item() == 2**40 + 1
