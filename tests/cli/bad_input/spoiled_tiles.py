"""What can be wrong with tiles, in a folder that holds twelve in Bijie's layout."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from PIL import Image


def first(folder: Path, kind: str = "image") -> Path:
    return min((folder / "tiles" / "landslide" / kind).glob("*.png"))


def no_tiles(folder: Path) -> None:
    shutil.rmtree(folder / "tiles")


def empty_root(folder: Path) -> None:
    no_tiles(folder)
    (folder / "tiles").mkdir()


def other_layout(folder: Path) -> None:
    (folder / "tiles" / "landslide").rename(folder / "tiles" / "train")


def no_images(folder: Path) -> None:
    for path in (folder / "tiles" / "landslide" / "image").iterdir():
        path.unlink()


def no_mask(folder: Path) -> None:
    first(folder, "mask").unlink()


def other_size(folder: Path) -> None:
    Image.new("L", (32, 64)).save(first(folder, "mask"))


def truncated(folder: Path) -> None:
    path = first(folder)
    path.write_bytes(path.read_bytes()[:900])


def zero_bytes(folder: Path) -> None:
    first(folder).write_bytes(b"")


def no_picture(folder: Path) -> None:
    first(folder).write_text("<html>404</html>")


def dangling_link(folder: Path) -> None:
    first(folder).unlink()
    (folder / "tiles" / "landslide" / "image" / first(folder, "mask").name).symlink_to("/nowhere/gone.png")


def folder_named_png(folder: Path) -> None:
    (folder / "tiles" / "landslide" / "image" / "aaa.png").mkdir()
    shutil.copy(first(folder, "mask"), folder / "tiles" / "landslide" / "mask" / "aaa.png")


def unreadable(folder: Path) -> None:
    first(folder).chmod(0)


def bomb(folder: Path) -> None:
    """100,000 x 100,000 px in a hundred bytes."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")]
    first(folder).write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )


def no_landslide(folder: Path) -> None:
    for path in (folder / "tiles" / "landslide" / "mask").iterdir():
        Image.new("L", (64, 64)).save(path)


def cache_is_a_file(folder: Path) -> None:
    (folder / "cache").write_text("mine")


def damaged_cache(folder: Path) -> None:
    (made,) = (folder / "made").glob("tiles-*/image.npy")
    made.write_bytes(b"no array")


def no_dem(folder: Path) -> None:
    shutil.rmtree(folder / "tiles" / "landslide" / "dem")


def as_folder(folder: Path) -> None:
    """The tiles in the layout `folder`."""
    tiles = folder / "tiles"
    for kind in ("image", "mask"):
        (tiles / "landslide" / kind).rename(tiles / f"{kind}s")
    shutil.rmtree(tiles / "landslide")


def as_parts(folder: Path) -> None:
    """Likewise, in train/ and val/."""
    as_folder(folder)
    tiles = folder / "tiles"
    for kind in ("images", "masks"):
        for number, path in enumerate(sorted((tiles / kind).iterdir())):
            place = tiles / ("val" if number < 4 else "train") / kind / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
        (tiles / kind).rmdir()


def as_landslide4sense(folder: Path) -> None:
    """The same, in the layout of Landslide4Sense, without its ValidData."""
    as_folder(folder)
    for kind, name in (("images", "img"), ("masks", "mask")):
        place = folder / "tiles" / "TrainData" / name
        place.mkdir(parents=True)
        for number, path in enumerate(sorted((folder / "tiles" / kind).iterdir())):
            pixels = np.asarray(Image.open(path))
            pixels = np.repeat(pixels[..., :1], 14, axis=-1) if kind == "images" else np.uint8(pixels > 0)
            with h5py.File(place / f"{'image' if name == 'img' else name}_{number}.h5", "w") as file:
                file[name] = pixels
        shutil.rmtree(folder / "tiles" / kind)


def h5_without_img(folder: Path) -> None:
    with h5py.File(folder / "tiles" / "TrainData" / "img" / "image_3.h5", "w") as file:
        file["image"] = np.zeros((64, 64, 14))


def image(folder: Path) -> Path:
    return min((folder / "tiles" / "images").iterdir())


def no_folder_of_images(folder: Path) -> None:
    shutil.rmtree(folder / "tiles" / "images")


def no_folder_of_masks(folder: Path) -> None:
    shutil.rmtree(folder / "tiles" / "masks")


def image_without_mask(folder: Path) -> None:
    (folder / "tiles" / "masks" / image(folder).name).unlink()


def two_of_one_name(folder: Path) -> None:
    Image.open(image(folder)).save(image(folder).with_suffix(".jpg"))


def link_to_itself(folder: Path) -> None:
    path = image(folder)
    path.unlink()
    path.symlink_to(path.name)


def link_to_nothing(folder: Path) -> None:
    path = image(folder)
    path.unlink()
    path.symlink_to("/nowhere/gone.png")


def root_links_to_itself(folder: Path) -> None:
    no_tiles(folder)
    (folder / "tiles").symlink_to("tiles")


def tiff(pixels: np.ndarray[Any, Any]) -> Callable[[Path], None]:
    """The first image becomes a TIFF of these pixels."""

    def first_is_tiff(folder: Path) -> None:
        path = image(folder)
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), pixels, photometric="minisblack", planarconfig="contig")

    return first_is_tiff


def table(text: str) -> Callable[[Path], None]:
    def parts_csv(folder: Path) -> None:
        names = sorted(path.stem for path in (folder / "tiles" / "landslide" / "image").iterdir())
        rows = [f"{name},{'val' if number < 4 else 'train'}" for number, name in enumerate(names)]
        (folder / "parts.csv").write_text(text.replace("ROWS", "\n".join(rows)).replace("FIRST", rows[0]))

    return parts_csv


def non_landslide(folder: Path) -> None:
    """Two tiles without a landslide."""
    place = folder / "tiles" / "non-landslide" / "image"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("plain001.png", "plain002.png"):
        shutil.copy(first(folder), place / name)
