"""The synthetic dataset: repeatable, whole, in Bijie's layout, plausible on the ground, not solved by a threshold."""

import json
import multiprocessing
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from landslide.data.synthetic import GENERATOR_VERSION, GSD_M, SyntheticTile, synthesize, synthesize_tile, tile_name
from landslide.errors import DataError

SMALL: dict[str, Any] = {"count": 3, "non_landslide": 2, "size_px": 48, "seed": 4}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("synthetic") / "small", **SMALL)


@pytest.fixture(scope="module")
def tiles() -> list[SyntheticTile]:
    return [synthesize_tile(11, index, 128) for index in range(60)]


# ------------------------------------------------------------------------------------------------------------- tiles
def test_the_same_numbers_give_the_same_tile() -> None:
    first, second = synthesize_tile(5, 2, 64), synthesize_tile(5, 2, 64)
    for name in ("image", "mask", "dem"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("other", [(6, 2, 64, True), (5, 3, 64, True), (5, 2, 64, False)])
def test_another_seed_index_or_half_gives_another_tile(other: tuple[int, int, int, bool]) -> None:
    assert not np.array_equal(synthesize_tile(5, 2, 64).image, synthesize_tile(*other).image)


@pytest.mark.parametrize("size_px", [32, 61, 128])
def test_a_tile_has_the_promised_shapes_and_types(size_px: int) -> None:
    tile = synthesize_tile(0, 0, size_px)
    assert (tile.image.shape, tile.image.dtype) == ((size_px, size_px, 3), np.uint8)
    assert (tile.mask.shape, tile.mask.dtype) == ((size_px, size_px), np.uint8)
    assert (tile.dem.shape, tile.dem.dtype) == ((size_px, size_px), np.float32)
    assert tile.dem.min() > 0
    assert tile.dem.max() < 6000


def test_a_landslide_tile_has_some_landslide_and_some_background(tiles: list[SyntheticTile]) -> None:
    for tile in tiles:
        assert set(np.unique(tile.mask)) == {0, 255}


def test_a_non_landslide_tile_has_an_empty_mask() -> None:
    for index in range(10):
        assert not synthesize_tile(0, index, 64, landslide=False).mask.any()


def test_the_landslide_share_is_spread_like_that_of_bijie(tiles: list[SyntheticTile]) -> None:
    shares = np.array([(tile.mask > 0).mean() for tile in tiles])
    assert 0.08 < shares.mean() < 0.17
    assert shares.min() < 0.05
    assert 0.25 < shares.max() < 0.65


def test_a_name_is_its_county_and_the_number_within_it() -> None:
    names = [tile_name(index) for index in range(200)]
    assert len(set(names)) == 200
    for county in {re.sub(r"\d", "", name) for name in names}:
        numbers = [int(name.removeprefix(county)) for name in names if name.removeprefix(county).isdigit()]
        assert numbers == list(range(1, len(numbers) + 1))


# --------------------------------------------------------------------------------------------------------- the ground
def slope_of(dem: np.ndarray) -> np.ndarray:
    return np.hypot(*np.gradient(ndimage.gaussian_filter(dem, 3), GSD_M))


def largest_scar(tile: SyntheticTile) -> np.ndarray:
    label, number = ndimage.label(tile.mask)
    sizes = ndimage.sum_labels(np.ones_like(label), label, np.arange(1, number + 1))
    return np.asarray(label == 1 + int(np.argmax(sizes)))


def upper_part(dem: np.ndarray, scar: np.ndarray) -> np.ndarray:
    return scar & (dem >= np.quantile(dem[scar], 0.75))


def test_scars_start_on_ground_steeper_than_the_median_of_their_tile(tiles: list[SyntheticTile]) -> None:
    steep = []
    for tile in tiles:
        slope, scar = slope_of(tile.dem), largest_scar(tile)
        steep.append(slope[upper_part(tile.dem, scar)].mean() > np.median(slope))
    assert np.mean(steep) > 0.8  # half of them would, if scars lay anywhere


def test_scars_run_downhill_further_than_the_same_shapes_turned_across_the_slope(tiles: list[SyntheticTile]) -> None:
    longer = []
    for tile in tiles:
        rows, columns = np.nonzero(largest_scar(tile))
        row, column = round(rows.mean()), round(columns.mean())
        turned = row + (columns - column), column - (rows - row)  # by a right angle, about the middle of the scar
        inside = (np.minimum(*turned) >= 0) & (np.maximum(*turned) < tile.dem.shape[0])
        smooth = ndimage.gaussian_filter(tile.dem, 3)
        across = smooth[turned[0][inside], turned[1][inside]]
        longer.append(np.std(smooth[rows, columns]) > np.std(across))
    assert np.mean(longer) > 0.8


# ---------------------------------------------------------------------------------------------------------- hardness
def best_threshold_f1(index: np.ndarray, truth: np.ndarray) -> float:
    """Best pooled F1 of "the index lies above t" over 256 evenly spaced thresholds t."""
    edges = np.linspace(index.min(), index.max(), 257)
    predicted = np.histogram(index, edges)[0][::-1].cumsum()
    hits = np.histogram(index[truth], edges)[0][::-1].cumsum()
    return float((2 * hits / (predicted + truth.sum())).max())


def test_the_threshold_search_finds_a_threshold_where_there_is_one() -> None:
    index = np.arange(1000.0)
    assert best_threshold_f1(index, index > 700) > 0.99


def test_no_threshold_on_brightness_or_colour_finds_the_landslides(tiles: list[SyntheticTile]) -> None:
    image = np.stack([tile.image for tile in tiles]).astype(np.float32)
    truth = np.stack([tile.mask for tile in tiles]) > 0
    red, green, blue = np.moveaxis(image, -1, 0)
    indices = {"brightness": image.mean(-1), "red": red, "green": green, "blue": blue, "red - green": red - green}
    for name, index in indices.items():
        assert best_threshold_f1(index, truth) < 0.6, name
        assert best_threshold_f1(-index, truth) < 0.6, f"low {name}"


# ----------------------------------------------------------------------------------------------------------- writing
def test_the_layout_is_that_of_bijie(dataset: Path) -> None:
    names = ["gorge001.png", "hill001.png", "terrace001.png"]
    for folder in ("image", "mask", "dem"):
        assert sorted(path.name for path in (dataset / "landslide" / folder).iterdir()) == names
    for folder in ("image", "dem"):
        assert sorted(path.name for path in (dataset / "non-landslide" / folder).iterdir()) == names[:2]
    assert sorted(path.name for path in (dataset / "non-landslide").iterdir()) == ["dem", "image"]
    settings = json.loads((dataset / "synthetic.json").read_text())
    assert settings == {**SMALL, "version": GENERATOR_VERSION, "gsd_m": GSD_M, "dem_unit": "decimetre"}


def test_files_hold_what_the_tile_holds(dataset: Path) -> None:
    tile = synthesize_tile(SMALL["seed"], 1, SMALL["size_px"])
    with Image.open(dataset / "landslide/image/gorge001.png") as image:
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), tile.image)
    with Image.open(dataset / "landslide/mask/gorge001.png") as mask:
        assert mask.mode == "L"
        assert np.array_equal(np.asarray(mask), tile.mask)
    with Image.open(dataset / "landslide/dem/gorge001.png") as dem:
        assert dem.mode == "I;16"
        assert np.allclose(np.asarray(dem) / 10, tile.dem, atol=0.051)


def test_the_same_seed_writes_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    assert contents(synthesize(tmp_path / "again", **SMALL)) == contents(dataset)


def test_a_larger_dataset_begins_with_the_smaller_one(dataset: Path, tmp_path: Path) -> None:
    larger = contents(synthesize(tmp_path / "larger", **{**SMALL, "count": 5, "non_landslide": 3}))
    smaller = contents(dataset)
    del smaller["synthetic.json"]
    assert smaller.items() <= larger.items()
    assert len(larger) == 5 * 3 + 3 * 2 + 1


def test_progress_sees_every_tile_once(tmp_path: Path) -> None:
    seen: list[int] = []

    def progress(tiles: Iterable[int]) -> Iterable[int]:
        for tile in tiles:
            seen.append(tile)
            yield tile

    synthesize(tmp_path / "data", **SMALL, progress=progress)
    assert seen == [0, 1, 2, 3, 4]


def test_an_existing_dataset_is_returned_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = synthesize(tmp_path / "data", **SMALL)
    (root / "landslide/mask/hill001.png").unlink()
    before = contents(root)
    monkeypatch.delattr("landslide.data.synthetic.dataset.synthesize_tile")
    assert synthesize(root, **SMALL) == root
    assert contents(root) == before


def test_a_foreign_folder_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    (root / "cat.png").write_bytes(b"a cat")
    with pytest.raises(DataError, match=r"photos: found something that is not a synthetic dataset.*another folder"):
        synthesize(root, **SMALL)
    assert contents(root) == {"cat.png": b"a cat"}


def test_a_dataset_of_other_settings_is_refused_with_the_difference(dataset: Path) -> None:
    before = contents(dataset)
    with pytest.raises(DataError, match="seed 4 instead of 5"):
        synthesize(dataset, **{**SMALL, "seed": 5})
    assert contents(dataset) == before


@pytest.mark.parametrize(("name", "value"), [("count", 0), ("non_landslide", -1), ("size_px", 31), ("seed", -1)])
def test_a_number_out_of_range_is_refused_and_nothing_is_written(name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{name} is {value}; it must be at least {value + 1}"):
        synthesize(tmp_path / "data", **{**SMALL, name: value})
    assert not list(tmp_path.iterdir())


def test_an_interrupted_writing_leaves_nothing_at_the_root(tmp_path: Path) -> None:
    def interrupted(tiles: Iterable[int]) -> Iterable[int]:
        yield 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "data", **SMALL, progress=interrupted)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def write_slowly(root: Path, gate: Any) -> None:
    gate.wait()
    synthesize(root, **SMALL)


def test_two_processes_at_once_make_one_whole_dataset(dataset: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    root, gate = tmp_path / "data", context.Barrier(2)
    processes = [context.Process(target=write_slowly, args=(root, gate)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert contents(root) == contents(dataset)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["data"]
