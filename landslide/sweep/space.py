"""What a command asks for: which names vary, over which values, and in which studies.

A space is written in Hydra's own grammar, on the command line or in a study file; ``sweeps/README.md`` has the rules.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    OverrideType,
    Quote,
    QuotedString,
    RangeSweep,
    Transformer,
    ValueType,
)
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from landslide.config import HOLD_OUT, STRATUM, check_sweep, names
from landslide.errors import ConfigError, nearest

Compose = Callable[[list[str]], DictConfig]
"""From overrides to a whole config, the part ``hydra`` included."""

SEED = "seed"
TRIALS = 20
"""Of a search that names no other number."""

ONE_FOR_ALL = ("sweep", "sweeps", "hydra", "objective", "tracking", "ckpt_path")
"""First parts of names that have one value in the whole sweep."""

LISTS = (ValueType.SIMPLE_CHOICE_SWEEP, ValueType.GLOB_CHOICE_SWEEP)
"""``a,b`` and ``glob(*)``, which divide into strata; ``choice(a,b)`` never does."""

TAGS = ("log", "int")
ALL = "all"
"""The stratum where nothing divides."""

PAPER = "paper"
"""Of the group `experiment`: settings that are known to be good."""


@dataclass(frozen=True)
class Condition:
    """That another name has one of these values."""

    key: str
    values: tuple[Any, ...]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it does; not where the other name is not searched itself."""
        return self.key in values and any(_same(values[self.key], value) for value in self.values)


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
        return str(value) if value in self.verbatim else _text(value)

    @property
    def name(self) -> str:
        """Without a sign or a package: ``arch.decoder_dropout``."""
        return self.key.lstrip("+").partition("@")[0]

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
            return tuple(choice for choice in self.values if _same(choice, value))[:1]
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
        return f"{text} if {self.condition.key}={','.join(map(_text, self.condition.values))}"


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
            found = [
                point | chosen
                for point in found
                for chosen in (
                    [{parameter.key: value} for value in parameter.values]
                    if _active(parameter, {**stratum.values, **point})
                    else [{}]
                )
            ]
        return found

    def suggest(self, trial: optuna.Trial, stratum: Stratum) -> dict[str, Any]:
        """A point from the sampler; what a condition shuts out is not asked for."""
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if _active(parameter, {**stratum.values, **values}):
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
        point: dict[str, Any] = {}
        for parameter in self.parameters:
            condition = parameter.condition
            if condition is not None:
                searched = condition.key in {other.key for other in self.parameters}
                there = point if searched else {condition.key: _value_in(composed, condition.key)}
                if not condition.holds(there):
                    continue
            value = parameter.find(_value_in(config, parameter.name))
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
        by_key = {other.key: other for other in self.parameters}
        asked, condition = {parameter.key: value}, parameter.condition
        while condition is not None and condition.key in by_key:
            other = by_key[condition.key]
            asked[other.key] = next(found for allowed in condition.values for found in other.find(allowed))
            condition = other.condition
        point: dict[str, Any] = {}
        for other in self.parameters:
            if _active(other, {**stratum.values, **point}):
                point[other.key] = asked.get(other.key, other.ends()[0])
        return point

    def describe(self) -> dict[str, str]:
        """Each name with the text of its distribution, by which two spaces are told apart."""
        return {parameter.key: parameter.describe() for parameter in self.parameters}


def read_space(
    arguments: list[str], params: Mapping[str, Any], settings: DictConfig, loader: ConfigLoader, compose: Compose
) -> Space:
    """What a command line and a study file ask for together; the command line wins.

    Args:
        arguments: overrides as typed, without those of ``hydra``.
        params: ``hydra.sweeper.params`` of the study file.
        settings: a composed :class:`~landslide.config.SweepConfig`.
        loader: knows the groups and their options.
        compose: makes the whole config from overrides.

    Raises:
        ConfigError: for a name that the composed config has not, and for a space that nobody could search.
    """
    check_sweep(settings)
    asked = _Asked.read(arguments, params, loader)
    divided = _divided(asked, settings)
    parameters = [asked.parameter(key) for key in asked.varied if key not in divided and key != SEED]
    sampler = _sampler(settings, [*parameters, *([asked.parameter(SEED)] if SEED in asked.varied else [])], asked)
    seeds: tuple[int, ...] = ()
    if SEED in asked.varied:
        axis = asked.parameter(SEED)
        if sampler == "grid":
            parameters.append(axis)
        else:
            seeds = tuple(axis.values)
            asked.note_seeds(seeds, settings)
    strata = _strata([asked.parameter(key) for key in divided])
    base = _base(asked, compose)
    searched = _conditional(parameters, strata, settings, asked, base)
    shut_out = {parameter.key for parameter in parameters} - {parameter.key for parameter in searched}
    _require_names(asked, base, shut_out)
    parameters = searched
    _require_everywhere([asked.parameter(key) for key in divided], parameters, asked, compose)
    fixed = (*asked.fixed, *([f"{SEED}={seeds[0]}"] if seeds else []))
    has_paper = PAPER in loader.get_group_options("experiment")
    paper = functools.partial(compose, [f"experiment={PAPER}"]) if has_paper else None
    space = Space(tuple(parameters), strata, fixed, seeds, (), sampler, settings.n_trials or TRIALS, paper)
    _require_all_folds(space, settings, asked)
    return _sized(space, settings, asked)


def _require_all_folds(space: Space, settings: DictConfig, asked: _Asked) -> None:
    """Refuse what would choose among folds, or end some of them early: groups are not equally hard."""
    if HOLD_OUT not in (parameter.key for parameter in space.parameters):
        return
    line = f"{asked.where(HOLD_OUT)}{asked.varied[HOLD_OUT].input_line}"
    if space.sampler != "grid":
        raise ConfigError(
            f"{line}: a search by {space.sampler} would choose the easiest group as the best setting. Leave only "
            f"lists, or let each group have a search of its own: sweep.strata=[{STRATUM},{HOLD_OUT}]"
        )
    if settings.repeats:
        raise ConfigError(
            f"{line}: sweep.repeats={settings.repeats} would repeat the easiest group. To repeat them all: seed=0,1,2"
        )
    if settings.pruner != "none":
        raise ConfigError(
            f"{line}: sweep.pruner={settings.pruner} would end the hardest groups. Take sweep.pruner=none."
        )


def _sized(space: Space, settings: DictConfig, asked: _Asked) -> Space:
    notes = asked.notes
    if not space.parameters and (space.sampler != "grid" or settings.n_trials is not None):
        wanted = f"sweep.n_trials={settings.n_trials}" if settings.n_trials else f"sweep.sampler={space.sampler}"
        raise ConfigError(
            f"{wanted}: nothing is left to search. {' '.join(notes)}{' ' if notes else ''}Give an interval or a list, "
            f"such as 'optimizer.lr=tag(log,interval(1e-4,1e-2))', or leave {wanted.partition('=')[0]} out."
        )
    if space.sampler == "grid":
        points = max(len(space.points(stratum)) for stratum in space.strata)
        if settings.n_trials is not None and settings.n_trials < points:
            notes.append(f"sweep.n_trials={settings.n_trials}: the first of {points} points of the grid.")
        space = replace(space, n_trials=min(points, settings.n_trials or points))
    return replace(space, notes=tuple(notes))


# --------------------------------------------------------------------------------------- the command and the study file
@dataclass
class _Asked:
    """Overrides of the study file and of the command line, put together."""

    fixed: list[str]
    """Of every trial, as they were written."""
    varied: dict[str, Override]
    last: dict[str, Override]
    """What counts, for each name."""
    typed: set[str]
    """Names on the command line."""
    source: str
    """Where the others stand."""
    loader: ConfigLoader
    notes: list[str]

    @classmethod
    def read(cls, arguments: list[str], params: Mapping[str, Any], loader: ConfigLoader) -> _Asked:
        parser = OverridesParser.create(config_loader=loader)
        typed = {_name(override): override for override in parser.parse_overrides(arguments)}
        study = typed.get("sweeps")
        named = study is not None and study.value_type == ValueType.ELEMENT and study.value() is not None
        source = f"sweeps/{study.value()}.yaml" if named and study else "hydra.sweeper.params"
        written = {_name(override): override for override in _written(params, parser, source)}
        asked = cls([], {}, written | typed, set(typed), source, loader, [])
        for key, override in asked.last.items():
            _require_one_for_all(override, asked)
            if override.is_sweep_override():
                asked.varied[key] = override
            elif key in written and written[key].is_sweep_override():
                range_ = written[key].get_value_string()
                asked.notes.append(f"{override.input_line} is fixed; {source} searched {range_}.")
        lines = [*(written[key].input_line for key in written if key not in typed), *arguments]
        kept = [(line, parser.parse_override(str(line))) for line in lines]
        asked.fixed = [
            str(line) for line, override in kept if _name(override) not in asked.varied and _root(override) != "sweep"
        ]
        return asked

    def where(self, key: str) -> str:
        """What goes before a sentence on a name: the study file, or nothing for what was typed."""
        return "" if key in self.typed else f"{self.source}: "

    def parameter(self, key: str) -> Parameter:
        try:
            return _parameter(self.varied[key], self.loader)
        except ConfigError as error:
            raise ConfigError(f"{self.where(key)}{error}") from error

    def is_group(self, override: Override) -> bool:
        return bool(self.loader.get_group_options(override.key_or_group))

    def note_seeds(self, seeds: Sequence[int], settings: DictConfig) -> None:
        line = self.varied[SEED].input_line
        if settings.repeats not in (0, len(seeds)):
            self.notes.append(f"{line} says how often the best is repeated; sweep.repeats={settings.repeats} does not.")
        self.notes.append(f"{line}: the search runs with seed {seeds[0]}, the best of each stratum with all of them.")


def _name(override: Override) -> str:
    package = f"@{override.package}" if override.package else ""
    return f"{override.key_or_group}{package}"


def _root(override: Override) -> str:
    return re.split(r"[./]", override.key_or_group)[0]


def _written(params: Mapping[str, Any], parser: OverridesParser, source: str) -> Iterator[Override]:
    for key, value in params.items():
        plain: Any = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        line = f"{key}={plain if isinstance(plain, str) else Transformer.str(plain)}"
        try:
            yield from parser.parse_overrides([line])
        except HydraException as error:
            raise ConfigError(f"{source}: '{line}' cannot be read ({str(error).splitlines()[0]}).") from error


def _require_one_for_all(override: Override, asked: _Asked) -> None:
    key = _name(override)
    if _root(override) not in ONE_FOR_ALL:
        return
    where, line = asked.where(key), override.input_line
    if override.is_sweep_override():
        once = " Type the command once for each." if key == "sweeps" else ""
        raise ConfigError(f"{where}{line}: one value holds for the whole sweep.{once}")
    if key not in asked.typed:
        raise ConfigError(f"{where}{line}: no trial can have this of its own. Write it beside `hydra:`, as {key}.")
    if key == "ckpt_path" and override.value() is not None:
        raise ConfigError(
            f"{line}: belongs to a single run. A sweep goes on by itself when its command is typed again."
        )


# ------------------------------------------------------------------------------------------------ what one name varies
def _parameter(override: Override, loader: ConfigLoader) -> Parameter:
    key, line = override.get_key_element(), str(override.input_line)
    value = override.value()
    if getattr(value, "shuffle", False):
        raise ConfigError(f"{line}: shuffle would be another order at every start. For chance: sweep.sampler=random.")
    if isinstance(value, IntervalSweep):
        return Parameter(key, _interval(line, value))
    options = loader.get_group_options(override.key_or_group)
    tags = sorted(getattr(value, "tags", ()))
    if tags:
        raise ConfigError(f"{line}: '{tags[0]}' belongs to an interval, and this is a list of values.")
    if isinstance(value, RangeSweep):
        return _range(key, line, value)
    elements: list[Any] = list(override.sweep_iterator())
    lists = [isinstance(element, list | dict) for element in elements]
    values = tuple(
        Transformer.str(element) if is_list else element.text if isinstance(element, QuotedString) else element
        for element, is_list in zip(elements, lists, strict=True)
    )
    verbatim = frozenset(value for value, is_list in zip(values, lists, strict=True) if is_list)
    if not values:
        raise ConfigError(f"{line}: holds no value, so there is nothing to run.")
    _require_once(key, line, values)
    if options:
        _require_options(override.key_or_group, values, options)
    return Parameter(key, CategoricalDistribution(values), None, values, bool(options), verbatim)


def _require_once(key: str, line: str, values: Sequence[Any]) -> None:
    for number, value in enumerate(values):
        if value in values[:number]:
            first = values[values.index(value)]
            if _text(first) != _text(value):
                both = f"{_text(first)} and {_text(value)}"
                raise ConfigError(f"{line}: Optuna cannot tell {both} apart. Leave one of them out.")
            raise ConfigError(f"{line}: {key}={_text(value)} stands there more than once. For repeats: seed=0,1,2")


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
    whole = IntDistribution(low, high, step=size) if kind is int else FloatDistribution(low, high, step=size)
    return Parameter(key, whole, None, values)


def _require_finite(line: str, *numbers: float) -> None:
    if not all(math.isfinite(number) for number in numbers):
        raise ConfigError(f"{line}: ends and step must be finite numbers.")


# -------------------------------------------------------------------------------------------------- sampler and strata
def _sampler(settings: DictConfig, parameters: Sequence[Parameter], asked: _Asked) -> str:
    seed = next((parameter for parameter in parameters if parameter.key == SEED), None)
    if seed is not None and not (seed.values and all(type(value) is int for value in seed.values)):
        raise ConfigError(f"{asked.varied[SEED].input_line}: seeds are listed, not searched: seed=0,1,2")
    intervals = [parameter for parameter in parameters if not parameter.values]
    if settings.sampler is None:
        return "nsga2" if settings.against else "tpe" if intervals else "grid"
    if settings.sampler == "grid" and intervals:
        key = intervals[0].key.lstrip("+")
        raise ConfigError(
            f"{asked.where(key)}{asked.varied[key].input_line}: an interval has no list of values, as "
            "sweep.sampler=grid needs. Give a comma list, choice(...) or range(...)."
        )
    return str(settings.sampler)


def _divided(asked: _Asked, settings: DictConfig) -> list[str]:
    """Names whose list divides the sweep into strata."""
    found = []
    for key in settings.strata:
        if key == SEED:
            raise ConfigError("sweep.strata: seeds are repeats, never strata. Leave seed out.")
        given = asked.varied.get(key)
        if given is not None and given.value_type in LISTS:
            found.append(key)
        elif key != STRATUM:
            line = asked.last[key].input_line if key in asked.last else "not given"
            raise ConfigError(f"sweep.strata: {key} must be a comma list, such as {key}=a,b ({line}).")
    return found


def _strata(divided: Sequence[Parameter]) -> tuple[Stratum, ...]:
    found: dict[str, Stratum] = {}
    for values in itertools.product(*(parameter.values for parameter in divided)):
        pairs = list(zip(divided, values, strict=True))
        text = "-".join(parameter.label(value) for parameter, value in pairs)
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:60].strip("-.") or ALL
        candidates = itertools.chain([safe], (f"{safe}-{number}" for number in itertools.count(2)))
        name = next(name for name in candidates if name not in found)
        overrides = tuple(parameter.override(value) for parameter, value in pairs)
        found[name] = Stratum(name, overrides, {parameter.key: value for parameter, value in pairs})
    return tuple(found.values())


# ------------------------------------------------------------------------------------------------ conditions and names
def _conditional(
    parameters: Sequence[Parameter],
    strata: Sequence[Stratum],
    settings: DictConfig,
    asked: _Asked,
    base: DictConfig,
) -> list[Parameter]:
    """The parameters with their conditions, in an order in which each can be decided."""
    by_key = {parameter.key: parameter for parameter in parameters}
    for key, text in settings.conditions.items():
        condition = _condition(str(key), str(text))
        if key not in by_key:
            if key in asked.typed and key not in asked.varied:
                continue  # fixed on the command line
            raise ConfigError(f"sweep.conditions: '{key}' is not searched.{nearest(str(key), by_key)}")
        _require_condition_known(condition, by_key, strata, asked, base)
        held = _held(condition, by_key, strata, asked, base)
        if held is True:
            continue
        if held is None:
            by_key[key] = replace(by_key[key], condition=condition)
        elif condition.key in asked.typed and key not in asked.typed:
            line = asked.last[condition.key].input_line
            asked.notes.append(f"{key} is not searched: sweep.conditions wants {text}, and the command says {line}.")
            del by_key[key]
        else:
            raise ConfigError(f"sweep.conditions: '{key}' is never searched, because {text} can't be here.{held}")
    return _ordered(by_key)


def _condition(key: str, text: str) -> Condition:
    cure = "Write it as an override, such as optimizer=sgd or optimizer=sgd,adam."
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(f"sweep.conditions: '{key}: {text}' cannot be read. {cure}") from error
    if parsed.value_type not in (ValueType.ELEMENT, ValueType.SIMPLE_CHOICE_SWEEP):
        raise ConfigError(f"sweep.conditions: '{key}: {text}' has no list of values. {cure}")
    if _name(parsed) == key:
        raise ConfigError(f"sweep.conditions: '{key}: {text}' is a condition on itself.")
    values = parsed.sweep_iterator() if parsed.is_sweep_override() else [parsed.value()]
    return Condition(_name(parsed), tuple(_plain(value) for value in values))


def _require_condition_known(
    condition: Condition,
    by_key: Mapping[str, Parameter],
    strata: Sequence[Stratum],
    asked: _Asked,
    base: DictConfig,
) -> None:
    known = {*by_key, *strata[0].values, *asked.loader.list_groups(""), *names(base)}
    if condition.key not in known:
        raise ConfigError(f"sweep.conditions: there is no '{condition.key}'.{nearest(condition.key, known)}")


def _held(
    condition: Condition,
    by_key: Mapping[str, Parameter],
    strata: Sequence[Stratum],
    asked: _Asked,
    base: DictConfig,
) -> bool | str | None:
    """True where it always holds, None where it depends on the trial or the stratum, else the nearest value."""
    if condition.key in by_key:
        other = by_key[condition.key]
        if any(other.find(value) for value in condition.values):
            return None
        return nearest(str(condition.values[0]), map(str, other.values))
    if condition.key in strata[0].values:
        if any(condition.holds(stratum.values) for stratum in strata):
            return None
        return nearest(str(condition.values[0]), (str(stratum.values[condition.key]) for stratum in strata))
    fixed = asked.last.get(condition.key)
    value = _value_in(base, condition.key) if fixed is None else _plain(fixed.value())
    return condition.holds({condition.key: value}) or f" It is {condition.key}={value}."


def _ordered(by_key: dict[str, Parameter]) -> list[Parameter]:
    ordered: dict[str, Parameter] = {}
    left = dict(by_key)
    while left:
        free = next(
            (
                p
                for p in left.values()
                if p.condition is None or p.condition.key in ordered or p.condition.key not in left
            ),
            None,
        )
        if free is None:
            raise ConfigError(f"sweep.conditions: {', '.join(left)} wait for one another in a circle.")
        ordered[free.key] = left.pop(free.key)
    return list(ordered.values())


def _base(asked: _Asked, compose: Compose) -> DictConfig:
    """The config of all that is fixed, without a study file's own values: their names may be wrong."""
    parser = OverridesParser.create()
    fixed = [(line, parser.parse_override(line)) for line in asked.fixed]
    known = [line for line, override in fixed if _name(override) in asked.typed or asked.is_group(override)]
    return compose(known)


def _require_names(asked: _Asked, base: DictConfig, shut_out: Set[str]) -> None:
    """Refuse what the composed config has not, and no group that varies could bring (:func:`_require_everywhere`)."""
    known = [*asked.loader.list_groups(""), *names(base)]
    groups = [override.key_or_group for override in asked.varied.values() if asked.is_group(override)]
    for key, override in asked.last.items():
        new = override.type != OverrideType.CHANGE
        read_by_hydra = key in asked.typed and key not in asked.varied
        if new or read_by_hydra or key in shut_out or asked.is_group(override) or override.key_or_group in known:
            continue
        if not any(_reaches(group, override.key_or_group) for group in groups):
            raise ConfigError(f"{asked.where(key)}'{key}' is not in the composed config.{nearest(key, known)}")


def _require_everywhere(
    divided: Sequence[Parameter], parameters: Sequence[Parameter], asked: _Asked, compose: Compose
) -> None:
    """Refuse a name that some option of a group that varies has not."""
    by_key = {parameter.key: parameter for parameter in parameters}
    for group in (parameter for parameter in (*divided, *parameters) if parameter.is_group):
        inside = [p for p in parameters if _reaches(group.name, p.name) and not p.is_group and p.key == p.name]
        for option in group.values if inside else ():
            there = names(compose([*asked.fixed, group.override(option)]))
            for parameter in inside:
                if parameter.name not in there and not _shut_out(parameter, by_key, {group.key: option}):
                    raise ConfigError(
                        f"{asked.where(parameter.name)}'{parameter.name}' is not in the config composed with "
                        f"{group.override(option)}.{nearest(parameter.name, there)} Where it is searched for "
                        f"some options only, say so: sweep.conditions={{{parameter.name}: '{group.key}=...'}}"
                    )


def _shut_out(parameter: Parameter, by_key: Mapping[str, Parameter], chosen: Mapping[str, Any]) -> bool:
    """Whether a condition of the parameter, or one behind that, does not hold for what is chosen."""
    condition = parameter.condition
    while condition is not None and condition.key not in chosen:
        condition = by_key[condition.key].condition if condition.key in by_key else None
    return condition is not None and not condition.holds(chosen)


def _reaches(group: str, name: str) -> bool:
    """Whether a choice of the group can bring or take the name; a whole recipe can bring any."""
    return name.startswith(f"{group}.") or group == "experiment"


# ------------------------------------------------------------------------------------------------------------- values
def _active(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    return parameter.condition is None or parameter.condition.holds(values)


def _same(one: Any, other: Any) -> bool:
    """Equality by which true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _plain(value: Any) -> Any:
    """A value as it stands in a distribution: lists and dicts as Hydra's text."""
    if isinstance(value, QuotedString):
        return value.text
    return Transformer.str(value) if isinstance(value, list | dict) else value


def _value_in(config: DictConfig, name: str) -> Any:
    """A value of a composed config; of a group the option that was chosen."""
    choices = config.hydra.runtime.choices
    if name in choices:
        return choices[name]
    value = OmegaConf.select(config, name)
    return _plain(OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    return str(value).lower() if isinstance(value, bool) else Transformer.str(value)


@functools.cache
def quoted(text: str) -> str:
    """A text so that Hydra reads the same text: in quotes where it would be a number, a list or nothing.

    Examples:
        >>> print(quoted("unet"), quoted("1e-3"), quoted("a,b"))
        unet '1e-3' 'a,b'
    """
    try:
        read = OverridesParser.create().parse_rule(text, "value")
    except HydraException:
        read = None
    return text if read == text and isinstance(read, str) else QuotedString(text, Quote.single).with_quotes()
