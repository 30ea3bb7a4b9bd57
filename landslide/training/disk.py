"""How much disk runs will take, told and checked before the first one trains."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from landslide.data.layouts import list_tiles
from landslide.data.splits import divide
from landslide.errors import ConfigError, TrackingError
from landslide.models.cost import parameter_count
from landslide.models.segmenter import build_segmenter

BYTES = 4
CHECKPOINT = 3
"""Weights and two moments of the optimizer, in units of the weights."""
WHILE_TRAINING = 3 * CHECKPOINT
"""The best, the last, and the next one while it is written."""
KEPT = CHECKPOINT + 1
"""The last checkpoint, to train on, and the model in MLflow."""
BYTES_A_PIXEL = 3
"""Of validation tiles in MLflow at most: the maps of two epochs before compression, and a picture."""


def weights_mb(cfg: DictConfig) -> float:
    """Size of a run's weights, from a network without memory behind it where its encoder can be built so."""
    build = partial(
        build_segmenter,
        arch=OmegaConf.to_container(cfg.arch, resolve=True),  # type: ignore[arg-type]
        encoder_name=cfg.encoder.name,
        encoder_weights=None,
        bands=list(cfg.data.bands),
        mean=[0.5] * len(cfg.data.bands),
        std=[0.5] * len(cfg.data.bands),
    )
    try:
        with torch.device("meta"):
            network = build()
    except ConfigError:  # MiT, for one, reads numbers from tensors while it is built
        network = build()
    return parameter_count(network) * BYTES / 1e6


def validation_mb(cfg: DictConfig) -> float:
    """Probability maps and pictures of the validation tiles that a run stores in MLflow, at most.

    Raises:
        DataError: where the dataset is missing, or cannot be divided.
    """
    if not cfg.tracking.store_probability:
        return 0.0
    tiles = len(divide(list_tiles(cfg.data), cfg.data.split, cfg.data.negatives).val)
    return float(tiles * cfg.data.image_size**2 * BYTES_A_PIXEL / 1e6)


def require_disk(configs: Sequence[DictConfig], folder: Path, *, again: int = 0) -> str:
    """Estimate what these runs write, one after the other.

    Args:
        configs: at least one; all with the same ``tracking.keep_models``.
        folder: where checkpoints go; it need not be there yet.
        again: how often the best setting of each architecture is trained with further seeds.

    Returns:
        A sentence for people.

    Raises:
        TrackingError: where the disk is too small for it.
        DataError: see :func:`validation_mb`.
    """
    sizes = {cfg.arch.name + cfg.encoder.name: 0.0 for cfg in configs}
    each = []
    for cfg in configs:
        key = cfg.arch.name + cfg.encoder.name
        sizes[key] = sizes[key] or weights_mb(cfg)
        averaged = 1 if cfg.regularization.ema is None else (CHECKPOINT + 1) / CHECKPOINT  # the average lies beside
        each.append((cfg.arch.name, sizes[key] * averaged))
    keep = configs[0].tracking.keep_models
    if keep == "finalists":
        largest = {arch: max(size for name, size in each if name == arch) for arch, _ in each}
        kept = (KEPT + again) * sum(largest.values())  # of those with further seeds the models alone
    else:
        kept = KEPT * sum(size for _, size in each) if keep == "all" else 0.0
    maps = max(map(validation_mb, configs))
    most = kept + maps + WHILE_TRAINING * max(size for _, size in each)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free / 1e6
    if most > free:
        raise TrackingError(
            f"{folder}: {free:.0f} MB are free, up to {most:.0f} MB are needed for checkpoints and models, and "
            "for probability maps. Free some, or keep less: tracking.keep_models=none tracking.store_probability=false"
        )
    each_run = f", up to {maps:.0f} MB of maps in MLflow a run" if maps else ""
    return f"disk: up to {most:.0f} MB while training, {kept:.0f} MB kept{each_run}, {free / 1e3:.0f} GB free"
