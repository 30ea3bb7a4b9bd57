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
        ConfigError: for an interval, which has no end of values to try, and for a list that is empty or has one twice.
    """
    choices: dict[str, list[str]] = {}
    for override in overrides:
        choices[override.get_key_element()] = _choices(override)
    varied = [key for key, options in choices.items() if len(options) > 1]
    plans = []
    for number, chosen in enumerate(itertools.product(*choices.values())):
        point = dict(zip(choices, chosen, strict=True))
        name = " ".join(_short(key, point[key], groups) for key in varied)
        plans.append(TrialPlan(number, list(chosen), name))
    return plans


def _choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: an interval has no list of values. Give a comma list, choice(...) or range(...)."
        )
    found = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    if not found:
        raise ConfigError(f"{override.input_line}: holds no value, so there is nothing to run.")
    twice = sorted({value for value in found if found.count(value) > 1})
    if twice:
        raise ConfigError(
            f"{override.input_line}: {', '.join(twice)} stands there more than once. For repeats: seed=0,1,2"
        )
    return found


def _short(key: str, override: str, groups: Sequence[str]) -> str:
    value = override.split("=", maxsplit=1)[1]
    return value if key in groups else f"{key.rsplit('.', 1)[-1]}={value}"


def describe(parameters: Mapping[str, Any]) -> list[str]:
    """A study file's ``hydra.sweeper.params`` as overrides."""
    return [f"{key}={value}" for key, value in parameters.items()]
