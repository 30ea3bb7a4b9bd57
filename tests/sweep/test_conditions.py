"""What is searched only where something else holds."""

from __future__ import annotations

import pytest
from hydra.core.config_loader import ConfigLoader

from tests.sweep.spaces import ONLY_SGD, only, read, refusal


def test_a_condition_that_always_holds_is_none(loader: ConfigLoader) -> None:
    assert only(read(loader, "optimizer=sgd", "optimizer.momentum=0.8,0.9", ONLY_SGD)).condition is None


def test_a_command_that_shuts_a_name_of_the_study_out_is_told_so(loader: ConfigLoader) -> None:
    study = {"optimizer": "adamw,sgd", "optimizer__momentum": "interval(0.5,0.99)", "optimizer__lr": "interval(0.1,1)"}
    space = read(loader, ONLY_SGD, "optimizer=adamw", **study)
    assert list(space.describe()) == ["optimizer.lr"]
    says = "sweep.conditions wants optimizer=sgd, and the command says optimizer=adamw."
    assert space.notes[-1] == f"optimizer.momentum is not searched: {says}"


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (
            "{optimizer.momentun: 'optimizer=sgd'}",
            "'optimizer.momentun' is not searched. Did you mean 'optimizer.momentum'?",
        ),
        ("{optimizer.momentum: 'optimiser=sgd'}", "there is no 'optimiser'. Did you mean 'optimizer'?"),
        ("{optimizer.momentum: 'optimizer=sdg'}", "optimizer=sdg can't be here. Did you mean 'sgd'?"),
        (
            "{optimizer.momentum: 'loss=dice'}",
            "is never searched, because loss=dice can't be here. It is loss=bce_dice.",
        ),
        ("{optimizer.momentum: 'optimizer.momentum=0.9'}", "is a condition on itself"),
        ("{optimizer.momentum: 'optimizer.lr=0.1', optimizer.lr: 'optimizer.momentum=0.9'}", "wait for one another"),
        ("{optimizer.momentum: sgd}", "cannot be read"),
        ("{optimizer.momentum: 'optimizer.lr=interval(0,1)'}", "has no list of values"),
        ("{arch: 'optimizer=sgd'}", "'arch' is not searched"),
    ],
)
def test_a_condition_that_cannot_be_kept_is_refused(conditions: str, words: str, loader: ConfigLoader) -> None:
    searched = ["optimizer=adam,sgd", "optimizer.momentum=0.8,0.9", "optimizer.lr=0.1,0.2", "arch=unet,fpn"]
    assert words in refusal(loader, *searched, f"+sweep.conditions={conditions}")


def test_repeats_of_a_search_are_no_condition_and_the_seeds_of_a_grid_are_one(loader: ConfigLoader) -> None:
    words = ["seed=0,1", "data.batch_size=8,16", "+sweep.conditions={data.batch_size: 'seed=0'}"]
    said = refusal(loader, *words, "sweep.sampler=random")
    assert said.endswith("'data.batch_size: seed=0': seed=0,1 repeats the best setting, and is not searched.")
    assert len(read(loader, *words).parameters) == 2
