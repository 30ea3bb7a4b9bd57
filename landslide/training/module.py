"""The Lightning module: what a step computes and what an epoch measures."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import Any, Self

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.optimizer import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from landslide.metrics import counts_from_histograms, false_alarm, ratios
from landslide.models.segmenter import Segmenter
from landslide.training.histograms import TileHistograms, probability_bin

MakeOptimizer = Callable[[Iterable[dict[str, Any]]], Optimizer]
MakeScheduler = Callable[[Optimizer, int], LRScheduler]


class SegmentationModule(pl.LightningModule):
    """Trains a segmenter; validates it tile by tile.

    Args:
        segmenter: the network.
        loss: of logits and target, both ``(N, 1, H, W)``.
        make_optimizer: from parameter groups.
        make_scheduler: from the optimizer and the number of steps of the whole run; stepped after each batch, or after
            each epoch where it watches the objective.
        objective: metric that such a scheduler watches.
        weight_decay: of the weights of convolutions and linear layers; biases and norms decay towards nothing useful.
        gradient_clip: largest norm of all gradients together; None clips nothing.
        frozen_epochs: how long the encoder keeps the weights it came with; infinite for the whole run.
        ema_decay: of an exponential average of the weights, which is then what is validated; None keeps none.
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
        make_scheduler: MakeScheduler,
        objective: str,
        weight_decay: float,
        gradient_clip: float | None,
        frozen_epochs: float,
        ema_decay: float | None,
        val_tiles: int,
        image_size: int,
        channels_last: bool,
    ) -> None:
        super().__init__()
        self._frozen = False
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.segmenter = segmenter.to(memory_format=self.memory_format)
        self.loss = loss
        self.make_optimizer = make_optimizer
        self.make_scheduler = make_scheduler
        self.objective = objective
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip
        self.frozen_epochs = frozen_epochs
        if math.isinf(frozen_epochs):
            self._encoder.requires_grad_(False)
        self.ema_decay = ema_decay
        self.averaged: AveragedModel | None = None
        if ema_decay is not None:
            self.averaged = AveragedModel(self.segmenter, use_buffers=True).requires_grad_(False)
        self.tile_histograms = TileHistograms(val_tiles)
        self.register_buffer(
            "val_bins", torch.zeros(val_tiles, image_size, image_size, dtype=torch.uint8), persistent=False
        )
        self.val_bins: Tensor  # probability of every validation tile in 256 bins, of the last validation

    @property
    def evaluated(self) -> Segmenter:
        """The network that is validated, and whose weights are the result of a run."""
        if self.averaged is None:
            return self.segmenter
        assert isinstance(self.averaged.module, Segmenter)
        return self.averaged.module

    def train(self, mode: bool = True) -> Self:
        """As usual, but a frozen encoder stays in evaluation: its norms and its drop path move nothing either."""
        super().train(mode)
        if self._frozen:
            self._encoder.eval()
        return self

    def on_train_epoch_start(self) -> None:
        """Freeze the encoder, or let it go."""
        if self.frozen_epochs:
            self._frozen = self.current_epoch < self.frozen_epochs
            self._encoder.requires_grad_(not self._frozen)
            self.train()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch ``{"image": (N, C, H, W), "mask": (N, H, W)}``."""
        loss = self._loss(self._logits(self.segmenter, batch), batch)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Add a batch to the tile histograms."""
        logits = self._logits(self.evaluated, batch)  # (N, 1, H, W)
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

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Clip here, because Lightning refuses to with a fused optimizer in mixed precision, bf16 included."""
        if self.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.segmenter.parameters(), self.gradient_clip)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Average the weights, over a window that grows with the run as in Abadi et al. 2016 (TensorFlow).

        With the decay alone, the first weights would still weigh half after 700 steps of 0.999.
        """
        if self.averaged is not None and self.ema_decay is not None:
            step = self.trainer.global_step
            decay = min(self.ema_decay, (1 + step) / (10 + step))
            self.averaged.multi_avg_fn = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            self.averaged.update_parameters(self.segmenter)

    def on_train_epoch_end(self) -> None:
        """Step a scheduler that watches the objective, before the checkpoint of this epoch is written."""
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.trainer.callback_metrics[self.objective])

    def configure_optimizers(self) -> Any:
        """Optimizer and scheduler; an encoder that is frozen for the whole run is given to neither."""
        trained = [parameter for parameter in self.segmenter.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = self.make_optimizer(groups)
        scheduler = self.make_scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        if isinstance(scheduler, ReduceLROnPlateau):
            # Lightning would step it after the checkpoint of the epoch, and a continued run would lack that step
            ours = {"interval": "epoch", "frequency": sys.maxsize, "monitor": self.objective}
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, **ours}}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @property
    def _encoder(self) -> nn.Module:
        net: Any = self.segmenter.net
        encoder: nn.Module = net.encoder
        return encoder

    def _logits(self, segmenter: Segmenter, batch: dict[str, Tensor]) -> Tensor:
        logits: Tensor = segmenter(batch["image"].contiguous(memory_format=self.memory_format))
        return logits

    def _loss(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        loss: Tensor = self.loss(logits.float(), batch["mask"].unsqueeze(1).float())
        return loss
