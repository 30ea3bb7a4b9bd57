"""Overrides of the command line and of a study file, put together; the command line wins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Transformer, ValueType
from hydra.errors import HydraException
from omegaconf import OmegaConf

from landslide.errors import ConfigError
from landslide.sweep.grammar import read_parameter
from landslide.sweep.parameter import Parameter

ONE_FOR_ALL = ("sweep", "sweeps", "hydra", "objective", "tracking", "ckpt_path")
"""First parts of names that have one value in the whole sweep."""


@dataclass
class Overrides:
    """What is asked for, name by name."""

    fixed: list[str]
    """Of every trial, as they were written."""
    varied: dict[str, Override]
    """Those that are lists, ranges or intervals."""
    last: dict[str, Override]
    """What counts, for each name."""
    typed: set[str]
    """Names on the command line."""
    source: str
    """Where the others stand."""
    loader: ConfigLoader
    notes: list[str]
    """Sentences that a person should read before the first trial."""

    @classmethod
    def read(cls, arguments: list[str], params: Mapping[str, Any], loader: ConfigLoader) -> Overrides:
        """Both together.

        Args:
            arguments: as typed, without those of ``hydra``.
            params: ``hydra.sweeper.params`` of the study file.
            loader: knows the groups and their options.

        Raises:
            ConfigError: for what cannot be read, and for what no trial can have of its own.
        """
        parser = OverridesParser.create(config_loader=loader)
        given = parser.parse_overrides(arguments)
        typed = {name_of(override): override for override in given}
        source = _source(typed.get("sweeps"))
        written = {name_of(override): override for override in _written(params, parser, source)}
        asked = cls([], {}, written | typed, set(typed), source, loader, [])
        for key, override in asked.last.items():
            _require_one_for_all(override, asked)
            if override.is_sweep_override():
                asked.varied[key] = override
            elif key in written and written[key].is_sweep_override():
                range_ = written[key].get_value_string()
                asked.notes.append(f"{override.input_line} is fixed; {source} searched {range_}.")
        kept = [*(override for key, override in written.items() if key not in typed), *given]
        asked.fixed = [
            str(override.input_line)
            for override in kept
            if name_of(override) not in asked.varied and _root(override) != "sweep"
        ]
        return asked

    def where(self, key: str) -> str:
        """What goes before a sentence on a name: the study file, or nothing for what was typed."""
        return "" if key in self.typed else f"{self.source}: "

    def parameter(self, key: str) -> Parameter:
        """What varies under a name.

        Raises:
            ConfigError: see :func:`~landslide.sweep.grammar.read_parameter`.
        """
        try:
            return read_parameter(self.varied[key], self.loader)
        except ConfigError as error:
            raise ConfigError(f"{self.where(key)}{error}") from error

    def is_group(self, override: Override) -> bool:
        """Whether it chooses a file of a folder in ``conf/``."""
        return bool(self.loader.get_group_options(override.key_or_group))


def name_of(override: Override) -> str:
    """The name that is overridden, without a sign: ``optimizer.lr``, ``arch``."""
    package = f"@{override.package}" if override.package else ""
    return f"{override.key_or_group}{package}"


def _root(override: Override) -> str:
    return re.split(r"[./]", override.key_or_group)[0]


def _source(study: Override | None) -> str:
    if study is None or study.value_type != ValueType.ELEMENT or study.value() is None:
        return "hydra.sweeper.params"
    return f"sweeps/{study.value()}.yaml"


def _written(params: Mapping[str, Any], parser: OverridesParser, source: str) -> Iterator[Override]:
    for key, value in params.items():
        plain: Any = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        line = f"{key}={plain if isinstance(plain, str) else Transformer.str(plain)}"
        try:
            yield from parser.parse_overrides([line])
        except HydraException as error:
            raise ConfigError(f"{source}: '{line}' cannot be read ({str(error).splitlines()[0]}).") from error


def _require_one_for_all(override: Override, asked: Overrides) -> None:
    key = name_of(override)
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
