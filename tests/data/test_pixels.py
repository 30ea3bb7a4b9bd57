"""Reading image files of every kind into arrays, and refusing what is no image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from landslide.config import RGB
from landslide.data import pixels
from landslide.data.pixels import read_image, read_mask, resize
from landslide.data.tiles import encode_mask
from landslide.errors import DataError
from tests.data.conftest import cut_short, random_tile

FOUR = (*RGB, "nir")


def noise(bands: int = 3, dtype: str = "uint8", height: int = 10, width: int = 14) -> npt.NDArray[Any]:
    random = np.random.default_rng(bands)
    top = 256 if dtype == "uint8" else 60_000
    return random.integers(0, top, (height, width, bands)).astype(dtype)


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    return message


# ------------------------------------------------------------------------------------------------------------- images
@pytest.mark.parametrize("ending", ["png", "webp", "tif", "TIFF"])
def test_eight_bit_colour_is_read_as_it_was_written(tmp_path: Path, ending: str) -> None:
    written = noise()
    Image.fromarray(written).save(tmp_path / f"a.{ending}", lossless=True)
    assert np.array_equal(read_image(tmp_path / f"a.{ending}", RGB), written)


def test_a_jpeg_is_nearly_what_was_written(tmp_path: Path) -> None:
    written = np.full((16, 16, 3), (200, 90, 30), np.uint8)
    Image.fromarray(written).save(tmp_path / "a.JPG", format="jpeg", quality=95)
    assert np.abs(read_image(tmp_path / "a.JPG", RGB).astype(int) - written).max() <= 3


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd", "packbits"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_tiff_of_many_bands_keeps_them_all(tmp_path: Path, compression: Any, planar: Any, dtype: str) -> None:
    # Given: rows, columns, bands; or plane by plane
    written = noise(7, dtype)
    stored = np.moveaxis(written, -1, 0) if planar == "separate" else written
    tifffile.imwrite(tmp_path / "a.tif", stored, planarconfig=planar, photometric="minisblack", compression=compression)
    # When
    found = read_image(tmp_path / "a.tif", [f"b{band}" for band in range(7)])
    # Then
    assert found.dtype == written.dtype
    assert np.array_equal(found, written)


def test_a_tiled_big_endian_tiff_is_read_in_the_order_of_this_machine(tmp_path: Path) -> None:
    written = noise(5, "uint16", 64, 48)
    options: Any = {"tile": (16, 16), "byteorder": ">", "photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", written, **options)
    found = read_image(tmp_path / "a.tif", "abcde")
    assert found.dtype == np.uint16
    assert np.array_equal(found, written)


def test_pages_of_one_band_are_bands(tmp_path: Path) -> None:
    written = noise(4, "uint16")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for band in range(4):
            file.write(written[..., band])
    assert np.array_equal(read_image(tmp_path / "a.tif", FOUR), written)


def test_a_second_page_that_is_not_needed_is_left_alone(tmp_path: Path) -> None:
    written = noise(3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(written, photometric="rgb")
        file.write(written[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(written, photometric="rgb")
    assert np.array_equal(read_image(tmp_path / "a.tif", RGB), written)


@pytest.mark.parametrize(("dtype", "kept"), [("int16", "float32"), ("float64", "float32"), ("uint32", "float32")])
def test_other_numbers_become_float32(tmp_path: Path, dtype: str, kept: str) -> None:
    written = noise(2, dtype)
    tifffile.imwrite(tmp_path / "a.tif", written, photometric="minisblack", planarconfig="contig")
    found = read_image(tmp_path / "a.tif", "ab")
    assert found.dtype == kept
    assert np.array_equal(found, written.astype(np.float32))


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_a_png_of_sixteen_bits_keeps_all_of_them(tmp_path: Path, bands: int) -> None:
    written = noise(bands, "uint16")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(written.squeeze()))
    found = read_image(tmp_path / "a.png", FOUR[:bands])
    assert found.dtype == np.uint16
    assert np.array_equal(found, written)


def test_transparency_that_nobody_named_is_left_out(tmp_path: Path) -> None:
    written = noise(4)
    Image.fromarray(written).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", written, photometric="rgb", extrasamples=["unassalpha"])
    for name in ("a.png", "a.tif"):
        assert np.array_equal(read_image(tmp_path / name, RGB), written[..., :3])
        assert np.array_equal(read_image(tmp_path / name, FOUR), written)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_an_image_stands_upright_as_its_file_says(tmp_path: Path, orientation: int, ending: str) -> None:
    # Given: for each of the eight values of EXIF, where row 0 and column 0 of the file belong (EXIF 2.32, 4.6.4)
    upright = noise()
    rows_and_columns = {
        1: upright,
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.ascontiguousarray(rows_and_columns[orientation])).save(tmp_path / f"a.{ending}", exif=exif)
    # Then
    assert np.array_equal(read_image(tmp_path / f"a.{ending}", RGB), upright)


def test_masks_are_turned_as_images_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    mask = random_tile(1, 10, 16)[1]
    Image.fromarray(np.ascontiguousarray(np.rot90(mask))).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_mask(tmp_path / "a.png"), mask)


# ---------------------------------------------------------------------------------------------------- refused images
@pytest.mark.parametrize(("bands", "channels"), [(4, ("a", "b", "c")), (2, RGB), (1, ("a", "b")), (1, FOUR), (7, FOUR)])
def test_another_number_of_bands_is_refused_with_both_and_the_cure(
    tmp_path: Path, bands: int, channels: tuple[str, ...]
) -> None:
    written = np.moveaxis(noise(bands, "uint16"), -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", written, photometric="minisblack", planarconfig="separate" if bands > 1 else None
    )
    message = refusal(lambda path: read_image(path, channels), tmp_path / "a.tif")
    assert f"has {bands} bands, {len(channels)} are expected ({', '.join(channels)})" in message
    assert "data.channels=[...]" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_without_a_value_are_refused(tmp_path: Path, value: float) -> None:
    values = noise(1, "float32")
    values[3, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert "pixels without a value" in refusal(lambda path: read_image(path, ["height"]), tmp_path / "a.tif")


def test_a_value_that_a_tiff_itself_calls_no_data_is_refused(tmp_path: Path) -> None:
    values = noise(1, "float32")[..., 0]
    values[3, 4] = -9999
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=[(42113, "s", 0, "-9999", True)])
    assert "marked as no data" in refusal(lambda path: read_image(path, ["height"]), tmp_path / "a.tif")


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "lzw.tif", "h5"])
@pytest.mark.parametrize("left", [0.5, 0.9, 0.02, 0.0])
def test_half_a_file_is_refused_by_name(tmp_path: Path, ending: str, left: float) -> None:
    # Given
    path, written = tmp_path / f"a.{ending}", noise(3, "uint8", 64, 64)
    if ending == "h5":
        with h5py.File(path, "w") as file:
            file["img"] = written
    elif ending == "lzw.tif":
        tifffile.imwrite(path, written, compression="lzw", rowsperstrip=8)
    else:
        Image.fromarray(written).save(path)
    assert read_image(path, RGB).shape == (64, 64, 3)
    # When
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * left)])
    # Then
    assert "cannot be read as an image" in refusal(lambda path: read_image(path, RGB), path)


@pytest.mark.parametrize("ending", ["png", "tif", "h5"])
def test_an_image_that_would_fill_the_memory_is_refused_by_its_size(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a smaller limit, so that no such file has to be made
    monkeypatch.setattr(pixels, "MOST_PIXELS", 99)
    path = tmp_path / f"a.{ending}"
    if ending == "h5":
        with h5py.File(path, "w") as file:
            file["img"] = noise()
    else:
        Image.fromarray(noise()).save(path)
    # Then
    message = refusal(lambda path: read_image(path, RGB), path)
    assert "14 x 10 px is more than" in message
    assert "decompression bomb" in message


def test_the_limit_of_pillow_is_the_limit_here() -> None:
    assert pixels.MOST_PIXELS == Image.MAX_IMAGE_PIXELS


# --------------------------------------------------------------------------------------------------------------- HDF5
def test_an_hdf5_file_is_read_from_img_and_mask(tmp_path: Path) -> None:
    image, mask = np.random.default_rng(0).random((8, 8, 14)), random_tile(0, 8, 8)[1] // 255
    with h5py.File(tmp_path / "image.h5", "w") as file:
        file.create_dataset("img", data=image, compression="gzip")
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["mask"] = mask
    found = read_image(tmp_path / "image.h5", [str(band) for band in range(14)])
    assert found.dtype == np.float32
    assert np.array_equal(found, image.astype(np.float32))
    assert np.array_equal(read_mask(tmp_path / "mask.h5"), mask)


def test_an_hdf5_file_that_points_to_another_file_is_refused(tmp_path: Path) -> None:
    # Given: three ways to make a reader open a file of somebody else
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["img"] = noise()
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["img"] = h5py.ExternalLink(str(secret), "img")
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("img", (10, 14, 3), dtype="u1", external=[(str(secret), 0, 420)])
    layout = h5py.VirtualLayout((10, 14, 3), "u1")
    layout[:] = h5py.VirtualSource(str(secret), "img", (10, 14, 3))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("img", layout)
    # Then
    for name in ("link", "raw", "virtual"):
        assert "not a plain dataset" in refusal(lambda path: read_image(path, RGB), tmp_path / f"{name}.h5")


@pytest.mark.parametrize(("key", "shape"), [("image", (4, 4, 3)), ("img", (4,)), ("img", (2, 4, 4, 3))])
def test_an_hdf5_file_without_an_image_says_what_it_holds(tmp_path: Path, key: str, shape: tuple[int, ...]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[key] = np.zeros(shape)
    message = refusal(lambda path: read_image(path, RGB), tmp_path / "a.h5")
    assert "it holds image, not img or mask" in message or f"{len(shape)} dimensions" in message


# -------------------------------------------------------------------------------------------------------------- masks
TRUTH = random_tile(3, 10, 14)[1] > 0


def palette_image(colours: list[tuple[int, int, int]], index: npt.NDArray[Any]) -> Image.Image:
    image = Image.fromarray(index.astype(np.uint8)).convert("P")
    image.putdata(index.ravel().tolist())
    image.putpalette([value for colour in colours for value in colour])
    return image


def masks() -> dict[str, Any]:
    """One truth, written in every way that people write it."""
    eight = TRUTH.astype(np.uint8)
    colour = np.where(TRUTH[..., None], np.uint8([180, 20, 20]), np.uint8(0))
    return {
        "0/1.png": Image.fromarray(eight),
        "0/255.png": Image.fromarray(eight * 255),
        "grey.png": Image.fromarray(eight * 160 + 40),
        "one bit.png": Image.fromarray(TRUTH),
        "colour.png": Image.fromarray(colour),
        "alpha.png": Image.fromarray(np.dstack([colour * 0 + 9, eight * 255])),
        "16 bit.png": Image.fromarray(eight.astype(np.uint16) * 65535),
        "palette.png": palette_image([(0, 0, 0), (128, 0, 0)], TRUTH),
        "palette the other way.png": palette_image([(128, 0, 0), (0, 0, 0)], ~TRUTH),
        "palette of white and red.png": palette_image([(255, 255, 255), (255, 0, 0)], TRUTH),
        "palette of black and white.png": palette_image([(255, 255, 255), (0, 0, 0)], ~TRUTH),
        "two classes.png": palette_image(
            [(0, 0, 0), (128, 0, 0), (0, 128, 0)], eight + (eight & np.eye(10, 14, dtype="u1"))
        ),
        "lossless.webp": Image.fromarray(eight * 255).convert("RGB"),
        "lossy.jpg": Image.fromarray(eight * 255),
        "boolean.tif": TRUTH,
        "0/1.tif": eight,
        "16 bit.tif": eight.astype(np.uint16) * 65535,
        "float.tif": eight.astype(np.float32),
        "signed.tif": eight.astype(np.int32),
        "colour.tif": colour,
        "palette.tif": palette_image([(0, 0, 0), (128, 0, 0)], TRUTH),
    }


@pytest.mark.parametrize("name", sorted(masks()))
def test_a_mask_is_understood_however_it_is_written(tmp_path: Path, name: str) -> None:
    # Given
    path, written = tmp_path / name.replace("/", " "), masks()[name]
    if isinstance(written, Image.Image):
        written.save(path, **({"lossless": True} if "webp" in name else {}))
    else:
        tifffile.imwrite(path, written)
    # Then
    assert np.array_equal(encode_mask(read_mask(path)), TRUTH)


@pytest.mark.parametrize("quality", [2, 30, 95])
@pytest.mark.parametrize(("value", "expected"), [(0, 0), (255, 1)])
def test_a_lossy_mask_of_one_value_is_all_background_or_all_landslide(
    tmp_path: Path, quality: int, value: int, expected: int
) -> None:
    Image.fromarray(np.full((32, 32), value, np.uint8)).save(tmp_path / "a.jpg", quality=quality)
    assert np.unique(encode_mask(read_mask(tmp_path / "a.jpg"))).tolist() == [expected]


def test_a_mask_of_many_bands_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(7, "uint16"), photometric="minisblack", planarconfig="contig")
    assert "a mask has one band, this one has 7 of type uint16" in refusal(read_mask, tmp_path / "a.tif")


# ------------------------------------------------------------------------------------------------------------- resize
@pytest.mark.parametrize("size", [5, 10, 23])
def test_bands_are_resized_as_pillow_resizes_a_colour_image(size: int) -> None:
    written = noise(3, "uint8", 17, 31)
    expected = np.asarray(Image.fromarray(written).resize((size, size), Image.Resampling.BILINEAR))
    assert np.array_equal(resize(written, size), expected)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_other_types_are_resized_as_finely_as_bytes_are(dtype: str) -> None:
    # Given: the same picture in bytes and, 200 times as large, in another type
    written = noise(2, "uint8", 17, 31)
    # When
    found = resize(written.astype(dtype) * np.array(200, dtype), 9)
    # Then
    assert found.dtype == dtype
    assert np.abs(found / 200 - resize(written, 9)).max() <= 0.51 + 0.5  # rounding to whole bytes, twice


def test_a_broken_mask_is_named_too(tmp_path: Path) -> None:
    Image.fromarray(noise(3, "uint8", 64, 64)).save(tmp_path / "a.png")
    cut_short(tmp_path / "a.png")
    assert "cannot be read as an image" in refusal(read_mask, tmp_path / "a.png")
