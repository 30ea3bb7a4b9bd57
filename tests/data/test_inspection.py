"""What an inspection finds in datasets of which we know what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landslide.data.bijie import list_bijie
from landslide.data.folder import list_folder
from landslide.data.inspection import inspect, landslide_shares
from tests.data.conftest import write_dataset, write_tile


def test_a_sound_dataset_has_no_problem_and_its_facts(tmp_path: Path) -> None:
    # Given
    written = write_dataset(tmp_path, [(20, 30), (40, 30), (20, 30)])
    # When
    found = inspect(list_bijie(tmp_path))
    # Then
    assert (found.problems, found.remarks) == ([], [])
    assert found.pixel_types == {"3 x uint8": 3}
    assert [facts.height_px for facts in found.readable] == [20, 40, 20]
    expected = [(mask > 0).mean() for _, mask in written.values()]
    assert landslide_shares(found.tiles) == pytest.approx(expected)


def test_every_unreadable_file_is_named_not_only_the_first(tmp_path: Path) -> None:
    # Given
    write_dataset(tmp_path, [(20, 30)] * 4)
    folder = tmp_path / "landslide"
    whole = (folder / "image" / "tile000.png").read_bytes()
    (folder / "image" / "tile000.png").write_bytes(whole[: len(whole) // 2])
    (folder / "mask" / "tile001.png").write_bytes(b"")
    Image.new("L", (7, 9)).save(folder / "mask" / "tile002.png")
    # When
    found = inspect(list_bijie(tmp_path))
    # Then
    assert len(found.readable) == 1
    for name, problem in zip(("tile000", "tile001", "tile002"), found.problems, strict=True):
        assert name in problem
    assert "7 x 9 px, but its image is 30 x 20 px" in found.problems[2]


def test_masks_without_a_landslide_and_images_that_are_there_twice_are_remarked(tmp_path: Path) -> None:
    # Given
    (image, mask), *_ = write_dataset(tmp_path, [(20, 30)] * 2).values()
    write_tile(tmp_path, "copy", image, mask)
    write_tile(tmp_path, "empty", 255 - image, np.zeros_like(mask))
    write_tile(tmp_path, "grey", np.full_like(image, 90), mask)
    # When
    found = inspect(list_bijie(tmp_path))
    # Then
    empty, grey, twice = found.remarks
    assert "1 mask without a landslide" in empty
    assert "empty.png" in empty
    assert "grey.png" in grey
    assert "copy.png" in twice
    assert "tile000.png" in twice
    assert found.problems == []


def test_no_landslide_anywhere_and_no_tile_at_all_are_problems(tmp_path: Path) -> None:
    image = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    write_tile(tmp_path, "a", image, np.zeros((10, 10), np.uint8))
    assert inspect(list_bijie(tmp_path)).problems == ["No mask has a landslide pixel: there is nothing to learn."]
    assert inspect([]).problems == ["There is no tile."]


def test_what_cannot_be_read_is_not_said_to_lack_landslides(tmp_path: Path) -> None:
    write_dataset(tmp_path, [(20, 30)])
    (tmp_path / "landslide" / "image" / "tile000.png").write_bytes(b"")
    (problem,) = inspect(list_bijie(tmp_path)).problems
    assert "cannot be read" in problem


def test_images_of_two_types_are_a_problem(tmp_path: Path) -> None:
    # Given
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for name in ("a", "b", "c"):
        Image.fromarray(values.astype(np.uint16) if name == "b" else values).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray((values > 30).astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    # When
    found = inspect(list_folder(tmp_path, channels=("grey",)))
    # Then
    (problem,) = found.problems
    assert "b.png: its pixels are 1 x uint16, those of most images 1 x uint8" in problem
