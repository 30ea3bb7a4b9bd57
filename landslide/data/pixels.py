"""Image files into arrays: PNG, JPEG and WebP by Pillow, TIFF by tifffile, HDF5 by h5py.

What a file says of its own orientation is followed, for images and masks alike. Nothing that a file points to is
opened: no second file of a TIFF or HDF5 set, and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from landslide.config import RGB
from landslide.errors import DataError

Pixels = npt.NDArray[Any]

TIFF, HDF5 = (".tif", ".tiff"), (".h5", ".hdf5")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", *TIFF)
"""Of image files in a folder, in small letters."""

FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
"""The types that pixels are kept in, and the value that statistics of each are shares of."""

MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
"""Of one image; where Pillow begins to warn of decompression bombs."""


def read_image(path: Path, channels: Sequence[str]) -> Pixels:
    """Read the pixels of one image.

    A grey image shows red, green and blue alike; an alpha channel that nobody named is left out.

    Args:
        path: its ending says how it is read.
        channels: the names of all bands of the file, in order.

    Returns:
        ``(H, W, channels)``: uint8 and uint16 as they are, every other type of number as float32.

    Raises:
        DataError: naming the file, where it cannot be read, is too large, has another number of bands, or holds
            values that are no finite numbers.
    """
    with _named_in_errors(path):
        pixels = _read(path, len(channels))
    if pixels.shape[-1] == 1 and tuple(channels) == RGB:
        pixels = np.repeat(pixels, 3, axis=-1)
    if pixels.shape[-1] != len(channels):
        raise DataError(
            f"{path}: has {pixels.shape[-1]} bands, {len(channels)} are expected ({', '.join(channels)}). Name the "
            "bands of the files in their order: data.channels=[...]"
        )
    return _narrowed(path, pixels)


def read_mask(path: Path) -> Pixels:
    """Read one mask, in whatever numbers it is written.

    Grey, 1-bit, boolean, 16-bit and floating masks keep their values. Colour becomes its luminance. Of a coloured
    palette black is background, or index 0 where nothing is black. A mask whose colour is the same everywhere is read
    from its alpha channel. A lossy file is cut at one half of 255, since its edges ring.

    Returns:
        ``(H, W)``, uint8, uint16 or float32; see :func:`landslide.data.tiles.encode_mask` for what is landslide.

    Raises:
        DataError: as :func:`read_image`.
    """
    with _named_in_errors(path):
        mask = _read_tiff(path, 1) if path.suffix.lower() in TIFF else None
        if mask is None:
            mask = _read_hdf5(path) if path.suffix.lower() in HDF5 else _pillow_mask(path)
    if mask.shape[-1] in (3, 4) and mask.dtype == np.uint8:
        mask = np.asarray(Image.fromarray(mask[..., :3]).convert("L"))[..., None]
    if mask.shape[-1] != 1:
        raise DataError(f"{path}: a mask has one band, this one has {mask.shape[-1]} of type {mask.dtype}.")
    return _narrowed(path, mask)[..., 0]


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize bilinearly, with every source pixel weighed when it shrinks.

    Args:
        pixels: ``(H, W, bands)``, uint8, uint16 or float32.
        size: side of the result.

    Returns:
        ``(size, size, bands)`` of the same type.
    """
    resized = np.empty((size, size, pixels.shape[-1]), dtype=pixels.dtype)
    for band in range(pixels.shape[-1]):
        plane = np.ascontiguousarray(pixels[..., band])
        image = Image.fromarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32))
        values = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
        resized[..., band] = np.rint(values) if plane.dtype == np.uint16 else values
    return resized


def as_rgb(images: Pixels, bands: Sequence[str], scale: Sequence[float]) -> npt.NDArray[np.uint8]:
    """Pictures of tiles: red, green and blue where they are there, else the first three bands, or the first as grey.

    Args:
        images: ``(tiles, H, W, bands)``.
        bands: their names.
        scale: full scale of each; what is not 8 bit is stretched from its 2nd to its 98th percentile over all tiles.

    Returns:
        ``(tiles, H, W, 3)``.
    """
    if set(RGB) <= set(bands):
        chosen = [bands.index(band) for band in RGB]
    else:
        chosen = [0, 1, 2] if len(bands) >= 3 else [0, 0, 0]
    planes = []
    for band in chosen:
        plane = images[..., band]
        if scale[band] != FULL_SCALE["uint8"]:
            low, high = np.percentile(plane, (2, 98))
            plane = np.clip((plane - low) / ((high - low) or 1.0), 0, 1) * 255
        planes.append(plane.astype(np.uint8))
    return np.stack(planes, axis=-1)


@contextmanager
def _named_in_errors(path: Path) -> Iterator[None]:
    """Decoders raise whatever a broken file leads them to: OSError, SyntaxError, KeyError, struct.error, zlib.error."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path}: cannot be read as an image ({error}).") from error


def _read(path: Path, bands: int) -> Pixels:
    """``(H, W, C)``; C may differ from the number of bands that are expected."""
    ending = path.suffix.lower()
    if ending in HDF5:
        return _read_hdf5(path)
    pixels = _read_tiff(path, bands) if ending in TIFF else None
    return _read_pillow(path, bands) if pixels is None else pixels


def _narrowed(path: Path, pixels: Pixels) -> Pixels:
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if pixels.dtype == np.bool_:
        return np.asarray(pixels * np.uint8(255))
    if pixels.dtype.kind not in "iuf":
        raise DataError(f"{path}: holds values of type {pixels.dtype}, which are no pixels.")
    with np.errstate(over="ignore"):
        values = pixels.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(
            f"{path}: holds pixels without a value (NaN, infinite, or marked as no data). Fill them before training."
        )
    return values


def _require_size(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{path}: {width} x {height} px is more than an image may have here ({MOST_PIXELS} px), and may be a "
            "decompression bomb. Cut it into tiles."
        )


# ------------------------------------------------------------------------------------------------------------ Pillow
def _read_pillow(path: Path, bands: int) -> Pixels:
    with Image.open(path) as image:
        _require_size(path, *image.size)
        if _is_deep_colour(image):
            return _upright(_decode_png(path), image.getexif().get(274, 1))
        upright = ImageOps.exif_transpose(image)
    if bands == 3 and upright.mode[0] not in "IF":
        upright = upright.convert("RGB")
    elif upright.mode in ("P", "PA"):
        upright = upright.convert("RGBA" if bands == 4 else "RGB")
    elif upright.mode == "1" or (upright.mode == "LA" and bands == 1):
        upright = upright.convert("L")
    pixels = np.asarray(upright)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether this is a PNG of 16 bits in colour, of which Pillow keeps only the upper 8."""
    return isinstance(image, PngImageFile) and len(image.getbands()) > 1 and str(image.tile[0].args).endswith(";16B")


def _decode_png(path: Path) -> Pixels:
    import imagecodecs

    return np.asarray(imagecodecs.png_decode(path.read_bytes()))


def _pillow_mask(path: Path) -> Pixels:
    with Image.open(path) as image:
        _require_size(path, *image.size)
        file_format = image.format
        upright = ImageOps.exif_transpose(image)
    if upright.mode[0] in "IF":
        return np.asarray(upright)[..., None]
    mask = _mask_of_palette(upright) if upright.mode == "P" else np.asarray(upright.convert("L"))
    if upright.mode in ("LA", "PA", "RGBA") and mask.min() == mask.max():
        mask = np.asarray(upright.getchannel("A"))
    if file_format in ("JPEG", "MPO") or (file_format == "WEBP" and mask.max() > 1):  # WebP may be lossless
        mask = np.where(mask >= 128, np.uint8(255), np.uint8(0))
    return mask[..., None]


def _mask_of_palette(image: Image.Image) -> npt.NDArray[np.uint8]:
    palette: npt.NDArray[np.uint8] = np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    index = np.asarray(image)
    if (palette == palette[:, :1]).all():  # all grey: as good as a grey image
        return np.asarray(palette[:, 0][index])
    black = palette.max(1) == 0
    background = black if black.any() else np.arange(len(palette)) == 0
    return np.where(background[index], np.uint8(0), np.uint8(255))


# -------------------------------------------------------------------------------------------------------------- TIFF
def _read_tiff(path: Path, bands: int) -> Pixels | None:
    """``(H, W, C)``; None where colours are looked up in a palette, which Pillow knows how to read.

    Bands stand in one page, interleaved or plane by plane, or each in a page of its own. The numbers count, not
    whether zero would be shown as white.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages: Any = [page for page in file.pages if not (page.is_reduced or page.is_mask)]  # type: ignore[union-attr]
        first = pages[0]
        _require_size(path, first.imagewidth, first.imagelength)
        if first.photometric == tifffile.PHOTOMETRIC.PALETTE:
            return None
        if first.samplesperpixel < bands:
            pages = [page for page in pages if page.shape == first.shape][:MOST_BANDS]
        else:
            pages = [first]
        pixels = np.concatenate([_channels_last(page) for page in pages], axis=-1)
        if pixels.shape[-1] == bands + 1 and len(first.extrasamples) == 1 and int(first.extrasamples[0]) in (1, 2):
            pixels = pixels[..., :bands]  # the extra one is alpha
        nodata = first.tags.get("GDAL_NODATA")
        if nodata is not None and pixels.dtype.kind == "f":
            pixels = np.where(pixels == float(nodata.value), np.nan, pixels)
        orientation = first.tags.get("Orientation")
    return _upright(pixels, 1 if orientation is None else int(orientation.value))


MOST_BANDS = 1024
"""Pages of one TIFF that are taken for bands."""


def _channels_last(page: Any) -> Pixels:
    pixels: Pixels = page.asarray()
    if page.axes == "YX":
        return pixels[..., None]
    if page.axes == "SYX":
        return np.moveaxis(pixels, 0, -1)
    if page.axes != "YXS":
        raise ValueError(f"its axes are {page.axes}, not rows, columns and bands")
    return pixels


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror ``(H, W, C)`` as EXIF orientation 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


# -------------------------------------------------------------------------------------------------------------- HDF5
def _read_hdf5(path: Path) -> Pixels:
    """The dataset ``img`` or ``mask``, ``(H, W)`` or ``(H, W, C)``, of one file."""
    import h5py

    with h5py.File(path, "r") as file:
        name = next((name for name in ("img", "mask") if name in file), None)
        if name is None:
            raise ValueError(f"it holds {', '.join(file) or 'nothing'}, not img or mask")
        dataset = file[name]
        inside = isinstance(file.get(name, getlink=True), h5py.HardLink) and isinstance(dataset, h5py.Dataset)
        if not inside or dataset.is_virtual or dataset.external is not None:
            raise ValueError(f"{name} is not a plain dataset inside this file")
        if dataset.ndim not in (2, 3):
            raise ValueError(f"{name} has {dataset.ndim} dimensions, not rows, columns and bands")
        _require_size(path, dataset.shape[1], dataset.shape[0])
        pixels = np.asarray(dataset[()])
    return pixels[..., None] if pixels.ndim == 2 else pixels
