"""What makes a grid, what a search, what divides into strata, and what seeds are."""

from __future__ import annotations

import pytest
from hydra.core.config_loader import ConfigLoader

from tests.sweep.spaces import LR, all_overrides, read, refusal


# ---------------------------------------------------------------------------------------------- samplers and budgets
@pytest.mark.parametrize(
    ("overrides", "sampler", "n_trials"),
    [
        ([LR], "tpe", 20),
        ([LR, "data.batch_size=8,16"], "tpe", 20),
        ([LR, "sweep.n_trials=7"], "tpe", 7),
        ([LR, "sweep.timeout_s=60"], "tpe", 20),
        ([LR, "sweep.sampler=qmc"], "qmc", 20),
        (["data.batch_size=8,16", "sweep.sampler=random"], "random", 20),
        (["data.batch_size=8,16", "sweep.against=[time/fit_s]"], "nsga2", 20),
        (["data.batch_size=8,16", "sweep.sampler=grid"], "grid", 2),
    ],
)
def test_an_interval_or_a_named_sampler_makes_a_search(
    overrides: list[str], sampler: str, n_trials: int, loader: ConfigLoader
) -> None:
    space = read(loader, *overrides)
    assert (space.sampler, space.n_trials) == (sampler, n_trials)


def test_a_larger_n_trials_than_the_grid_is_the_grid_and_a_smaller_one_is_said(loader: ConfigLoader) -> None:
    assert read(loader, "data.batch_size=4,8", "sweep.n_trials=9").n_trials == 2
    space = read(loader, "data.batch_size=4,8,16", "sweep.n_trials=2")
    assert (space.n_trials, space.notes) == (2, ("sweep.n_trials=2: the first of 3 points of the grid.",))


def test_settings_of_the_sweep_are_no_overrides_of_a_trial(loader: ConfigLoader) -> None:
    space = read(loader, "data.batch_size=8,16", "sweep.sampler=random", "trainer.max_epochs=3")
    assert space.fixed == ("trainer.max_epochs=3",)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sweep.n_trials=10"], "sweep.n_trials=10: nothing is left to search."),
        (["sweep.sampler=tpe", "arch=unet,fpn"], "sweep.sampler=tpe: nothing is left to search."),
        (
            ["sweeps=learning_rate", "optimizer.lr=1e-3"],
            "optimizer.lr=1e-3 is fixed; sweeps/learning_rate.yaml searched",
        ),
        ([LR, "sweep.sampler=grid"], "an interval has no list of values"),
        (["seed=interval(0,9)", LR], "seeds are listed, not searched: seed=0,1,2"),
        (["seed=0,-1", LR], "seed=-1: must be 0 to 4294967295"),
        (["sweep.sampler=tpee", LR], "sweep.sampler=tpee: must be one of grid, random, "),
    ],
)
def test_what_is_no_search_is_refused_with_the_cure(overrides: list[str], words: str, loader: ConfigLoader) -> None:
    assert words in refusal(loader, *overrides)


# --------------------------------------------------------------------------------------------------------------- seeds
def test_seeds_are_the_fastest_axis_of_a_grid_and_repeats_of_a_search(loader: ConfigLoader) -> None:
    grid = read(loader, "seed=0,1", "data.batch_size=8,16")
    assert grid.seeds == ()
    assert [space[-1] for space in all_overrides(grid)] == ["seed=0", "seed=1", "seed=0", "seed=1"]
    search = read(loader, "seed=5,1,2", LR)
    assert search.seeds == (5, 1, 2)
    assert search.fixed == ("seed=5",)
    assert list(search.describe()) == ["optimizer.lr"]
    assert "the search runs with seed 5" in search.notes[0]


def test_seeds_on_the_command_line_go_before_the_number_of_repeats(loader: ConfigLoader) -> None:
    space = read(loader, "seed=0,1,2", LR, "sweep.repeats=5")
    assert space.notes[0] == "seed=0,1,2 says how often the best is repeated; sweep.repeats=5 does not."
    assert len(read(loader, "seed=0,1,2", LR, "sweep.repeats=3").notes) == 1


# -------------------------------------------------------------------------------------------------------------- strata
def test_a_list_of_arch_is_strata_and_a_choice_is_one_joint_search(loader: ConfigLoader) -> None:
    strata = read(loader, "arch=unet,fpn", LR)
    assert [(stratum.name, stratum.overrides) for stratum in strata.strata] == [
        ("unet", ("arch=unet",)),
        ("fpn", ("arch=fpn",)),
    ]
    assert list(strata.describe()) == ["optimizer.lr"]
    joint = read(loader, "arch=choice(unet,fpn)", LR)
    assert [stratum.name for stratum in joint.strata] == ["all"]
    assert list(joint.describe()) == ["arch", "optimizer.lr"]


def test_a_glob_of_arch_is_strata_too(loader: ConfigLoader) -> None:
    assert [stratum.name for stratum in read(loader, "arch=glob(deeplab*)").strata] == ["deeplabv3", "deeplabv3plus"]


def test_other_names_divide_where_asked_and_several_make_every_pair(loader: ConfigLoader) -> None:
    asked = ["arch=unet,fpn", "data.split.hold_out=js,'a b'", "sweep.strata=[arch,data.split.hold_out]"]
    assert [(stratum.name, stratum.overrides) for stratum in read(loader, *asked).strata] == [
        ("unet-hold_out-js", ("arch=unet", "data.split.hold_out=js")),
        ("unet-hold_out-a-b", ("arch=unet", "data.split.hold_out=a b")),
        ("fpn-hold_out-js", ("arch=fpn", "data.split.hold_out=js")),
        ("fpn-hold_out-a-b", ("arch=fpn", "data.split.hold_out=a b")),
    ]
    assert len(read(loader, "arch=unet,fpn", "sweep.strata=[]").strata) == 1


def test_no_two_strata_share_a_folder(loader: ConfigLoader) -> None:
    space = read(loader, "data.split.hold_out='a b','a,b','..'", "sweep.strata=[data.split.hold_out]")
    assert [stratum.name for stratum in space.strata] == ["hold_out-a-b", "hold_out-a-b-2", "hold_out"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sweep.strata=[encoder]"], "sweep.strata: encoder must be a comma list, such as encoder=a,b (not given)"),
        (["sweep.strata=[arch,encoder]", "encoder=choice(resnet18,resnet50)"], "encoder must be a comma list"),
        (["sweep.strata=[seed]", "seed=0,1"], "seeds are repeats, never strata"),
    ],
)
def test_what_cannot_divide_is_refused_with_the_cure(overrides: list[str], words: str, loader: ConfigLoader) -> None:
    assert words in refusal(loader, *overrides)


# ------------------------------------------------------------------------------------------------------------- folds
def test_groups_that_are_held_out_in_turn_are_a_grid_with_the_random_split_in_it(loader: ConfigLoader) -> None:
    space = read(loader, "arch=unet,fpn", "data.split.hold_out=null,hill,gorge", "seed=0,1")
    assert (space.sampler, space.n_trials, len(space.strata)) == ("grid", 6, 2)
    assert space.overrides(space.strata[0], space.points(space.strata[0])[0])[-3:] == [
        "arch=unet",
        "data.split.hold_out=null",
        "seed=0",
    ]


@pytest.mark.parametrize(
    ("more", "cure"),
    [
        (LR, "would choose the easiest group as the best setting"),
        ("sweep.sampler=random", "sweep.strata=[arch,data.split.hold_out]"),
        ("sweep.repeats=3", "To repeat them all: seed=0,1,2"),
        ("sweep.pruner=median", "would end the hardest groups"),
    ],
)
def test_nothing_chooses_among_groups_by_how_easy_they_are(more: str, cure: str, loader: ConfigLoader) -> None:
    told = refusal(loader, "data.split.hold_out=hill,gorge", more)
    assert told.startswith("data.split.hold_out=hill,gorge: ")
    assert cure in told


def test_each_group_may_have_a_search_of_its_own(loader: ConfigLoader) -> None:
    space = read(loader, "data.split.hold_out=hill,gorge", LR, "sweep.strata=[data.split.hold_out]", "sweep.repeats=2")
    assert [stratum.name for stratum in space.strata] == ["hold_out-hill", "hold_out-gorge"]
