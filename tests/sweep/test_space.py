"""Points of a space: its grid, its corners, what is tried first, and what a sampler is asked for."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hydra.core.config_loader import ConfigLoader

from landslide.sweep.space import Stratum
from tests.sweep.spaces import LR, ONLY_SGD, all_overrides, composed, read


# ------------------------------------------------------------------------------------------------------------- grids
def test_lists_alone_are_a_full_grid_with_the_last_one_fastest(loader: ConfigLoader) -> None:
    space = read(loader, "optimizer.lr=1e-3,1e-4", "data.batch_size=choice(8,16)", "data=bijie")
    assert (space.sampler, space.n_trials) == ("grid", 4)
    assert all_overrides(space) == [
        ["data=bijie", "optimizer.lr=0.001", "data.batch_size=8"],
        ["data=bijie", "optimizer.lr=0.001", "data.batch_size=16"],
        ["data=bijie", "optimizer.lr=0.0001", "data.batch_size=8"],
        ["data=bijie", "optimizer.lr=0.0001", "data.batch_size=16"],
    ]


def test_a_point_is_labelled_by_what_varies(loader: ConfigLoader) -> None:
    space = read(loader, "encoder=choice(resnet18,resnet50)", "optimizer.lr=1e-3,1e-4", "data=bijie")
    labels = [space.label(point) for point in space.points(space.strata[0])]
    assert labels == ["resnet18 lr=0.001", "resnet18 lr=0.0001", "resnet50 lr=0.001", "resnet50 lr=0.0001"]
    assert space.label({}) == ""


def test_nothing_to_vary_is_one_trial(loader: ConfigLoader) -> None:
    space = read(loader, "arch=fpn")
    assert (space.sampler, space.n_trials, space.strata) == ("grid", 1, (Stratum("all"),))
    assert all_overrides(space) == [["arch=fpn"]]


def test_additions_and_deletions_keep_their_signs(loader: ConfigLoader) -> None:
    space = read(loader, "+arch.decoder_use_norm=false,true", "~scheduler")
    assert all_overrides(space) == [
        ["~scheduler", "+arch.decoder_use_norm=false"],
        ["~scheduler", "+arch.decoder_use_norm=true"],
    ]


def test_the_corners_have_every_choice_and_both_ends(loader: ConfigLoader) -> None:
    space = read(loader, "optimizer=adamw,sgd", "optimizer.momentum=interval(0.5,0.9)", LR, "seed=0,1", ONLY_SGD)
    corners = space.corners(space.strata[0])
    assert {corner["optimizer"] for corner in corners} == {"adamw", "sgd"}
    assert {corner["optimizer.momentum"] for corner in corners if "optimizer.momentum" in corner} == {0.5, 0.9}
    assert {corner["optimizer.lr"] for corner in corners} == {1e-4, 1e-2}
    assert all(("optimizer.momentum" in corner) == (corner["optimizer"] == "sgd") for corner in corners)
    assert len(corners) == 4  # none twice


# ---------------------------------------------------------------------------------------------------------- conditions
def test_a_condition_leaves_points_out_of_a_grid_and_makes_none_twice(loader: ConfigLoader) -> None:
    space = read(loader, "optimizer.momentum=0.8,0.9", "optimizer=adamw,sgd", ONLY_SGD)
    assert all_overrides(space) == [
        ["optimizer=adamw"],
        ["optimizer=sgd", "optimizer.momentum=0.8"],
        ["optimizer=sgd", "optimizer.momentum=0.9"],
    ]
    assert space.describe()["optimizer.momentum"] == "0.8, 0.9 if optimizer=sgd"


def test_a_condition_on_a_stratum_holds_in_that_stratum_alone(loader: ConfigLoader) -> None:
    space = read(loader, "optimizer=adamw,sgd", "sweep.strata=[optimizer]", "optimizer.momentum=0.8,0.9", ONLY_SGD)
    assert [len(space.points(stratum)) for stratum in space.strata] == [1, 2]
    assert [space.corners(stratum)[0] for stratum in space.strata] == [{}, {"optimizer.momentum": 0.8}]


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_a_search_asks_only_for_what_the_conditions_allow(sampler: str, loader: ConfigLoader) -> None:
    # Given
    conditions = "+sweep.conditions={optimizer.momentum: 'optimizer=sgd', optimizer.nesterov: 'optimizer.momentum=0.9'}"
    space = read(
        loader, "optimizer.nesterov=true,false", "optimizer.momentum=0.8,0.9", "optimizer=adamw,sgd", LR, conditions
    )
    samplers = {
        "random": optuna.samplers.RandomSampler(seed=0),
        "tpe": optuna.samplers.TPESampler(seed=0),
        "nsga2": optuna.samplers.NSGAIISampler(seed=0),
    }
    study = optuna.create_study(sampler=samplers[sampler])
    seen = set()
    for number in range(30):
        # When
        trial = study.ask()
        point = space.suggest(trial, space.strata[0])
        study.tell(trial, float(number))
        # Then
        assert point == trial.params
        assert 1e-4 <= point["optimizer.lr"] <= 1e-2
        assert ("optimizer.momentum" in point) == (point["optimizer"] == "sgd")
        assert ("optimizer.nesterov" in point) == (point.get("optimizer.momentum") == 0.9)
        seen.add((point["optimizer"], point.get("optimizer.momentum"), point.get("optimizer.nesterov")))
    assert len(seen) >= 3


# -------------------------------------------------------------------------------------------------------- known points
def test_the_default_and_the_papers_table_one_are_known_where_they_lie_in_the_space(loader: ConfigLoader) -> None:
    def known(*overrides: str) -> list[tuple[str, dict[str, Any]]]:
        space = read(loader, *overrides)
        return space.known_points(composed(loader, *space.fixed, *space.strata[0].overrides))

    assert known(LR, "data.batch_size=8,16", "sweep.sampler=tpe") == [
        ("default", {"optimizer.lr": 0.002, "data.batch_size": 16}),
        ("paper", {"optimizer.lr": 0.001, "data.batch_size": 16}),
    ]
    assert known(LR, "data.batch_size=4,8") == []
    assert known("optimizer.lr=interval(1e-3,1.5e-3)") == [("paper", {"optimizer.lr": 0.001})]
    assert known("data.batch_size=int(interval(4,32))") == [("default", {"data.batch_size": 16})]  # the paper's too
    assert known("optimizer=adam,adamw", LR) == [
        ("default", {"optimizer": "adamw", "optimizer.lr": 0.002}),
        ("paper", {"optimizer": "adam", "optimizer.lr": 0.001}),
    ]
    assert known("arch=unet") == []


def test_a_known_point_obeys_the_conditions(loader: ConfigLoader) -> None:
    space = read(loader, "optimizer=adamw,sgd", "optimizer.momentum=interval(0.5,0.95)", ONLY_SGD)
    assert space.known_points(composed(loader)) == [("default", {"optimizer": "adamw"})]
    sgd = space.known_points(composed(loader, "optimizer=sgd"))
    assert sgd == [("default", {"optimizer": "sgd", "optimizer.momentum": 0.9})]
