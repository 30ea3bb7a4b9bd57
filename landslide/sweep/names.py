"""Names that vary and that no composed config has, found before the first trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig

from landslide.config import names
from landslide.errors import ConfigError, nearest
from landslide.sweep.conditions import shuts_out
from landslide.sweep.overrides import Overrides, name_of
from landslide.sweep.parameter import Parameter

Compose = Callable[[list[str]], DictConfig]
"""From overrides to a whole config, the part ``hydra`` included."""


def compose_fixed(asked: Overrides, compose: Compose) -> DictConfig:
    """The config of all that is fixed, without a study file's own values: their names may be wrong."""
    parser = OverridesParser.create()
    fixed = [(line, parser.parse_override(line)) for line in asked.fixed]
    known = [line for line, override in fixed if name_of(override) in asked.typed or asked.is_group(override)]
    return compose(known)


def require_names(asked: Overrides, base: DictConfig, shut_out: Set[str]) -> None:
    """Refuse what the composed config has not, and no group that varies could bring (:func:`require_everywhere`).

    Args:
        asked: the command.
        base: see :func:`compose_fixed`.
        shut_out: names that are not searched after all.

    Raises:
        ConfigError: naming the first of them, and the nearest right one.
    """
    known = [*asked.loader.list_groups(""), *names(base)]
    groups = [override.key_or_group for override in asked.varied.values() if asked.is_group(override)]
    for key, override in asked.last.items():
        new = override.type != OverrideType.CHANGE
        read_by_hydra = key in asked.typed and key not in asked.varied
        if new or read_by_hydra or key in shut_out or asked.is_group(override) or override.key_or_group in known:
            continue
        if not any(_reaches(group, override.key_or_group) for group in groups):
            raise ConfigError(f"{asked.where(key)}'{key}' is not in the composed config.{nearest(key, known)}")


def require_everywhere(
    divided: Sequence[Parameter], parameters: Sequence[Parameter], asked: Overrides, compose: Compose
) -> None:
    """Refuse a name that some option of a group that varies has not.

    Args:
        divided: what makes the strata.
        parameters: what varies within them.
        asked: the command.
        compose: makes the whole config from overrides.

    Raises:
        ConfigError: naming the option.
    """
    by_key = {parameter.key: parameter for parameter in parameters}
    for group in (parameter for parameter in (*divided, *parameters) if parameter.is_group):
        inside = [p for p in parameters if _reaches(group.name, p.name) and not p.is_group and p.key == p.name]
        for option in group.values if inside else ():
            there = names(compose([*asked.fixed, group.override(option)]))
            lacking = [p.name for p in inside if p.name not in there and not shuts_out(p, by_key, {group.key: option})]
            if lacking:
                raise ConfigError(
                    f"{asked.where(lacking[0])}'{lacking[0]}' is not in the config composed with "
                    f"{group.override(option)}.{nearest(lacking[0], there)} Where it is searched for some options "
                    f"only, say so: sweep.conditions={{{lacking[0]}: '{group.key}=...'}}"
                )


def _reaches(group: str, name: str) -> bool:
    """Whether a choice of the group can bring or take the name; a whole recipe can bring any."""
    return name.startswith(f"{group}.") or group == "experiment"
