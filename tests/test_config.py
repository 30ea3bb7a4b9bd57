"""Every file under conf/ composes into a checked run, and what is wrong is refused by name."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from landslide.config import POLARITY, check, flat_params, nearest
from landslide.config import register as register_schema
from landslide.errors import ConfigError
from tests.conftest import ROOT, compose_run

CONF = ROOT / "conf"
OPTIONS = sorted(
    path.relative_to(CONF).with_suffix("").as_posix()
    for folder in CONF.iterdir()
    if folder.is_dir()
    for path in folder.rglob("*.yaml")
)
"""``arch/unet``, ``hydra/sweeper/landslide``, ``sweeps/architectures`` ..."""


NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    return compose_run()


@pytest.fixture
def run(composed: DictConfig) -> DictConfig:
    """A run as `python train.py` composes it, for tests that change values."""
    return copy.deepcopy(composed)


def refusal(cfg: DictConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        check(cfg)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- composition
@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_every_group_composes_into_a_run_that_passes_the_checks(option: str) -> None:
    # Given
    group, _, name = option.rpartition("/")
    # When
    needed = ["data.root=tiles"] if option == "data/folder" else []  # nobody can guess where your own tiles are
    cfg = compose_run(f"{group}={name}", *needed)
    # Then
    resolved: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    check(cfg)
    if group in resolved:
        written: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{option}.yaml"))
        assert set(written) <= set(resolved[group])


def test_the_conf_folder_holds_the_groups_that_the_help_lists() -> None:
    groups = {option.partition("/")[0] for option in OPTIONS}
    assert {
        *("arch", "encoder", "data", "loss", "optimizer", "scheduler", "regularization", "trainer", "tracking"),
        *("experiment", "hydra", "sweeps"),
    } <= groups


def test_every_study_in_sweeps_is_an_option_that_names_what_varies() -> None:
    studies = sorted((ROOT / "sweeps").glob("*.yaml"))
    assert studies
    register_schema()
    for study in studies:
        assert f"sweeps/{study.stem}" in OPTIONS
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", [f"sweeps={study.stem}"], return_hydra_config=True)
        assert cfg.hydra.sweeper._target_ == "hydra_plugins.landslide_sweeper.LandslideSweeper"
        assert len(cfg.hydra.sweeper.params) >= 1


@pytest.mark.parametrize("arch", ["unet", "linknet", "pspnet", "fpn"])
def test_the_paper_experiment_is_table_one_to_the_letter(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given: Oak et al. 2024, Table I and section IV
    monkeypatch.delenv("LANDSLIDE_BIJIE_ROOT", raising=False)
    # When
    cfg: Any = OmegaConf.to_container(compose_run("experiment=paper", f"arch={arch}"), resolve=True)
    # Then
    assert cfg["arch"] == {"name": arch}
    assert (cfg["encoder"]["name"], cfg["encoder"]["weights"]) == ("resnet50", "imagenet")
    assert cfg["data"]["name"] == "bijie"
    assert cfg["data"]["root"] == "data/Bijie-landslide-dataset"
    assert cfg["data"]["bands"] == ["red", "green", "blue"]
    assert cfg["data"]["image_size"] == 256
    assert cfg["data"]["batch_size"] == 16
    assert {part: cfg["data"]["split"][part] for part in ("train", "val")} == {"train": 690, "val": 80}
    assert cfg["data"]["generate"] is None
    assert cfg["loss"] == {"_target_": "landslide.losses.BCE"}
    optimizer = {
        key: value for key, value in cfg["optimizer"].items() if key != "fused"
    }  # how it is computed, not what
    assert optimizer == {"_target_": "torch.optim.Adam", "lr": 0.001, "weight_decay": 0.0}
    constant = {"_target_": "landslide.training.schedules.constant", "warmup_epochs": 0, "max_epochs": 100}
    assert cfg["scheduler"] == constant
    nothing = {"weight_decay": 0.0, "dropout": None, "augmentation": 0.0, "label_smoothing": 0.0}
    nothing |= {"gradient_clip": None, "freeze_encoder": False, "ema": None, "early_stopping": None}
    assert cfg["regularization"] == nothing
    assert cfg["trainer"]["max_epochs"] == 100


def test_the_bijie_experiments_read_the_dataset_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSLIDE_BIJIE_ROOT", "/somewhere/else")
    for experiment in ("paper", "bijie_cpu"):
        assert compose_run(f"experiment={experiment}").data.root == "/somewhere/else"


def test_one_weight_decay_reaches_the_optimizer() -> None:
    cfg = compose_run("optimizer=adamw", "regularization.weight_decay=0.07")
    assert cfg.optimizer.weight_decay == 0.07


def test_a_number_without_a_point_is_read_as_a_number() -> None:
    # PyYAML alone reads 1e-3 as text
    assert compose_run("optimizer.lr=1e-3").optimizer.lr == 0.001
    assert compose_run("optimizer=adam").optimizer.lr == 0.001


@pytest.mark.parametrize(
    "override",
    [
        "data.image_sise=128",
        "encoder.weight=null",
        "optimizer.lrr=1e-3",
        "sedd=3",
    ],
)
def test_an_unknown_key_is_refused_with_its_name(override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(ConfigCompositionException, match=re.escape(f"Could not override '{key}'")):
        compose_run(override)


@pytest.mark.parametrize("override", ["arch=resnet", "experiment=papper", "data=bijie2", "optimizer=sgd2"])
def test_an_unknown_option_is_refused_with_the_known_ones(override: str) -> None:
    with pytest.raises(Exception, match="Could not find") as caught:
        compose_run(override)
    group = override.partition("=")[0]
    for known in (CONF / group).glob("*.yaml"):
        assert known.stem in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        "data.image_size=big",
        "data.batch_size=2.5",
        "trainer.max_epochs=nan",
        "trainer.max_epochs=null",
        "trainer.deterministic=perhaps",
        "regularization.dropout=a_lot",
        "encoder.mean=[red]",
        "data.split.train=most",
        "seed=first",
        "objective=val/f1",
        "tracking.store_probability=[1]",
    ],
)
def test_a_value_of_the_wrong_type_is_refused(override: str) -> None:
    with pytest.raises(ConfigCompositionException):
        compose_run(override)


def test_a_precision_that_yaml_reads_as_a_number_is_accepted() -> None:
    cfg = compose_run("trainer.precision=32")
    check(cfg)
    assert cfg.trainer.precision == "32"


# ------------------------------------------------------------------------------------------------------------ checks
@pytest.mark.parametrize(
    ("key", "value", "cure"),
    [
        ("data.image_size", 0, "1 or more"),
        ("data.image_size", -256, "1 or more"),
        ("data.batch_size", 0, "1 or more"),
        ("trainer.max_epochs", 0, "1 or more"),
        ("trainer.threads", 0, "1 or more, or null"),
        ("optimizer.lr", 0, "above 0, for example 1e-3"),
        ("optimizer.lr", -0.001, "above 0, for example 1e-3"),
        ("optimizer.lr", NAN, "a finite number above 0"),
        ("optimizer.lr", INF, "a finite number above 0"),
        ("optimizer.lr", "fast", "a finite number above 0"),
        ("optimizer.lr", None, "a finite number above 0"),
        ("regularization.weight_decay", -0.1, "0 or more"),
        ("regularization.weight_decay", NAN, "0 or more"),
        ("regularization.weight_decay", INF, "0 or more"),
        ("regularization.augmentation", -1.0, "0 or more"),
        ("regularization.augmentation", NAN, "0 or more"),
        ("regularization.dropout", 1.0, "at least 0 and below 1"),
        ("regularization.dropout", -0.1, "at least 0 and below 1"),
        ("regularization.dropout", NAN, "at least 0 and below 1"),
        ("regularization.label_smoothing", 1.5, "at least 0 and below 1"),
        ("regularization.label_smoothing", NAN, "at least 0 and below 1"),
        ("regularization.gradient_clip", 0, "above 0, or null"),
        ("regularization.gradient_clip", NAN, "above 0, or null"),
        ("regularization.ema", 0, "above 0 and below 1, for example 0.99, or null"),
        ("regularization.ema", 1, "above 0 and below 1, for example 0.99, or null"),
        ("regularization.ema", NAN, "above 0 and below 1"),
        ("regularization.freeze_encoder", 0, "true, false, or 1 epoch or more"),
        ("regularization.freeze_encoder", -1, "true, false, or 1 epoch or more"),
        ("regularization.freeze_encoder", 1.5, "true, false, or 1 epoch or more"),
        ("regularization.freeze_encoder", "yes", "true, false, or 1 epoch or more"),
        ("regularization.freeze_encoder", None, "true, false, or 1 epoch or more"),
        ("regularization.early_stopping", 0, "1 epoch or more, or null"),
        ("regularization.early_stopping", -3, "1 epoch or more, or null"),
        ("trainer.precision", "fp16", "one of auto, 32, bf16, 16"),
        ("trainer.precision", "bf61", "Did you mean 'bf16'?"),
        ("trainer.memory_format", "channel_last", "Did you mean 'channels_last'?"),
        ("tracking.keep_models", "finalist", "Did you mean 'finalists'?"),
        ("tracking.keep_models", "best", "one of finalists, all, none"),
        ("data.bands", [], "at least one band, each once"),
        ("data.bands", ["red", "green", "red"], "at least one band, each once"),
        ("objective.metric", "val/f2", "Did you mean 'val/f1'?"),
        ("objective.metric", "f1", "val/f1"),
        ("objective.direction", "minimize", "val/f1 is better when we maximize it"),
        ("objective.direction", "max", "val/f1 is better when we maximize it"),
    ],
)
def test_a_value_that_no_run_can_use_is_refused_with_key_value_and_cure(
    key: str, value: Any, cure: str, run: DictConfig
) -> None:
    # Given
    OmegaConf.update(run, key, value)
    # When
    message = refusal(run)
    # Then
    assert message.startswith(f"{key}={value}")
    assert cure in message
    assert "\n" not in message


@pytest.mark.parametrize("scheduler", ["none", "cosine"])
@pytest.mark.parametrize("warmup", ["-1", "nan", "12", "long"])
def test_a_warm_up_that_does_not_fit_the_run_is_refused(scheduler: str, warmup: str) -> None:
    message = refusal(compose_run(f"scheduler={scheduler}", f"scheduler.warmup_epochs={warmup}"))
    assert message == f"scheduler.warmup_epochs={warmup}: must be at least 0 and below trainer.max_epochs=12."
    check(compose_run(f"scheduler={scheduler}", "scheduler.warmup_epochs=0.5"))


def test_a_number_that_is_none_is_refused_as_the_command_line_writes_it() -> None:
    for override in ("optimizer.lr=nan", "regularization.dropout=nan", "regularization.weight_decay=NaN"):
        assert "=nan: must be" in refusal(compose_run(override))


def test_an_unknown_band_is_refused_with_the_nearest_one(run: DictConfig) -> None:
    run.data.bands = ["red", "gren", "blue"]
    message = refusal(run)
    assert message.startswith("data.bands: 'gren'")
    assert "red, green, blue" in message
    assert "Did you mean 'green'?" in message


@pytest.mark.parametrize(
    ("override", "near"),
    [
        ("+data.image_sise=128", "image_size"),
        ("+trainer.max_epoch=3", "max_epochs"),
        ("+regularisation.dropout=0.1", "regularization"),
        ("+data.split.tets=10", "test"),
        ("+patience=3", ""),
    ],
)
def test_a_key_that_was_added_to_the_schema_is_refused_because_nobody_would_read_it(override: str, near: str) -> None:
    # Given: what Hydra advises for a misspelt name is to put a plus before it
    cfg = compose_run(override)
    # When
    message = refusal(cfg)
    # Then
    assert override.partition("=")[0].lstrip("+").split(".")[0] in message
    assert near in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.image_size", 1),
        ("data.batch_size", 1),
        ("trainer.max_epochs", 1),
        ("trainer.threads", 1),
        ("optimizer.lr", 1),
        ("regularization.dropout", 0),
        ("regularization.dropout", None),
        ("regularization.dropout", 0.999),
        ("regularization.augmentation", 0),
        ("regularization.augmentation", 3),
        ("regularization.label_smoothing", 0),
        ("regularization.weight_decay", 0),
        ("regularization.gradient_clip", 1),
        ("regularization.ema", 0.9999),
        ("regularization.freeze_encoder", True),
        ("regularization.freeze_encoder", 1),
        ("regularization.early_stopping", 1),
        ("data.bands", ["blue"]),
        ("data.bands", ["blue", "red"]),
    ],
)
def test_the_ends_of_every_range_are_accepted(key: str, value: Any, run: DictConfig) -> None:
    OmegaConf.update(run, key, value)
    check(run)


@pytest.mark.parametrize("metric", sorted(POLARITY))
def test_a_metric_is_only_driven_to_where_it_is_better(metric: str, run: DictConfig) -> None:
    # Given: a loss is better when it is small, a share of right pixels when it is large
    right, wrong = ("minimize", "maximize") if metric.endswith(("loss", "alarm")) else ("maximize", "minimize")
    run.objective.metric = metric
    # When, then
    run.objective.direction = right
    check(run)
    run.objective.direction = wrong
    message = refusal(run)
    assert f"objective.direction={wrong}" in message
    assert f"{right} it" in message


@pytest.mark.parametrize(("key", "seed"), [("seed", -1), ("seed", 2**32), ("data.split.seed", -1)])
def test_a_seed_that_no_generator_takes_is_refused(key: str, seed: int, run: DictConfig) -> None:
    OmegaConf.update(run, key, seed)
    assert refusal(run).startswith(f"{key}={seed}")


def test_a_folder_of_your_own_is_asked_for_by_name() -> None:
    message = refusal(compose_run("data=folder"))
    assert message.startswith("data.root: not given. Type data.root=PATH")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.split.by=county"], "data.split.by=county: must be one of tile, group, folder"),
        (["data.split.by=folder"], "data.split.by=folder: the Bijie layout has no folders of parts"),
        (["data.split.csv=a.csv", "data.split.hold_out=js"], "data.split.csv=a.csv data.split.hold_out=js: give one"),
        (["data.split.csv=a.csv", "data.split.by=group"], "data.split.by=group: data.split.csv and"),
        (["data.split.hold_out=js", "data.split.test=5"], "data.split.test=5: data.split.hold_out leaves no tile"),
        (["data.negatives.train=some"], "data.negatives.train=some: must be none, all, or a number above 0"),
        (["data.negatives.val=-1"], "data.negatives.val=-1: must be none, all, or a number above 0"),
        (["data.negatives.val=nan"], "data.negatives.val=nan: must be none, all, or a number above 0"),
        (
            ["data=folder", "data.root=a", "data.negatives.val=all"],
            "data.negatives.val=all: must be none: only the Bijie",
        ),
        (
            ["data.channels=[red,green,nir]"],
            "data.channels=['red', 'green', 'nir']: images of the Bijie layout have red",
        ),
        (["data=folder", "data.root=a", "data.channels=[a,a]"], "data.channels=['a', 'a']: name at least one band"),
        (["data=folder", "data.root=a", "data.bands=[red,dem]"], "data.bands: 'dem' is not one of red, green, blue"),
    ],
)
def test_a_choice_of_tiles_that_does_not_fit_together_is_refused(overrides: list[str], said: str) -> None:
    message = refusal(compose_run(*overrides))
    assert message.startswith(said)
    assert "\n" not in message


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.bands=[red,green,blue,dem]"],
        ["data.negatives.train=0.5", "data.negatives.val=all"],
        ["data.split.hold_out=js"],
        ["data.split.by=group", "data.split.hold_out=js"],
        ["data.split.csv=a.csv"],
        ["data=landslide4sense", "data.bands=[red,nir,slope]"],
        ["data=folder", "data.root=a", "data.channels=[grey]"],
    ],
)
def test_a_choice_of_tiles_is_one_or_two_words(overrides: list[str]) -> None:
    check(compose_run(*overrides))


def test_a_layout_that_nobody_reads_is_refused(run: DictConfig) -> None:
    run.data.layout = "geotiff"
    message = refusal(run)
    assert message.startswith("data.layout=geotiff")
    assert "bijie" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encoder.mean", [0.5]),
        ("encoder.std", [0.2, 0.2]),
        ("encoder.std", [0.2, 0.0, 0.2]),
        ("encoder.mean", [0.5, NAN, 0.5]),
    ],
)
def test_pixel_statistics_that_do_not_fit_the_bands_are_refused(key: str, value: list[float], run: DictConfig) -> None:
    OmegaConf.update(run, key, value)
    assert refusal(run).startswith(f"{key}={value}")


def test_an_optimizer_without_a_learning_rate_is_refused() -> None:
    assert refusal(compose_run("~optimizer.lr", "scheduler=none")).startswith("optimizer.lr")


def test_a_value_that_has_to_be_given_is_asked_for_by_name(run: DictConfig) -> None:
    run.data.image_size = "???"
    assert refusal(run).startswith("data.image_size: has no value (Missing mandatory value")


# ------------------------------------------------------------------------------------------------------------ params
def test_params_are_flat_dotted_text(run: DictConfig) -> None:
    # When
    params = flat_params(compose_run("arch=fpn", "trainer.threads=2", "optimizer.lr=0.0005"))
    # Then
    expected = {
        "arch.name": "fpn",
        "encoder.weights": "None",
        "data.bands": "['red', 'green', 'blue']",
        "data.split.train": "320",
        "optimizer.lr": "0.0005",
        "scheduler.max_lr": "0.0005",  # an interpolation is stored as what it stands for
        "trainer.threads": "2",
        "objective.metric": "val/f1",
        "seed": "0",
        "ckpt_path": "None",
    }
    assert expected.items() <= params.items()
    assert all(isinstance(value, str) for value in params.values())
    assert not any("${" in value or value == "???" for value in params.values())


def test_how_a_sweep_was_made_is_no_param_of_a_run(run: DictConfig) -> None:
    assert run.sweep.n_trials is None
    assert not any(key.startswith("sweep") for key in flat_params(run))


def test_params_hold_every_leaf_of_the_config_once(run: DictConfig) -> None:
    del run.sweep
    leaves = [line for line in OmegaConf.to_yaml(run, resolve=True).splitlines() if re.search(r":\s+\S", line)]
    lists = [
        line for line in OmegaConf.to_yaml(run, resolve=True).splitlines() if line.strip() in ("bands:", "channels:")
    ]
    assert len(flat_params(run)) == len(leaves) + len(lists)


def test_the_nearest_name_is_offered_only_where_one_is_near() -> None:
    assert nearest("unett", ["unet", "fpn"]) == " Did you mean 'unet'?"
    assert nearest("zzzzzz", ["unet", "fpn"]) == ""


def test_every_file_says_the_command_that_uses_it() -> None:
    for path in sorted(CONF.rglob("*.yaml")):
        if "hydra" in path.relative_to(CONF).parts:
            continue
        comments = "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))
        assert "python train.py" in comments, path
