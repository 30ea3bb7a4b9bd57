"""The numbers that the paper prints, against one another."""

from __future__ import annotations

import numpy as np
import pytest

from landslide.metrics import ratios
from landslide.report.paper import TABLE_II, remark_on_shares

ROUNDED = 5e-6
"""Half a unit of the last digit of Table II."""


@pytest.mark.parametrize("arch", TABLE_II)
def test_each_f1_of_table_ii_follows_from_its_precision_and_recall_within_rounding(arch: str) -> None:
    row = TABLE_II[arch]
    least, most = (
        2 / (1 / (row.precision + shift) + 1 / (row.recall + shift)) + shift for shift in (-ROUNDED, ROUNDED)
    )
    assert least <= row.f1 <= most


@pytest.mark.parametrize("arch", TABLE_II)
def test_a_confusion_matrix_with_the_share_that_follows_has_the_numbers_of_table_ii(arch: str) -> None:
    # Given: the matrix that precision, recall and the share of landslide pixels make, of so many pixels
    row, pixels = TABLE_II[arch], 10**9
    hits = row.recall * row.landslide_share * pixels
    misses = row.landslide_share * pixels - hits
    false_alarms = hits / row.precision - hits
    counts = np.rint([hits, false_alarms, misses, pixels - hits - misses - false_alarms]).astype(np.int64)
    # When
    found = ratios(counts)
    # Then
    for metric in ("accuracy", "precision", "recall"):
        assert found[metric] == pytest.approx(getattr(row, metric), abs=1e-8)


def test_three_models_were_measured_on_one_share_of_landslide_pixels_and_pspnet_on_another() -> None:
    shares = {arch: row.landslide_share for arch, row in TABLE_II.items()}
    # rounding moves the share by less than (rounding of accuracy) / (wrong pixels a landslide pixel), and as much again
    rounding = 4 * ROUNDED / 0.29
    for arch in ("fpn", "linknet"):
        assert shares[arch] == pytest.approx(shares["unet"], abs=rounding)
    assert shares["pspnet"] - shares["unet"] > 100 * rounding
    assert "8.65 % for U-Net, FPN and LinkNet, but 9.89 % for PSPNet" in remark_on_shares()
