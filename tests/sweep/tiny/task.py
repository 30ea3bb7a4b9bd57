"""A task that does to its folder, to MLflow and to Optuna what a training does, in milliseconds and without torch.

Its "weights" are a number that each epoch turns into the next, so an epoch that is lost, doubled or begun from another
state shows in every later value. What it computes is appended to ``epochs.txt`` in the working folder.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from filelock import FileLock
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from landslide.config import ObjectiveConfig, SweepConfig
from landslide.errors import TrainingDiverged

CHECKPOINT = "checkpoints/last.ckpt"


class OutOfMemoryError(RuntimeError):
    """Called as torch calls it."""


@dataclass
class Tracking:
    uri: str | None = None
    experiment: str = "tiny"
    keep_models: str = "none"
    run_id: str | None = None


@dataclass
class Trainer:
    max_epochs: int = 4


@dataclass
class Tiny:
    x: float = 0.5
    y: float = 0.5
    kind: str = "good"
    """What happens to the trial in its second epoch: crash, nan, memory, unlucky (nan with seed 0 alone); stubborn is
    killed at the end of its first, before any checkpoint, further in each after the first, once, and told as soon as
    the pruner ends it, before it has a result. Of any other kind nothing does."""
    epoch_s: float = 0.002
    noisy: bool = False
    """Print a line an epoch."""
    objective: ObjectiveConfig = field(default_factory=lambda: ObjectiveConfig("val/score", "maximize"))
    tracking: Tracking = field(default_factory=Tracking)
    trainer: Trainer = field(default_factory=Trainer)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    seed: int = 0
    ckpt_path: str | None = None


ConfigStore.instance().store(name="tiny_schema", node=Tiny)


@hydra.main(config_path=str(Path(__file__).resolve().parent / "conf"), config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> Any:
    folder = Path(HydraConfig.get().runtime.output_dir)
    start = time.time()
    with FileLock(folder / ".lock", timeout=0):
        result = train(cfg, folder)
    with Path("trials.txt").open("a") as file:
        file.write(f"{os.getpid()} {start} {time.time()}\n")
    return result


def train(cfg: DictConfig, folder: Path) -> Any:
    from landslide.sweep.trial import judge_of
    from landslide.tracking.run import open_run
    from landslide.tracking.spool import discard_unsent
    from landslide.tracking.store import reopen_store
    from landslide.training.result import RunResult, write_result

    store, judge = reopen_store(cfg.tracking.uri, print), judge_of(cfg)
    state = {"weights": start_of(cfg), "points": []}
    if cfg.ckpt_path:
        assert Path(cfg.ckpt_path) == folder / CHECKPOINT
        state = json.loads(Path(cfg.ckpt_path).read_text())
    else:
        assert not (folder / CHECKPOINT).exists(), "a checkpoint would be overwritten"
        discard_unsent(folder)
    with open_run(store, cfg.tracking.run_id, folder, print) as tracked:
        tracked.log_params({key: str(cfg[key]) for key in ("x", "y", "kind", "seed")})
        reason, first = None, len(state["points"]) + 1
        for epoch, value, at in state["points"]:
            tracked.log_metrics({"val/score": value}, epoch, at)
            reason = judge and judge(epoch, value)
        while reason is None and len(state["points"]) < cfg.trainer.max_epochs:
            epoch = len(state["points"]) + 1
            if cfg.kind == "stubborn":
                time.sleep(cfg.epoch_s)
                tracked.log_metrics({"system/sample": 1.0})
            fail(cfg, epoch, went_on=bool(cfg.ckpt_path) and epoch == first)
            value = one_epoch(cfg, folder, state, epoch)
            save(folder / CHECKPOINT, state)
            tracked.log_metrics({"val/score": value}, epoch, state["points"][-1][2])
            reason = judge and judge(epoch, value)
            if reason is not None and cfg.kind == "told":
                os.kill(os.getpid(), signal.SIGKILL)
        if reason is not None:
            tracked.set_tags({"landslide.pruned": reason})
        choose = max if cfg.objective.direction == "maximize" else min
        best, score, _ = choose(state["points"], key=lambda point: point[1])
        costs = {"time/fit_s": cfg.epoch_s * len(state["points"]), "model/parameters": 1.0}
        series = [(epoch, value) for epoch, value, _ in state["points"]]
        result = RunResult(score, "val/score", best, cfg.tracking.run_id, str(folder), costs, series, reason)
        write_result(folder, result)
    return result


def start_of(cfg: DictConfig) -> float:
    return 0.1 + (cfg.seed % 7) / 100


def one_epoch(cfg: DictConfig, folder: Path, state: dict[str, Any], epoch: int) -> float:
    with Path("epochs.txt").open("a") as file:
        file.write(f"{folder.parent.name}/{folder.name} {epoch} {os.getpid()}\n")
    if cfg.noisy:
        sys.stdout.write(f"epoch {epoch}\n")
        sys.stdout.flush()
    time.sleep(cfg.epoch_s)
    state["weights"] = 3.7 * state["weights"] * (1 - state["weights"])  # a chaotic map: no state is like another
    value = 1 - math.hypot(cfg.x - 0.3, cfg.y - 0.7) - 1 / (1 + epoch) + 0.2 * state["weights"]
    state["points"].append((epoch, value, time.time_ns() // 1_000_000))
    return value


def fail(cfg: DictConfig, epoch: int, *, went_on: bool) -> None:
    if cfg.kind == "stubborn" or (cfg.kind == "further" and epoch > 1 and not went_on):
        os.kill(os.getpid(), signal.SIGKILL)
    if epoch < 2:
        return
    match cfg.kind:
        case "crash":
            raise RuntimeError("a mistake in epoch 2")
        case "nan":
            raise TrainingDiverged("train/loss is nan in epoch 2.")
        case "unlucky" if cfg.seed == 0:
            raise TrainingDiverged("train/loss is nan in epoch 2, with this seed.")
        case "memory":
            raise OutOfMemoryError("tried to allocate 2 GiB")


def save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name("aside")
    aside.write_text(json.dumps(state))
    aside.replace(path)


if __name__ == "__main__":
    from landslide.cli.exit_status import tell

    os.environ["HYDRA_FULL_ERROR"] = "1"  # as train.py
    try:
        main()
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(tell("task.py", error))
