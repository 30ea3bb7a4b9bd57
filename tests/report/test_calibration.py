"""Curves, calibration and temperature against scikit-learn and torchmetrics, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve
from torchmetrics.functional.classification import binary_calibration_error

from landslide.report.calibration import (
    GROUPS,
    Histogram,
    average_precision,
    best_temperature,
    best_threshold,
    calibrated,
    expected_calibration_error,
    pr_curve,
    reliability,
)

EMPTY = np.zeros((2, 256), np.int64)


def pixels(seed: int, heat: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probability at the middle of its bin, of a network whose logits are ``heat`` times too large."""
    random = np.random.default_rng(seed)
    logits = random.normal(-2, 1.5, 5000)
    truth = random.random(5000) < 1 / (1 + np.exp(-logits))
    probability = 1 / (1 + np.exp(-heat * logits))
    return truth, (np.floor(probability * 256).clip(max=255) + 0.5) / 256


def histogram_of(truth: np.ndarray, probability: np.ndarray) -> Histogram:
    bins = (probability * 256).astype(int)
    return np.stack([np.bincount(bins[truth == value], minlength=256) for value in (False, True)])


@pytest.mark.parametrize("seed", range(3))
def test_precision_and_recall_are_those_of_scikit_learn(seed: int) -> None:
    # Given
    truth, probability = pixels(seed)
    precision, recall, threshold = precision_recall_curve(truth, probability)
    # When
    curve = pr_curve(histogram_of(truth, probability))
    # Then: at the bins that hold a pixel
    at = 255 - (threshold * 256).astype(int)
    np.testing.assert_allclose(curve.precision[at], precision[:-1])
    np.testing.assert_allclose(curve.recall[at], recall[:-1])
    np.testing.assert_allclose(curve.threshold[at], np.floor(threshold * 256) / 256)


@pytest.mark.parametrize("seed", range(3))
def test_the_area_under_the_curve_is_that_of_scikit_learn(seed: int) -> None:
    truth, probability = pixels(seed)
    found = average_precision(histogram_of(truth, probability))
    assert found == pytest.approx(average_precision_score(truth, probability), rel=1e-12)


def test_the_best_threshold_has_the_best_f1() -> None:
    truth, probability = pixels(0)
    scores = {at / 256: f1_score(truth, probability >= at / 256) for at in range(256)}
    threshold, f1 = best_threshold(histogram_of(truth, probability))
    assert f1 == pytest.approx(max(scores.values()))
    assert scores[threshold] == pytest.approx(f1)


def test_of_equal_thresholds_the_one_next_to_a_half_is_taken() -> None:
    histogram = EMPTY.copy()
    histogram[0, 10] = histogram[1, 200] = 7
    assert best_threshold(histogram) == (0.5, 1.0)


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_reliability_and_its_error_are_those_of_others(heat: float) -> None:
    # Given
    truth, probability = pixels(1, heat)
    share, predicted = calibration_curve(truth, probability, n_bins=GROUPS)
    error = binary_calibration_error(torch.from_numpy(probability), torch.from_numpy(truth).long(), n_bins=GROUPS)
    # When
    found = reliability(histogram_of(truth, probability))
    # Then
    filled = found.pixels > 0
    np.testing.assert_allclose(found.share[filled], share)
    np.testing.assert_allclose(found.probability[filled], predicted)
    assert found.pixels.sum() == 5000
    assert expected_calibration_error(histogram_of(truth, probability)) == pytest.approx(error.item(), rel=1e-5)


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_is_that_of_a_logistic_regression(heat: float) -> None:
    # Given
    truth, probability = pixels(2, heat)
    logits = np.log(probability / (1 - probability))[:, None]
    slope = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(logits, truth).coef_.item()
    # When
    histogram = histogram_of(truth, probability)
    temperature = best_temperature(histogram)
    # Then
    assert temperature == pytest.approx(1 / slope, rel=1e-3)
    assert temperature == pytest.approx(heat, rel=0.15)


def test_a_temperature_mends_a_network_that_is_too_sure() -> None:
    histogram = histogram_of(*pixels(2, heat=3.0))
    before, after = (expected_calibration_error(histogram, heat) for heat in (1.0, best_temperature(histogram)))
    assert before > 0.05
    assert after < before / 3


def test_no_temperature_is_the_middle_of_each_bin() -> None:
    np.testing.assert_allclose(calibrated(1.0), (np.arange(256) + 0.5) / 256)


def test_without_landslides_and_without_pixels_nothing_is_defined() -> None:
    background = EMPTY.copy()
    background[0, 3] = 9
    assert np.isnan([average_precision(background), *best_threshold(background), best_temperature(background)]).all()
    assert np.isnan([expected_calibration_error(EMPTY), best_temperature(EMPTY)]).all()
    assert np.isnan(pr_curve(background).recall).all()
    assert expected_calibration_error(background) == pytest.approx(3.5 / 256)
