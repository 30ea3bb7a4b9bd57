"""Sweeps of one name, begun one after another: which of them goes on, and whether it is still the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import count

from omegaconf import DictConfig
from optuna.storages import BaseStorage
from rich.console import Console

from landslide.config import WORKER
from landslide.errors import SweepError
from landslide.sweep.plan import ASKED, IDENTITY
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
        SweepError: where it is not the sweep that was begun, and ``sweep.on_change`` does not say what then; or where
            another one, begun anew, has this name already.
    """
    newest = newest_generation(storage, wanted)
    name = generation_name(wanted, newest)
    if settings.role == WORKER and newest == 0:
        raise SweepError(
            f"sweep.role=worker: there is no sweep '{wanted}' to work for. Start its controller first, with the "
            "same command without sweep.role."
        )
    if newest == 0:
        _require_free(storage, wanted)
    if settings.role == WORKER or newest == 0:
        return name
    if settings.fresh:
        return _next_name(storage, wanted, newest)
    told = _changes_since(storage, name, space, identities)
    if not told:
        return name
    if settings.on_change == "continue":
        tell(console, f"'{name}' goes on, although {'; '.join(told)}.")
        return name
    if settings.on_change == "fresh":
        tell(console, f"'{name}' was another search ({'; '.join(told)}); a new one begins.")
        return _next_name(storage, wanted, newest)
    raise SweepError(
        f"sweep '{name}' is not the one that was begun:\n  "
        + "\n  ".join(told)
        + "\nGive it another name (sweep.name=...), begin anew (sweep.on_change=fresh), or go on all the same "
        "(sweep.on_change=continue)."
    )


def newest_generation(storage: BaseStorage, name: str) -> int:
    """Of a sweep that was begun anew so many times; 0 where there is none of this name.

    ``lr-2`` is the second of ``lr``, but not where somebody asked for it by that name.
    """
    pattern = re.compile(rf"{re.escape(name)}(?:-(\d+))?/")
    found = [
        match
        for study in storage.get_all_studies()
        if (match := pattern.match(study.study_name)) and study.user_attrs.get(ASKED, name) == name
    ]
    return max((int(match[1] or 1) for match in found), default=0)


def generation_name(name: str, generation: int) -> str:
    """``lr``, ``lr-2``, ..."""
    return name if generation <= 1 else f"{name}-{generation}"


def _next_name(storage: BaseStorage, name: str, newest: int) -> str:
    """Of the sweep that begins after the newest: the next number that no other sweep has for its name."""
    others = {study.study_name.partition("/")[0] for study in storage.get_all_studies()}
    return next(each for number in count(newest + 1) if (each := generation_name(name, number)) not in others)


def _require_free(storage: BaseStorage, name: str) -> None:
    for study in storage.get_all_studies():
        if study.study_name.startswith(f"{name}/") and ASKED in study.user_attrs:
            asked = study.user_attrs[ASKED]
            raise SweepError(
                f"sweep '{name}': is '{asked}', begun anew. Give this one another name (sweep.name=...); the newest of "
                f"'{asked}' goes on by sweep.name={asked}."
            )


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
