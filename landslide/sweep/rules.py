"""The rules by which a command and a study file become a space; ``sweeps/README.md`` has them for people."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import ValueType
from omegaconf import DictConfig

from landslide.config import HOLD_OUT, STRATUM, check_sweep, require_seed
from landslide.errors import ConfigError
from landslide.sweep.conditions import conditional
from landslide.sweep.names import Compose, compose_fixed, require_everywhere, require_names
from landslide.sweep.overrides import Overrides
from landslide.sweep.parameter import SEED, Parameter
from landslide.sweep.space import ALL, PAPER, Space, Stratum

TRIALS = 20
"""Of a search that names no other number."""

LISTS = (ValueType.SIMPLE_CHOICE_SWEEP, ValueType.GLOB_CHOICE_SWEEP)
"""``a,b`` and ``glob(*)``, which divide into strata; ``choice(a,b)`` never does."""


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
    asked = Overrides.read(arguments, params, loader)
    dividing = _dividing(asked, settings)
    parameters = [asked.parameter(key) for key in asked.varied if key not in dividing and key != SEED]
    axis = asked.parameter(SEED) if SEED in asked.varied else None
    sampler = _sampler(settings, parameters, axis, asked)
    seeds: tuple[int, ...] = ()
    if axis is not None and sampler == "grid":
        parameters.append(axis)
    elif axis is not None:
        seeds = axis.values
        _note_seeds(seeds, settings, asked)
    divided = [asked.parameter(key) for key in dividing]
    strata, base = _strata(divided), compose_fixed(asked, compose)
    searched = conditional(parameters, strata, settings, asked, base)
    require_names(asked, base, {each.key for each in parameters} - {each.key for each in searched})
    require_everywhere(divided, searched, asked, compose)
    fixed = (*asked.fixed, *([f"{SEED}={seeds[0]}"] if seeds else []))
    has_paper = PAPER in loader.get_group_options("experiment")
    paper = functools.partial(compose, [f"experiment={PAPER}"]) if has_paper else None
    space = Space(tuple(searched), strata, fixed, seeds, (), sampler, settings.n_trials or TRIALS, paper)
    _require_all_folds(space, settings, asked)
    return _sized(space, settings, asked)


def _dividing(asked: Overrides, settings: DictConfig) -> list[str]:
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


def _sampler(settings: DictConfig, parameters: Sequence[Parameter], seed: Parameter | None, asked: Overrides) -> str:
    if seed is not None and not (seed.values and all(type(value) is int for value in seed.values)):
        raise ConfigError(f"{asked.varied[SEED].input_line}: seeds are listed, not searched: seed=0,1,2")
    for value in seed.values if seed is not None else ():
        require_seed(value)  # those of repeats are in no config that is checked
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


def _note_seeds(seeds: Sequence[int], settings: DictConfig, asked: Overrides) -> None:
    """Say what becomes of seeds that are listed in a search."""
    line = asked.varied[SEED].input_line
    if settings.repeats not in (0, len(seeds)):
        asked.notes.append(f"{line} says how often the best is repeated; sweep.repeats={settings.repeats} does not.")
    asked.notes.append(f"{line}: the search runs with seed {seeds[0]}, the best of each stratum with all of them.")


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


def _require_all_folds(space: Space, settings: DictConfig, asked: Overrides) -> None:
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


def _sized(space: Space, settings: DictConfig, asked: Overrides) -> Space:
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
