"""Reading tiles: layouts, masks, sizes, and files that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landslide.data.bijie import list_bijie
from landslide.data.tiles import DecodedTile, decode, encode_mask
from landslide.errors import DataError
from tests.data.conftest import Bytes, cut_short, random_tile, write_dataset, write_tile

RGB = ("red", "green", "blue")


def decoded(root: Path, size: int, bands: tuple[str, ...] = RGB) -> DecodedTile:
    """The one tile under root."""
    (tile,) = list_bijie(root)
    return decode(tile, size, bands)


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        list_bijie(root)
    return str(caught.value)


def noise(height: int, width: int) -> Bytes:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# ------------------------------------------------------------------------------------------------------------ layout
def test_tiles_are_listed_by_name_with_their_masks(tmp_path: Path) -> None:
    write_dataset(tmp_path, [(8, 8)] * 3)
    tiles = list_bijie(tmp_path)
    assert [tile.tile_id for tile in tiles] == ["tile000", "tile001", "tile002"]
    assert all(tile.image.is_file() and tile.mask.is_file() for tile in tiles)
    assert tiles[1].mask == tmp_path / "landslide" / "mask" / "tile001.png"


def test_what_else_the_published_dataset_holds_is_left_alone(tmp_path: Path) -> None:
    write_dataset(tmp_path, [(8, 8)])
    for name in ("landslide/dem/tile000.png", "non-landslide/image/other.png", "landslide/image/Thumbs.db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [tile.tile_id for tile in list_bijie(tmp_path)] == ["tile000"]


def test_a_folder_that_is_not_there_is_refused_with_three_ways_to_have_one(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere")
    assert message.startswith(f"data.root={tmp_path / 'nowhere'}")
    for way in ("data.root=PATH", "LANDSLIDE_BIJIE_ROOT", "landslide data synthesize"):
        assert way in message


def test_the_folder_above_or_below_the_right_one_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "Bijie", [(8, 8)])
    for wrong in (tmp_path, tmp_path / "Bijie" / "landslide"):
        assert "looked for landslide/image and landslide/mask" in refusal(wrong)


def test_a_dataset_without_an_image_is_refused(tmp_path: Path) -> None:
    for kind in ("image", "mask"):
        (tmp_path / "landslide" / kind).mkdir(parents=True)
    message = refusal(tmp_path)
    assert message == f"{tmp_path / 'landslide' / 'image'}: holds no PNG image."


def test_missing_masks_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path, [(8, 8)] * 4)
    for name in ("tile001", "tile003"):
        (tmp_path / "landslide" / "mask" / f"{name}.png").unlink()
    message = refusal(tmp_path)
    assert "2 of 4 masks are missing" in message
    assert "'tile001.png'" in message


# ------------------------------------------------------------------------------------------------------------- masks
@pytest.mark.parametrize(("background", "landslide"), [(0, 255), (0, 1), (0, 100), (40, 200)])
def test_masks_of_any_two_values_become_zero_and_one(tmp_path: Path, background: int, landslide: int) -> None:
    # Given
    truth = random_tile(1, 16, 16)[1] > 0
    write_tile(tmp_path, "a", noise(16, 16), np.where(truth, landslide, background).astype(np.uint8))
    # When
    mask = decoded(tmp_path, 16).mask
    # Then
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, truth)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (1, 1), (127, 1), (255, 1)])
def test_a_mask_of_one_value_is_all_background_or_all_landslide(tmp_path: Path, value: int, expected: int) -> None:
    write_tile(tmp_path, "a", noise(16, 16), np.full((16, 16), value, np.uint8))
    assert np.unique(decoded(tmp_path, 8).mask).tolist() == [expected]


def test_the_encoding_is_min_max_scaling_cut_at_one_half() -> None:
    # Given: Oak et al. 2024, section IV-A, in whole numbers
    mask = np.random.default_rng(0).integers(30, 221, (50, 50), dtype=np.uint8)
    low, high = int(mask.min()), int(mask.max())
    assert (low + high) % 2 == 0  # so that some pixels lie exactly at one half
    assert (mask == (low + high) // 2).any()
    # Then
    assert np.array_equal(encode_mask(mask), 2 * (mask.astype(int) - low) >= high - low)
    assert encode_mask(mask).dtype == np.uint8


@pytest.mark.parametrize("size", [20, 33, 64, 150])
@pytest.mark.parametrize("high", [1, 255])
def test_a_resized_mask_is_still_zero_and_one_and_covers_the_same_share(tmp_path: Path, size: int, high: int) -> None:
    # Given: a disc, which no size fits exactly
    y, x = np.mgrid[:90, :120]
    disc = (y - 50) ** 2 + (x - 55) ** 2 < 30**2
    write_tile(tmp_path, "a", noise(90, 120), (disc * high).astype(np.uint8))
    # When
    mask = decoded(tmp_path, size).mask
    # Then
    assert mask.shape == (size, size)
    assert np.unique(mask).tolist() == [0, 1]
    assert mask.mean() == pytest.approx(disc.mean(), abs=0.02)


def test_the_resized_mask_lies_where_the_resized_image_shows_it(tmp_path: Path) -> None:
    # Given: an image that is its own mask
    mask = random_tile(5, 75, 111)[1]
    write_tile(tmp_path, "a", np.repeat(mask[..., None], 3, axis=2), mask)
    # When
    tile = decoded(tmp_path, 48)
    # Then
    assert np.array_equal(tile.image[..., 0] >= 128, tile.mask == 1)


# ------------------------------------------------------------------------------------------------------------ images
def test_an_image_of_the_right_size_is_left_as_it_is(tmp_path: Path) -> None:
    written = write_dataset(tmp_path, [(32, 32)])["tile000"]
    tile = decoded(tmp_path, 32)
    assert tile.image.dtype == np.uint8
    assert np.array_equal(tile.image, written[0])
    assert np.array_equal(tile.mask, written[1] // 255)


@pytest.mark.parametrize(("height", "width"), [(20, 50), (50, 20), (7, 7), (1, 1)])
def test_every_native_size_becomes_a_square_and_is_remembered(tmp_path: Path, height: int, width: int) -> None:
    write_tile(tmp_path, "a", noise(height, width), np.zeros((height, width), np.uint8))
    tile = decoded(tmp_path, 24)
    assert tile.image.shape == (24, 24, 3)
    assert tile.mask.shape == (24, 24)
    assert (tile.height_px, tile.width_px) == (height, width)


def test_shrinking_weighs_every_source_pixel(tmp_path: Path) -> None:
    # Given: black and white columns in turn, of which a nearest or plain bilinear sample keeps one colour
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, 1::2] = 255
    write_tile(tmp_path, "a", stripes, np.zeros((64, 64), np.uint8))
    # When
    image = decoded(tmp_path, 8).image
    # Then
    inside = image[1:-1, 1:-1].astype(int)  # at the border the filter is cut off
    assert np.abs(inside - 127).max() <= 4


def test_bands_are_taken_by_name_and_in_the_order_asked_for(tmp_path: Path) -> None:
    written, _ = write_dataset(tmp_path, [(16, 16)])["tile000"]
    assert np.array_equal(decoded(tmp_path, 16, ("blue", "red")).image, written[..., [2, 0]])
    assert decoded(tmp_path, 16, ("green",)).image.shape == (16, 16, 1)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_gray_transparent_and_palette_images_are_read_as_red_green_and_blue(tmp_path: Path, mode: str) -> None:
    # Given: gray, so that no mode loses a colour
    gray = np.repeat(random_tile(3, 16, 16)[0][..., :1], 3, axis=2)
    write_tile(tmp_path, "a", gray, np.zeros((16, 16), np.uint8))
    Image.fromarray(gray).convert("L").convert(mode).save(tmp_path / "landslide" / "image" / "a.png")
    # Then
    assert np.array_equal(decoded(tmp_path, 16).image, gray)


def test_a_mask_of_one_bit_or_three_bands_is_read_like_one_of_eight_bits(tmp_path: Path) -> None:
    image, mask = random_tile(2, 16, 16)
    for mode in ("1", "RGB"):
        write_tile(tmp_path, "a", image, mask)
        Image.fromarray(mask).convert(mode).save(tmp_path / "landslide" / "mask" / "a.png")
        assert np.array_equal(decoded(tmp_path, 16).mask, mask // 255), mode


# ------------------------------------------------------------------------------------------------------ broken files
def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    write_tile(tmp_path, "a", noise(20, 30), np.zeros((30, 20), np.uint8))
    with pytest.raises(DataError) as caught:
        decoded(tmp_path, 16)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "landslide" / "mask" / "a.png"))
    assert "20 x 30 px" in message
    assert "30 x 20 px" in message


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_a_truncated_png_is_named(tmp_path: Path, kind: str) -> None:
    image, mask = random_tile(0, 64, 64)
    mask[:] = image[..., 0]  # noise, so that half of the file is half of the pixels
    write_tile(tmp_path, "a", image, mask)
    path = tmp_path / "landslide" / kind / "a.png"
    cut_short(path)
    with pytest.raises(DataError) as caught:
        decoded(tmp_path, 16)
    assert str(caught.value).startswith(f"{path}: cannot be read as an image")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    write_tile(tmp_path, "a", noise(8, 8), np.zeros((8, 8), np.uint8))
    path = tmp_path / "landslide" / "image" / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as an image") as caught:
        decoded(tmp_path, 16)
    assert str(path) in str(caught.value)
