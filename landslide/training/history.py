"""What each epoch measured: the series that are logged, and the tiles of the best and of the last epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from landslide.errors import TrainingDiverged
from landslide.metrics import counts_from_histograms
from landslide.training.module import SegmentationModule


@dataclass(frozen=True)
class Validation:
    """One validation, tile by tile."""

    epoch: int
    """1 is the first."""
    histograms: npt.NDArray[np.int64]
    """``(tiles, 2, 256)``, see :class:`~landslide.metrics.TileHistograms`."""
    probability: npt.NDArray[np.uint8]
    """``(tiles, H, W)``, in 256 bins."""
    seconds: float
    """From the start of training to the end of this epoch."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Confusion counts, ``(tiles, 4)``."""
        return counts_from_histograms(self.histograms)


class History(Callback):
    """Collects epochs, and hands each to a tracker while training goes on.

    Args:
        checkpoint: decides which epoch is the best, so that weights and stored tiles are of the same one.
        log_epoch: called with metrics and epoch number.
    """

    def __init__(self, checkpoint: ModelCheckpoint, log_epoch: Callable[[Mapping[str, float], int], None]) -> None:
        self.checkpoint = checkpoint
        self.log_epoch = log_epoch
        self.series: dict[str, list[tuple[int, float]]] = {}
        self.best: Validation | None = None
        self.last: Validation | None = None
        self.train_s = 0.0
        self._fit_start = self.epoch_start = 0.0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._fit_start = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self.epoch_start = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training has ended for this epoch."""
        self.train_s = time.perf_counter() - self.epoch_start

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the epoch; runs before the checkpoint is written.

        Raises:
            TrainingDiverged: for a loss that is no number; the checkpoint of the epoch before stays.
        """
        values = {key: float(value) for key, value in trainer.callback_metrics.items()}
        epoch = trainer.current_epoch + 1
        if not math.isfinite(values["train/loss"]):
            raise TrainingDiverged(
                f"train/loss is {values['train/loss']} in epoch {epoch}. A lower optimizer.lr may help."
            )
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        values["time/epoch_s"] = time.perf_counter() - self.epoch_start
        values["time/images_per_s"] = trainer.num_training_batches * data.batch_size / self.train_s
        for key, value in values.items():
            self.series.setdefault(key, []).append((epoch, value))
        self._keep_tiles(trainer, pl_module, epoch)
        self.log_epoch(values, epoch)

    def _keep_tiles(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int) -> None:
        assert isinstance(pl_module, SegmentationModule)
        self.last = Validation(
            epoch=epoch,
            histograms=pl_module.tile_histograms.compute().cpu().numpy().copy(),
            probability=pl_module.val_bins.cpu().numpy().copy(),
            seconds=time.perf_counter() - self._fit_start,
        )
        objective = trainer.callback_metrics[str(self.checkpoint.monitor)]
        if self.checkpoint.check_monitor_top_k(trainer, objective):
            self.best = self.last
