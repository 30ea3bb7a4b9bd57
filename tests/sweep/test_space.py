"""From overrides to trials."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from landslide.errors import ConfigError
from landslide.sweep.space import TrialPlan, grid


def plans(*overrides: str) -> list[TrialPlan]:
    return grid(OverridesParser.create().parse_overrides(list(overrides)), groups=["arch", "encoder"])


def test_a_grid_is_every_combination_with_the_last_list_fastest() -> None:
    found = plans("arch=unet,fpn", "seed=0,1", "data=bijie")
    assert [plan.overrides for plan in found] == [
        ["arch=unet", "seed=0", "data=bijie"],
        ["arch=unet", "seed=1", "data=bijie"],
        ["arch=fpn", "seed=0", "data=bijie"],
        ["arch=fpn", "seed=1", "data=bijie"],
    ]
    assert [plan.number for plan in found] == [0, 1, 2, 3]


def test_a_trial_is_named_by_what_varies() -> None:
    names = [plan.name for plan in plans("arch=choice(unet,fpn)", "optimizer.lr=1e-3,1e-4", "data=bijie")]
    assert names == ["unet lr=0.001", "unet lr=0.0001", "fpn lr=0.001", "fpn lr=0.0001"]


def test_a_range_leaves_its_end_out_as_hydra_does() -> None:
    assert [plan.overrides for plan in plans("seed=range(1,3)")] == [["seed=1"], ["seed=2"]]


def test_the_command_line_wins_over_a_study_file() -> None:
    assert [plan.overrides for plan in plans("arch=unet,fpn", "arch=linknet")] == [["arch=linknet"]]


def test_nothing_to_vary_is_one_trial() -> None:
    assert [plan.overrides for plan in plans("arch=unet")] == [["arch=unet"]]


def test_an_addition_and_a_deletion_keep_their_signs() -> None:
    assert plans("+arch.decoder_use_norm=false", "~scheduler")[0].overrides == [
        "+arch.decoder_use_norm=false",
        "~scheduler",
    ]


def test_an_interval_is_refused_with_the_cure() -> None:
    with pytest.raises(ConfigError, match="Give a comma list"):
        plans("optimizer.lr=interval(1e-4,1e-2)")


@pytest.mark.parametrize(
    ("override", "reason"), [("seed=0,1,0", "seed=0 stands there more than once"), ("seed=range(0,0)", "no value")]
)
def test_a_list_that_is_empty_or_has_one_twice_is_refused(override: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        plans(override)
