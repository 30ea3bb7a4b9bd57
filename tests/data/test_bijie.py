"""The real dataset, where there is one: what the paper and its data sheet say of it.

Nothing is written but a temporary cache; no image of it may ever enter the repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landslide.data.bijie import list_bijie
from landslide.data.cache import TileCache, open_cache
from landslide.data.splits import random_split
from landslide.data.tiles import Tile, decode
from tests.conftest import ROOT

BIJIE = Path(os.environ.get("LANDSLIDE_BIJIE_ROOT", ROOT.parent / "shared" / "data" / "Bijie-landslide-dataset"))
SIZE = 64

pytestmark = pytest.mark.skipif(
    not (BIJIE / "landslide" / "image").is_dir(),
    reason=f"THE BIJIE DATASET IS NOT HERE, so nothing was tested on real images. Looked in {BIJIE}; "
    "set LANDSLIDE_BIJIE_ROOT to the folder that holds landslide/image and landslide/mask.",
)


@pytest.fixture(scope="module")
def tiles() -> list[Tile]:
    return list_bijie(BIJIE)


@pytest.fixture(scope="module")
def cache(tiles: list[Tile], tmp_path_factory: pytest.TempPathFactory) -> TileCache:
    return open_cache(tiles, SIZE, ("red", "green", "blue"), tmp_path_factory.mktemp("bijie"))


def test_there_are_770_landslide_tiles(cache: TileCache) -> None:
    assert len(cache) == len(set(cache.tile_id)) == 770
    assert cache.image.shape == (770, SIZE, SIZE, 3)


def test_the_papers_split_is_690_and_80(cache: TileCache) -> None:
    split = random_split(len(cache), train=690, val=80, seed=0)
    assert (len(split.train), len(split.val)) == (690, 80)
    assert {*split.train, *split.val} == set(range(770))


def test_native_sizes_are_recorded(cache: TileCache) -> None:
    assert (cache.width_px.min(), cache.width_px.max()) == (61, 1239)
    assert (cache.height_px.min(), cache.height_px.max()) == (61, 1197)
    assert (np.median(cache.width_px), np.median(cache.height_px)) == (227, 225)


def test_masks_are_zero_and_one_and_every_tile_has_a_landslide(cache: TileCache) -> None:
    assert np.unique(cache.mask).tolist() == [0, 1]
    assert (cache.mask.reshape(770, -1).max(1) == 1).all()


def test_landslides_cover_a_tenth_of_a_tile_on_average(cache: TileCache) -> None:
    # Given: 10.1 % as a mean over images at native size, 0.5 % to 47 %
    share = cache.mask.reshape(770, -1).mean(1)
    # Then: a resize that thinned or thickened masks would move it
    assert share.mean() == pytest.approx(0.101, abs=0.003)
    assert 0 < share.min() < 0.01
    assert 0.44 < share.max() < 0.5


def test_resized_masks_cover_what_the_files_cover(tiles: list[Tile], cache: TileCache) -> None:
    for row in range(0, 770, 35):
        native = np.asarray(Image.open(tiles[row].mask)) > 0
        assert cache.mask[row].mean() == pytest.approx(native.mean(), abs=0.02), tiles[row].tile_id


def test_the_cache_is_what_decoding_gives(tiles: list[Tile], cache: TileCache) -> None:
    for row in (0, 400, 769):
        decoded = decode(tiles[row], SIZE, ("red", "green", "blue"))
        assert np.array_equal(cache.image[row], decoded.image)
        assert np.array_equal(cache.mask[row], decoded.mask)
        with Image.open(tiles[row].image) as image:
            assert image.size == (cache.width_px[row], cache.height_px[row])
