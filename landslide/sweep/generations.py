"""Sweeps of one name, begun one after another: which of them goes on, and whether it is still the same."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from itertools import count

from omegaconf import DictConfig
from optuna.storages import BaseStorage
from rich.console import Console

from landslide.config import WORKER
from landslide.errors import SweepError
from landslide.sweep.plan import ASKED, IDENTITY, belongs, key_of
from landslide.sweep.space import Space
from landslide.terminal import tell

OBJECTIVES = ("objective.", "sweep.against: was [")
"""How lines begin of values by which trials are ranked; the oldest sweeps did not remember the latter."""

BEGINS_S = 10
"""How long a worker waits for strata that are absent: a controller that begins makes one after the other."""


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
    name, works = generation_name(wanted, newest), settings.role == WORKER
    if newest == 0:
        if works:
            raise SweepError(
                f"sweep.role=worker: there is no sweep '{wanted}' to work for. Start its controller first, with the "
                "same command without sweep.role."
            )
        _require_free(storage, wanted)
        return name
    if settings.fresh and not works:
        return _next_name(storage, wanted, newest)
    told = _changes_since(storage, name, space, identities, works=works)
    start = time.monotonic()
    while works and any(line.startswith("stratum ") for line in told) and time.monotonic() - start < BEGINS_S:
        time.sleep(1)
        told = _changes_since(storage, name, space, identities, works=works)
    if not told:
        return name
    rankable = not any(line.startswith(OBJECTIVES) for line in told)
    if settings.on_change == "continue" and rankable:  # of a worker too: its controller may have gone on so
        tell(console, f"'{name}' goes on, although {'; '.join(told)}.")
        return name
    if settings.on_change == "fresh" and not works:
        tell(console, f"'{name}' was another search ({'; '.join(told)}); a new one begins.")
        return _next_name(storage, wanted, newest)
    raise SweepError(
        f"sweep '{name}' is not the one that was begun:\n  " + "\n  ".join(told) + f"\n{_cure(works, rankable)}"
    )


def _cure(works: bool, rankable: bool) -> str:
    """What to do about another sweep of the same name."""
    if works:
        return "A worker needs the command of its controller, with sweep.role=worker behind it."
    if rankable:
        return (
            "Give it another name (sweep.name=...), begin anew (sweep.on_change=fresh), or go on all the same "
            "(sweep.on_change=continue)."
        )
    return (
        "What is judged by something else cannot be ranked with the trials that there are. Give it another name "
        "(sweep.name=...), or begin anew (sweep.on_change=fresh)."
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


def _changes_since(
    storage: BaseStorage, name: str, space: Space, identities: Sequence[Mapping[str, str]], *, works: bool
) -> list[str]:
    """What is not as it was when the sweep began, in any of its strata; a line each, none twice.

    Strata may be added, though not by a worker. Where all of them are new, one is compared with those that there are,
    in everything but what divides them.
    """
    begun = {
        study.study_name.removeprefix(f"{name}/"): study.user_attrs[IDENTITY]
        for study in storage.get_all_studies()
        if study.study_name.startswith(f"{name}/") and IDENTITY in study.user_attrs
    }
    now = {stratum.name: identity for stratum, identity in zip(space.strata, identities, strict=True)}
    told = [f"stratum {each}: was absent" for each in now if works and each not in begun]
    told += [line for each in now if each in begun for line in changes(begun[each], now[each])]
    if begun and not begun.keys() & now.keys():
        shared = [_shared(each, space, identities) for each in (identities[0], *begun.values())]
        nearest = min((changes(before, shared[0]) for before in shared[1:]), key=len)
        told += nearest
    return list(dict.fromkeys(told))


def _shared(identity: Mapping[str, str], space: Space, identities: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What is the same in every stratum: not what divides them, nor what another value follows from there."""
    dividing = [key_of(key) for key in space.strata[0].values]
    return {
        key: value
        for key, value in identity.items()
        if not belongs(key, dividing) and len({each.get(key) for each in identities}) == 1
    }


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is not as it was when the search began, a line each."""
    keys = sorted(before.keys() | now.keys())
    return [
        f"{key}: was {before.get(key, 'absent')}, is {now.get(key, 'absent')}"
        for key in keys
        if before.get(key) != now.get(key)
    ]
