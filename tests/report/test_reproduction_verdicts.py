"""Verdicts on ours, and whose order is whose."""

from __future__ import annotations

import math

import pytest

from landslide.report.paper import TABLE_II
from landslide.report.reproduction_models import TIME
from landslide.report.reproduction_settings import Change
from landslide.report.reproduction_verdicts import BETTER, NOT, WITHIN, WORSE, rank, verdict, verdict_on
from landslide.report.statistics import Estimate
from tests.report.reproductions import four, model


@pytest.mark.parametrize(
    ("theirs", "expected"), [(0.79, BETTER), (0.80, WITHIN), (0.85, WITHIN), (0.90, WITHIN), (0.91, WORSE)]
)
def test_a_verdict_says_where_the_papers_number_lies(theirs: float, expected: str) -> None:
    assert verdict(theirs, Estimate(0.85, 0.02, 0.80, 0.90, seeds=3, tiles=80)) == expected


@pytest.mark.parametrize(
    ("ours", "why"),
    [
        (None, "no run has finished"),
        (Estimate(0.85, math.nan, 0.80, 0.90, seeds=1, tiles=80), "one seed has no interval"),
        (Estimate(math.nan, math.nan, math.nan, math.nan, seeds=2, tiles=80), "undefined in a run"),
        (Estimate(0.0, 0.0, math.nan, math.nan, seeds=2, tiles=80), "0 in every run has no interval"),
    ],
)
def test_what_has_no_interval_is_not_comparable_and_says_why(ours: Estimate | None, why: str) -> None:
    assert verdict(0.85, ours) == f"{NOT}: {why}"


@pytest.mark.parametrize(("part", "expected"), [("val", f"{NOT}: other data"), ("train", BETTER)])
def test_non_landslide_images_that_validate_make_it_other_data_and_those_that_train_another_recipe(
    part: str, expected: str
) -> None:
    change = Change(f"data.negatives.{part}", f"data.negatives.{part}", "none", "all")
    assert verdict_on(model("fpn", 0.95), "f1", [change]) == expected


def test_rankings_are_compared_by_kendalls_tau_and_of_times_the_shortest_is_first() -> None:
    models = four()
    f1, time = rank("f1", models), rank(TIME, models)
    assert f1 is not None
    assert f1.theirs == ("LinkNet", "U-Net", "PSPNet", "FPN")
    assert f1.ours == ("FPN", "U-Net", "LinkNet", "PSPNet")
    assert f1.tau == pytest.approx((2 - 4) / 6)  # of the six pairs, U-Net and LinkNet stand before PSPNet in both
    assert time is not None
    assert time.theirs == ("LinkNet", "PSPNet", "U-Net", "FPN")
    assert time.ours == ("PSPNet", "LinkNet", "U-Net", "FPN")
    assert time.tau == pytest.approx((5 - 1) / 6)
    assert rank("f1", models[:1]) is None


def test_the_caption_says_the_p_value_of_four_models_in_the_same_order() -> None:
    f1 = {arch: row.f1 for arch, row in TABLE_II.items()}
    found = rank("f1", [model(arch, value) for arch, value in f1.items() if arch != "pspnet"] + [model("pspnet", 0.83)])
    assert found is not None
    assert found.tau == 1
    assert found.p == pytest.approx(2 / 24)
