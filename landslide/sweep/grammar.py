"""Hydra's grammar for what varies under one name, read as a distribution of Optuna."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from landslide.errors import ConfigError, nearest
from landslide.sweep.parameter import Parameter
from landslide.sweep.values import hydra_text, plain

TAGS = ("log", "int")
"""Of an interval."""


def read_parameter(override: Override, loader: ConfigLoader) -> Parameter:
    """What varies under one name.

    Args:
        override: a sweep of Hydra: a comma list, ``choice``, ``glob``, ``range`` or ``interval``.
        loader: knows the groups and their options.

    Raises:
        ConfigError: for values that nobody could search.
    """
    key, line = override.get_key_element(), str(override.input_line)
    value = override.value()
    if getattr(value, "shuffle", False):
        raise ConfigError(f"{line}: shuffle would be another order at every start. For chance: sweep.sampler=random.")
    if isinstance(value, IntervalSweep):
        return Parameter(key, _interval(line, value))
    tags = sorted(getattr(value, "tags", ()))
    if tags:
        raise ConfigError(f"{line}: '{tags[0]}' belongs to an interval, and this is a list of values.")
    if isinstance(value, RangeSweep):
        return _range(key, line, value)
    return _list(key, line, override, loader.get_group_options(override.key_or_group))


def _list(key: str, line: str, override: Override, options: Sequence[str]) -> Parameter:
    elements: list[Any] = list(override.sweep_iterator())
    values = tuple(map(plain, elements))
    if not values:
        raise ConfigError(f"{line}: holds no value, so there is nothing to run.")
    _require_once(key, line, values)
    if options:
        _require_options(override.key_or_group, values, options)
    verbatim = frozenset(plain(element) for element in elements if isinstance(element, list | dict))
    return Parameter(key, CategoricalDistribution(values), values=values, is_group=bool(options), verbatim=verbatim)


def _require_once(key: str, line: str, values: Sequence[Any]) -> None:
    for number, value in enumerate(values):
        if value in values[:number]:
            first = values[values.index(value)]
            if hydra_text(first) != hydra_text(value):
                both = f"{hydra_text(first)} and {hydra_text(value)}"
                raise ConfigError(f"{line}: Optuna cannot tell {both} apart. Leave one of them out.")
            raise ConfigError(f"{line}: {key}={hydra_text(value)} stands there more than once. For repeats: seed=0,1,2")


def _require_options(group: str, values: Sequence[Any], options: Sequence[str]) -> None:
    for value in values:
        if value is not None and value not in options:
            known = ", ".join(options)
            raise ConfigError(f"{group}={value}: must be one of {known}.{nearest(str(value), options)}")


def _interval(line: str, given: IntervalSweep) -> BaseDistribution:
    low, high = given.start, given.end
    assert low is not None and high is not None
    for tag in sorted(given.tags):
        if tag not in TAGS:
            raise ConfigError(
                f"{line}: '{tag}' is no tag of an interval; there are {', '.join(TAGS)}.{nearest(tag, TAGS)}"
            )
    _require_finite(line, low, high)
    if low > high:
        raise ConfigError(f"{line}: the ends are swapped. Write interval({high:g}, {low:g}).")
    whole = "int" in given.tags or (isinstance(low, int) and isinstance(high, int))
    if whole and (low != int(low) or high != int(high)):
        raise ConfigError(f"{line}: the ends of an interval of whole numbers must be whole.")
    log = "log" in given.tags
    if log and low <= 0:
        raise ConfigError(f"{line}: a logarithm needs both ends above 0.")
    return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)


def _range(key: str, line: str, given: RangeSweep) -> Parameter:
    """Hydra's range, whose end is left out, as a distribution, whose end is in it."""
    assert given.start is not None and given.stop is not None
    numbers = (given.start, given.stop, given.step)
    _require_finite(line, *numbers)
    if given.step == 0:
        raise ConfigError(f"{line}: the step must not be 0.")
    start, stop, step = (Decimal(str(number)) for number in numbers)  # as written: 0.1 is a tenth
    if (stop - start) * step < 0:
        cure = f"range({given.stop}, {given.start}, {given.step})"
        raise ConfigError(f"{line}: the ends are swapped. Write {cure}, or turn the sign of the step.")
    kind: type = int if all(isinstance(number, int) for number in numbers) else float
    values = tuple(kind(start + number * step) for number in range(math.ceil((stop - start) / step)))
    if not values:
        raise ConfigError(f"{line}: holds no value, so there is nothing to run.")
    low, high, size = min(values), max(values), abs(kind(step))
    distribution = IntDistribution(low, high, step=size) if kind is int else FloatDistribution(low, high, step=size)
    return Parameter(key, distribution, values=values)


def _require_finite(line: str, *numbers: float) -> None:
    if not all(math.isfinite(number) for number in numbers):
        raise ConfigError(f"{line}: ends and step must be finite numbers.")
