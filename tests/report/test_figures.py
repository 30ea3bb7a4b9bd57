"""Figures: what they are drawn from, and that no name breaks them."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from landslide.report.calibration import reliability
from landslide.report.figures import (
    FALSE_ALARM,
    HIT,
    INK,
    MISS,
    MOST_MODELS,
    PALETTE,
    Panel,
    confusion_matrices_figure,
    confusion_matrix_figure,
    curves_figure,
    f1_against_time_figure,
    loss_curves_figure,
    panel_figure,
    reliability_figure,
    tiles_figure,
    to_png,
    to_svg,
)

COUNTS = np.array([30, 10, 20, 140])
ODD = "$x_{1$ <script> & \\frac"


def a_panel(tiles: tuple[str, ...] = ("one", "two")) -> Panel:
    """The left half of each tile is a landslide; the upper half is predicted."""
    masks = np.zeros((len(tiles), 4, 4), np.uint8)
    masks[:, :, :2] = 1
    probability = np.zeros_like(masks)
    probability[:, :2] = 128
    images = np.full((len(tiles), 4, 4, 3), 100, np.uint8)
    return Panel(images, masks, probability, tiles, "Both of them.")


def texts(axis: Axes) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_a_confusion_matrix_has_pixels_and_the_share_of_the_true_class() -> None:
    (axis,) = confusion_matrix_figure(COUNTS, "title").axes
    assert texts(axis) == ["93.3%\n140", "6.7%\n10", "40.0%\n20", "60.0%\n30"]


def test_a_class_without_pixels_has_no_share() -> None:
    (axis,) = confusion_matrix_figure([0, 0, 0, 9], "title").axes
    assert texts(axis)[2:] == ["0.0%\n0", "0.0%\n0"]


def test_hits_false_alarms_and_misses_have_three_colours_and_f1_is_of_the_tile() -> None:
    # When
    panel = a_panel()
    figure = panel_figure(panel.images, panel.masks, panel.probability, panel.tile_id, panel.rule)
    # Then: image, truth, prediction
    prediction = figure.axes[2]
    shown = np.asarray(prediction.get_images()[0].get_array()) / 255
    assert [to_hex(shown[row, column]).upper() for row, column in ((0, 0), (0, 3), (3, 0))] == [HIT, FALSE_ALARM, MISS]
    assert prediction.get_xlabel() == "F1 0.5000"
    assert figure.legends[0].get_title().get_text() == panel.rule


def test_a_tile_that_a_model_has_not_stored_stays_empty() -> None:
    figure = tiles_figure({"a": a_panel(), "b": a_panel(("two",))})
    assert texts(figure.axes[3]) == ["not stored"]
    assert texts(figure.axes[7]) == []


def test_an_empty_tile_without_alarm_has_no_f1() -> None:
    panel = a_panel()
    panel.masks[:] = panel.probability[:] = 0
    assert tiles_figure({"a": panel}).axes[2].get_xlabel() == "no landslide, none found"


def test_a_model_has_the_same_colour_in_curves_and_scatter() -> None:
    history = {"train/loss": [(1, 0.5), (2, 0.4)], "val/loss": [(1, 0.6)], "val/f1": [(1, 0.1), (2, 0.2)]}
    curves = loss_curves_figure({"a": [(history, 2), (history, None)], "b": [(history, None)]}, "val/f1")
    scatter = f1_against_time_figure({"a": (100, 0.2), "b": (90, 0.3)})
    scatter_colours = [np.asarray(points.get_facecolor())[0] for points in scatter.axes[0].collections]
    for index, colour in enumerate(PALETTE[:2]):
        assert {str(line.get_color()) for line in curves.axes[index].lines} == {colour}
        assert to_hex(scatter_colours[index]).upper() == colour


def test_curves_of_one_run_leave_out_what_was_never_logged() -> None:
    losses, metrics = curves_figure({"train/loss": [(1, 0.5), (2, 0.4)], "val/f1": []}).axes
    assert [line.get_label() for line in losses.lines] == ["train/loss"]
    assert metrics.lines[:] == []


def every_figure(label: str, models: int) -> list[Figure]:
    names = [f"{label} {index}" for index in range(models)]
    history = {"train/loss": [(1, 0.5)], "val/loss": [], "val/f1": [(1, 0.1)]}
    return [
        confusion_matrices_figure(dict.fromkeys(names, COUNTS)),
        loss_curves_figure(dict.fromkeys(names, [(history, None)] * 2), "val/f1"),
        f1_against_time_figure(dict.fromkeys(names, (1.0, 0.5))),
        tiles_figure(dict.fromkeys(names, a_panel())),
    ]


@pytest.mark.parametrize("models", [1, MOST_MODELS])
def test_any_name_makes_a_picture_and_safe_markup(models: int) -> None:
    for figure in every_figure(ODD, models):
        assert Image.open(io.BytesIO(to_png(figure, dpi=30))).format == "PNG"
        svg = ElementTree.fromstring(to_svg(figure, "name"))
        assert not [node for node in svg.iter() if node.tag.endswith("script")]


def test_svg_takes_the_text_colour_of_the_page() -> None:
    svg = to_svg(confusion_matrix_figure(COUNTS, "title"), "name")
    assert "currentColor" in svg
    assert INK not in svg


def test_counts_of_pixels_within_one_power_of_ten_are_labelled_in_figures() -> None:
    # Given
    histogram = np.zeros((2, 256), np.int64)
    histogram[0, 40], histogram[1, 200] = 119_000, 45_000
    # When
    svg = to_svg(reliability_figure({"U-Net": reliability(histogram)}), "reliability")
    # Then
    assert "100,000" in svg
    assert "mathdefault" not in svg
