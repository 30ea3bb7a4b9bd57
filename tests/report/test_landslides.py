"""Landslide by landslide: areas, shares and false alarms of runs whose landslides are counted by hand."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
import pytest

from landslide.report.figures import PALETTE
from landslide.report.landslides import Landslides, make_picture, make_sections, read_landslides, to_csv
from landslide.report.section import Section

GSD_M = 0.5


def stored(found_px: tuple[int, int, int] = (10, 0, 100), gsd_m: float = GSD_M) -> dict[str, np.ndarray[Any, Any]]:
    """Three tiles that the network sees at 20 x 20, the first one of 40 x 80 px; the last one holds no landslide.

    A pixel of the first is 2 m2 and one of the others 0.25 m2. The landslides are of 40 px = 80 m2, 60 px = 120 m2 and
    200 px = 50 m2. One patch of the first tile and two of the last one touch no landslide.
    """
    landslide_px = np.array([40, 60, 200])
    true = np.array([100, 200, 0])
    hit = np.array([found_px[0] + found_px[1], found_px[2], 0])
    false = np.array([7, 0, 5])
    return {
        "counts": np.stack([hit, false, true - hit, 400 - true - false], axis=1),
        "height_px": np.array([40, 20, 20]),
        "width_px": np.array([80, 20, 20]),
        "gsd_m": np.full(3, gsd_m),
        "landslide_tile": np.array([0, 0, 1]),
        "landslide_px": landslide_px,
        "landslide_found_px": np.array(found_px),
        "patch_tile": np.array([0, 0, 1, 2, 2]),
        "patch_px": np.array([found_px[0], 7, found_px[2], 2, 3]),
        "patch_true_px": np.array([found_px[0], 0, found_px[2], 0, 0]),
        "boundary_true_px": np.array([40, 40, 0]),
        "boundary_true_matched_px": np.array([20, 20, 0]),
        "boundary_predicted_px": np.array([20, 20, 10]),
        "boundary_predicted_matched_px": np.array([10, 20, 0]),
    }


def a_run(found_px: tuple[int, int, int] = (10, 0, 100), gsd_m: float = GSD_M) -> Landslides:
    run = read_landslides(stored(found_px, gsd_m))
    assert run is not None
    return run


def cells(section: Section) -> dict[str, list[str]]:
    return {column.heading: [cell.text for cell in column.cells] for column in section.columns}


def test_areas_are_of_the_ground_whatever_size_a_tile_was_given() -> None:
    run = a_run()
    assert run.area_m2.tolist() == [80.0, 120.0, 50.0]
    assert run.tile_km2.tolist() == [800e-6, 100e-6, 100e-6]


def test_what_is_found_and_half_found() -> None:
    # Given: a quarter, nothing and one half of three landslides
    run = a_run((10, 0, 100))
    # Then
    assert run.found_share(0) == pytest.approx(2 / 3)
    assert run.found_share(0.5) == pytest.approx(1 / 3)


def test_size_classes_are_decades_and_one_without_landslides_has_no_share() -> None:
    run = a_run()
    assert run.numbers_by_size() == [2, 1, 0, 0, 0]
    half_found = run.found_by_size()
    assert half_found[:2] == [0.5, 0.0]
    assert all(map(math.isnan, half_found[2:]))


def test_false_alarms_are_counted_on_images_with_and_without_a_landslide() -> None:
    run = a_run()
    assert run.alarms(empty=False) == pytest.approx((1 / 2, 1 / 900e-6))
    assert run.alarms(empty=True) == pytest.approx((2.0, 2 / 100e-6))


def test_boundary_f1_pools_pixels_over_tiles() -> None:
    precision, recall = 30 / 50, 40 / 80
    assert a_run().boundary_f1 == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize(("boundary", "f1"), [((0, 0, 0, 0), math.nan), ((9, 0, 0, 0), 0.0), ((9, 0, 9, 0), 0.0)])
def test_boundary_f1_without_a_match_is_zero_and_without_a_boundary_none(
    boundary: tuple[int, int, int, int], f1: float
) -> None:
    nothing = np.zeros(0)
    run = Landslides(nothing, nothing, np.zeros(1, np.int64), np.ones(1), np.ones(1, bool), boundary)
    assert run.boundary_f1 == pytest.approx(f1, nan_ok=True)
    assert math.isnan(run.found_share(0))


def test_a_run_of_before_has_no_such_numbers() -> None:
    assert read_landslides({"counts": np.ones((1, 4), np.int64)}) is None


def test_tables_show_means_and_deviations_over_seeds_and_mark_the_best() -> None:
    # Given: two seeds of one model, one of another
    strata = {"U-Net": [a_run((10, 0, 100)), a_run((40, 60, 200))], "FPN": [a_run((4, 0, 100))]}
    # When
    overall, by_size = make_sections(strata, {})
    # Then
    assert cells(overall)["Model"] == ["U-Net", "FPN"]
    assert cells(overall)["Found"] == ["0.833 ± 0.236", "0.667"]
    assert cells(overall)["False alarms an image, landslide images"] == ["0.50 ± 0.00", "0.50"]
    assert [cell.best for cell in overall.columns[1].cells] == [True, False]
    assert overall.caption.startswith("3 landslides in 2 images (0.00 km²); 1 images (0.00 km²) without one. ")
    assert cells(by_size)["under 100 m² (2)"] == ["0.750 ± 0.354", "0.500"]
    assert list(cells(by_size)) == ["Model", "under 100 m² (2)", "100 to 1,000 m² (1)"]


def test_where_the_ground_sampling_distance_is_unknown_nothing_is_said_of_areas() -> None:
    strata = {"U-Net": [a_run(gsd_m=math.nan)]}
    (overall,) = make_sections(strata, {})
    assert "False alarms an image, landslide images" in cells(overall)
    assert not [heading for heading in cells(overall) if "km²" in heading]
    assert "km²" not in overall.caption.split(" A landslide")[0]
    assert make_picture(strata) is None


def test_models_that_saw_other_tiles_share_no_numbers_of_landslides() -> None:
    # Given: a second model on tiles of another size
    strata = {"U-Net": [a_run()], "FPN": [a_run(gsd_m=0.55)]}
    overall, by_size = make_sections(strata, {})
    assert overall.caption.startswith("A landslide is")
    assert list(cells(by_size)) == ["Model", "under 100 m²", "100 to 1,000 m²"]


def test_the_picture_has_a_dot_a_model_and_class_and_says_it_in_words() -> None:
    strata = {"U-Net": [a_run((10, 0, 100)), a_run((40, 60, 200))], "FPN": [a_run((0, 0, 100))]}
    picture = make_picture(strata)
    assert picture is not None
    axis = picture.figure.axes[0]
    assert [line.get_ydata().tolist() for line in axis.lines] == [[0.75, 0.5], [0.5, 0.0]]  # type: ignore[union-attr]
    assert "U-Net: 75% of under 100 m², 50% of 100 to 1,000 m²; FPN: 50%" in picture.description


def test_a_model_has_its_colour_also_where_the_one_before_it_has_no_run() -> None:
    picture = make_picture({"U-Net": [], "FPN": [a_run()]})
    assert picture is not None
    (dots,) = picture.figure.axes[0].lines
    assert dots.get_color() == PALETTE[1]
    assert picture.description.startswith("Share of landslides found by size. FPN: ")


def test_csv_has_a_line_a_run_with_numbers_in_full() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv({"U-Net": {"a": a_run(), "b": a_run((0, 0, 0))}}))))
    assert [row["run_id"] for row in rows] == ["a", "b"]
    assert float(rows[0]["found"]) == 2 / 3
    assert rows[1]["half_found"] == "0.0"
    assert rows[0]["landslides_m2_0_to_100"] == "2"
    assert rows[0]["half_found_m2_1000_to_10000"] == ""
