"""Batches for Lightning: ``{"image": (N, C, H, W), "mask": (N, H, W), "position": (N,)}``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from landslide.config import TERRAIN
from landslide.data.augmentation import EIGHT_BIT, Augmentation, Jitter
from landslide.data.cache import TileCache, open_cache
from landslide.data.layouts import list_tiles
from landslide.data.pixels import FULL_SCALE
from landslide.data.splits import Split, divide
from landslide.errors import DataError

Batch = dict[str, Tensor]


class CachedTiles(Dataset[Batch]):
    """Part of a cache, addressed by whole batches: one gather each instead of a decode, a copy and a stack a tile."""

    def __init__(self, cache: TileCache, rows: list[int]) -> None:
        self.cache = cache
        self.rows = np.asarray(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: list[int]) -> Batch:
        """Tiles at these positions of the part.

        Returns:
            ``image`` ``(N, C, H, W)`` of the cache's type in channels-last memory, ``mask`` uint8 ``(N, H, W)``,
            ``position`` int64 ``(N,)``.
        """
        rows = self.rows[positions]
        return {
            "image": torch.from_numpy(self.cache.image[rows]).permute(0, 3, 1, 2),
            "mask": torch.from_numpy(self.cache.mask[rows]),
            "position": torch.tensor(positions),
        }


class EpochBatches(Sampler[list[int]]):
    """Positions of an epoch in batches, in an order that depends on seed and epoch alone.

    Lightning calls :meth:`set_epoch`, so a run that was interrupted goes on in the order it would have had.

    Args:
        tiles: how many there are.
        batch_size: tiles a batch; the rest of an epoch that fills none is left out.
        seed: of the order.
    """

    def __init__(self, tiles: int, batch_size: int, seed: int) -> None:
        self._tiles, self._batch_size, self._seed = tiles, batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Order the following iteration for this epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._tiles // self._batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(self._tiles)
        for start in range(0, len(self) * self._batch_size, self._batch_size):
            yield order[start : start + self._batch_size].tolist()


class TileDataModule(pl.LightningDataModule):
    """Tiles of one dataset, opened, divided and batched.

    Args:
        cfg: the ``data`` group of a run.
        augmentation: strength, see :class:`~landslide.data.augmentation.Augmentation`.
        seed: of the order of tiles and of augmentation; the split has its own.

    Raises:
        DataError: where the dataset is missing, unreadable, or too small for the split or the batch.
    """

    def __init__(self, cfg: DictConfig, *, augmentation: float, seed: int) -> None:
        super().__init__()
        self.batch_size: int = cfg.batch_size
        self.seed = seed
        self.gsd_m: float = float("nan") if cfg.gsd_m is None else cfg.gsd_m
        self.bands: list[str] = list(cfg.bands)
        tiles = list_tiles(cfg)
        self.split: Split = divide(tiles, cfg.split, cfg.negatives)
        self._check_batch()
        self.cache: TileCache = open_cache(tiles, cfg.image_size, self.bands, Path(cfg.cache_dir).expanduser())
        self._check_landslides(cfg)
        self.train_tiles = CachedTiles(self.cache, self.split.train)
        self.val_tiles = CachedTiles(self.cache, self.split.val)
        self.augmentation = Augmentation(augmentation, seed, self._jitter() if augmentation else None)

    def _check_batch(self) -> None:
        if self.batch_size > len(self.split.train):
            raise DataError(
                f"data.batch_size={self.batch_size}: the training part has {len(self.split.train)} tiles, "
                "which fills no batch."
            )

    def _check_landslides(self, cfg: DictConfig) -> None:
        if not self.cache.mask[self.split.train].any():
            raise DataError(
                f"data.root={cfg.root}: no landslide pixel in the training part, there is nothing to learn."
            )

    @cached_property
    def band_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each band over the training part, in shares of the band's full scale.

        A band without any variation gets a deviation that can be divided by.
        """
        scale = np.asarray(self.cache.scale)
        total, squares, pixels = 0.0, 0.0, 0
        for row in self.split.train:  # tile by tile, so that a large dataset is not read into memory
            values = self.cache.image[row].reshape(-1, len(scale)) / scale
            total = total + values.sum(0)
            squares = squares + (values**2).sum(0)
            pixels += len(values)
        mean: npt.NDArray[np.float64] = np.asarray(total) / pixels
        variance = np.asarray(squares) / pixels - mean**2
        constant = np.where(variance > 1e-10 * mean**2, variance, 1.0)
        std = np.sqrt(np.where(scale == FULL_SCALE["uint8"], np.maximum(variance, 1e-6), constant))
        return mean.tolist(), std.tolist()

    def _jitter(self) -> list[Jitter | None]:
        """What brightness and contrast mean in each band: around the middle of 8 bits, else around the band's mean.

        A uniform distribution of the same deviation would be sqrt(12) deviations wide, as 0 to 255 is for 8 bits.
        """
        jitter: list[Jitter | None] = []
        for row, (band, scale) in enumerate(zip(self.bands, self.cache.scale, strict=True)):
            if band in TERRAIN:
                jitter.append(None)
            elif scale == FULL_SCALE["uint8"]:
                jitter.append(EIGHT_BIT)
            else:
                mean, std = self.band_statistics
                jitter.append((mean[row] * scale, 12**0.5 * std[row] * scale))
        return jitter

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, whole batches only: several networks cannot normalise a batch of one."""
        order = EpochBatches(len(self.train_tiles), self.batch_size, self.seed)
        return self._load(self.train_tiles, order)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every validation tile once, in order."""
        positions = list(range(len(self.val_tiles)))
        batches = [positions[start : start + self.batch_size] for start in range(0, len(positions), self.batch_size)]
        return self._load(self.val_tiles, batches)

    def _load(self, tiles: CachedTiles, batches: Any) -> DataLoader[Batch]:
        """For a GPU from pinned memory: from any other, sending a batch waits for the step before to end."""
        trainer: Any = self.trainer
        pinned = trainer is not None and trainer.strategy.root_device.type == "cuda"
        return DataLoader(tiles, sampler=batches, batch_size=None, pin_memory=pinned)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches, on the device that they train on."""
        trainer: Any = self.trainer
        if trainer.training:
            self.augmentation.start_epoch(trainer.current_epoch)
            batch["image"], batch["mask"] = self.augmentation(batch["image"], batch["mask"])
        return batch
