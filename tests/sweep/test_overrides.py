"""The command line and a study file, put together."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.config_loader import ConfigLoader

from tests.sweep.spaces import all_overrides, composed, read, refusal


def test_a_fixed_value_takes_its_name_out_of_the_study_and_says_so(loader: ConfigLoader) -> None:
    space = read(loader, "sweeps=lr_batch_regularization", "optimizer.lr=1e-3")
    assert "optimizer.lr" not in space.describe()
    assert space.fixed == ("sweeps=lr_batch_regularization", "optimizer.lr=1e-3")
    assert space.notes == (
        "optimizer.lr=1e-3 is fixed; sweeps/lr_batch_regularization.yaml searched tag(log, interval(1e-4, 1e-2)).",
    )


def test_a_list_on_the_command_line_wins_over_the_study_file(loader: ConfigLoader) -> None:
    space = read(loader, "sweeps=architectures", "arch=unet,fpn")
    assert [stratum.name for stratum in space.strata] == ["unet", "fpn"]


def test_a_study_file_may_have_numbers_lists_and_fixed_values(loader: ConfigLoader) -> None:
    space = read(
        loader, optimizer="sgd", optimizer__momentum=0.5, regularization__ema=None, data__bands=["red", "green"]
    )
    assert space.fixed == (
        *("optimizer=sgd", "optimizer.momentum=0.5"),
        *("regularization.ema=null", "data.bands=[red,green]"),
    )
    trial = composed(loader, *all_overrides(space)[0])
    assert (trial.optimizer.momentum, trial.regularization.ema, trial.data.bands) == (0.5, None, ["red", "green"])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sweeps=learning_rate,batch_size"], "one value holds for the whole sweep. Type the command once for each."),
        (["sweep.n_trials=10,20"], "sweep.n_trials=10,20: one value holds for the whole sweep."),
        (["objective.metric=val/f1,val/iou"], "one value holds for the whole sweep"),
        (["ckpt_path=last.ckpt", "arch=unet,fpn"], "ckpt_path=last.ckpt: belongs to a single run"),
    ],
)
def test_what_no_trial_can_have_of_its_own_is_refused(overrides: list[str], words: str, loader: ConfigLoader) -> None:
    assert words in refusal(loader, *overrides)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"optimizer__lrr": "interval(0,1)"},
            "'optimizer.lrr' is not in the composed config. Did you mean 'optimizer.lr'?",
        ),
        ({"optimizer__lrr": 0.1}, "'optimizer.lrr' is not in the composed config"),
        ({"optimiser": "adam,sgd"}, "'optimiser' is not in the composed config. Did you mean 'optimizer'?"),
        ({"optimizer__lr": "interval(0,1"}, "'optimizer.lr=interval(0,1' cannot be read"),
        ({"optimizer__lr": "interval(1,0)"}, "the ends are swapped"),
        ({"sweep__n_trials": 3}, "Write it beside `hydra:`, as sweep.n_trials"),
    ],
)
def test_what_is_wrong_in_a_study_file_is_refused_with_its_place(
    params: dict[str, Any], words: str, loader: ConfigLoader
) -> None:
    sentence = refusal(loader, "sweeps=learning_rate", **params)
    assert sentence.startswith("sweeps/learning_rate.yaml: ")
    assert words in sentence
