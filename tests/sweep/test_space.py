"""From a command line and a study file to a space."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import optuna
import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from landslide.config import check, register
from landslide.errors import ConfigError
from landslide.sweep.space import Parameter, Space, Stratum, read_space
from tests.conftest import ROOT

STUDIES = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))
LR = "optimizer.lr=tag(log,interval(1e-4,1e-2))"
ONLY_SGD = "+sweep.conditions={optimizer.momentum: 'optimizer=sgd'}"


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoader]:
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def composed(loader: ConfigLoader, *overrides: str) -> DictConfig:
    """As Hydra composes a command with ``-m``, whose lists it leaves to the sweeper."""
    return loader.load_configuration("config", list(overrides), run_mode=RunMode.MULTIRUN)


def read(loader: ConfigLoader, *overrides: str, **params: Any) -> Space:
    """The space of a command; ``params`` are a study file's, ``__`` for a dot."""
    cfg = composed(loader, *overrides)
    study = {key.replace("__", "."): value for key, value in params.items()} or cfg.hydra.sweeper.params
    typed = list(cfg.hydra.overrides.task)
    return read_space(typed, study, cfg.sweep, loader, partial(loader.load_sweep_config, cfg))


def refusal(loader: ConfigLoader, *overrides: str, **params: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(loader, *overrides, **params)
    return str(caught.value)


def all_overrides(space: Space) -> list[list[str]]:
    return [space.overrides(stratum, point) for stratum in space.strata for point in space.points(stratum)]


def only(space: Space) -> Parameter:
    (parameter,) = space.parameters
    return parameter


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


def test_a_larger_n_trials_than_the_grid_is_the_grid_and_a_smaller_one_is_said(loader: ConfigLoader) -> None:
    assert read(loader, "data.batch_size=4,8", "sweep.n_trials=9").n_trials == 2
    space = read(loader, "data.batch_size=4,8,16", "sweep.n_trials=2")
    assert (space.n_trials, space.notes) == (2, ("sweep.n_trials=2: the first of 3 points of the grid.",))


@pytest.mark.parametrize("text", ["range(1,3)", "range(5,1,-2)", "range(4)", "range(0.5,2.0,0.25)", "sort(range(1,4))"])
def test_a_range_lists_what_hydra_lists(text: str, loader: ConfigLoader) -> None:
    given = OverridesParser.create().parse_override(f"optimizer.lr={text}")
    assert list(only(read(loader, f"optimizer.lr={text}")).values) == list(given.sweep_iterator())


def test_a_range_of_tenths_leaves_its_end_out(loader: ConfigLoader) -> None:
    # Hydra alone counts 0.7, 0.7999999999999999, ... and ends with 0.9999999999999999
    assert only(read(loader, "optimizer.lr=range(0.7,1.0,0.1)")).values == (0.7, 0.8, 0.9)


# ----------------------------------------------------------------------------------------------------- distributions
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


@pytest.mark.parametrize(
    "value",
    ["unet", "1e-3", "true", "null", "a,b", "[a]", "", " a ", "it's", "a=b", "${seed}", 3, 0.1, 1e-9, True, None],
)
def test_a_value_is_written_so_that_hydra_reads_the_same_value(value: Any) -> None:
    parameter = Parameter("optimizer.lr", CategoricalDistribution((value,)), values=(value,))
    read_back = OverridesParser.create().parse_override(parameter.override(value)).value()
    assert (read_back, type(read_back)) == (value, type(value))


def test_a_quoted_number_stays_text_and_a_list_stays_a_list(loader: ConfigLoader) -> None:
    assert all_overrides(read(loader, "encoder.weights='1e-3',plain")) == [
        ["encoder.weights='1e-3'"],
        ["encoder.weights=plain"],
    ]
    overrides = all_overrides(read(loader, "data.bands=[red],['green',blue]"))
    assert composed(loader, *overrides[1]).data.bands == ["green", "blue"]


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


def test_settings_of_the_sweep_are_no_overrides_of_a_trial(loader: ConfigLoader) -> None:
    space = read(loader, "data.batch_size=8,16", "sweep.sampler=random", "trainer.max_epochs=3")
    assert space.fixed == ("trainer.max_epochs=3",)


# ---------------------------------------------------------------------------------------------------- study and seeds
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


def test_a_condition_that_always_holds_is_none(loader: ConfigLoader) -> None:
    assert only(read(loader, "optimizer=sgd", "optimizer.momentum=0.8,0.9", ONLY_SGD)).condition is None


def test_a_command_that_shuts_a_name_of_the_study_out_is_told_so(loader: ConfigLoader) -> None:
    study = {"optimizer": "adamw,sgd", "optimizer__momentum": "interval(0.5,0.99)", "optimizer__lr": "interval(0.1,1)"}
    space = read(loader, ONLY_SGD, "optimizer=adamw", **study)
    assert list(space.describe()) == ["optimizer.lr"]
    says = "sweep.conditions wants optimizer=sgd, and the command says optimizer=adamw."
    assert space.notes[-1] == f"optimizer.momentum is not searched: {says}"


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


# ------------------------------------------------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        # values
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
        # names
        (["optimizer.lrr=1,2"], "'optimizer.lrr' is not in the composed config. Did you mean 'optimizer.lr'?"),
        (["archh=unet,fpn"], "'archh' is not in the composed config. Did you mean 'arch'?"),
        (["arch=unet,unett"], "arch=unett: must be one of deeplabv3, "),
        (["arch=choice(unet,unett)", LR], "Did you mean 'unet'?"),
        (["data=3,4"], "data=3: must be one of bijie, "),
        (["optimizer=adamw,sgd", "optimizer.momentum=0.8,0.9"], "is not in the config composed with optimizer=adamw"),
        # one for all
        (["sweeps=learning_rate,batch_size"], "one value holds for the whole sweep. Type the command once for each."),
        (["sweep.n_trials=10,20"], "sweep.n_trials=10,20: one value holds for the whole sweep."),
        (["objective.metric=val/f1,val/iou"], "one value holds for the whole sweep"),
        (["ckpt_path=last.ckpt", "arch=unet,fpn"], "ckpt_path=last.ckpt: belongs to a single run"),
        # searches
        (["sweep.n_trials=10"], "sweep.n_trials=10: nothing is left to search."),
        (["sweep.sampler=tpe", "arch=unet,fpn"], "sweep.sampler=tpe: nothing is left to search."),
        (
            ["sweeps=learning_rate", "optimizer.lr=1e-3"],
            "optimizer.lr=1e-3 is fixed; sweeps/learning_rate.yaml searched",
        ),
        ([LR, "sweep.sampler=grid"], "an interval has no list of values"),
        (["seed=interval(0,9)", LR], "seeds are listed, not searched: seed=0,1,2"),
        (["sweep.sampler=tpee", LR], "sweep.sampler=tpee: must be one of grid, random, "),
        # strata
        (["arch=glob(nothing*)"], "arch=glob(nothing*): holds no value"),
        (["sweep.strata=[encoder]"], "sweep.strata: encoder must be a comma list, such as encoder=a,b (not given)"),
        (["sweep.strata=[arch,encoder]", "encoder=choice(resnet18,resnet50)"], "encoder must be a comma list"),
        (["sweep.strata=[seed]", "seed=0,1"], "seeds are repeats, never strata"),
    ],
)
def test_what_nobody_could_search_is_refused_with_the_cure(
    overrides: list[str], words: str, loader: ConfigLoader
) -> None:
    assert words in refusal(loader, *overrides)


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


# --------------------------------------------------------------------------------------------------- studies that ship
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_is_a_space_whose_corners_pass_the_checks(study: str, loader: ConfigLoader) -> None:
    # Given
    space = read(loader, f"sweeps={study}")
    # When
    corners = [(stratum, space.corners(stratum)[0]) for stratum in space.strata]
    corners += [(space.strata[0], point) for point in space.corners(space.strata[0])]
    trials = [space.overrides(stratum, point) for stratum, point in corners]
    # Then
    assert len(trials) >= 2
    for trial in trials:
        cfg = composed(loader, *trial)
        check(cfg)
        assert cfg.hydra.runtime.choices.sweeps == study


@pytest.mark.parametrize("study", ["learning_rate", "lr_batch_regularization", "regularization", "smoke"])
def test_the_default_setting_lies_in_the_space_of_every_search(study: str, loader: ConfigLoader) -> None:
    space = read(loader, f"sweeps={study}")
    assert space.known_points(composed(loader, *space.fixed))[0][0] == "default"


def test_the_papers_table_one_is_a_point_of_its_grid(loader: ConfigLoader) -> None:
    space = read(loader, "sweeps=paper_grid")
    table = {"optimizer.lr": 0.001, "data.batch_size": 16, "regularization.weight_decay": 0}
    assert [stratum.name for stratum in space.strata] == ["unet", "linknet", "pspnet", "fpn"]
    assert all(table in space.points(stratum) for stratum in space.strata)
    assert composed(loader, *space.fixed).encoder.name == "resnet50"


def test_every_study_is_headed_by_its_question_and_its_command_and_stands_in_the_table() -> None:
    table = (ROOT / "sweeps" / "README.md").read_text()
    for study in STUDIES:
        comments = [
            line for line in (ROOT / "sweeps" / f"{study}.yaml").read_text().splitlines() if line.startswith("# ")
        ]
        assert "?" in comments[1]
        assert any(f"python train.py -m sweeps={study}" in line for line in comments)
        assert f"| `{study}` |" in table


def test_the_corners_have_every_choice_and_both_ends(loader: ConfigLoader) -> None:
    space = read(loader, "optimizer=adamw,sgd", "optimizer.momentum=interval(0.5,0.9)", LR, "seed=0,1", ONLY_SGD)
    corners = space.corners(space.strata[0])
    assert {corner["optimizer"] for corner in corners} == {"adamw", "sgd"}
    assert {corner["optimizer.momentum"] for corner in corners if "optimizer.momentum" in corner} == {0.5, 0.9}
    assert {corner["optimizer.lr"] for corner in corners} == {1e-4, 1e-2}
    assert all(("optimizer.momentum" in corner) == (corner["optimizer"] == "sgd") for corner in corners)
    assert len(corners) == 4  # none twice


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
