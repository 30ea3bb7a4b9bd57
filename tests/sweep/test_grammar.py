"""Hydra's grammar for one name as a distribution of Optuna."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.sweep.spaces import LR, all_overrides, composed, only, read, refusal


@pytest.mark.parametrize(
    ("override", "distribution", "text"),
    [
        ("optimizer.lr=interval(0.1,1)", FloatDistribution(0.1, 1.0), "interval(0.1, 1.0)"),
        (LR, FloatDistribution(1e-4, 1e-2, log=True), "tag(log, interval(0.0001, 0.01))"),
        ("data.batch_size=int(interval(4,32))", IntDistribution(4, 32), "int(interval(4, 32))"),
        (
            "data.batch_size=tag(int,log,interval(4,32))",
            IntDistribution(4, 32, log=True),
            "tag(log, int(interval(4, 32)))",
        ),
        ("data.batch_size=range(4,13,4)", IntDistribution(4, 12, step=4), "range(4, 12, 4), ends included"),
        ("data.batch_size=range(4,12,4)", IntDistribution(4, 8, step=4), "range(4, 8, 4), ends included"),
        (
            "optimizer.lr=range(0.1,0.4,0.1)",
            FloatDistribution(0.1, 0.3, step=0.1),
            "range(0.1, 0.3, 0.1), ends included",
        ),
        ("arch=choice(unet,fpn)", CategoricalDistribution(("unet", "fpn")), "unet, fpn"),
        ("encoder=glob(resnet*)", CategoricalDistribution(("resnet18", "resnet50")), "resnet18, resnet50"),
        ("regularization.dropout=null,0.1", CategoricalDistribution((None, 0.1)), "null, 0.1"),
        ("data.bands=[red],[red,green]", CategoricalDistribution(("[red]", "[red,green]")), "[red], [red,green]"),
    ],
)
def test_hydras_grammar_becomes_optunas_distributions(
    override: str, distribution: Any, text: str, loader: ConfigLoader
) -> None:
    space = read(loader, override)
    assert only(space).distribution == distribution
    assert space.describe() == {override.partition("=")[0]: text}


def test_a_quoted_number_stays_text_and_a_list_stays_a_list(loader: ConfigLoader) -> None:
    assert all_overrides(read(loader, "encoder.weights='1e-3',plain")) == [
        ["encoder.weights='1e-3'"],
        ["encoder.weights=plain"],
    ]
    overrides = all_overrides(read(loader, "data.bands=[red],['green',blue]"))
    assert composed(loader, *overrides[1]).data.bands == ["green", "blue"]


@pytest.mark.parametrize("text", ["range(1,3)", "range(5,1,-2)", "range(4)", "range(0.5,2.0,0.25)", "sort(range(1,4))"])
def test_a_range_lists_what_hydra_lists(text: str, loader: ConfigLoader) -> None:
    given = OverridesParser.create().parse_override(f"optimizer.lr={text}")
    assert list(only(read(loader, f"optimizer.lr={text}")).values) == list(given.sweep_iterator())


def test_a_range_of_tenths_leaves_its_end_out(loader: ConfigLoader) -> None:
    # Hydra alone counts 0.7, 0.7999999999999999, ... and ends with 0.9999999999999999
    assert only(read(loader, "optimizer.lr=range(0.7,1.0,0.1)")).values == (0.7, 0.8, 0.9)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer.lr=interval(1e-2,1e-4)"], "the ends are swapped. Write interval(0.0001, 0.01)"),
        (["data.batch_size=range(16,4)"], "the ends are swapped. Write range(4, 16, 1)"),
        (["optimizer.lr=tag(log,interval(0,1))"], "a logarithm needs both ends above 0"),
        (["optimizer.lr=tag(log,interval(-1,1))"], "a logarithm needs both ends above 0"),
        (["optimizer.lr=interval(nan,1)"], "must be finite"),
        (["optimizer.lr=interval(0,inf)"], "must be finite"),
        (["optimizer.lr=range(0,inf)"], "must be finite"),
        (["data.batch_size=range(4,16,0)"], "the step must not be 0"),
        (["data.batch_size=tag(int,interval(0.5,4))"], "must be whole"),
        (
            ["optimizer.lr=tag(lag,interval(1,2))"],
            "'lag' is no tag of an interval; there are log, int. Did you mean 'log'",
        ),
        (["optimizer.lr=tag(log,choice(1,2))"], "'log' belongs to an interval"),
        (["optimizer.lr=shuffle(1,2)"], "sweep.sampler=random"),
        (["data.batch_size=range(0,0)"], "holds no value"),
        (["data.batch_size=8,16,8"], "data.batch_size=8,16,8: data.batch_size=8 stands there more than once"),
        (["seed=0,0"], "seed=0 stands there more than once. For repeats: seed=0,1,2"),
        (["regularization.freeze_encoder=true,1"], "cannot tell true and 1 apart"),
        (["arch=unet,unett"], "arch=unett: must be one of deeplabv3, "),
        (["arch=choice(unet,unett)", LR], "Did you mean 'unet'?"),
        (["data=3,4"], "data=3: must be one of bijie, "),
        (["arch=glob(nothing*)"], "arch=glob(nothing*): holds no value"),
    ],
)
def test_values_that_nobody_could_search_are_refused_with_the_cure(
    overrides: list[str], words: str, loader: ConfigLoader
) -> None:
    assert words in refusal(loader, *overrides)
