"""What is measured landslide by landslide, against masks made by hand and computations of another kind."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest

from landslide.training.landslides import TOLERANCE, measure_landslides

FOUND, NOT = 128, 127  # bins of the least probability that is predicted, and of the greatest that is not


def drawn(*rows: str) -> np.ndarray[Any, Any]:
    """One tile, ``(1, H, W)``: 1 where there is an x."""
    return np.array([[[char == "x" for char in row] for row in rows]], dtype=np.uint8)


def as_bins(predicted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.where(predicted > 0, FOUND, NOT).astype(np.uint8)


def some_tiles(side: int = 64, tiles: int = 6) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Blobs, and others near them."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    both = np.zeros((2, tiles, side, side), dtype=np.uint8)
    for tile in range(tiles):
        for row, column, radius in random.uniform((0, 0, 2), (side, side, side / 6), (5, 3)):
            for kind in (0, 1):
                down, across = random.normal(0, 2, 2)
                blob = (rows - row - down) ** 2 + (columns - column - across) ** 2 < radius**2
                both[kind, tile] |= blob.astype(np.uint8)
    return both[0], as_bins(both[1])


def test_landslides_touch_by_a_corner_and_each_has_its_own_pixels() -> None:
    # Given: one landslide along a diagonal, a second one apart from it, and a prediction of parts of both
    masks = drawn("x....", ".x...", "..x.x", "....x")
    predicted = drawn("x....", ".x...", "....x", "....x")
    # When
    found = measure_landslides(masks, as_bins(predicted))
    # Then
    assert sorted(zip(found["landslide_px"].tolist(), found["landslide_found_px"].tolist(), strict=True)) == [
        (2, 2),
        (3, 2),
    ]
    assert found["landslide_tile"].tolist() == [0, 0]


def test_a_patch_that_touches_no_landslide_is_a_false_alarm_also_beside_one() -> None:
    # Given: a patch on the landslide, one right beside it, one far off
    masks = drawn("xx....", "......", "......")
    predicted = drawn(".x....", "......", "xx...x")
    # When
    found = measure_landslides(masks, as_bins(predicted))
    # Then
    patches = sorted(zip(found["patch_px"].tolist(), found["patch_true_px"].tolist(), strict=True))
    assert patches == [(1, 0), (1, 1), (2, 0)]


def test_tiles_are_told_apart_and_an_empty_one_has_no_landslide() -> None:
    # Given: the same corner in two tiles, which a label over both would join
    masks = np.zeros((3, 4, 4), dtype=np.uint8)
    masks[0, :2] = masks[2, :2] = 1
    predicted = np.zeros_like(masks)
    predicted[1, 0, 0] = 1
    # When
    found = measure_landslides(masks, as_bins(predicted))
    # Then
    assert found["landslide_tile"].tolist() == [0, 2]
    assert found["landslide_px"].tolist() == [8, 8]
    assert found["patch_tile"].tolist() == [1]


def test_where_there_is_nothing_every_array_is_whole_numbers_and_the_lists_are_empty() -> None:
    nothing = np.zeros((2, 4, 4), dtype=np.uint8)
    found = measure_landslides(nothing, nothing)
    assert {array.dtype for array in found.values()} == {np.dtype(np.int64)}
    assert {name: array.tolist() for name, array in found.items() if name.startswith("boundary")} == {
        "boundary_true_px": [0, 0],
        "boundary_true_matched_px": [0, 0],
        "boundary_predicted_px": [0, 0],
        "boundary_predicted_matched_px": [0, 0],
    }
    assert len(found["landslide_px"]) == len(found["patch_px"]) == 0


def test_a_boundary_is_where_a_region_ends_and_not_where_the_tile_does() -> None:
    # Given: a landslide that fills the left half, and one that fills the tile
    half = drawn("xx..", "xx..", "xx..", "xx..")
    masks = np.concatenate([half, np.ones_like(half)])
    # When
    found = measure_landslides(masks, as_bins(masks))
    # Then
    assert found["boundary_true_px"].tolist() == [4, 0]
    assert found["boundary_true_matched_px"].tolist() == [4, 0]


@pytest.mark.parametrize(("shift", "matched"), [(2, 200), (3, 0)])
def test_boundaries_match_up_to_the_tolerance(shift: int, matched: int) -> None:
    # Given: an edge across a tile of 200 x 200, whose diagonal is 282.8 px, and the same edge some rows further down
    masks, predicted = np.zeros((2, 1, 200, 200), dtype=np.uint8)
    masks[:, :100] = 1
    predicted[:, : 100 + shift] = 1
    # When
    found = measure_landslides(masks, as_bins(predicted))
    # Then
    assert pytest.approx(2.12, abs=0.01) == TOLERANCE * np.hypot(200, 200)
    assert found["boundary_true_matched_px"].tolist() == [matched]
    assert found["boundary_predicted_matched_px"].tolist() == [matched]


def flooded(region: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Pixels of each connected part, and how many of them lie in the other region: by walking from pixel to pixel."""
    left = set(map(tuple, np.argwhere(region).tolist()))
    parts = []
    while left:
        queue, pixels, shared = deque([left.pop()]), 0, 0
        while queue:
            row, column = queue.popleft()
            pixels, shared = pixels + 1, shared + int(other[row, column])
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left
            left -= near
            queue.extend(near)
        parts.append((pixels, shared))
    return sorted(parts)


def test_parts_are_those_of_a_walk_from_pixel_to_pixel() -> None:
    masks, bins = some_tiles()
    found = measure_landslides(masks, bins)
    for what, shared, region, other in (
        ("landslide", "found_px", masks > 0, bins >= FOUND),
        ("patch", "true_px", bins >= FOUND, masks > 0),
    ):
        for tile in range(len(masks)):
            rows = found[f"{what}_tile"] == tile
            stored = zip(found[f"{what}_px"][rows].tolist(), found[f"{what}_{shared}"][rows].tolist(), strict=True)
            assert sorted(stored) == flooded(region[tile], other[tile])


def edge(region: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    height, width = region.shape
    return [
        (row, column)
        for row, column in np.argwhere(region).tolist()
        if any(
            0 <= row + down < height and 0 <= column + across < width and not region[row + down, column + across]
            for down, across in ((0, 1), (1, 0), (0, -1), (-1, 0))
        )
    ]


def test_boundaries_are_matched_as_by_all_distances() -> None:
    # Given: tiles on which the tolerance is 2.04 px
    masks, bins = some_tiles(side=192, tiles=2)
    tolerance = 0.0075 * 192 * 2**0.5
    # When
    found = measure_landslides(masks, bins)
    # Then
    for tile in range(len(masks)):
        true, predicted = np.array(edge(masks[tile] > 0)), np.array(edge(bins[tile] >= FOUND))
        distance = np.sqrt(((true[:, None] - predicted[None]) ** 2).sum(-1))
        assert found["boundary_true_px"][tile] == len(true)
        assert found["boundary_predicted_px"][tile] == len(predicted)
        assert found["boundary_true_matched_px"][tile] == (distance.min(1) < tolerance).sum()
        assert found["boundary_predicted_matched_px"][tile] == (distance.min(0) < tolerance).sum()
        assert 0 < (distance.min(1) < tolerance).sum() < len(true)
