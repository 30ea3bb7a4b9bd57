"""Ending a run that is not worth going on with."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from landslide.training.history import History

Judge = Callable[[int, float], str | None]
"""Given an epoch (1 is the first) and its objective, says why the run should end here, or None."""


class Pruning(Checkpoint):
    """Asks the judge once the checkpoint of an epoch is written, so that a kill in between loses no answer.

    Lightning calls what is a ``Checkpoint`` after all other callbacks, in the order given; this one belongs behind
    those that write. A run that early stopping has ended is told to the judge and not pruned as well: nothing is left
    to be saved, and a pruned run drops out of every comparison.

    Args:
        judge: asked about every epoch, in their order; after a continuation also about those before, of which only
            the last decides: the run has gone on after the others.
        history: of the run.
        metric: the objective; an epoch in which it is undefined is not asked about.
    """

    def __init__(self, judge: Judge, history: History, metric: str) -> None:
        self.judge = judge
        self.history = history
        self.metric = metric
        self.reason: str | None = None
        """What the judge said when it ended the run."""
        self._asked = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask about the epochs before a continuation."""
        self._ask(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask about this epoch."""
        self._ask(trainer)

    def _ask(self, trainer: pl.Trainer) -> None:
        points = self.history.points[self._asked :]
        self._asked += len(points)
        answer = None
        for point in points:
            value = point.values[self.metric]
            answer = None if math.isnan(value) else self.judge(point.epoch, value)
        if answer is not None and not trainer.should_stop:
            self.reason = answer
            trainer.should_stop = True
