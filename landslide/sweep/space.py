"""What a command line asks for: trials, each a list of overrides."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override

from landslide.errors import ConfigError


@dataclass(frozen=True)
class TrialPlan:
    """One point of the grid."""

    number: int
    overrides: list[str]
    """Everything that this trial's config is composed with."""
    name: str
    """What varies, short: ``unet`` or ``unet lr=0.001 seed=1``."""


def grid(overrides: Sequence[Override], groups: Sequence[str]) -> list[TrialPlan]:
    """Every combination of the comma lists, ``choice`` and ``range``, the last one fastest.

    Args:
        overrides: parsed; where a name stands twice, the later one counts.
        groups: names of config groups, whose value needs no name before it.

    Raises:
        ConfigError: for an interval, which has no end of values to try.
    """
    values: dict[str, list[str]] = {}
    varied: list[str] = []
    for override in overrides:
        key = override.get_key_element()
        values[key] = _values(override)
        if override.is_sweep_override() and key not in varied:
            varied.append(key)
    names = [key for key in varied if len(values[key]) > 1]
    plans = []
    for number, chosen in enumerate(itertools.product(*values.values())):
        point = dict(zip(values, chosen, strict=True))
        name = " ".join(_short(key, point[key], groups) for key in names)
        plans.append(TrialPlan(number, [_override(key, value) for key, value in point.items()], name))
    return plans


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: an interval has no list of values. Give a comma list, choice(...) or range(...)."
        )
    return [str(value) for value in override.sweep_string_iterator()]


def _override(key: str, value: str) -> str:
    return key if key.startswith("~") and not value else f"{key}={value}"


def _short(key: str, value: str, groups: Sequence[str]) -> str:
    return value if key in groups else f"{key.rsplit('.', 1)[-1]}={value}"


def describe(parameters: Mapping[str, Any]) -> list[str]:
    """A study file's ``hydra.sweeper.params`` as overrides."""
    return [f"{key}={value}" for key, value in parameters.items()]
