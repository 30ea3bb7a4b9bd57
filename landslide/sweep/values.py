"""One value: as Hydra writes it, as a distribution holds it, and as a composed config has it."""

from __future__ import annotations

import functools
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString, Transformer
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf


def same(one: Any, other: Any) -> bool:
    """Equality by which true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def plain(value: Any) -> Any:
    """A value as it stands in a distribution: lists and dicts as Hydra's text."""
    if isinstance(value, QuotedString):
        return value.text
    return Transformer.str(value) if isinstance(value, list | dict) else value


def value_in(config: DictConfig, name: str) -> Any:
    """A value of a composed config; of a group the option that was chosen."""
    choices = config.hydra.runtime.choices
    if name in choices:
        return choices[name]
    value = OmegaConf.select(config, name)
    return plain(OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value)


def hydra_text(value: Any) -> str:
    """A value so that Hydra reads the same value: ``0.001``, ``true``, ``'1e-3'``."""
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
