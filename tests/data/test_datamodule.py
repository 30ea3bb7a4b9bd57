"""The data module: what a batch is, in which order, and which datasets cannot be trained on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from landslide.config import DataConfig, SplitConfig
from landslide.data.datamodule import EpochBatches, TileDataModule
from landslide.errors import DataError
from tests.data.conftest import Bytes, random_tile, write_dataset, write_tile

SIDE, TRAIN, VAL = 16, 11, 5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[Bytes, Bytes]]]:
    root = tmp_path_factory.mktemp("tiles")
    return root, write_dataset(root, [(SIDE, SIDE)] * (TRAIN + VAL))


def config(folder: Path, **values: Any) -> DictConfig:
    given = {
        "name": "test",
        "layout": "bijie",
        "root": str(folder),
        "image_size": SIDE,
        "batch_size": 4,
        "split": SplitConfig(train=TRAIN, val=VAL, seed=0),
        "cache_dir": str(folder / "cache"),
    }
    cfg = OmegaConf.structured(DataConfig(**(given | values)))
    assert isinstance(cfg, DictConfig)
    return cfg


@pytest.fixture
def data(written: tuple[Path, Any]) -> TileDataModule:
    return TileDataModule(config(written[0]), augmentation=0.0, seed=0)


# ----------------------------------------------------------------------------------------------------------- batches
def test_a_batch_has_images_masks_and_positions_of_its_tiles(
    data: TileDataModule, written: tuple[Path, dict[str, tuple[Bytes, Bytes]]]
) -> None:
    for loader, rows in ((data.train_dataloader(), data.split.train), (data.val_dataloader(), data.split.val)):
        for batch in loader:
            size = len(batch["position"])
            # the types and shapes that are promised
            assert set(batch) == {"image", "mask", "position"}
            assert (batch["image"].dtype, tuple(batch["image"].shape)) == (torch.uint8, (size, 3, SIDE, SIDE))
            assert batch["image"].is_contiguous(memory_format=torch.channels_last)
            assert (batch["mask"].dtype, tuple(batch["mask"].shape)) == (torch.uint8, (size, SIDE, SIDE))
            assert (batch["position"].dtype, tuple(batch["position"].shape)) == (torch.int64, (size,))
            # the pixels that were written
            for image, mask, position in zip(batch["image"], batch["mask"], batch["position"], strict=True):
                true_image, true_mask = written[1][data.cache.tile_id[rows[position]]]
                assert np.array_equal(image.permute(1, 2, 0).numpy(), true_image)
                assert np.array_equal(mask.numpy(), true_mask // 255)


def test_validation_covers_each_tile_once_and_in_order(data: TileDataModule) -> None:
    positions = [batch["position"].tolist() for batch in data.val_dataloader()]
    assert positions == [[0, 1, 2, 3], [4]]


def test_the_last_training_tiles_that_fill_no_batch_wait_for_another_epoch(data: TileDataModule) -> None:
    loader = data.train_dataloader()
    batches = [batch["position"].tolist() for batch in loader]
    assert len(loader) == len(batches) == TRAIN // 4
    assert [len(batch) for batch in batches] == [4, 4]
    assert len({position for batch in batches for position in batch}) == 8


def test_a_batch_as_large_as_the_training_part_is_one_batch_an_epoch(written: tuple[Path, Any]) -> None:
    data = TileDataModule(config(written[0], batch_size=TRAIN), augmentation=0.0, seed=0)
    (batch,) = list(data.train_dataloader())
    assert sorted(batch["position"].tolist()) == list(range(TRAIN))


# ------------------------------------------------------------------------------------------------------------- order
def order(seed: int, epoch: int, tiles: int = 50) -> list[int]:
    batches = EpochBatches(tiles, 7, seed)
    batches.set_epoch(epoch)
    return [position for batch in batches for position in batch]


def test_the_order_differs_from_epoch_to_epoch_and_from_seed_to_seed() -> None:
    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len({tuple(one) for one in orders}) == 6
    assert all(len(set(one)) == 49 for one in orders)


def test_the_order_of_an_epoch_is_the_same_after_an_interruption() -> None:
    # Given
    long = EpochBatches(50, 7, seed=3)
    for epoch in range(3):
        long.set_epoch(epoch)
        list(long)
    # When
    long.set_epoch(3)
    # Then
    assert [position for batch in long for position in batch] == order(3, 3)
    assert [position for batch in long for position in batch] == order(3, 3)  # asked twice, the same


def test_over_the_epochs_no_tile_is_left_out() -> None:
    seen = {position for epoch in range(20) for position in order(0, epoch, tiles=13)}
    assert seen == set(range(13))


class Recorder(pl.LightningModule):
    """Trains one number and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.train_batches: list[tuple[int, dict[str, Tensor]]] = []
        self.val_batches: list[dict[str, Tensor]] = []

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        self.train_batches.append((self.current_epoch, batch))
        return self.weight * batch["image"].float().mean()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.val_batches.append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)

    def positions(self, epoch: int) -> list[int]:
        return [position for at, batch in self.train_batches if at == epoch for position in batch["position"].tolist()]


def fitted(data: TileDataModule, folder: Path, epochs: int) -> Recorder:
    recorder = Recorder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and on logging
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        trainer.fit(recorder, datamodule=data)
    return recorder


def test_lightning_trains_every_epoch_in_its_own_order(written: tuple[Path, Any], tmp_path: Path) -> None:
    # When
    runs = [
        fitted(TileDataModule(config(written[0]), augmentation=1.0, seed=seed), tmp_path, epochs=2)
        for seed in (0, 0, 1)
    ]
    # Then
    first, again, other = runs
    assert first.positions(0) != first.positions(1)
    assert first.positions(0) != other.positions(0)
    for (_, batch), (_, same) in zip(first.train_batches, again.train_batches, strict=True):
        assert torch.equal(batch["position"], same["position"])
        assert torch.equal(batch["image"], same["image"])
        assert torch.equal(batch["mask"], same["mask"])


def test_training_tiles_are_augmented_and_validation_tiles_are_not(written: tuple[Path, Any], tmp_path: Path) -> None:
    # Given
    data = TileDataModule(config(written[0]), augmentation=1.0, seed=0)
    # When
    recorder = fitted(data, tmp_path, epochs=1)
    # Then
    for batch in recorder.val_batches:
        assert torch.equal(batch["image"], data.val_tiles[batch["position"].tolist()]["image"])
    for _, batch in recorder.train_batches:
        raw = data.train_tiles[batch["position"].tolist()]
        assert batch["image"].dtype == torch.float32
        assert not torch.equal(batch["image"], raw["image"].float())
        assert torch.equal(batch["mask"].sum((1, 2)), raw["mask"].sum((1, 2)))


# -------------------------------------------------------------------------------------------------------- statistics
@pytest.mark.parametrize("bands", [["red", "green", "blue"], ["blue"], ["green", "red"]])
def test_band_statistics_are_those_of_numpy_over_the_training_part(
    written: tuple[Path, dict[str, tuple[Bytes, Bytes]]], bands: list[str]
) -> None:
    # Given
    data = TileDataModule(config(written[0], bands=bands), augmentation=0.0, seed=0)
    channels = [("red", "green", "blue").index(band) for band in bands]
    images = np.stack([written[1][data.cache.tile_id[row]][0] for row in data.split.train])[..., channels] / 255
    # When
    mean, std = data.band_statistics
    # Then
    assert mean == pytest.approx(images.mean((0, 1, 2)), rel=1e-9)
    assert std == pytest.approx(images.std((0, 1, 2)), rel=1e-9)


def test_a_band_without_any_variation_has_a_standard_deviation_to_divide_by(tmp_path: Path) -> None:
    for number in range(4):
        write_tile(tmp_path, f"tile{number}", np.full((8, 8, 3), 90, np.uint8), random_tile(number, 8, 8)[1])
    split = SplitConfig(train=2, val=2, seed=0)
    data = TileDataModule(config(tmp_path, image_size=8, batch_size=2, split=split), augmentation=0.0, seed=0)
    mean, std = data.band_statistics
    assert mean == pytest.approx([90 / 255] * 3)
    assert all(0 < value < 0.01 for value in std)


def test_the_ground_sampling_distance_is_nan_where_it_is_unknown(written: tuple[Path, Any]) -> None:
    known = TileDataModule(config(written[0], gsd_m=0.8), augmentation=0.0, seed=0)
    unknown = TileDataModule(config(written[0]), augmentation=0.0, seed=0)
    assert known.gsd_m == 0.8
    assert np.isnan(unknown.gsd_m)


# ---------------------------------------------------------------------------------------------------------- refusals
def refusal(cfg: DictConfig) -> str:
    with pytest.raises(DataError) as caught:
        TileDataModule(cfg, augmentation=0.0, seed=0)
    return str(caught.value)


def test_a_batch_larger_than_the_training_part_is_refused(written: tuple[Path, Any]) -> None:
    message = refusal(config(written[0], batch_size=12))
    assert message == "data.batch_size=12: the training part has 11 tiles, which fills no batch."


def test_a_training_part_without_a_landslide_is_refused(tmp_path: Path) -> None:
    # Given: a landslide in one tile, which the split puts into validation
    for number in range(6):
        mask = np.zeros((8, 8), np.uint8)
        mask[2:4] = 255 if number == 3 else 0  # PCG64 with seed 0 permutes 6 into 3 ...
        write_tile(tmp_path, f"tile{number}", random_tile(number, 8, 8)[0], mask)
    assert np.random.default_rng(0).permutation(6)[0] == 3
    cfg = config(tmp_path, image_size=8, batch_size=2, split=SplitConfig(train=5, val=1, seed=0))
    # When
    message = refusal(cfg)
    # Then
    assert message.startswith(f"data.root={tmp_path}: no landslide pixel in the training part")


def test_a_split_that_asks_for_more_than_there_is_is_refused(written: tuple[Path, Any]) -> None:
    message = refusal(config(written[0], split=SplitConfig(train=690, val=80, seed=0)))
    assert "690 + 80 tiles are asked for, 16 are there" in message


def test_a_dataset_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no Bijie dataset there" in refusal(config(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_a_home_folder_is_written_as_a_tilde(written: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(written[0].parent))
    cfg = config(written[0], root=f"~/{written[0].name}", cache_dir="~/tilde-cache")
    assert len(TileDataModule(cfg, augmentation=0.0, seed=0).cache) == TRAIN + VAL
    assert (written[0].parent / "tilde-cache").is_dir()
