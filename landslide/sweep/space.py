"""What a command asks for: which names vary, over which values, and in which studies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from omegaconf import DictConfig

from landslide.sweep.parameter import SEED, Parameter
from landslide.sweep.values import value_in

ALL = "all"
"""The stratum where nothing divides."""

PAPER = "paper"
"""Of the group `experiment`: settings that are known to be good."""


@dataclass(frozen=True)
class Stratum:
    """One study of the sweep."""

    name: str
    """Safe for a folder: letters, digits, ``.``, ``_`` and ``-``."""
    overrides: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What divides, for conditions on it."""


@dataclass(frozen=True)
class Space:
    """Everything that a command asks for."""

    parameters: tuple[Parameter, ...]
    """What varies within a stratum; a name stands after the one that its condition is on."""
    strata: tuple[Stratum, ...]
    """One at least."""
    fixed: tuple[str, ...]
    """Overrides of every trial, ``sweeps=NAME`` among them; ``sweep.*`` is the sweep's own and not a trial's."""
    seeds: tuple[int, ...]
    """Of the repeats; none where the command names none, or where they are an axis of a grid."""
    notes: tuple[str, ...]
    """Sentences that a person should read before the first trial."""
    sampler: str
    n_trials: int
    """Of each stratum, at most."""
    paper: Callable[[], DictConfig] | None = field(default=None, compare=False, repr=False)
    """Composes the settings that are known to be good; None where the configuration has none."""

    def points(self, stratum: Stratum) -> list[dict[str, Any]]:
        """The full grid, the last parameter fastest, none twice; one empty point where nothing varies."""
        assert all(parameter.values for parameter in self.parameters), "an interval has no grid"
        found: list[dict[str, Any]] = [{}]
        for parameter in self.parameters:
            values: list[dict[str, Any]] = [{parameter.key: value} for value in parameter.values]
            found = [
                point | chosen
                for point in found
                for chosen in (values if parameter.active({**stratum.values, **point}) else [{}])
            ]
        return found

    def suggest(self, trial: optuna.Trial, stratum: Stratum) -> dict[str, Any]:
        """A point from the sampler; what a condition shuts out is not asked for."""
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.active({**stratum.values, **values}):
                values[parameter.key] = parameter.suggest(trial)
        return values

    def overrides(self, stratum: Stratum, values: Mapping[str, Any]) -> list[str]:
        """What the config of a trial is composed with; the sweeper adds what only it knows."""
        varied = [parameter.override(values[parameter.key]) for parameter in self._of(values)]
        return [*self.fixed, *stratum.overrides, *varied]

    def label(self, values: Mapping[str, Any]) -> str:
        """A point for a person: ``lr=0.001 batch_size=8``; empty where nothing varies."""
        return " ".join(parameter.label(values[parameter.key]) for parameter in self._of(values))

    def _of(self, values: Mapping[str, Any]) -> Iterator[Parameter]:
        return (parameter for parameter in self.parameters if parameter.key in values)

    def known_points(self, composed: DictConfig) -> list[tuple[str, dict[str, Any]]]:
        """What to try first: the setting as composed, and the paper's, where they lie in the space; none twice.

        Args:
            composed: the whole config of a stratum, as it is without any parameter.

        Returns:
            Pairs of an origin, ``default`` or ``paper``, and a point.
        """
        if not self.parameters:
            return []
        settings = {"default": composed} | ({PAPER: self.paper()} if self.paper else {})
        found: list[tuple[str, dict[str, Any]]] = []
        for origin, config in settings.items():
            point = self._point_of(config, composed)
            if point is not None and all(point != other for _, other in found):
                found.append((origin, point))
        return found

    def _point_of(self, config: DictConfig, composed: DictConfig) -> dict[str, Any] | None:
        """The point that a setting is; None where it is none of the space."""
        point: dict[str, Any] = {}
        conditions = [parameter.condition for parameter in self.parameters if parameter.condition is not None]
        searched = {parameter.key for parameter in self.parameters}
        fixed = {each.key: value_in(composed, each.key) for each in conditions if each.key not in searched}
        for parameter in self.parameters:
            if not parameter.active({**fixed, **point}):
                continue
            value = parameter.find(value_in(config, parameter.name))
            if not value and parameter.key == SEED:  # a setting is the same with any of the seeds that are listed
                value = parameter.values[:1]
            if not value:
                return None
            point[parameter.key] = value[0]
        return point

    def corners(self, stratum: Stratum) -> list[dict[str, Any]]:
        """Points that together have every choice and both ends of every range and interval.

        A search can't compose all of its trials beforehand; where all of these compose and pass the checks, no value
        alone can be wrong.
        """
        found: list[dict[str, Any]] = []
        for parameter in self.parameters:
            for end in parameter.ends():
                point = self._point_with(parameter, end, stratum)
                if parameter.key in point and point not in found:
                    found.append(point)
        return found or [{}]

    def _point_with(self, parameter: Parameter, value: Any, stratum: Stratum) -> dict[str, Any]:
        """A point in which the parameter has the value, and what its conditions want."""
        by_key = {other.key: other for other in self.parameters}
        asked, condition = {parameter.key: value}, parameter.condition
        while condition is not None and condition.key in by_key:
            other = by_key[condition.key]
            asked[other.key] = next(found for allowed in condition.values for found in other.find(allowed))
            condition = other.condition
        point: dict[str, Any] = {}
        for other in self.parameters:
            if other.active({**stratum.values, **point}):
                point[other.key] = asked.get(other.key, other.ends()[0])
        return point

    def describe(self) -> dict[str, str]:
        """Each name with the text of its distribution, by which two spaces are told apart."""
        return {parameter.key: parameter.describe() for parameter in self.parameters}
