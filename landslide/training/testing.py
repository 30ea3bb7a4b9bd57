"""A finished run on its test part: tiles that nothing before has read, predicted once with the best epoch's weights.

Everything that can be wrong is found by :func:`read_trained`, so that no look is counted for a mistake.
"""

from __future__ import annotations

import math
import time
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mlflow.entities import LoggedModel, Metric, Run
from mlflow.utils.time import get_current_time_millis
from omegaconf import DictConfig, OmegaConf

from landslide.data.datamodule import CachedTiles, TileDataModule
from landslide.errors import CustodyError, DataError
from landslide.metrics import false_alarm, ratios
from landslide.tracking.looks import SCORED, Look, locked_tiles
from landslide.tracking.model import find_model, load_model
from landslide.tracking.store import Store
from landslide.training import hardware as hw
from landslide.training.histograms import TileHistograms, probability_bin
from landslide.training.history import Validation
from landslide.training.record import write_measured
from landslide.training.rerun import plan, read_recorded

LEAST_TILES = 2
"""Of a test part: with one there is no spread over tiles."""

AUTOCAST = {"bf16": torch.bfloat16, "16": torch.float16}


@dataclass(frozen=True)
class Trained:
    """A finished run that can be scored on its test part."""

    run: Run
    cfg: DictConfig
    data: TileDataModule
    model: LoggedModel
    hardware: hw.Hardware
    """That of this machine, whatever it was trained on."""

    @property
    def note(self) -> str:
        """What is not as in its validation, in a sentence; else empty."""
        before, now = self.run.data.tags.get("landslide.precision"), self.hardware.precision
        return "" if before == now else f"{_named(self.run)}: validated in precision {before}, scored in {now}."


def read_trained(store: Store, run: Run, root: str | None, opened: MutableMapping[str, TileDataModule]) -> Trained:
    """Open the data of a run, and find its model.

    Args:
        store: of the run.
        run: finished.
        root: where its data lies now; None is where it lay.
        opened: data of other runs, to which its own is added: digesting a large dataset takes its time.

    Raises:
        ConfigError: for a precision that this hardware cannot do.
        CustodyError: where it has no test part, or no model is left of it.
        DataError: where the data is gone, or is not what it was trained on.
        TrackingError: where its config or split cannot be read.
    """
    _require_test_part(store, run)
    cfg = plan(read_recorded(store, run), [], store.uri)
    if root is not None:
        cfg.data.root = root
    model = find_model(store, run)
    if model is None:
        raise CustodyError(f"{_named(run)}: {_why_no_model(cfg)}")
    data = _open(cfg, opened)
    _require_same_data(run, cfg, data)
    cfg.trainer.accelerator = "auto"
    return Trained(run, cfg, data, model, hw.choose_hardware(cfg.trainer))


def _named(run: Run) -> str:
    return f"run {run.info.run_id} ({run.info.run_name})"


def _require_test_part(store: Store, run: Run) -> None:
    tiles = len(locked_tiles(store, run))
    if tiles == 0:
        raise CustodyError(
            f"{_named(run)}: has no test part. Train with one, such as data.split.test=0.1; its tiles are then kept "
            "from training and from every choice."
        )
    if tiles < LEAST_TILES:
        raise CustodyError(f"{_named(run)}: its test part has one tile, which says nothing about others.")


def _why_no_model(cfg: DictConfig) -> str:
    keep = cfg.tracking.keep_models
    if keep == "none":
        return "trained with tracking.keep_models=none, so its weights are gone. Train it again with finalists or all."
    if keep == "finalists":
        return (
            "no model is left of it. tracking.keep_models=finalists keeps those of the best setting alone; all keeps "
            "every one. One that was not sent yet is sent by landslide sync."
        )
    return "no model is left of it. One that was not sent yet is sent by landslide sync; else train it again."


def _open(cfg: DictConfig, opened: MutableMapping[str, TileDataModule]) -> TileDataModule:
    tiles = OmegaConf.masked_copy(cfg.data, [str(key) for key in cfg.data if key != "batch_size"])
    key = OmegaConf.to_yaml(tiles, resolve=True)
    if key not in opened:
        opened[key] = TileDataModule(cfg.data, augmentation=0.0, seed=cfg.seed)
    return opened[key]


def _require_same_data(run: Run, cfg: DictConfig, data: TileDataModule) -> None:
    now = {"data": data.cache.digest, "split": data.split.describe(data.cache.tile_id)["digest"]}
    cure = {
        "data": f"data.root={cfg.data.root}: does not hold the images and masks that it was trained on",
        "split": f"data.root={cfg.data.root}: is not divided as it was when it was trained",
    }
    for part, digest in now.items():
        before = run.data.tags.get(f"landslide.{part}_digest", "-")
        if digest != before:
            raise DataError(
                f"{_named(run)}: {cure[part]} (digest {digest[:8]}, was {before[:8]}). Put back what was there, or say "
                "where it lies: --data-root PATH"
            )


def predict(store: Store, trained: Trained, rows: Sequence[int]) -> Validation:
    """Predict tiles as validation did: same precision where the hardware has it, same batches, no augmentation.

    Args:
        store: of the run.
        trained: the run.
        rows: of its data, at least one.

    Raises:
        WeightsError: for a model that cannot be read.
    """
    start = time.perf_counter()
    cfg, tiles = trained.cfg, CachedTiles(trained.data.cache, list(rows))
    hardware = trained.hardware
    hw.apply(hardware, deterministic=cfg.trainer.deterministic)
    device = torch.device("cuda" if hardware.accelerator == "gpu" else hardware.accelerator)
    memory_format = torch.channels_last if hardware.channels_last else torch.contiguous_format
    segmenter = load_model(store, trained.model).to(device).to(memory_format=memory_format)
    histograms = TileHistograms(len(tiles)).to(device)
    probability = torch.zeros(len(tiles), cfg.data.image_size, cfg.data.image_size, dtype=torch.uint8)
    autocast = torch.autocast(device.type, AUTOCAST.get(hardware.precision), enabled=hardware.precision in AUTOCAST)
    with torch.inference_mode(), autocast:
        for begin in range(0, len(tiles), cfg.data.batch_size):
            batch = tiles[list(range(begin, min(begin + cfg.data.batch_size, len(tiles))))]
            image = batch["image"].to(device).contiguous(memory_format=memory_format)  # (N, C, H, W)
            bins = probability_bin(torch.sigmoid(segmenter(image).float())).squeeze(1)  # (N, H, W)
            histograms.update(bins, batch["mask"].to(device), batch["position"].to(device))
            probability[batch["position"]] = bins.cpu()
    return Validation(
        epoch=int(trained.run.data.metrics["best/epoch"]),
        histograms=histograms.compute().cpu().numpy(),
        probability=probability.numpy(),
        seconds=time.perf_counter() - start,
    )


def record_scores(store: Store, trained: Trained, scores: Validation, look: Look, looks: int) -> None:
    """Log what was measured on the test part: ``test/best.npz``, ``test/f1`` and others; last, that it is all.

    Args:
        store: of the run.
        trained: the run.
        scores: of its test part.
        look: for which it was scored.
        looks: how many there have been with this run; the step of the metrics.
    """
    run_id, client = trained.run.info.run_id, store.client
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "best.npz"
        keep = trained.cfg.tracking.store_probability
        write_measured(path, scores, trained.data, trained.data.split.test, store_probability=keep)
        client.log_artifact(run_id, str(path), "test")
    found = {**ratios(scores.counts.sum(0)), "false_alarm": false_alarm(scores.counts)}
    now = get_current_time_millis()
    there = [Metric(f"test/{key}", value, now, looks) for key, value in found.items() if not math.isnan(value)]
    client.log_batch(run_id, metrics=there)
    client.set_tag(run_id, SCORED, look.time)
