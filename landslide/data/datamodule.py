"""Batches for Lightning: ``{"image": (N, C, H, W), "mask": (N, H, W), "position": (N,)}``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from landslide.data.augmentation import Augmentation
from landslide.data.cache import TileCache, open_cache
from landslide.data.splits import Split, random_split
from landslide.data.synthetic import synthesize
from landslide.data.tiles import list_bijie
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
            ``image`` uint8 ``(N, C, H, W)`` in channels-last memory, ``mask`` uint8 ``(N, H, W)``, ``position`` int64
            ``(N,)``.
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
        self.augmentation = Augmentation(augmentation, seed)
        self.cache = open_dataset(cfg)
        self.split: Split = random_split(len(self.cache), **cfg.split)
        self._check_parts(cfg)
        self.train_tiles = CachedTiles(self.cache, self.split.train)
        self.val_tiles = CachedTiles(self.cache, self.split.val)

    def _check_parts(self, cfg: DictConfig) -> None:
        if self.batch_size > len(self.split.train):
            raise DataError(
                f"data.batch_size={self.batch_size}: the training part has {len(self.split.train)} tiles, "
                "which fills no batch."
            )
        if not self.cache.mask[self.split.train].any():
            raise DataError(
                f"data.root={cfg.root}: no landslide pixel in the training part, there is nothing to learn."
            )

    def band_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each band over the training part, of values in [0, 1]."""
        total, squares, pixels = 0.0, 0.0, 0
        for row in self.split.train:  # tile by tile, so that a large dataset is not read into memory
            values = self.cache.image[row].reshape(-1, self.cache.image.shape[-1]) / 255.0
            total = total + values.sum(0)
            squares = squares + (values**2).sum(0)
            pixels += len(values)
        mean: npt.NDArray[np.float64] = np.asarray(total) / pixels
        std = np.sqrt(np.maximum(np.asarray(squares) / pixels - mean**2, 1e-6))
        return mean.tolist(), std.tolist()

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, whole batches only: several networks cannot normalise a batch of one."""
        order = EpochBatches(len(self.train_tiles), self.batch_size, self.seed)
        return DataLoader(self.train_tiles, sampler=order, batch_size=None)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every validation tile once, in order."""
        positions = list(range(len(self.val_tiles)))
        batches = [positions[start : start + self.batch_size] for start in range(0, len(positions), self.batch_size)]
        return DataLoader(self.val_tiles, sampler=batches, batch_size=None)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches, on the device that they train on."""
        trainer: Any = self.trainer
        if trainer.training:
            self.augmentation.start_epoch(trainer.current_epoch)
            batch["image"], batch["mask"] = self.augmentation(batch["image"], batch["mask"])
        return batch


def open_dataset(cfg: DictConfig) -> TileCache:
    """All tiles of the ``data`` group, decoded; a synthetic dataset is written first where it is missing.

    Raises:
        DataError: see :func:`list_bijie`, :func:`synthesize` and :func:`open_cache`.
    """
    root = Path(cfg.root).expanduser()
    if cfg.generate is not None:
        synthesize(root, **cfg.generate, progress=lambda tiles: track(list(tiles), "Writing synthetic tiles"))
    return open_cache(list_bijie(root), cfg.image_size, cfg.bands, Path(cfg.cache_dir).expanduser())
