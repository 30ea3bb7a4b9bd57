"""What a run leaves to be continued from: whole checkpoints, and whose they are.

    FOLDER/run.json                  the MLflow run, and what it was trained on
    FOLDER/checkpoints/last.ckpt     the last epoch whole: weights, optimizer, scheduler, every epoch so far
    FOLDER/checkpoints/best.ckpt     likewise of the best epoch

They are written in this order: MLflow run, ``run.json``, ``best.ckpt``, ``last.ckpt``, the epoch's point in MLflow,
``result.json``, end of the MLflow run. So MLflow never has an epoch that no checkpoint has, and whatever moment a run
is killed at, :func:`newest_checkpoint` continues it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from landslide.errors import ConfigError, storage_error
from landslide.training.result import RESULT, RUN, read_run

CHECKPOINTS, LAST, BEST = "checkpoints", "last.ckpt", "best.ckpt"
IDENTITY = "landslide"
"""Key of a checkpoint under which lies what a continued run must have in common with it."""


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it, so that a kill leaves the one before.

    Lightning's own goes by way of the temporary folder; where that is another disk, its last act is a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``.

        Raises:
            StorageError: for a full disk.
        """
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_name(f"{place.name}.part")
        try:
            with aside.open("wb") as file:  # given a name, torch would not say that the disk is full
                torch.save(checkpoint, file)
            aside.replace(place)
        except (OSError, RuntimeError) as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # torch cannot end the file and says that instead
                raise error.__context__ from None
            told = storage_error(error, place)
            if told is None:
                raise
            raise told from error
        finally:
            aside.unlink(missing_ok=True)  # of a full disk; already renamed when all went well


class Checkpoint(ModelCheckpoint):
    """One epoch, the best or the last, in ``folder/checkpoints``.

    Two of them write the two files: Lightning's ``save_last`` skips every epoch that is not the best.

    Args:
        folder: of the run; when continued it may lie elsewhere than before.
        name: of the file.
        identity: what a run that continues from this file must have in common with this one.
        metric: decides which epoch is the best; None keeps the last.
        direction: ``maximize`` or ``minimize`` it.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        identity: Mapping[str, str],
        metric: str | None = None,
        direction: str = "minimize",
    ) -> None:
        super().__init__(
            dirpath=folder / CHECKPOINTS,
            filename=Path(name).stem,
            monitor=metric,
            mode=direction.removesuffix("imize"),
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        self.identity = dict(identity)
        self._stopped = False

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say whose checkpoint it is, and whether training ended here by itself."""
        checkpoint[IDENTITY] = {"identity": self.identity, "stopped": trainer.should_stop}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remember whether there is anything left to train."""
        self._stopped = checkpoint[IDENTITY]["stopped"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stay stopped: Lightning would train an epoch more."""
        trainer.should_stop = self._stopped

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the best score so far, also where the folder was moved: Lightning would forget it then."""
        folder = Path(str(self.dirpath))

        def here(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        scores = {here(path): score for path, score in state_dict["best_k_models"].items()}
        paths = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        super().load_state_dict({**state_dict, **paths, "best_k_models": scores, "dirpath": self.dirpath})


class EpochSeed(Callback):
    """Seeds torch at the start of every epoch, so that what dropout draws depends on the seed and the epoch alone.

    Order of tiles and augmentation are drawn likewise; no state of a generator has to be kept in a checkpoint.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the generators of CPU and GPU before the first batch, after the loaders have drawn from them."""
        if batch_idx > 0:
            return
        drawn = np.random.SeedSequence([self.seed, trainer.current_epoch]).generate_state(1, np.uint32)
        torch.manual_seed(int(drawn[0]))


@dataclass(frozen=True)
class Saved:
    """A checkpoint to continue from."""

    path: Path
    epochs: int
    """Finished ones."""
    best_epoch: int
    identity: dict[str, str]
    stopped: bool
    """Training had ended by itself, before ``trainer.max_epochs``."""

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.path.parent.parent

    @property
    def run_file(self) -> Path:
        """Names the MLflow run."""
        return self.folder / RUN

    def read_run(self) -> dict[str, Any] | None:
        """What :attr:`run_file` says, None where there is none; raises as :func:`read_run`."""
        return read_run(self.folder)

    @property
    def finished(self) -> bool:
        """The run went to its end, and its best model is in MLflow."""
        return (self.folder / RESULT).is_file()


def open_checkpoint(path: Path) -> Saved:
    """What a checkpoint says of itself; its tensors are mapped, not read.

    Raises:
        ConfigError: where there is none, or none that a run of this package wrote.
    """
    if not path.is_file():
        raise ConfigError(f"ckpt_path={path}: no such file. A run keeps {CHECKPOINTS}/{LAST} in its folder.")
    if path.absolute().parent.name != CHECKPOINTS:
        raise ConfigError(f"ckpt_path={path}: must lie in the folder '{CHECKPOINTS}' of its run, which goes on there.")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        identity, history = stored[IDENTITY], stored["callbacks"]["History"]
        return Saved(
            path.absolute(), len(history["points"]), history["best"]["epoch"], identity["identity"], identity["stopped"]
        )
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"ckpt_path={path}: this is no checkpoint that landslide can continue from ({reason[:200]})."
        ) from error


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that a run in this folder continues from; None where no epoch was finished.

    ``best.ckpt`` is written first, so after a kill between the two it is the newer one.
    """
    there = [path for name in (LAST, BEST) if (path := folder / CHECKPOINTS / name).is_file()]
    return max(there, key=lambda path: open_checkpoint(path).epochs, default=None)


def require_same(saved: Saved, identity: Mapping[str, str], *, max_epochs: int, any_length: bool) -> None:
    """Refuse to continue another run than the one that the checkpoint is of.

    Args:
        saved: the checkpoint.
        identity: of the run that would go on, ``trainer.max_epochs`` left out.
        max_epochs: to which it would go on.
        any_length: the learning rate does not depend on the length of the run.

    Raises:
        ConfigError: naming every value that differs, as it was and as it is.
    """
    place = f"ckpt_path={saved.path}"
    recorded = dict(saved.identity)
    before = int(recorded.pop("trainer.max_epochs"))
    keys = sorted(recorded.keys() | identity.keys())
    differing = [key for key in keys if recorded.get(key) != identity.get(key)]
    if differing:
        told = "; ".join(
            f"{key} was {recorded.get(key, 'absent')}, is {identity.get(key, 'absent')}" for key in differing
        )
        raise ConfigError(f"{place}: a continued run must stay the same run. {told}.")
    if max_epochs != before and not any_length:
        raise ConfigError(
            f"{place}: trainer.max_epochs was {before}, is {max_epochs}. The scheduler is laid out over the whole run, "
            "so a run of another length is another run. Only scheduler=none and scheduler=plateau can be prolonged."
        )
    if saved.epochs > max_epochs or (saved.epochs == max_epochs and saved.finished):
        raise ConfigError(
            f"{place}: has {saved.epochs} epochs already, trainer.max_epochs={max_epochs} leaves nothing."
        )
    if saved.stopped and saved.finished:
        raise ConfigError(f"{place}: the run stopped by itself after {saved.epochs} epochs and is finished.")
    if not (saved.folder / CHECKPOINTS / BEST).is_file() and not saved.finished:
        raise ConfigError(f"{place}: {BEST} is missing beside it, the weights of the best epoch ({saved.best_epoch}).")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a run's folder, made if missing, against other processes; a process that is killed lets go of it.

    Raises:
        ConfigError: where another process trains in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(f"{folder}: another process is training this run. Wait for its end, or end it.") from error
    try:
        yield
    finally:
        lock.release()
