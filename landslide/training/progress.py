"""How training is shown: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from landslide.training.history import History

REFRESH_S = 0.25
"""Reading the loss waits for a GPU, so it is not done every step."""


class ProgressDisplay(Callback):
    """Loss, objective, images a second and time left.

    Args:
        console: where to.
        history: what has been measured so far.
        objective: metric key.
    """

    def __init__(self, console: Console, history: History, objective: str) -> None:
        self.console = console
        self.history = history
        self.objective = objective
        self._bar: Progress | None = None
        self._shown = self._start = 0.0
        self._before = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the empty bar."""
        self._start = time.perf_counter()
        self._before = len(self.history.points)
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[figures]}"),
            )
            self._bar = Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True), console=self.console)
            self._bar.start()
            self._bar.add_task("epoch 1", total=None, figures="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        task = self._bar.tasks[0]
        done, total = trainer.global_step, int(trainer.estimated_stepping_batches)
        now = time.perf_counter()
        if now - self._shown < REFRESH_S and done < total:
            return
        self._shown = now
        images_per_s = (batch_idx + 1) * len(batch["mask"]) / (now - self.history.epoch_start)
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        figures = self._figures(float(outputs["loss"]), images_per_s)
        self._bar.update(task.id, completed=done, total=total, description=epoch, figures=figures)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show what the epoch came to: in the bar, or as a line of its own where there is none."""
        series = self.history.series
        if self._bar is not None:
            last = self._figures(series["train/loss"][-1][1], series["time/images_per_s"][-1][1])
            self._bar.update(self._bar.tasks[0].id, figures=last)
            return
        done, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        left_s = (time.perf_counter() - self._start) / (done - self._before) * (epochs - done)
        self.console.print(
            f"epoch {done:>{len(str(epochs))}}/{epochs}  train/loss {series['train/loss'][-1][1]:.4f}  "
            f"val/loss {series['val/loss'][-1][1]:.4f}  {self._objective_text()}  "
            f"{series['time/images_per_s'][-1][1]:.1f} images/s  {left_s / 60:.1f} min left",
            soft_wrap=True,
        )

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the full bar on the screen."""
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _figures(self, loss: float, images_per_s: float) -> str:
        return f"loss {loss:.3f}  {self._objective_text()}  {images_per_s:.0f} images/s"

    def _objective_text(self) -> str:
        points = self.history.series.get(self.objective, [])
        if not points:
            return f"{self.objective} -"
        best = f" (best {dict(points)[self.history.best.epoch]:.4f})" if self.history.best else ""
        return f"{self.objective} {points[-1][1]:.4f}{best}"
