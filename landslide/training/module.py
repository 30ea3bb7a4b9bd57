"""The Lightning module: what a step computes and what an epoch measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from landslide.metrics import TileHistograms, counts_from_histograms, false_alarm, probability_bin, ratios
from landslide.models.segmenter import Segmenter

MakeOptimizer = Callable[[Iterable[dict[str, Any]]], Optimizer]
MakeScheduler = Callable[[Optimizer, int], LRScheduler]


class SegmentationModule(pl.LightningModule):
    """Trains a segmenter; validates it tile by tile.

    Args:
        segmenter: the network.
        loss: of logits and target, both ``(N, 1, H, W)``.
        make_optimizer: from parameter groups.
        make_scheduler: from the optimizer and the number of steps of the whole run, stepped after each batch; None for
            a constant learning rate.
        weight_decay: of the weights of convolutions and linear layers; biases and norms decay towards nothing useful.
        val_tiles: number of validation tiles.
        image_size: side of a tile in pixels.
        channels_last: memory format of images and weights.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        loss: nn.Module,
        make_optimizer: MakeOptimizer,
        make_scheduler: MakeScheduler | None,
        weight_decay: float,
        val_tiles: int,
        image_size: int,
        channels_last: bool,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.segmenter = segmenter.to(memory_format=self.memory_format)
        self.loss = loss
        self.make_optimizer = make_optimizer
        self.make_scheduler = make_scheduler
        self.weight_decay = weight_decay
        self.tile_histograms = TileHistograms(val_tiles)
        self.register_buffer(
            "val_bins", torch.zeros(val_tiles, image_size, image_size, dtype=torch.uint8), persistent=False
        )
        self.val_bins: Tensor  # probability of every validation tile in 256 bins, of the last validation

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch ``{"image": (N, C, H, W), "mask": (N, H, W)}``."""
        loss = self._loss(self._logits(batch), batch)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Add a batch to the tile histograms."""
        logits = self._logits(batch)  # (N, 1, H, W)
        bins = probability_bin(torch.sigmoid(logits.float())).squeeze(1)  # (N, H, W)
        self.tile_histograms.update(bins, batch["mask"], batch["position"])
        self.val_bins[batch["position"]] = bins
        self.log("val/loss", self._loss(logits, batch), on_epoch=True, batch_size=len(bins))

    def on_validation_epoch_end(self) -> None:
        """Pool the counts of all tiles and log the ratios; NaN where one is undefined."""
        counts = counts_from_histograms(self.tile_histograms.compute().cpu().numpy())
        for name, value in ratios(counts.sum(0)).items():
            self.log(f"val/{name}", value)
        self.log("val/false_alarm", false_alarm(counts))

    def on_validation_epoch_start(self) -> None:
        """Forget the epoch before."""
        self.tile_histograms.reset()

    def configure_optimizers(self) -> Any:
        """Optimizer and, unless the rate is constant, a scheduler that is stepped after each batch."""
        trained = [parameter for parameter in self.segmenter.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = self.make_optimizer(groups)
        if self.make_scheduler is None:
            return optimizer
        scheduler = self.make_scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _logits(self, batch: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.segmenter(batch["image"].contiguous(memory_format=self.memory_format))
        return logits

    def _loss(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        loss: Tensor = self.loss(logits.float(), batch["mask"].unsqueeze(1).float())
        return loss
