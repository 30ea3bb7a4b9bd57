"""Learning rates over a run. Each is called with the optimizer and the number of steps of the whole run."""

from __future__ import annotations

import math

from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.optimizer import Optimizer

from landslide.errors import ConfigError


def constant(optimizer: Optimizer, total_steps: int, *, warmup_epochs: float, max_epochs: int) -> LambdaLR:
    """The optimizer's own rate, after a linear ramp.

    Args:
        optimizer: its rate is the one that the ramp leads to.
        total_steps: of all epochs.
        warmup_epochs: length of the ramp; 0 is none, and a part of an epoch may be given.
        max_epochs: of the run, to count the ramp in steps.
    """
    warmup_steps = round(total_steps * warmup_epochs / max_epochs)
    return LambdaLR(optimizer, lambda step: ramp(step, warmup_steps))


def cosine(optimizer: Optimizer, total_steps: int, *, warmup_epochs: float, max_epochs: int) -> LambdaLR:
    """After a linear ramp, from the optimizer's own rate to nothing along half a cosine.

    The last step still moves: nothing is reached after it (Loshchilov and Hutter 2017, without restarts).

    Args:
        optimizer: its rate is the highest one.
        total_steps: see :func:`constant`.
        warmup_epochs: likewise.
        max_epochs: likewise.
    """
    warmup_steps = round(total_steps * warmup_epochs / max_epochs)

    def factor(step: int) -> float:
        done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return ramp(step, warmup_steps) * 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))

    return LambdaLR(optimizer, factor)


def plateau(
    optimizer: Optimizer,
    total_steps: int,  # noqa: ARG001 - as every schedule is called
    *,
    direction: str,
    factor: float,
    patience: int,
) -> ReduceLROnPlateau:
    """A smaller rate each time the objective has not improved for a while; stepped after each epoch.

    Args:
        optimizer: its rate is the first one.
        total_steps: not needed; every schedule is told.
        direction: ``maximize`` or ``minimize``, of the objective.
        factor: by which the rate is multiplied, below 1.
        patience: epochs without a better objective that are waited for.

    Raises:
        ConfigError: for a patience that is no count, which torch would find out after the first epoch.
    """
    if not isinstance(patience, int) or isinstance(patience, bool) or patience < 0:
        raise ConfigError(f"scheduler.patience={patience}: must be 0 epochs or more.")
    return ReduceLROnPlateau(optimizer, mode=direction.removesuffix("imize"), factor=factor, patience=patience)  # type: ignore[arg-type]


def ramp(step: int, warmup_steps: int) -> float:
    """Share of the full rate at a step, counted from 0: never nothing, and 1 from the end of the ramp on.

    Examples:
        >>> [ramp(step, 4) for step in range(6)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / max(1, warmup_steps))
