"""The sheet of predictions: which tiles it shows, and what runs store for it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from landslide.report.atlas import Atlas
from landslide.report.figures import Panel
from landslide.report.sheet import (
    Choice,
    at_percentiles,
    choose_tiles,
    make_picture,
    pack_tiles,
    read_panel,
    unpack_tiles,
)

TILES = 5
NAMES = tuple(f"tile_{at}" for at in range(TILES))


def smooth_images() -> np.ndarray[Any, Any]:
    """``(5, 32, 32, 3)``: a slope of its own brightness each, which JPEG keeps well."""
    slope = np.linspace(0, 40, 32, dtype=np.float64)
    return np.stack([np.tile(slope[:, None, None] + 40 * at, (1, 32, 3)) for at in range(TILES)]).astype(np.uint8)


def some_masks() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 2, (TILES, 32, 32), dtype=np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """What a run stores: tiles in another order than that of their names, and maps that are their masks."""
    pack_tiles(tmp_path / "tiles.zip", smooth_images()[::-1], some_masks()[::-1])
    np.savez(tmp_path / "best.npz", tile_id=np.array(NAMES[::-1]), probability=some_masks()[::-1] * 255)
    return tmp_path / "best.npz", tmp_path / "tiles.zip"


def an_atlas(*f1: list[float]) -> Atlas:
    models = tuple(f"model {at}" for at in range(len(f1)))
    return Atlas(models, tuple(f"tile_{at}" for at in range(len(f1[0]))), np.full(len(f1[0]), 0.1), np.array(f1))


def test_masks_come_back_exactly_and_images_nearly(tmp_path: Path) -> None:
    # When
    pack_tiles(tmp_path / "tiles.zip", smooth_images(), some_masks())
    images, masks = unpack_tiles(tmp_path / "tiles.zip", [3, 1])
    # Then
    np.testing.assert_array_equal(masks, some_masks()[[3, 1]])
    assert (images.dtype, masks.dtype) == (np.uint8, np.uint8)
    assert np.abs(images.astype(int) - smooth_images()[[3, 1]]).max() <= 4


def test_a_tile_is_found_by_its_name_in_every_run(files: tuple[Path, Path]) -> None:
    panel = read_panel(*files, tiles=["tile_3", "elsewhere", "tile_0"])
    assert panel is not None
    assert panel.tile_id == ["tile_3", "tile_0"]
    np.testing.assert_array_equal(panel.masks, some_masks()[[3, 0]])
    np.testing.assert_array_equal(panel.probability, some_masks()[[3, 0]] * 255)
    assert np.abs(panel.images.astype(int) - smooth_images()[[3, 0]]).max() <= 4


def test_a_run_without_maps_or_without_these_tiles_has_none_to_draw(files: tuple[Path, Path], tmp_path: Path) -> None:
    np.savez(tmp_path / "without.npz", tile_id=np.array(NAMES))
    assert read_panel(tmp_path / "without.npz", files[1], ["tile_0"]) is None
    assert read_panel(*files, tiles=["elsewhere"]) is None


def test_a_stored_picture_is_read_as_what_it_should_be_and_nothing_else(tmp_path: Path) -> None:
    # Given: a file of another format under the name of a JPEG
    with zipfile.ZipFile(tmp_path / "tiles.zip", "w") as packed:
        Image.new("RGB", (4, 4)).save(tmp_path / "other.tif")
        packed.write(tmp_path / "other.tif", "image/0.jpg")
    # Then
    with pytest.raises(ValueError, match="cannot be decoded"):
        unpack_tiles(tmp_path / "tiles.zip", [0])


def test_tiles_stand_at_percentiles_of_mean_f1() -> None:
    # Given: eleven tiles whose mean F1 is 0, 0.1, ..., 1 in a random order, though no model alone has that order
    random = np.random.default_rng(0)
    mean_f1 = random.permutation(11) / 10
    apart = random.uniform(0, 0.04, 11)
    choice = choose_tiles(an_atlas((mean_f1 - apart).tolist(), (mean_f1 + apart).tolist()))[0]
    # Then
    shown = [mean_f1[int(name.removeprefix("tile_"))] for name in choice.tiles]
    assert shown == [0.1, 0.5, 0.9]
    assert "10th, 50th and 90th percentile of F1 averaged over these models, of the 11 validation tiles" in choice.rule


def test_of_few_tiles_each_is_shown_once() -> None:
    assert at_percentiles(np.array([0.3])) == [0]
    assert at_percentiles(np.array([0.3, 0.2])) == [1, 0]


def test_the_hardest_tiles_that_every_model_misses_are_shown_too() -> None:
    f1 = [0.9, 0.4, 0.1, 0.3, 0.2, 0.0]
    _, missed = choose_tiles(an_atlas(f1, f1))
    assert missed.tiles == ("tile_5", "tile_2", "tile_4", "tile_3")
    assert missed.rule.startswith("Of the 5 tiles on which no model reaches F1 0.5")
    assert len(choose_tiles(an_atlas(f1))) == 1  # one model alone has no others that fail with it


def test_the_sheet_shows_what_was_chosen_under_its_rule_and_leaves_an_unknown_tile_empty(
    files: tuple[Path, Path],
) -> None:
    # Given: a second model that knows one of both tiles
    panel = read_panel(*files, tiles=["tile_0", "tile_1", "tile_2"])
    assert panel is not None
    other = Panel(panel.images[:1], panel.masks[:1], panel.probability[:1], ["tile_0"], rule="")
    choice = Choice("tiles", "Tiles", ("tile_2", "tile_0"), "By a rule.")
    # When
    picture = make_picture(choice, {"a": panel, "b": other})
    # Then
    axes = picture.figure.axes
    assert [axis.get_xlabel() for axis in axes[:4]] == ["tile_2", "", "F1 1.0000", ""]
    assert [text.get_text() for text in axes[3].texts] == ["not stored"]
    assert [axis.get_xlabel() for axis in axes[4:]] == ["tile_0", "", "F1 1.0000", "F1 1.0000"]
    assert picture.figure.legends[0].get_title().get_text() == "By a rule."
    assert "By a rule." in picture.description
