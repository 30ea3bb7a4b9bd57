"""Sweeps of one name, begun one after another: which of them goes on, and whether it is still the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from omegaconf import DictConfig
from optuna.storages import BaseStorage
from rich.console import Console

from landslide.config import WORKER
from landslide.errors import SweepError
from landslide.sweep.plan import IDENTITY
from landslide.sweep.space import Space
from landslide.terminal import tell


def choose_generation(
    storage: BaseStorage,
    wanted: str,
    space: Space,
    identities: Sequence[Mapping[str, str]],
    settings: DictConfig,
    console: Console,
) -> str:
    """Which sweep of this name goes on, or whether a new one begins.

    Raises:
        SweepError: where it is not the sweep that was begun, and ``sweep.on_change`` does not say what then.
    """
    newest = newest_generation(storage, wanted)
    name, following = generation_name(wanted, newest), generation_name(wanted, newest + 1)
    if settings.role == WORKER and newest == 0:
        raise SweepError(
            f"sweep.role=worker: there is no sweep '{wanted}' to work for. Start its controller first, with the "
            "same command without sweep.role."
        )
    if settings.role == WORKER or newest == 0:
        return name
    if settings.fresh:
        return following
    told = _changes_since(storage, name, space, identities)
    if not told:
        return name
    if settings.on_change == "continue":
        tell(console, f"'{name}' goes on, although {'; '.join(told)}.")
        return name
    if settings.on_change == "fresh":
        tell(console, f"'{name}' was another search ({'; '.join(told)}); a new one begins.")
        return following
    raise SweepError(
        f"sweep '{name}' is not the one that was begun:\n  "
        + "\n  ".join(told)
        + "\nGive it another name (sweep.name=...), begin anew (sweep.on_change=fresh), or go on all the same "
        "(sweep.on_change=continue)."
    )


def newest_generation(storage: BaseStorage, name: str) -> int:
    """Of a sweep that was begun anew so many times; 0 where there is none of this name."""
    pattern = re.compile(rf"{re.escape(name)}(?:-(\d+))?/")
    found = [pattern.match(study.study_name) for study in storage.get_all_studies()]
    return max((int(match[1] or 1) for match in found if match), default=0)


def generation_name(name: str, generation: int) -> str:
    """``lr``, ``lr-2``, ..."""
    return name if generation <= 1 else f"{name}-{generation}"


def _changes_since(storage: BaseStorage, name: str, space: Space, identities: Sequence[Mapping[str, str]]) -> list[str]:
    """What is not as it was when the sweep began, in any of its strata; a line each, none twice."""
    begun = {study.study_name: study.user_attrs for study in storage.get_all_studies()}
    told: dict[str, None] = {}
    for stratum, now in zip(space.strata, identities, strict=True):
        before = begun.get(f"{name}/{stratum.name}", {}).get(IDENTITY)
        told |= dict.fromkeys(() if before is None else changes(before, now))
    return list(told)


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is not as it was when the search began, a line each."""
    keys = sorted(before.keys() | now.keys())
    return [
        f"{key}: was {before.get(key, 'absent')}, is {now.get(key, 'absent')}"
        for key in keys
        if before.get(key) != now.get(key)
    ]
