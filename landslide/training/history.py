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
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from landslide.errors import TrainingDiverged
from landslide.metrics import counts_from_histograms
from landslide.training.memory import peak_mb
from landslide.training.module import SegmentationModule

LOSSES = ("train/loss", "val/loss")


@dataclass(frozen=True)
class Validation:
    """One validation, tile by tile."""

    epoch: int
    """1 is the first."""
    histograms: npt.NDArray[np.int64]
    """``(tiles, 2, 256)``, see :class:`~landslide.training.histograms.TileHistograms`."""
    probability: npt.NDArray[np.uint8]
    """``(tiles, H, W)``, in 256 bins."""
    seconds: float
    """From the start of training to the end of this epoch."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Confusion counts, ``(tiles, 4)``."""
        return counts_from_histograms(self.histograms)


@dataclass(frozen=True)
class Point:
    """What one epoch logs."""

    epoch: int
    """1 is the first."""
    timestamp_ms: int
    """A point that is logged twice with the same one is one point in MLflow."""
    values: dict[str, float]


LogEpoch = Callable[[Mapping[str, float], int, int], None]


class History(Callback):
    """Collects epochs, and hands each to a tracker once a checkpoint holds it.

    It is part of every checkpoint, so a continued run has all epochs, the best one's tiles and the time spent before.

    Args:
        checkpoint: decides which epoch is the best, so that weights and stored tiles are of the same one.
        log_epoch: called with metrics, epoch number and time in ms; after a continuation also with the points before.
    """

    def __init__(self, checkpoint: ModelCheckpoint, log_epoch: LogEpoch) -> None:
        self.checkpoint = checkpoint
        self.log_epoch = log_epoch
        self.points: list[Point] = []
        self.series: dict[str, list[tuple[int, float]]] = {}
        self.best: Validation | None = None
        self.last: Validation | None = None
        self.peak_mb = 0.0
        self.train_s = 0.0
        self._logged = 0
        self._fit_start = self.epoch_start = 0.0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, or let it go on."""
        self._fit_start = time.perf_counter() - (self.last.seconds if self.last else 0.0)
        self._hand_on()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._hand_on()
        self.epoch_start = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training has ended for this epoch, also on a GPU, which is handed steps before it has done them."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.train_s = time.perf_counter() - self.epoch_start

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the epoch; runs before the checkpoint is written.

        Raises:
            TrainingDiverged: for a loss that is no number; the checkpoint of the epoch before stays.
        """
        values = {key: float(value) for key, value in trainer.callback_metrics.items()}
        epoch = trainer.current_epoch + 1
        for key in LOSSES:
            if not math.isfinite(values[key]):
                raise TrainingDiverged(f"{key} is {values[key]} in epoch {epoch}. A lower optimizer.lr may help.")
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        values["time/epoch_s"] = time.perf_counter() - self.epoch_start
        values["time/images_per_s"] = trainer.num_training_batches * data.batch_size / self.train_s
        self._add(Point(epoch, time.time_ns() // 1_000_000, values))
        self.peak_mb = max(self.peak_mb, peak_mb())
        self._keep_tiles(trainer, pl_module, epoch)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hand on the last epoch."""
        self._hand_on()

    def state_dict(self) -> dict[str, Any]:
        """Everything that was collected, in types that are loaded without unpickling."""
        assert self.last is not None and self.best is not None
        last = _tensors(self.last)
        return {
            "points": [(point.epoch, point.timestamp_ms, point.values) for point in self.points],
            "last": last,
            "best": last if self.best is self.last else _tensors(self.best),  # the same tensors are stored once
            "peak_mb": self.peak_mb,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for epoch, timestamp_ms, values in state_dict["points"]:
            self._add(Point(epoch, timestamp_ms, values))
        self.last, self.best = (_validation(state_dict[which]) for which in ("last", "best"))
        self.peak_mb = state_dict["peak_mb"]

    def _add(self, point: Point) -> None:
        self.points.append(point)
        for key, value in point.values.items():
            self.series.setdefault(key, []).append((point.epoch, value))

    def _hand_on(self) -> None:
        for point in self.points[self._logged :]:
            self.log_epoch(point.values, point.epoch, point.timestamp_ms)
        self._logged = len(self.points)

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


def _tensors(validation: Validation) -> dict[str, Any]:
    return {
        "epoch": validation.epoch,
        "seconds": validation.seconds,
        "histograms": torch.from_numpy(validation.histograms),
        "probability": torch.from_numpy(validation.probability),
    }


def _validation(stored: Mapping[str, Any]) -> Validation:
    return Validation(
        epoch=stored["epoch"],
        histograms=stored["histograms"].numpy(),
        probability=stored["probability"].numpy(),
        seconds=stored["seconds"],
    )
