"""Datasets as people bring them: which layout they are in, what their tiles are, and what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from landslide.config import DataConfig, NegativesConfig, SplitConfig
from landslide.data.bijie import county, list_bijie
from landslide.data.cache import open_cache
from landslide.data.layouts import list_tiles
from landslide.data.synthetic import synthesize, synthesize_tile, tile_name
from landslide.data.tiles import Tile, decode
from landslide.errors import DataError
from tests.conftest import compose_run
from tests.data.conftest import random_tile, write_tile


def config(root: Path, layout: str = "folder", **values: Any) -> DictConfig:
    given: dict[str, Any] = {"name": "test", "layout": layout, "root": str(root), "image_size": 16, "batch_size": 2}
    given |= {"cache_dir": str(root / "cache"), "split": SplitConfig(train=0.5, val=0.5)}
    cfg = OmegaConf.structured(DataConfig(**(given | values)))
    assert isinstance(cfg, DictConfig)
    return cfg


def write_pair(root: Path, image: str = "images/a.png", mask: str = "masks/a.png", seed: int = 0) -> None:
    for name, pixels in zip((image, mask), random_tile(seed, 16, 16), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)


def refusal(cfg: DictConfig) -> str:
    with pytest.raises(DataError) as caught:
        open_cache(list_tiles(cfg), 16, list(cfg.bands), Path(cfg.cache_dir))
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------- folder
def test_images_and_masks_are_paired_by_their_names_whatever_their_endings(tmp_path: Path) -> None:
    # Given
    pairs = [("b.jpg", "b.png"), ("a.PNG", "a.tif"), ("tile.2024.01.webp", "tile.2024.01.PNG")]
    for image, mask in pairs:
        write_pair(tmp_path, f"images/{image}", f"masks/{mask}")
    for name in ("images/Thumbs.db", "images/.hidden.png", "masks/more.png", "images/notes.txt"):
        (tmp_path / name).write_bytes(b"")
    # When
    tiles = list_tiles(config(tmp_path))
    # Then
    assert [tile.tile_id for tile in tiles] == ["a", "b", "tile.2024.01"]
    assert [(tile.image.name, tile.mask.name) for tile in tiles if tile.mask] == sorted(pairs)


def test_folders_and_the_ends_of_names_can_be_others(tmp_path: Path) -> None:
    write_pair(tmp_path, "img/a.png", "label/a_mask.png")
    (tile,) = list_tiles(config(tmp_path, images="img", masks="label", mask_suffix="_mask"))
    assert (tile.tile_id, tile.mask) == ("a", tmp_path / "label" / "a_mask.png")


def test_parts_are_folders_and_names_may_repeat_in_them(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        write_pair(tmp_path, f"{part}/images/a.png", f"{part}/masks/a.png")
    tiles = list_tiles(config(tmp_path, split=SplitConfig(by="folder")))
    assert [(tile.tile_id, tile.part) for tile in tiles] == [(f"{part}/a", part) for part in ("train", "val", "test")]


@pytest.mark.parametrize(
    "name", ["with spaces", "o'quote\"s", "a=b,c", "línea\nnueva", "滑坡", "оползень", "[x]*?", "-m", "a" * 200]
)
def test_every_name_that_a_file_may_have_is_read(tmp_path: Path, name: str) -> None:
    root = tmp_path / name[:50]
    write_pair(root, f"images/{name}.png", f"masks/{name}.png")
    cfg = config(root)
    cache = open_cache(list_tiles(cfg), 16, list(cfg.bands), Path(cfg.cache_dir))
    assert cache.tile_id == [name]
    assert np.array_equal(cache.image[0], random_tile(0, 16, 16)[0])


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    write_pair(tmp_path / "real", "images/x.png", "masks/x.png")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "masks").symlink_to(tmp_path / "real" / "masks")
    (tmp_path / "linked" / "images").mkdir()
    (tmp_path / "linked" / "images" / "x.png").symlink_to(tmp_path / "real" / "images" / "x.png")
    (tmp_path / "root").symlink_to(tmp_path / "linked")
    assert [tile.tile_id for tile in list_tiles(config(tmp_path / "root"))] == ["x"]


@pytest.mark.parametrize("target", ["nowhere.png", "b.png"])
def test_a_link_that_leads_nowhere_or_in_a_circle_is_named(tmp_path: Path, target: str) -> None:
    write_pair(tmp_path, "images/a.png", "masks/b.png")
    (tmp_path / "images" / "b.png").symlink_to(target)
    (tmp_path / "images" / "a.png").unlink()
    message = refusal(config(tmp_path))
    assert message.startswith(f"{tmp_path / 'images' / 'b.png'}: cannot be opened (")
    assert f"it is a symbolic link to {target}" in message


def test_a_folder_that_is_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "there is no such folder" in refusal(config(tmp_path / "loop", cache_dir=str(tmp_path / "cache")))


def test_what_is_missing_in_a_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    assert f"data.root={tmp_path}: this folder is empty" in refusal(config(tmp_path))
    assert "there is no such folder" in refusal(config(tmp_path / "nowhere"))
    (tmp_path / "images").mkdir()
    assert "data.images=NAME data.masks=NAME" in refusal(config(tmp_path))
    (tmp_path / "masks").mkdir()
    assert "holds no image (looked for .png" in refusal(config(tmp_path))
    write_pair(tmp_path)
    write_pair(tmp_path, "images/b.png", "elsewhere/b.png")
    message = refusal(config(tmp_path))
    assert "1 of 2 masks are missing, the first is that of 'b.png'" in message
    assert "data.mask_suffix=_mask" in message


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path)
    Image.new("RGB", (16, 16)).save(tmp_path / "images" / "a.jpg")
    assert "'a.jpg' and 'a.png' are two images of one name" in refusal(config(tmp_path))


def test_the_way_of_dividing_that_fits_the_folders_is_offered(tmp_path: Path) -> None:
    write_pair(tmp_path / "parts", "train/images/a.png", "train/masks/a.png")
    assert "data.split.by=folder" in refusal(config(tmp_path / "parts"))
    write_pair(tmp_path / "flat")
    assert "data.split.by=tile" in refusal(config(tmp_path / "flat", split=SplitConfig(by="folder")))


def test_images_of_different_types_are_not_mixed(tmp_path: Path) -> None:
    write_pair(tmp_path, "images/a.tif", "masks/a.png")
    write_pair(tmp_path, "images/b.tif", "masks/b.png")
    tifffile.imwrite(tmp_path / "images" / "b.tif", np.zeros((16, 16, 3), np.uint16), photometric="rgb")
    message = refusal(config(tmp_path))
    assert "uint16, uint16, uint16" in message
    assert "uint8, uint8, uint8" in message
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_cache_keeps_the_type_and_the_named_bands_of_the_files(tmp_path: Path, dtype: str) -> None:
    # Given
    write_pair(tmp_path, "images/a.tif", "masks/a.png")
    written = np.random.default_rng(0).integers(0, 200, (16, 16, 5)).astype(dtype)
    tifffile.imwrite(tmp_path / "images" / "a.tif", written, photometric="minisblack", planarconfig="contig")
    cfg = config(tmp_path, channels=list("abcde"), bands=["d", "a"])
    # When
    cache = open_cache(list_tiles(cfg), 16, list(cfg.bands), Path(cfg.cache_dir))
    # Then
    assert isinstance(cache.image, np.memmap)
    assert cache.image.dtype == dtype
    assert np.array_equal(cache.image[0], written[..., [3, 0]])
    assert cache.scale == [{"uint8": 255, "uint16": 65535, "float32": 1}[dtype]] * 2


def test_other_names_for_the_bands_of_the_same_files_make_another_cache(tmp_path: Path) -> None:
    write_pair(tmp_path)
    found = []
    for channels in (["a", "b", "c"], ["c", "b", "a"]):
        cfg = config(tmp_path, channels=channels, bands=["a"])
        found.append(open_cache(list_tiles(cfg), 16, list(cfg.bands), Path(cfg.cache_dir)).image[0, ..., 0])
    image = random_tile(0, 16, 16)[0]
    assert np.array_equal(found[0], image[..., 0])
    assert np.array_equal(found[1], image[..., 2])


# -------------------------------------------------------------------------------------------------------------- Bijie
@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "tiles"
    return synthesize(root, count=6, non_landslide=4, size_px=32, seed=0)


def test_an_elevation_model_is_a_fourth_band_in_metres_above_the_mean_of_its_tile(synthetic: Path) -> None:
    # Given
    height_m = synthesize_tile(0, 2, 32).dem
    # When
    tiles = {tile.tile_id: tile for tile in list_bijie(synthetic, dem=True)}
    tile = decode(tiles[tile_name(2)], 32, ("dem", "red", "green", "blue"))
    # Then: written in decimetres
    assert tile.image.dtype == np.float32
    assert tile.image[..., 0] == pytest.approx(height_m - height_m.mean(), abs=0.11)
    assert tile.image[..., 0].std() > 1
    assert np.array_equal(tile.image[..., 1:], synthesize_tile(0, 2, 32).image)
    assert tile.scale == (1, 255, 255, 255)


def test_slope_is_the_steepness_of_the_elevation_model(tmp_path: Path) -> None:
    # Given: a plane that rises by 0.3 m a column and 0.4 m a row, in decimetres
    image, mask = random_tile(0, 12, 12)
    write_tile(tmp_path, "a1", image, mask)
    rows, columns = np.mgrid[:12, :12]
    (tmp_path / "landslide" / "dem").mkdir()
    Image.fromarray((5000 + 3 * columns + 4 * rows).astype(np.uint16)).save(tmp_path / "landslide" / "dem" / "a1.png")
    cfg = config(tmp_path, "bijie", bands=["red", "slope"])
    # When
    cache = open_cache(list_tiles(cfg), 12, list(cfg.bands), Path(cfg.cache_dir))
    # Then
    assert cache.image[0, ..., 1] == pytest.approx(0.5, abs=1e-4)
    assert np.array_equal(cache.image[0, ..., 0], image[..., 0])


def test_elevation_models_that_are_missing_are_counted_with_the_cure(tmp_path: Path) -> None:
    write_tile(tmp_path, "a1", *random_tile(0, 8, 8))
    message = refusal(config(tmp_path, "bijie", bands=["red", "dem"]))
    assert message.startswith(f"{tmp_path / 'landslide' / 'dem'}: 1 of 1 DEM are missing, the first is 'a1.png'.")
    assert "Leave dem and slope out of data.bands" in message


def test_non_landslide_images_come_last_with_names_of_their_own_and_no_landslide(synthetic: Path) -> None:
    # Given: both halves of the dataset have a tile of this name
    cfg = config(synthetic, "bijie", negatives=NegativesConfig(val="all"))
    # When
    tiles = list_tiles(cfg)
    # Then
    assert [tile.tile_id for tile in tiles[6:]] == [
        f"non-landslide/{name}" for name in sorted(map(tile_name, range(4)))
    ]
    assert len({tile.tile_id for tile in tiles}) == 10
    assert [tile.tile_id for tile in tiles[:6]] == [tile.tile_id for tile in list_tiles(config(synthetic, "bijie"))]
    assert decode(tiles[6], 32, ("red",)).mask.max() == 0


def test_non_landslide_images_that_are_not_there_are_asked_for_in_vain(tmp_path: Path) -> None:
    write_tile(tmp_path, "a1", *random_tile(0, 8, 8))
    message = refusal(config(tmp_path, "bijie", negatives=NegativesConfig(train=1)))
    assert "non-landslide/image: holds no PNG image, which data.negatives asks for" in message


@pytest.mark.parametrize(("name", "group"), [("js001", "js"), ("qxg12", "qxg"), ("x", "x"), ("12", "")])
def test_a_county_is_a_name_up_to_its_first_digit(name: str, group: str) -> None:
    assert county(name) == group


# ----------------------------------------------------------------------------------------------------- Landslide4Sense
BANDS = list(compose_run("data=landslide4sense").data.channels)


def write_landslide4sense(root: Path, count: int = 3, parts: tuple[str, ...] = ("Train", "Valid", "Test")) -> Path:
    """As published: float64 in ``img``, 0 and 1 in ``mask``; band b of tile n is 100 * n + b, plus noise below 1."""
    random = np.random.default_rng(0)
    for part in parts:
        for number in range(1, count + 1):
            image = 100 * number + np.arange(14) + random.random((128, 128, 14))
            for kind, key, values in (
                ("img", "image", image),
                ("mask", "mask", random_tile(number, 128, 128)[1] // 255),
            ):
                folder = root / f"{part}Data" / kind
                folder.mkdir(parents=True, exist_ok=True)
                with h5py.File(folder / f"{key}_{number}.h5", "w") as file:
                    file[kind] = values
    return root


def opened_landslide4sense(root: Path, *overrides: str) -> tuple[list[Tile], Any]:
    cfg = compose_run("data=landslide4sense", f"data.root={root}", f"data.cache_dir={root / 'cache'}", *overrides).data
    tiles = list_tiles(cfg)
    return tiles, open_cache(tiles, cfg.image_size, list(cfg.bands), Path(cfg.cache_dir))


def test_landslide4sense_is_read_as_published(tmp_path: Path) -> None:
    # When
    tiles, cache = opened_landslide4sense(write_landslide4sense(tmp_path))
    # Then
    assert len(BANDS) == 14
    assert BANDS[-2:] == ["slope", "dem"]
    assert [tile.part for tile in tiles] == ["train"] * 3 + ["val"] * 3 + ["test"] * 3
    assert cache.tile_id[3] == "val/image_1"
    assert (cache.image.dtype, cache.image.shape) == (np.float32, (9, 128, 128, 14))
    assert np.floor(cache.image[1].min((0, 1))).tolist() == [200 + band for band in range(14)]
    assert np.array_equal(cache.mask[1], random_tile(2, 128, 128)[1] // 255)


def test_bands_of_landslide4sense_are_chosen_by_name(tmp_path: Path) -> None:
    root = write_landslide4sense(tmp_path, 1)
    _, cache = opened_landslide4sense(root, "data.bands=[dem,red,nir]")
    assert np.floor(cache.image[0].min((0, 1))).tolist() == [100 + 13, 100 + 3, 100 + 7]


def test_without_the_masks_of_validation_its_training_part_can_be_divided(tmp_path: Path) -> None:
    root = write_landslide4sense(tmp_path, 2, ("Train",))
    with pytest.raises(DataError, match=r"ValidData.*data\.split\.by=tile"):
        opened_landslide4sense(root)
    tiles, _ = opened_landslide4sense(root, "data.split.by=tile")
    assert [(tile.tile_id, tile.part) for tile in tiles] == [("train/image_1", None), ("train/image_2", None)]


def test_an_image_of_landslide4sense_without_its_mask_is_named(tmp_path: Path) -> None:
    root = write_landslide4sense(tmp_path, 2)
    (root / "TrainData" / "mask" / "mask_2.h5").unlink()
    with pytest.raises(DataError, match=r"1 of 2 masks are missing, the first is 'mask_2\.h5'"):
        opened_landslide4sense(root)


# ----------------------------------------------------------------------------------------------------- another layout
def test_a_dataset_of_another_layout_is_recognised(tmp_path: Path) -> None:
    # Given
    write_pair(tmp_path / "folder")
    write_pair(tmp_path / "parts", "train/images/a.png", "train/masks/a.png")
    write_tile(tmp_path / "bijie", "a1", *random_tile(0, 8, 8))
    write_landslide4sense(tmp_path / "landslide4sense", 1)
    cures = {"folder": "folder", "parts": "folder", "bijie": "bijie", "landslide4sense": "landslide4sense"}
    # Then
    for name, layout in cures.items():
        for asked in {"folder", "bijie", "landslide4sense"} - {layout}:
            message = refusal(config(tmp_path / name, asked))
            assert message.startswith(f"data.root={tmp_path / name}: this is not ")
            assert message.endswith(f"data={layout} data.root={tmp_path / name}")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "images" / "a.png").unlink()
    os.mkfifo(tmp_path / "images" / "b.txt")  # another ending is never opened
    (tmp_path / "images" / "a.png").mkdir()
    assert "Is a directory" in refusal(config(tmp_path))
