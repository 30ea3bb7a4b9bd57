"""What an audit finds between parts of which we know what they share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from landslide.data.audit import (
    NEAR_DUPLICATE,
    OVERLAP,
    TURNS,
    Audit,
    audit,
    best_shifts,
    local_contrast,
    perceptual_hash,
    shared_ground,
)
from landslide.data.bijie import list_bijie
from landslide.data.folder import list_folder
from landslide.data.splits import Split
from landslide.errors import DataError
from tests.data.conftest import Bytes, write_tile

Floats = npt.NDArray[np.float64]


def ground(seed: int, height: int = 160, width: int = 160) -> Bytes:
    """Texture of many scales, as terrain has it; another place for each seed."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    planes = [scale * gaussian_filter(noise, (scale, scale, 0)) for scale in (1, 3, 9, 27)]
    values = sum(plane / plane.std() for plane in planes)
    return np.clip(128 + 30 * values, 0, 255).astype(np.uint8)


def audited(folder: Path, **parts: dict[str, Bytes]) -> Audit:
    """The audit of tiles that are written under their names."""
    part_of = {name: part for part, images in parts.items() for name in images}
    for images in parts.values():
        for name, image in images.items():
            write_tile(folder, name, image, np.zeros(image.shape[:2], np.uint8))
    tiles = list_bijie(folder)
    rows = {
        part: [row for row, tile in enumerate(tiles) if part_of[tile.tile_id] == part]
        for part in ("train", "val", "test")
    }
    return audit(tiles, Split(0, rows["train"], rows["val"], rows["test"]))


def elsewhere(count: int, size: int = 120) -> dict[str, Bytes]:
    return {f"other{seed:02d}": ground(1000 + seed, size, size) for seed in range(count)}


@pytest.mark.parametrize(
    ("row", "column", "height", "width"),
    [(60, 80, 120, 120), (-50, 30, 90, 140), (20, 25, 60, 70), (-10, -10, 200, 180), (77, -41, 131, 117)],
)
def test_crops_that_overlap_are_found_with_their_place_and_their_share(
    row: int, column: int, height: int, width: int, tmp_path: Path
) -> None:
    # Given: a tile of 120 px, and another crop of the same ground that begins at row and column of it
    whole = ground(1, 400, 400)
    tile = whole[100:220, 100:220]
    other = whole[100 + row : 100 + row + height, 100 + column : 100 + column + width]
    # When
    found = audited(tmp_path, train={"crop": other, **elsewhere(8)}, val={"tile": tile})
    # Then
    (pair,) = found.pairs
    assert (pair.tile.tile_id, pair.part, pair.other.tile_id, pair.other_part) == ("tile", "val", "crop", "train")
    assert (pair.kind, pair.turn) == (OVERLAP, "")
    assert pair.shared is not None
    assert (pair.shared.row_px, pair.shared.column_px) == (row, column)
    shown = np.zeros((120, 120), bool)
    shown[max(0, row) : row + height, max(0, column) : column + width] = True
    assert pair.share == pytest.approx(shown.mean())
    assert pair.correlation > 0.9


@pytest.mark.parametrize("turn", range(8))
def test_a_near_duplicate_is_found_in_another_size_brightness_and_turn(turn: int, tmp_path: Path) -> None:
    # Given: mirrored first, then turned
    tile = ground(2, 150, 110)
    copy = np.rot90(tile[:, ::-1] if turn >= 4 else tile, turn % 4)
    small = Image.fromarray(copy).resize((copy.shape[1] * 2 // 3, copy.shape[0] * 2 // 3), Image.Resampling.LANCZOS)
    darker = (np.asarray(small) * 0.7 + 20).astype(np.uint8)
    # When
    found = audited(tmp_path, train={"copy": darker, **elsewhere(8)}, val={"tile": tile})
    # Then
    (pair,) = found.pairs
    assert (pair.other.tile_id, pair.kind, pair.turn, pair.share) == ("copy", NEAR_DUPLICATE, TURNS[turn], 1.0)
    assert pair.correlation > 0.7


def test_the_same_file_twice_is_one_pair_and_a_near_duplicate(tmp_path: Path) -> None:
    tile = ground(3)
    found = audited(tmp_path, train={"copy": tile}, val={"tile": tile, **elsewhere(3)})
    assert [(pair.kind, pair.share) for pair in found.pairs] == [(NEAR_DUPLICATE, 1.0)]
    assert found.pairs[0].correlation == pytest.approx(1)


def test_tiles_of_other_ground_share_nothing(tmp_path: Path) -> None:
    tiles = elsewhere(40, 96)
    names = sorted(tiles)
    found = audited(
        tmp_path, train={name: tiles[name] for name in names[10:]}, val={name: tiles[name] for name in names[:10]}
    )
    assert list(found.pairs) == []
    assert found.sizes == {"train": 30, "val": 10, "test": 0}
    assert found.seen("val") == 0


def test_the_largest_share_comes_first_and_the_test_part_is_compared_with_both_others(tmp_path: Path) -> None:
    # Given
    whole = ground(4, 300, 300)
    # When
    found = audited(
        tmp_path,
        train={"train": whole[:120, :120], **elsewhere(2)},
        val={"val": whole[40:160, 40:160]},
        test={"test": whole[100:220, 100:220], "copy": whole[:120, :120]},
    )
    # Then
    assert [(pair.tile.tile_id, pair.other.tile_id) for pair in found.pairs] == [
        ("copy", "train"),
        ("copy", "val"),
        ("val", "train"),
        ("test", "val"),
    ]
    assert (found.seen("val"), found.seen("test"), found.seen("test", OVERLAP)) == (1, 1, 0)


def test_an_overlap_below_a_tenth_is_not_reported(tmp_path: Path) -> None:
    whole = ground(5, 300, 300)
    found = audited(tmp_path, train={"crop": whole[112:232, :120]}, val={"tile": whole[:120, :120]})
    assert list(found.pairs) == []


def test_flat_tiles_and_tiles_of_a_pixel_are_no_pairs(tmp_path: Path) -> None:
    flat = np.full((90, 90, 3), 77, np.uint8)
    found = audited(
        tmp_path,
        train={"flat1": flat, "pixel1": flat[:1, :1], "black": flat * 0},
        val={"flat2": flat, "pixel2": flat[:1, :1] + 1, "tile": ground(6, 90, 90)},
    )
    assert list(found.pairs) == []


def test_bands_that_nobody_sees_are_compared_too(tmp_path: Path) -> None:
    # Given: 16 bits, near infrared alone
    whole = (ground(7, 200, 200).astype(np.uint16) * 200)[..., 0]
    for name, pixels in (("a", whole[:100, :100]), ("b", whole[30:130, 20:120])):
        for folder, values in (("images", pixels), ("masks", (pixels > 9000).astype(np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / folder / f"{name}.png")
    # When
    found = audit(list_folder(tmp_path, channels=("nir",)), Split(0, train=[0], val=[1]))
    # Then
    (pair,) = found.pairs
    assert pair.shared is not None
    assert (pair.shared.row_px, pair.shared.column_px) == (-30, -20)


def test_a_tile_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_tile(tmp_path, "a", ground(8), np.zeros((160, 160), np.uint8))
    write_tile(tmp_path, "b", ground(9), np.zeros((160, 160), np.uint8))
    broken = tmp_path / "landslide" / "image" / "b.png"
    broken.write_bytes(b"")
    with pytest.raises(DataError, match=str(broken)):
        audit(list_bijie(tmp_path), Split(0, train=[0], val=[1]))


def test_the_best_shift_is_that_of_a_search_by_hand() -> None:
    # Given
    random = np.random.default_rng(0)
    field = random.normal(size=(9, 12)).astype(np.float32)
    others = [random.normal(size=size).astype(np.float32) for size in ((5, 7), (14, 4), (9, 12))]
    # When
    found = best_shifts(field, others)
    # Then
    for (score, row, column), other in zip(found, others, strict=True):
        shifts = np.ndindex(field.shape[0] + other.shape[0] - 1, field.shape[1] + other.shape[1] - 1)
        places = [(dy - other.shape[0] + 1, dx - other.shape[1] + 1) for dy, dx in shifts]
        scores = {place: _score(field, other, *place) for place in places}
        by_hand = {place: score for place, score in scores.items() if score is not None}
        best = max(by_hand, key=lambda shift: by_hand[shift])
        assert (row, column) == best
        assert score == pytest.approx(by_hand[best] / np.sqrt(np.mean(np.square(list(by_hand.values())))), rel=1e-4)


def _score(field: Floats, other: Floats, dy: int, dx: int) -> float | None:
    shared = [
        (field[y, x], other[y - dy, x - dx])
        for y in range(field.shape[0])
        for x in range(field.shape[1])
        if 0 <= y - dy < other.shape[0] and 0 <= x - dx < other.shape[1]
    ]
    if len(shared) < 0.1 * min(field.size, other.size):
        return None
    return float(sum(a * b for a, b in shared) / np.sqrt(len(shared)))


def test_the_correlation_is_pearsons_of_the_shared_pixels() -> None:
    whole = local_contrast(ground(10, 120, 120)[..., 0].astype(np.float32))
    noise = np.random.default_rng(1).normal(size=(80, 80)).astype(np.float32)
    other = whole[30:110, 10:90] + noise
    shared = shared_ground(whole[:90, :90], other)
    assert shared is not None
    assert (shared.row_px, shared.column_px, shared.height_px, shared.width_px) == (30, 10, 60, 80)
    expected = np.corrcoef(whole[30:90, 10:90].ravel(), other[:60, :80].ravel())[0, 1]
    assert shared.correlation == pytest.approx(expected, rel=1e-4)


def test_the_hash_is_the_signs_of_cosines_about_their_median() -> None:
    # Given: sums of cosines, written out
    grey = ground(11, 32, 32)[..., 1].astype(np.float32)
    at = np.arange(32)
    waves = np.cos(np.pi * np.outer(np.arange(8), 2 * at + 1) / 64)  # (frequency, pixel)
    lowest = waves @ (grey - grey.mean()) @ waves.T
    # When
    bits = perceptual_hash(grey)
    # Then
    agree = bits.reshape(8, 8) == (lowest > np.median(lowest))
    assert agree[1:, 1:].all() and agree.sum() >= 63  # the first is 0 but for rounding
    assert (bits == perceptual_hash(grey * 0.5 + 40)).sum() >= 63
