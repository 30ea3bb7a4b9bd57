"""A name that varies: over which values, and on what condition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from landslide.sweep.values import hydra_text, same

SEED = "seed"
"""The name in which the trainings of one setting differ."""


@dataclass(frozen=True)
class Condition:
    """That another name has one of these values."""

    key: str
    values: tuple[Any, ...]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it does; not where the other name is not searched itself."""
        return self.key in values and any(same(values[self.key], value) for value in self.values)


@dataclass(frozen=True)
class Parameter:
    """A name that varies."""

    key: str
    """As it is overridden: ``optimizer.lr``, ``arch``, ``+arch.decoder_dropout``."""
    distribution: BaseDistribution
    condition: Condition | None = None
    values: tuple[Any, ...] = ()
    """All of them, in their order; none of an interval."""
    is_group: bool = False
    verbatim: frozenset[str] = frozenset()
    """Those of `values` that are Hydra's text of a list or a dict, and no text themselves."""

    def override(self, value: Any) -> str:
        """A value as Hydra reads it: ``optimizer.lr=0.001``."""
        return f"{self.key}={self.text(value)}"

    def text(self, value: Any) -> str:
        """A value as Hydra reads it: ``0.001``."""
        return str(value) if value in self.verbatim else hydra_text(value)

    @property
    def name(self) -> str:
        """Without a sign or a package: ``arch.decoder_dropout``."""
        return self.key.lstrip("+").partition("@")[0]

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether it is searched where the others have these values."""
        return self.condition is None or self.condition.holds(values)

    def label(self, value: Any) -> str:
        """A value for a person: ``lr=0.001``; of a group the option alone, ``unet``."""
        text = f"{value:.4g}" if isinstance(value, float) else self.text(value)
        return text if self.is_group else f"{self.name.rpartition('.')[2]}={text}"

    def ends(self) -> tuple[Any, ...]:
        """Every choice; of a range or an interval the least and the greatest value."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.values
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        return (self.distribution.low, self.distribution.high)

    def find(self, value: Any) -> tuple[Any, ...]:
        """The value as it is in the distribution, as a tuple of one; none where it is not in there."""
        if isinstance(self.distribution, CategoricalDistribution):
            return tuple(choice for choice in self.values if same(choice, value))[:1]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ()
        whole = isinstance(self.distribution, IntDistribution)
        if not math.isfinite(value) or (whole and value != int(value)) or not self.distribution._contains(value):
            return ()
        return (int(value) if whole else float(value),)

    def suggest(self, trial: optuna.Trial) -> Any:
        """A value from the sampler, or the one that this trial has."""
        given = self.distribution
        if isinstance(given, CategoricalDistribution):
            return trial.suggest_categorical(self.key, given.choices)
        if isinstance(given, IntDistribution):
            return trial.suggest_int(self.key, given.low, given.high, step=given.step, log=given.log)
        assert isinstance(given, FloatDistribution)
        return trial.suggest_float(self.key, given.low, given.high, step=given.step, log=given.log)

    def describe(self) -> str:
        """The distribution and its condition, the same for the same: ``tag(log, interval(0.0001, 0.01))``."""
        given, text = self.distribution, ", ".join(self.text(value) for value in self.values)
        if isinstance(given, FloatDistribution | IntDistribution):
            text = f"interval({given.low}, {given.high})"
            if self.values:
                assert given.step is not None
                text = f"range({given.low}, {given.high}, {given.step}), ends included"
            elif isinstance(given, IntDistribution):
                text = f"int({text})"
            text = f"tag(log, {text})" if given.log else text
        if self.condition is None:
            return text
        return f"{text} if {self.condition.key}={','.join(map(hydra_text, self.condition.values))}"
