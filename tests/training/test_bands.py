"""Runs on more than three 8-bit bands: what is normalised, augmented, pictured, measured and stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import mlflow
import numpy as np
import pytest
import tifffile
import torch
from mlflow import MlflowClient
from omegaconf import DictConfig
from PIL import Image

from landslide.data.datamodule import TileDataModule
from landslide.data.pixels import as_rgb
from landslide.data.synthetic import synthesize
from landslide.errors import ConfigError
from landslide.metrics import false_alarm
from landslide.training.run import run
from tests.conftest import compose_run, standing_in

SIDE, TILES = 64, 12
BANDS = ("red", "green", "blue", "nir")


def write_tiles(root: Path, dtype: str = "float32", factor: float = 1.0) -> list[str]:
    """Four bands in which a landslide is brighter than the ground in the fourth alone; every third tile has none."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for number in range(TILES):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        if number % 3:
            mask[10:40, 15 : 15 + 3 * number] = 1
        image = random.normal(0.4, 0.05, (SIDE, SIDE, 4))
        image[..., 3] += 0.3 * mask
        stored: Any = (image * factor).astype(dtype)
        tifffile.imwrite(root / "images" / f"{number}.tif", stored, photometric="minisblack", planarconfig="contig")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return [
        "data=folder",
        f"data.root={root}",
        f"data.channels=[{','.join(BANDS)}]",
        f"data.cache_dir={root / 'cache'}",
        *("encoder.name=tu-test_resnet", f"data.image_size={SIDE}", "data.batch_size=4"),
        *(
            "data.split={train: 8, val: 4, seed: 1}",
            "trainer.threads=1",
            "trainer.max_epochs=2",
            "trainer.precision=32",
        ),
    ]


def opened(cfg: DictConfig, augmentation: float = 0.0) -> TileDataModule:
    return TileDataModule(cfg.data, augmentation=augmentation, seed=0)


@pytest.mark.parametrize(("dtype", "factor", "scale"), [("float32", 1e-3, 1), ("uint16", 10_000, 65535)])
def test_statistics_are_those_of_the_training_part_whatever_the_units(
    tmp_path: Path, dtype: str, factor: float, scale: float
) -> None:
    # When
    data = opened(compose_run(*write_tiles(tmp_path / "tiles", dtype, factor)))
    # Then
    pixels = data.cache.image[data.split.train].astype(np.float64).reshape(-1, 4)
    mean, std = np.array(data.band_statistics) * scale
    assert data.cache.image.dtype == dtype
    assert mean == pytest.approx(pixels.mean(0), rel=1e-6)
    assert std == pytest.approx(pixels.std(0), rel=1e-6)


def test_brightness_and_contrast_change_other_bands_by_their_own_spread_and_terrain_not_at_all(tmp_path: Path) -> None:
    # Given: three bands that light falls on, and a slope; the same tile a thousand times
    overrides = write_tiles(tmp_path / "tiles", "float32", 50.0)
    cfg = compose_run(*overrides, "data.channels=[red,green,nir,slope]")
    data = opened(cfg, augmentation=1.0)
    one = data.train_tiles[[0]]
    data.augmentation.start_epoch(0)
    # When
    image, _ = data.augmentation(one["image"].repeat(1000, 1, 1, 1), one["mask"].repeat(1000, 1, 1))
    # Then
    _, std = data.band_statistics
    before, after = one["image"].mean((2, 3))[0], image.mean((2, 3))
    assert torch.allclose(after[:, 3], before[3], rtol=1e-5)
    for band in range(3):
        # brightness: uniform of up to 0.2 of sqrt(12) deviations; contrast moves the tile's own mean by much less
        change = (after[:, band] - before[band]) / std[band]
        assert change.std() == pytest.approx(0.2 * 12**0.5 / 3**0.5, rel=0.1)
        assert change.mean().abs() < 0.1


def test_eight_bit_bands_beside_an_elevation_model_are_augmented_as_they_always_were(tmp_path: Path) -> None:
    # Given
    root = synthesize(tmp_path / "tiles", count=8, non_landslide=0, size_px=SIDE, seed=0)
    common = [f"data.root={root}", "data.generate=null", f"data.image_size={SIDE}", "data.batch_size=2"]
    common += ["data.split={train: 6, val: 2}", f"data.cache_dir={tmp_path / 'cache'}"]
    batches = []
    for bands in ("[red,green,blue]", "[red,green,blue,dem]"):
        data = opened(compose_run(*common, f"data.bands={bands}"), augmentation=1.0)
        data.augmentation.start_epoch(0)
        tiles = data.train_tiles[list(range(6))]
        batches.append(data.augmentation(tiles["image"], tiles["mask"]))
    # Then
    (plain, mask), (four, same_mask) = batches
    assert torch.equal(plain, four[:, :3])
    assert torch.equal(mask, same_mask)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_four_bands_train_and_the_stored_model_predicts_from_their_own_numbers(tmp_path: Path, dtype: str) -> None:
    # Given
    overrides = write_tiles(tmp_path / "tiles", dtype, 1.0 if dtype == "float32" else 10_000)
    with standing_in(tmp_path):
        # When
        result = run(compose_run(*overrides), tmp_path / "out")
        client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
        model = mlflow.pyfunc.load_model(f"runs:/{result.run_id}/model")
        stored = np.load(client.download_artifacts(result.run_id, "validation/best.npz"), allow_pickle=False)
        panel = np.load(client.download_artifacts(result.run_id, "validation/panel.npz"), allow_pickle=False)
        metrics = client.get_run(result.run_id).data.metrics
    # Then: the model sees what validation saw
    names = stored["tile_id"].tolist()
    images = np.stack([tifffile.imread(tmp_path / "tiles" / "images" / f"{name}.tif") for name in names])
    assert model.metadata.signature.inputs.inputs[0].type == np.dtype(dtype)
    assert np.abs(model.predict(images) * 256 - stored["probability"]).max() < 1.5
    # and pictures are of red, green and blue in bytes
    assert (panel["images"].dtype, panel["images"].shape[-1]) == (np.uint8, 3)
    # and false alarms are counted on the tiles without a landslide
    empty = [row for row, name in enumerate(names) if int(name) % 3 == 0]
    assert len(empty) == 2
    expected = (stored["probability"][empty] >= 128).mean()
    assert metrics["best/false_alarm"] == pytest.approx(expected, abs=1e-12)
    assert client.get_metric_history(result.run_id, "val/false_alarm")[0].step == 1


def write_landslide4sense(root: Path, tiles: int) -> None:
    """The published layout and size; a landslide is steep and without vegetation, in its colours it cannot be seen."""
    random = np.random.default_rng(0)
    for folder in ("img", "mask"):
        (root / "TrainData" / folder).mkdir(parents=True)
    for number in range(1, tiles + 1):
        mask = np.zeros((128, 128), np.uint8)
        top, left = random.integers(0, 70, 2)
        mask[top : top + 50, left : left + 40] = 1
        image = random.normal(1.0, 0.2, (128, 128, 14))
        image[..., 7] -= 0.5 * mask  # B8, near infrared
        image[..., 12] += 0.5 * mask  # B13, slope
        for folder, key, values in (("img", "img", image), ("mask", "mask", mask)):
            name = "image" if folder == "img" else "mask"
            with h5py.File(root / "TrainData" / folder / f"{name}_{number}.h5", "w") as file:
                file[key] = values


def test_fourteen_bands_learn_what_three_cannot_see(tmp_path: Path) -> None:
    # Given
    write_landslide4sense(tmp_path / "tiles", 20)
    common = ["data=landslide4sense", f"data.root={tmp_path / 'tiles'}", f"data.cache_dir={tmp_path / 'cache'}"]
    common += ["encoder.name=tu-test_resnet", "data.image_size=64", "data.batch_size=4", "optimizer.lr=1e-2"]
    common += ["data.split={by: tile, train: 16, val: 4}", "trainer.threads=1", "trainer.max_epochs=8"]
    # When
    with standing_in(tmp_path):
        every = run(compose_run(*common), tmp_path / "every")
        colours = run(compose_run(*common, "data.bands=[red,green,blue]"), tmp_path / "colours")
    # Then
    assert every.score > 0.85
    assert colours.score < 0.65  # where landslides tend to lie can be learned, what they are cannot


def test_false_alarms_are_no_objective_where_every_tile_has_a_landslide(tiny: list[str], tmp_path: Path) -> None:
    objective = ["objective.metric=val/false_alarm", "objective.direction=minimize"]
    with standing_in(tmp_path), pytest.raises(ConfigError, match=r"every validation tile holds a landslide"):
        run(compose_run(*tiny, *objective), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_false_alarms_are_undefined_without_ground_to_raise_them_on() -> None:
    assert np.isnan(false_alarm(np.array([[5, 4, 0, 1], [0, 1, 3, 9]])))
    assert false_alarm(np.array([[0, 0, 0, 10], [0, 5, 0, 5], [1, 9, 0, 0]])) == 0.25


def test_pictures_show_colours_by_name_and_stretch_what_is_not_eight_bit() -> None:
    # Given
    ramp = np.linspace(0, 3000, 1000, dtype=np.float32).reshape(1, 10, 100)
    byte = np.arange(1000).reshape(1, 10, 100) % 256
    images = np.stack([byte, ramp, byte[:, ::-1], byte[:, :, ::-1]], axis=-1).astype(np.float32)
    # When
    by_name = as_rgb(images, ["blue", "dem", "red", "green"], [255, 1, 255, 255])
    grey = as_rgb(images[..., 1:2], ["dem"], [1])
    # Then
    assert np.array_equal(by_name, images[..., [2, 3, 0]])
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert (grey.dtype, grey.min(), grey.max()) == (np.uint8, 0, 255)
    assert (grey[..., 0] == 0).mean() == pytest.approx(0.02, abs=0.005)
    assert grey[0, 5, 0, 0] == pytest.approx(127, abs=3)
