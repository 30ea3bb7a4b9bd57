"""One run, from a composed config to a result in MLflow."""

from __future__ import annotations

import logging
import math
import shutil
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import EarlyStopping
from rich.console import Console
from rich.markup import escape

from landslide import config
from landslide.data.datamodule import TileDataModule
from landslide.errors import ConfigError
from landslide.losses import SmoothedTargets
from landslide.models.cost import forward_gflops, parameter_count
from landslide.models.segmenter import (
    Segmenter,
    build_segmenter,
    pixel_statistics,
    require_fitting_size,
    require_trainable,
)
from landslide.terminal import open_console, tell
from landslide.tracking.model import MODEL, export_model
from landslide.tracking.provenance import differences, environment
from landslide.tracking.run import TrackedRun, create_run, open_run, require_run
from landslide.tracking.spool import discard_unsent
from landslide.tracking.store import Store, open_store, reopen_store
from landslide.training import hardware as hw
from landslide.training import memory
from landslide.training.checkpoint import (
    BEST,
    CHECKPOINTS,
    LAST,
    Checkpoint,
    EpochSeed,
    Saved,
    WholeCheckpointIO,
    alone_in,
    newest_checkpoint,
    open_checkpoint,
    require_same,
)
from landslide.training.disk import require_disk
from landslide.training.history import History
from landslide.training.module import SegmentationModule
from landslide.training.progress import ProgressDisplay
from landslide.training.pruning import Judge, Pruning
from landslide.training.record import record
from landslide.training.result import RESULT, RUN, RunResult, write_json, write_result

MAY_DIFFER = (
    "ckpt_path",
    "tracking",
    "data.root",
    "data.cache_dir",
    "data.generate",
    "trainer",
    "scheduler.max_epochs",
)
"""What may change when a run is continued: places, and what is compared as it turned out (see :func:`_identity`)."""

ANY_LENGTH = ("constant", "plateau")
"""Schedulers by which an epoch's learning rate does not depend on how many follow."""

KNOWN_WARNINGS = (
    ".*does not have many workers.*",  # whole batches are gathered from memory, workers would only copy them
    ".*GPU available but not used.*",  # trainer.accelerator=cpu
    ".*LeafSpec.*",  # Lightning 2.6 with torch 2.14
    ".*exists and is not empty.*",  # the folder of a run that is continued
    ".*srun. command is available.*",  # a run reaches Slurm by a launcher of Hydra, or is not meant to
)


@dataclass(frozen=True)
class Parts:
    """What a run is made of, built and fitting together, before anything is written."""

    cfg: DictConfig
    store: Store
    hardware: hw.Hardware
    data: TileDataModule
    segmenter: Segmenter
    spec: dict[str, Any]
    """Rebuilds the segmenter without encoder weights."""
    identity: dict[str, str]
    """What makes it this run and no other, see :func:`_identity`."""
    saved: Saved | None
    """The checkpoint that it goes on from."""
    recorded: dict[str, Any] | None
    """What ``run.json`` beside that checkpoint says, where the same MLflow run goes on."""


def run(cfg: DictConfig, folder: Path, tags: Mapping[str, str] | None = None, judge: Judge | None = None) -> RunResult:
    """Train, validate and record one model, or go on with one that was interrupted.

    Everything that can be wrong with data, weights or store is found before the MLflow run begins.

    Args:
        cfg: a composed :class:`~landslide.config.RunConfig`.
        folder: the run's own, for checkpoints; with ``ckpt_path`` it is that checkpoint's, whatever is given.
        tags: further ones of a new MLflow run.
        judge: asked after every epoch whether the run is worth going on with; see :mod:`landslide.training.pruning`.

    Raises:
        UserError: for what the user can mend.
        TrainingDiverged: for a loss that is no number.
        OutOfMemory: for a batch that does not fit.
        KeyboardInterrupt: after Ctrl-C; the run is KILLED and its last checkpoint stays.
    """
    console = open_console()
    parts = prepare(cfg)
    folder = run_folder(cfg, folder)
    with alone_in(folder):
        _announce(console, parts, folder)
        run_id = _begin(parts, folder, tags or {})
        with open_run(parts.store, run_id, folder, partial(tell, console)) as tracked:
            model_costs = _model_costs(parts)
            _describe(tracked, parts, model_costs)
            history, pruned = fit(parts, folder, console, tracked, judge)
            record(
                tracked,
                history,
                parts.data,
                panel_tiles=cfg.tracking.panel_tiles,
                store_probability=cfg.tracking.store_probability,
            )
            if pruned is not None:
                tracked.set_tags({"landslide.pruned": pruned})
            _keep_model(tracked, parts, folder)
            assert history.best is not None and history.last is not None
            score = dict(history.series[cfg.objective.metric])[history.best.epoch]
            costs = {"time/fit_s": history.last.seconds, "memory/peak_mb": history.peak_mb, **model_costs}
            series = [(epoch, value) for epoch, value in history.series[cfg.objective.metric] if not math.isnan(value)]
            result = RunResult(
                score, cfg.objective.metric, history.best.epoch, run_id, str(folder), costs, series, pruned
            )
            write_result(folder, result)
            _remove_checkpoints(cfg, folder)  # only now: a run that is killed before goes on from them
    return result


def run_folder(cfg: DictConfig, folder: Path) -> Path:
    """Where a run writes: a continued one goes on where it was."""
    return folder if cfg.ckpt_path is None else Path(cfg.ckpt_path).absolute().parent.parent


def run_name(cfg: DictConfig) -> str:
    """What a plain run is called in MLflow, such as ``unet-resnet18``."""
    return f"{cfg.arch.name}-{cfg.encoder.name}"


def _open_store(cfg: DictConfig) -> Store:
    """A run that a sweep has made in it does not fail for a store that is away."""
    if cfg.tracking.run_id is None:
        return open_store(cfg.tracking.uri)
    return reopen_store(cfg.tracking.uri, partial(tell, open_console()))


def prepare(cfg: DictConfig) -> Parts:
    """Check the config and build everything that a run needs; writes nothing but the tile cache.

    Raises:
        UserError: see :mod:`landslide.errors`.
    """
    config.check(cfg)
    _require_recipe(cfg)
    saved = None if cfg.ckpt_path is None else _newest(Path(cfg.ckpt_path))
    store = _open_store(cfg)
    hardware = hw.choose_hardware(cfg.trainer)
    hw.apply(hardware, deterministic=cfg.trainer.deterministic)
    _require_unscaled_gradients(cfg, hardware)
    memory.reset_peak()
    data = TileDataModule(cfg.data, augmentation=cfg.regularization.augmentation, seed=cfg.seed)
    pl.seed_everything(cfg.seed, verbose=False)
    require_empty_tiles(cfg, data)
    mean, std = pixel_statistics(cfg.encoder, data.bands, data.cache.scale, data.band_statistics)
    spec = {
        "arch": OmegaConf.to_container(cfg.arch, resolve=True),
        "encoder_name": cfg.encoder.name,
        "bands": list(cfg.data.bands),
        "mean": mean,
        "std": std,
        "dropout": cfg.regularization.dropout,
    }
    segmenter = build_segmenter(encoder_weights=cfg.encoder.weights, **spec)
    require_fitting_size(segmenter.net, cfg.data.image_size)
    require_trainable(segmenter.net, len(cfg.data.bands), cfg.data.image_size, cfg.data.batch_size)
    if cfg.trainer.deterministic:
        hw.require_deterministic(hardware, segmenter, _build_loss(cfg), len(cfg.data.bands), cfg.data.image_size)
    identity = _identity(cfg, data, hardware)
    recorded = None if saved is None else _require_continuable(cfg, saved, identity, store)
    spec |= {"dtype": data.cache.image.dtype.name}
    return Parts(cfg, store, hardware, data, segmenter, spec, identity, saved, recorded)


def require_empty_tiles(cfg: DictConfig, data: TileDataModule) -> None:
    """Refuse an objective that is counted on tiles without landslides where validation has none.

    Raises:
        ConfigError: with the cure.
    """
    if cfg.objective.metric != "val/false_alarm":
        return
    if data.cache.mask[data.split.val].any((1, 2)).all():
        raise ConfigError(
            "objective.metric=val/false_alarm: every validation tile holds a landslide, so no epoch has this number. "
            "Add non-landslide tiles, in the Bijie layout with data.negatives.val=all"
        )


def _newest(asked: Path) -> Saved:
    """What ``ckpt_path`` stands for: the newest checkpoint of its folder, which after a kill may be the best one."""
    open_checkpoint(asked)
    newest = newest_checkpoint(asked.absolute().parent.parent)
    return open_checkpoint(newest or asked)


def _identity(cfg: DictConfig, data: TileDataModule, hardware: hw.Hardware) -> dict[str, str]:
    """What two parts of one run must have in common: params, and what data and hardware came down to."""
    params = config.flat_params(cfg)
    named = {
        key: value
        for key, value in params.items()
        if not any(key == may or key.startswith(f"{may}.") for may in MAY_DIFFER)
    }
    return named | {
        "trainer.max_epochs": params["trainer.max_epochs"],
        "trainer.precision": hardware.precision,
        "trainer.memory_format": "channels_last" if hardware.channels_last else "contiguous",
        "trainer.deterministic": params["trainer.deterministic"],
        "data digest": data.cache.digest,
        "split digest": data.split.describe(data.cache.tile_id)["digest"],
    }


def _require_continuable(
    cfg: DictConfig, saved: Saved, identity: Mapping[str, str], store: Store
) -> dict[str, Any] | None:
    """What ``run.json`` says, None where there is none: then a new MLflow run gets the whole series."""
    rest = {key: value for key, value in identity.items() if key != "trainer.max_epochs"}
    any_length = str(cfg.scheduler.get("_target_")).rpartition(".")[2] in ANY_LENGTH
    require_same(saved, rest, max_epochs=cfg.trainer.max_epochs, any_length=any_length)
    recorded = saved.read_run()
    if recorded is not None:
        given = cfg.tracking.run_id or recorded["run_id"]
        if given != recorded["run_id"]:
            raise ConfigError(f"tracking.run_id={given}: {saved.run_file} says {recorded['run_id']}.")
        require_run(
            store,
            given,
            f"ckpt_path={cfg.ckpt_path}",
            f"It was in {recorded['tracking_uri']}: name that store, tracking.uri=..., or delete {saved.run_file} to "
            "go on as a new run, which gets every epoch.",
        )
    return recorded


def _begin(parts: Parts, folder: Path, tags: Mapping[str, str]) -> str:
    """The MLflow run, old or new, and the file that says which."""
    if parts.recorded is not None:
        (folder / RESULT).unlink(missing_ok=True)  # it is not finished any more
        return str(parts.recorded["run_id"])
    discard_unsent(folder)  # of an MLflow run that was given up by deleting run.json; this one gets every epoch
    tracking = parts.cfg.tracking
    tags = {"landslide.kind": "run", **tags}
    run_id = tracking.run_id or create_run(parts.store, tracking.experiment, run_name(parts.cfg), tags)
    facts = {
        "run_id": run_id,
        "tracking_uri": config.without_credentials(parts.store.uri),
        "environment": environment(parts.hardware.device),
    }
    write_json(folder / RUN, facts)
    return str(run_id)


def fit(
    parts: Parts, folder: Path, console: Console, tracked: TrackedRun, judge: Judge | None = None
) -> tuple[History, str | None]:
    """Train to the last epoch, or until early stopping or the judge ends it.

    Returns:
        What every epoch measured, and what the judge said; the best weights lie in ``folder/checkpoints/best.ckpt``.
    """
    cfg = parts.cfg
    best = Checkpoint(folder, BEST, parts.identity, cfg.objective.metric, cfg.objective.direction)
    last = Checkpoint(folder, LAST, parts.identity)
    history = History(best, tracked.log_metrics)
    progress = ProgressDisplay(console, history, cfg.objective.metric)
    pruning = [] if judge is None else [Pruning(judge, history, cfg.objective.metric)]
    try:
        with quiet():
            callbacks = [EpochSeed(cfg.seed), history, progress, *early_stopping(cfg), best, last, *pruning]
            trainer = build_trainer(parts, callbacks, folder)
            start = parts.saved.path if parts.saved else None
            with memory.require_memory(cfg, parts.hardware.device):
                trainer.fit(build_module(parts), datamodule=parts.data, ckpt_path=start, weights_only=True)
    except SystemExit as error:  # what Lightning makes of Ctrl-C, with SIGINT ignored from there on
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from error
    assert history.last is not None
    reason = next((callback.reason for callback in pruning), None)
    if reason is not None:
        tell(console, f"pruned: {reason}")
    elif history.last.epoch < cfg.trainer.max_epochs:
        waited = f"{cfg.objective.metric} has not improved for {cfg.regularization.early_stopping} epochs"
        console.print(f"ended after epoch {history.last.epoch}: {waited}")
    return history, reason


def build_module(parts: Parts) -> SegmentationModule:
    """The Lightning module of a run."""
    cfg = parts.cfg
    frozen = cfg.regularization.freeze_encoder
    return SegmentationModule(
        parts.segmenter,
        loss=_build_loss(cfg),
        make_optimizer=instantiate(cfg.optimizer, _partial_=True),
        make_scheduler=partial(_make_scheduler, cfg.scheduler),
        objective=cfg.objective.metric,
        weight_decay=cfg.regularization.weight_decay,
        gradient_clip=cfg.regularization.gradient_clip,
        frozen_epochs=math.inf if frozen is True else frozen,
        ema_decay=cfg.regularization.ema,
        val_tiles=len(parts.data.val_tiles),
        image_size=cfg.data.image_size,
        channels_last=parts.hardware.channels_last,
    )


def _build_loss(cfg: DictConfig) -> SmoothedTargets:
    return SmoothedTargets(instantiate(cfg.loss), cfg.regularization.label_smoothing)


def early_stopping(cfg: DictConfig) -> list[EarlyStopping]:
    """Ends training where the objective has not improved for so many epochs; none where that is not asked for."""
    patience = cfg.regularization.early_stopping
    if patience is None:
        return []
    # an objective that is undefined in an epoch, such as precision where nothing is predicted, is no improvement
    mode = cfg.objective.direction.removesuffix("imize")
    return [EarlyStopping(cfg.objective.metric, patience=patience, mode=mode, check_finite=False)]


def build_trainer(parts: Parts, callbacks: list[pl.Callback], folder: Path, **limits: int) -> pl.Trainer:
    """Lightning's trainer, without what this package does itself (logging, bars, summaries).

    Args:
        parts: of the run.
        callbacks: all of them.
        folder: that Lightning may write to.
        limits: for a shorter training than the config's: ``max_epochs``, ``limit_train_batches``, ...
    """
    return pl.Trainer(
        accelerator=parts.hardware.accelerator,
        devices=1,
        precision=hw.LIGHTNING_PRECISION[parts.hardware.precision],  # type: ignore[arg-type]
        logger=False,
        callbacks=callbacks,
        plugins=[WholeCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic=parts.cfg.trainer.deterministic,
        default_root_dir=folder,
        **{"max_epochs": parts.cfg.trainer.max_epochs, **limits},
    )


def _require_recipe(cfg: DictConfig) -> None:
    """Build loss, optimizer and scheduler once, on one number, so that a wrong argument is told before training."""
    with _named("loss"):
        _build_loss(cfg)
    with _named("optimizer"):
        optimizer = instantiate(cfg.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    with _named("scheduler"):
        _make_scheduler(cfg.scheduler, optimizer, 10)


@contextmanager
def _named(group: str) -> Iterator[None]:
    try:
        yield
    except InstantiationException as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        told = str(error.__cause__ or "").strip() or str(error)  # an assertion may say nothing
        reason = told.splitlines()[0].rstrip(".:")
        raise ConfigError(f"{group}: {reason}. See what is composed: --cfg job") from error


def _require_unscaled_gradients(cfg: DictConfig, hardware: hw.Hardware) -> None:
    if cfg.regularization.gradient_clip is not None and hardware.precision == "16" and cfg.optimizer.get("fused"):
        raise ConfigError(
            "optimizer.fused=true: in trainer.precision=16 a fused optimizer scales gradients back after they would be "
            "clipped. Give optimizer.fused=false, trainer.precision=bf16 or regularization.gradient_clip=null."
        )


def _make_scheduler(cfg: DictConfig, optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
    return instantiate(cfg, optimizer, total_steps=total_steps)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning tells newcomers, and what is decided on purpose here."""
    for name in ("pytorch_lightning", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield


def _announce(console: Console, parts: Parts, folder: Path) -> None:
    cfg = parts.cfg
    console.print(
        f"[bold]{cfg.arch.name}[/bold] with {cfg.encoder.name} ({escape(cfg.encoder.weights or 'from nothing')}), "
        f"{len(parts.data.train_tiles)} + {len(parts.data.val_tiles)} tiles of {cfg.data.image_size} px, "
        f"batch {cfg.data.batch_size}, {cfg.trainer.max_epochs} epochs\n"
        f"{parts.hardware}",
    )
    if parts.saved is not None:
        _announce_continuation(console, parts, parts.saved)
    if cfg.tracking.run_id is None:  # a sweep has told it for all its runs
        console.print(require_disk([cfg], folder))


def _announce_continuation(console: Console, parts: Parts, saved: Saved) -> None:
    tell(console, f"continues after epoch {saved.epochs}, in {saved.folder}")
    if parts.recorded is not None:
        for found in differences(parts.recorded["environment"], environment(parts.hardware.device)):
            console.print(f"[bold]not as before:[/bold] {escape(str(found))}", soft_wrap=True)


def _model_costs(parts: Parts) -> dict[str, float]:
    gflops = forward_gflops(parts.segmenter, len(parts.cfg.data.bands), parts.cfg.data.image_size)
    return {"model/parameters": parameter_count(parts.segmenter), "model/gflops": gflops}


def _describe(run: TrackedRun, parts: Parts, model_costs: Mapping[str, float]) -> None:
    """Say what made the run; of one that goes on this is known, and params can't change."""
    cfg, data = parts.cfg, parts.data
    whole = cfg.copy()
    whole.ckpt_path = None  # every epoch is of this config, wherever it was interrupted
    run.log_text(config.without_credentials(OmegaConf.to_yaml(whole, resolve=True)), "config.yaml")
    if parts.recorded is not None and parts.saved is not None:
        run.go_on(parts.saved.epochs)
        return
    split = data.split.describe(data.cache.tile_id)
    run.log_params(config.flat_params(whole))
    run.log_json(split, "split.json")
    run.log_json(environment(parts.hardware.device), "environment.json")
    run.set_tags(
        {
            "landslide.device": parts.hardware.device,
            "landslide.precision": parts.hardware.precision,
            "landslide.data_digest": data.cache.digest,
            "landslide.split_digest": split["digest"],
        }
    )
    profile = {
        "tiles": len(data.cache),
        "train": len(data.train_tiles),
        "val": len(data.val_tiles),
        "test": len(data.split.test),
    }
    run.log_dataset(cfg.data.name, data.cache.digest, cfg.data.root, profile)
    run.log_constants(model_costs)


def _keep_model(run: TrackedRun, parts: Parts, folder: Path) -> None:
    """Turn the best checkpoint into a model without an optimizer; a sweep's finalists are logged by the sweep."""
    keep = parts.cfg.tracking.keep_models
    best = folder / CHECKPOINTS / BEST
    if keep != "none" and best.is_file():  # else a finished run was prolonged and found none better than what it has
        state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
        prefix = "segmenter." if parts.cfg.regularization.ema is None else "averaged.module."  # what was validated
        weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        export_model(folder / MODEL, weights, parts.spec)
        if keep == "all" or parts.cfg.tracking.run_id is None:
            run.log_model()


def _remove_checkpoints(cfg: DictConfig, folder: Path) -> None:
    if cfg.tracking.keep_models == "none":
        shutil.rmtree(folder / CHECKPOINTS)
    else:
        (folder / CHECKPOINTS / BEST).unlink(missing_ok=True)
