"""What is searched only where something else holds: ``sweep.conditions``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig

from landslide.config import names
from landslide.errors import ConfigError, nearest
from landslide.sweep.overrides import Overrides, name_of
from landslide.sweep.parameter import SEED, Condition, Parameter
from landslide.sweep.space import Stratum
from landslide.sweep.values import plain, value_in


def conditional(
    parameters: Sequence[Parameter],
    strata: Sequence[Stratum],
    settings: DictConfig,
    asked: Overrides,
    base: DictConfig,
) -> list[Parameter]:
    """The parameters with their conditions, in an order in which each can be decided.

    Args:
        parameters: that are searched.
        strata: all of them.
        settings: a composed :class:`~landslide.config.SweepConfig`.
        asked: gets a note for each parameter that a fixed value shuts out.
        base: the config of all that is fixed.

    Raises:
        ConfigError: for a condition that cannot be read or that never holds, and for conditions in a circle.
    """
    by_key = {parameter.key: parameter for parameter in parameters}
    for key, text in settings.conditions.items():
        condition = _read_condition(str(key), str(text))
        if key not in by_key:
            if key in asked.typed and key not in asked.varied:
                continue  # fixed on the command line
            raise ConfigError(f"sweep.conditions: '{key}' is not searched.{nearest(str(key), by_key)}")
        if condition.key == SEED and SEED in asked.varied and SEED not in by_key:
            line = asked.varied[SEED].input_line
            raise ConfigError(
                f"sweep.conditions: '{key}: {text}': {line} repeats the best setting, and is not searched."
            )
        known = {*by_key, *strata[0].values, *asked.loader.list_groups(""), *names(base)}
        if condition.key not in known:
            raise ConfigError(f"sweep.conditions: there is no '{condition.key}'.{nearest(condition.key, known)}")
        never = _never(condition, by_key, strata, asked, base)
        if never is None:
            if condition.key in by_key or condition.key in strata[0].values:  # else it always holds
                by_key[key] = replace(by_key[key], condition=condition)
        elif condition.key in asked.typed and key not in asked.typed:
            line = asked.last[condition.key].input_line
            asked.notes.append(f"{key} is not searched: sweep.conditions wants {text}, and the command says {line}.")
            del by_key[key]
        else:
            raise ConfigError(f"sweep.conditions: '{key}' is never searched, because {text} can't be here.{never}")
    return _ordered(by_key.values())


def _read_condition(key: str, text: str) -> Condition:
    cure = "Write it as an override, such as optimizer=sgd or optimizer=sgd,adam."
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(f"sweep.conditions: '{key}: {text}' cannot be read. {cure}") from error
    if parsed.value_type not in (ValueType.ELEMENT, ValueType.SIMPLE_CHOICE_SWEEP):
        raise ConfigError(f"sweep.conditions: '{key}: {text}' has no list of values. {cure}")
    if name_of(parsed) == key:
        raise ConfigError(f"sweep.conditions: '{key}: {text}' is a condition on itself.")
    values = parsed.sweep_iterator() if parsed.is_sweep_override() else [parsed.value()]
    return Condition(name_of(parsed), tuple(plain(value) for value in values))


def _never(
    condition: Condition,
    by_key: Mapping[str, Parameter],
    strata: Sequence[Stratum],
    asked: Overrides,
    base: DictConfig,
) -> str | None:
    """None where it holds in some trial; else what is there instead, or the nearest to it, as a sentence or nothing."""
    wanted = str(condition.values[0])
    if condition.key in by_key:
        other = by_key[condition.key]
        there = any(other.find(value) for value in condition.values)
        return None if there else nearest(wanted, map(str, other.values))
    if condition.key in strata[0].values:
        there = any(condition.holds(stratum.values) for stratum in strata)
        return None if there else nearest(wanted, (str(stratum.values[condition.key]) for stratum in strata))
    fixed = asked.last.get(condition.key)
    value = value_in(base, condition.key) if fixed is None else plain(fixed.value())
    return None if condition.holds({condition.key: value}) else f" It is {condition.key}={value}."


def _ordered(parameters: Iterable[Parameter]) -> list[Parameter]:
    left = {parameter.key: parameter for parameter in parameters}
    ordered: list[Parameter] = []
    while left:
        free = [each for each in left.values() if each.condition is None or each.condition.key not in left]
        if not free:
            raise ConfigError(f"sweep.conditions: {', '.join(left)} wait for one another in a circle.")
        ordered.append(left.pop(free[0].key))
    return ordered


def shuts_out(parameter: Parameter, by_key: Mapping[str, Parameter], chosen: Mapping[str, Any]) -> bool:
    """Whether a condition of the parameter, or one behind that, does not hold for what is chosen."""
    condition = parameter.condition
    while condition is not None and condition.key not in chosen:
        condition = by_key[condition.key].condition if condition.key in by_key else None
    return condition is not None and not condition.holds(chosen)
