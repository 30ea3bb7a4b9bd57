"""Sweeps of one name, begun one after another."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from rich.console import Console

from landslide.errors import SweepError
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


def choose(storage: BaseStorage, wanted: str, **settings: Any) -> str:
    given = OmegaConf.create({"role": "controller", "fresh": False, "on_change": "stop"} | settings)
    return choose_generation(storage, wanted, SPACE, [NOW, NOW], given, Console(quiet=True))


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
    begin(storage, "lr", "lr", lr="0.2")
    assert choose(storage, "lr", role="worker") == "lr"  # whose identity is its controller's matter
