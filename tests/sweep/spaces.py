"""Spaces from commands as they are typed, and what the sweep says where it refuses one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig

from landslide.errors import ConfigError
from landslide.sweep.parameter import Parameter
from landslide.sweep.rules import read_space
from landslide.sweep.space import Space

LR = "optimizer.lr=tag(log,interval(1e-4,1e-2))"
ONLY_SGD = "+sweep.conditions={optimizer.momentum: 'optimizer=sgd'}"


def composed(loader: ConfigLoader, *overrides: str) -> DictConfig:
    """As Hydra composes a command with ``-m``, whose lists it leaves to the sweeper."""
    return loader.load_configuration("config", list(overrides), run_mode=RunMode.MULTIRUN)


def read(loader: ConfigLoader, *overrides: str, **params: Any) -> Space:
    """The space of a command; ``params`` are a study file's, ``__`` for a dot."""
    cfg = composed(loader, *overrides)
    study = {key.replace("__", "."): value for key, value in params.items()} or cfg.hydra.sweeper.params
    typed = list(cfg.hydra.overrides.task)
    return read_space(typed, study, cfg.sweep, loader, partial(loader.load_sweep_config, cfg))


def refusal(loader: ConfigLoader, *overrides: str, **params: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(loader, *overrides, **params)
    return str(caught.value)


def all_overrides(space: Space) -> list[list[str]]:
    return [space.overrides(stratum, point) for stratum in space.strata for point in space.points(stratum)]


def only(space: Space) -> Parameter:
    (parameter,) = space.parameters
    return parameter
