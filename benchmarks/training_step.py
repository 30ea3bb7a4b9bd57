"""A training step of the whole program against a bare PyTorch loop, in turn, in one process.

    make bench                                    the four networks, ResNet-50, 256 px, batch 16, as the paper
    python benchmarks/training_step.py --arch unet --rounds 3
    python benchmarks/training_step.py --rounds 10 --steps 20    on a GPU, whose steps are short

Three ways to train the same network on the same tiles take turns, a few steps each, round after round, so that a
machine whose speed drifts slows all three:

    landslide   the program: tile cache, augmentation, Lightning, its callbacks, metrics and MLflow
    defaults    a bare loop as a tutorial writes it: fp32, contiguous, an optimizer that is not fused
    settings    a bare loop with what `landslide` chose: precision, memory format, fused optimizer

Batches of the bare loops lie ready in the memory of the device and are never augmented. A round is timed as a whole,
from an idle device to an idle one, because a GPU is handed steps before it has done them. What the program does at the
end of an epoch (pooled metrics, MLflow, two checkpoints) is shown apart, in seconds and as a share of an epoch of the
Bijie dataset's 690 training tiles; the forward passes of validation are in neither. Printed are medians over rounds, of
speeds and of the ratios within a round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from rich.console import Console

from landslide.config import register
from landslide.tracking.run import create_run, open_run
from landslide.training import run as training
from landslide.training.history import History
from landslide.training.progress import ProgressDisplay

CONF = Path(__file__).resolve().parents[1] / "conf"
TILES_AN_EPOCH = 690
Seconds = dict[str, list[float]]
"""Of a step, by way; one number a round."""
ARCHITECTURES = ("unet", "linknet", "pspnet", "fpn")


class StepClock(Callback):
    """Seconds of a step from the start of an epoch to the end of its last step, so data and hooks are inside.

    Args:
        between: takes its turn after an epoch's steps; its time is in none.
    """

    def __init__(self, between: Callable[[], None]) -> None:
        self.between = between
        self.rounds: list[float] = []
        self.epoch_ends: list[float] = []
        self._validated = 0.0
        self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._validated:
            self.epoch_ends.append(time.perf_counter() - self._validated)
        self._start = now_idle()

    def on_validation_epoch_end(self, *_: object) -> None:
        self._validated = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            self.rounds.append((now_idle() - self._start) / trainer.num_training_batches)
            self.between()


def now_idle() -> float:
    """The time once the device has done what it was handed."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def bare_loop(parts: training.Parts, network: torch.nn.Module, batch_size: int, *, settings: bool) -> Iterator[None]:
    """Train for ever on batches that lie ready, a step each time."""
    device = "cuda" if parts.hardware.accelerator == "gpu" else parts.hardware.accelerator
    layout = torch.channels_last if settings and parts.hardware.channels_last else torch.contiguous_format
    network = network.to(device, memory_format=layout).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=settings or None)
    amp = settings and parts.hardware.precision == "bf16"
    loss_of = training.instantiate(parts.cfg.loss)
    data = parts.data.train_tiles
    batches = [data[list(range(i, i + batch_size))] for i in range(0, 2 * batch_size, batch_size)]
    ready = [
        (
            batch["image"].to(device).float().contiguous(memory_format=layout),
            batch["mask"].to(device).unsqueeze(1).float(),
        )
        for batch in batches
    ]
    while True:
        for image, target in ready:
            with torch.autocast(device, torch.bfloat16, enabled=amp):
                logits = network(image)
            loss = loss_of(logits.float(), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def configure(arch: str, arguments: argparse.Namespace, folder: Path) -> DictConfig:
    tiles = arguments.batch_size * arguments.steps
    overrides = [
        f"arch={arch}",
        "encoder=resnet50",
        "encoder.weights=null",
        f"trainer.accelerator={arguments.accelerator}",
        f"data.image_size={arguments.image_size}",
        f"data.batch_size={arguments.batch_size}",
        f"data.root={folder / 'tiles'}",
        f"data.cache_dir={folder / 'cache'}",
        f"data.generate={{count: {tiles + arguments.batch_size}, non_landslide: 0, size_px: 128, seed: 0}}",
        f"data.split={{train: {tiles}, val: {arguments.batch_size}, seed: 0}}",
        f"trainer.max_epochs={arguments.rounds + 1}",  # the first one warms up
        f"tracking.uri=sqlite:///{folder / 'mlflow.db'}",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides)


def measure(arch: str, arguments: argparse.Namespace, folder: Path) -> tuple[Seconds, float]:
    """Seconds of a step, by way and by round; and of the end of an epoch."""
    cfg = configure(arch, arguments, folder)
    parts = training.prepare(cfg)
    loops = {
        "defaults": bare_loop(parts, training.prepare(cfg).segmenter, arguments.batch_size, settings=False),
        "settings": bare_loop(parts, training.prepare(cfg).segmenter, arguments.batch_size, settings=True),
    }
    seconds: Seconds = {name: [] for name in loops}

    def others() -> None:
        for name, loop in loops.items():
            start = now_idle()
            for _ in range(arguments.steps):
                next(loop)
            seconds[name].append((now_idle() - start) / arguments.steps)

    clock = StepClock(others)
    run_id = create_run(parts.store, "benchmark", arch, {})
    console = Console(quiet=True)
    with open_run(parts.store, run_id, folder / arch, console.print) as tracked:
        checkpoint = ModelCheckpoint(folder / arch, monitor="val/f1", mode="max", save_last=True)
        history = History(checkpoint, tracked.log_metrics)
        callbacks = [history, ProgressDisplay(console, history, "val/f1"), clock, checkpoint]
        trainer = training.build_trainer(parts, callbacks, folder)
        trainer.fit(training.build_module(parts), datamodule=parts.data)
    seconds["landslide"] = clock.rounds
    return {name: rounds[1:] for name, rounds in seconds.items()}, statistics.median(clock.epoch_ends)


def report(arch: str, seconds: Seconds, epoch_end: float, batch_size: int) -> str:
    speed = {name: batch_size / statistics.median(rounds) for name, rounds in seconds.items()}
    ratio = {
        name: statistics.median(a / b for a, b in zip(seconds[name], seconds["landslide"], strict=True))
        for name in ("defaults", "settings")
    }
    return (
        f"{arch:8} {speed['landslide']:9.2f} {speed['defaults']:9.2f} {speed['settings']:9.2f}"
        f" {ratio['defaults']:12.2f} {100 * (1 / ratio['settings'] - 1):+17.1f} %"
        f" {epoch_end:9.2f} s {100 * epoch_end * speed['landslide'] / TILES_AN_EPOCH:6.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=ARCHITECTURES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="of each way in a round")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--accelerator", default="auto", help="as trainer.accelerator: auto, cpu, gpu")
    arguments = parser.parse_args()
    register()
    print("images/s  landslide  defaults  settings  times defaults  slower than settings  end of epoch", flush=True)
    with tempfile.TemporaryDirectory() as name, training.quiet():
        for arch in arguments.arch:
            print(report(arch, *measure(arch, arguments, Path(name)), arguments.batch_size), flush=True)


if __name__ == "__main__":
    main()
