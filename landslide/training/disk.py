"""How much disk runs will take, told and checked before the first one trains."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

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
    most = kept + WHILE_TRAINING * max(size for _, size in each)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free / 1e6
    if most > free:
        raise TrackingError(
            f"{folder}: {free:.0f} MB are free, up to {most:.0f} MB are needed for checkpoints and models. Free some, "
            "or keep fewer models: tracking.keep_models=none"
        )
    return f"disk: up to {most:.0f} MB while training, {kept:.0f} MB kept, {free / 1e3:.0f} GB free"
