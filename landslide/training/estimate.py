"""How long a run will train, from a few of its own batches."""

from __future__ import annotations

import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from landslide.training import memory
from landslide.training.checkpoint import EpochSeed
from landslide.training.run import build_module, build_trainer, prepare, quiet

TRAIN_BATCHES, VAL_BATCHES = 4, 2
"""Of each of two epochs: the first one warms up, the second one is timed."""


class Stopwatch(Callback):
    """The end of training and of validation, in each epoch, after everything before is computed."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training begins."""
        self._mark(pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training is done, validation begins."""
        self._mark(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The epoch is done."""
        self._mark(pl_module)

    def _mark(self, module: pl.LightningModule) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter())


def estimate_fit_s(cfg: DictConfig, scratch: Path) -> float:
    """Seconds of training and validation over all epochs, without checkpoints.

    The real step on the real tiles. Epochs in which the encoder is frozen count like the others, and early stopping is
    not foreseen, so a run may be shorter.

    Args:
        cfg: a composed :class:`~landslide.config.RunConfig`.
        scratch: a folder for the store that a run must have; the config's own learns nothing of this.

    Raises:
        UserError: where the run could not begin.
        OutOfMemory: for a batch that does not fit.
    """
    cfg = cfg.copy()
    cfg.tracking.uri = f"sqlite:///{scratch}/mlflow.db"
    if not isinstance(cfg.regularization.freeze_encoder, bool):
        cfg.regularization.freeze_encoder = False
    parts = prepare(cfg)
    stopwatch = Stopwatch()
    with quiet():
        trainer = build_trainer(
            parts,
            [EpochSeed(cfg.seed), stopwatch],
            scratch,
            max_epochs=2,
            limit_train_batches=TRAIN_BATCHES,
            limit_val_batches=VAL_BATCHES,
            enable_checkpointing=False,
        )
        with memory.require_memory(cfg, parts.hardware.device):
            trainer.fit(build_module(parts), datamodule=parts.data)
    train_batches, val_batches = len(parts.data.train_dataloader()), len(parts.data.val_dataloader())
    first, (begin, trained, validated) = stopwatch.marks[:3], stopwatch.marks[3:]
    epoch_s = (trained - begin) / min(train_batches, TRAIN_BATCHES) * train_batches
    epoch_s += (validated - trained) / min(val_batches, VAL_BATCHES) * val_batches
    warm_up_s = max(0.0, first[2] - first[0] - (validated - begin))
    return float(epoch_s * cfg.trainer.max_epochs + warm_up_s)
