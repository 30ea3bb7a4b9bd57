"""Sweeps of one name, begun one after another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from omegaconf import OmegaConf
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from rich.console import Console

from landslide.errors import SweepError
from landslide.sweep import generations
from landslide.sweep.generations import choose_generation, newest_generation
from landslide.sweep.plan import ASKED, IDENTITY
from landslide.sweep.space import Space, Stratum

SPACE = Space((), (Stratum("unet"), Stratum("fpn")), (), (), (), "grid", 1)
NOW = {"lr": "0.1"}


def begin(storage: BaseStorage, name: str, asked: str | None = None, **identity: str) -> None:
    """The studies of a sweep; without the name that was asked for as older versions left them."""
    for stratum in SPACE.strata:
        study = storage.create_new_study([StudyDirection.MAXIMIZE], f"{name}/{stratum.name}")
        storage.set_study_user_attr(study, IDENTITY, NOW | identity)
        if asked is not None:
            storage.set_study_user_attr(study, ASKED, asked)


def choose(storage: BaseStorage, wanted: str, divided: dict[str, dict[str, str]] | None = None, **settings: Any) -> str:
    """Of a command with the strata of ``SPACE``, or with others, each with its identity."""
    given = OmegaConf.create({"role": "controller", "fresh": False, "on_change": "stop"} | settings)
    now = divided or {stratum.name: NOW for stratum in SPACE.strata}
    space = replace(SPACE, strata=tuple(Stratum(arch, (f"arch={arch}",), {"arch": arch}) for arch in now))
    return choose_generation(storage, wanted, space, list(now.values()), given, Console(quiet=True))


def test_the_newest_goes_on_and_a_fresh_one_has_the_next_number() -> None:
    storage = InMemoryStorage()
    assert choose(storage, "lr") == choose(storage, "lr", fresh=True) == "lr"
    begin(storage, "lr", "lr")
    assert (choose(storage, "lr"), choose(storage, "lr", fresh=True)) == ("lr", "lr-2")
    begin(storage, "lr-2", "lr")
    assert (choose(storage, "lr"), choose(storage, "lr", fresh=True)) == ("lr-2", "lr-3")


@pytest.mark.parametrize(("on_change", "name"), [("continue", "lr"), ("fresh", "lr-2")])
def test_another_search_of_the_same_name_goes_on_or_begins_anew_where_that_was_said(on_change: str, name: str) -> None:
    storage = InMemoryStorage()
    begin(storage, "lr", "lr", lr="0.2")
    assert choose(storage, "lr", on_change=on_change) == name
    with pytest.raises(SweepError) as caught:
        choose(storage, "lr")
    assert str(caught.value).count("lr: was 0.2, is 0.1") == 1  # though both strata say so


def test_strata_may_be_added_and_the_search_is_another_one_all_the_same_where_none_of_them_is_known() -> None:
    # Given: strata in which their name divides, and a value that follows from it
    def of(arch: str, **other: str) -> dict[str, str]:
        return NOW | {"arch.name": arch, "follows": arch} | other

    storage = InMemoryStorage()
    begin(storage, "lr", "lr", **of("unet"))
    # When / Then
    assert choose(storage, "lr", {"linknet": of("linknet"), "pspnet": of("pspnet", **{"arch.depth": "5"})}) == "lr"
    with pytest.raises(SweepError) as caught:
        choose(storage, "lr", {"linknet": of("linknet", lr="0.2"), "pspnet": of("pspnet", lr="0.2")})
    assert str(caught.value).splitlines()[1:-1] == ["  lr: was 0.1, is 0.2"]


@pytest.mark.parametrize("key", ["objective.direction", "sweep.against"])
def test_trials_that_are_judged_by_something_else_are_no_continuation(key: str) -> None:
    storage = InMemoryStorage()
    begin(storage, "lr", "lr", **{key: "['before']"})
    # When / Then
    with pytest.raises(SweepError, match=rf"{key}: was \['before'\], .*\n.* \(sweep\.on_change=fresh\)\.$"):
        choose(storage, "lr", on_change="continue")
    assert choose(storage, "lr", on_change="fresh") == "lr-2"


def test_a_sweep_that_does_not_remember_its_further_objectives_may_go_on() -> None:
    storage = InMemoryStorage()
    begin(storage, "lr", "lr")
    assert choose(storage, "lr", {"unet": NOW | {"sweep.against": "[]"}}, on_change="continue") == "lr"


def test_a_name_that_ends_in_a_number_is_not_the_next_one_of_another() -> None:
    # Given: both were asked for by these names
    storage = InMemoryStorage()
    begin(storage, "lr", "lr")
    begin(storage, "lr-2", "lr-2", lr="0.2")
    # When, then
    assert choose(storage, "lr") == "lr"
    assert choose(storage, "lr", fresh=True) == "lr-3"
    assert choose(storage, "lr-2", fresh=True) == "lr-2-2"


def test_a_name_that_another_sweep_has_since_it_was_begun_anew_is_refused_with_the_cure() -> None:
    storage = InMemoryStorage()
    begin(storage, "lr", "lr")
    begin(storage, "lr-2", "lr")
    with pytest.raises(SweepError, match=r"'lr-2': is 'lr', begun anew. .*\(sweep\.name=\.\.\.\).* sweep\.name=lr\."):
        choose(storage, "lr-2")
    assert newest_generation(storage, "lr") == 2


def test_of_sweeps_that_do_not_remember_the_name_a_number_at_its_end_counts() -> None:
    storage = InMemoryStorage()
    begin(storage, "lr")
    begin(storage, "lr-2")
    assert choose(storage, "lr") == choose(storage, "lr-2") == "lr-2"


def test_a_worker_needs_a_sweep() -> None:
    storage = InMemoryStorage()
    with pytest.raises(SweepError, match="there is no sweep 'lr' to work for"):
        choose(storage, "lr", role="worker")
    begin(storage, "lr", "lr")
    assert choose(storage, "lr", role="worker", fresh=True) == "lr"  # as its controller began it


@pytest.mark.parametrize("on_change", ["stop", "fresh"])
def test_a_worker_needs_the_command_of_its_controller(on_change: str) -> None:
    storage = InMemoryStorage()
    begin(storage, "lr", "lr", lr="0.2")
    # When / Then
    with pytest.raises(SweepError, match=r"lr: was 0\.2, is 0\.1\nA worker needs the command of its controller"):
        choose(storage, "lr", role="worker", on_change=on_change)
    assert choose(storage, "lr", role="worker", on_change="continue") == "lr"  # as its controller may have gone on


def test_a_worker_adds_no_stratum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "BEGINS_S", 0)
    storage = InMemoryStorage()
    begin(storage, "lr", "lr")
    assert choose(storage, "lr", {"unet": NOW, "linknet": NOW}) == choose(storage, "lr", {"fpn": NOW}) == "lr"
    # When / Then
    assert choose(storage, "lr", {"fpn": NOW}, role="worker") == "lr"
    with pytest.raises(SweepError, match="stratum linknet: was absent"):
        choose(storage, "lr", {"unet": NOW, "linknet": NOW}, role="worker")


def test_a_worker_waits_for_strata_that_its_controller_is_still_making(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = InMemoryStorage()
    begin(storage, "lr", "lr")

    def make(_: float) -> None:
        study = storage.create_new_study([StudyDirection.MAXIMIZE], "lr/linknet")
        storage.set_study_user_attr(study, IDENTITY, NOW)

    monkeypatch.setattr(generations.time, "sleep", make)
    assert choose(storage, "lr", {"unet": NOW, "linknet": NOW}, role="worker") == "lr"
