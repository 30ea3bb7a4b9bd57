"""How long ``landslide compare`` takes, start to end, with the page and all figures written.

    python benchmarks/comparing.py                      # 100 and 1,000 runs of 80 tiles
    python benchmarks/comparing.py --runs 100 --seeds 5

The runs are written as training stores them: 52 params, 30 epochs of 12 metrics, both validations with their
histograms and landslides, in SQLite and in local files. What is timed is the command itself, in a process of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient
from rich.progress import track

from landslide.metrics import counts_from_histograms, ratios
from landslide.tracking.store import open_store

EPOCHS, TILES, PIXELS = 30, 80, 256 * 256
VARIANTS = 64
"""Of validations; the runs share them."""
ARCHITECTURES = ("unet", "linknet", "pspnet", "fpn", "manet", "pan", "upernet", "segformer")


def histograms(random: np.random.Generator, level: float) -> np.ndarray:
    """int64, (80, 2, 256): tiles of which a tenth is landslide, told apart the better the higher the level."""
    landslide = (PIXELS * np.random.default_rng(0).beta(1.2, 10, TILES)).astype(np.int64)  # the same in all runs
    found = []
    for pixels in landslide:
        sure = random.beta(5 * level, 2, 256), random.beta(1, 12, 256)
        cells = [np.histogram(values, bins=256, range=(0, 1))[0] + 1e-3 for values in sure]
        shares = [cell / cell.sum() for cell in cells]
        found.append([random.multinomial(PIXELS - pixels, shares[1]), random.multinomial(pixels, shares[0])])
    return np.array(found, dtype=np.int64)


@cache
def validation(variant: int) -> tuple[np.ndarray, bytes]:
    """Histograms, and the file that holds them."""
    random = np.random.default_rng(variant)
    stored = histograms(random, 0.8 + 0.02 * random.normal())
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        tile_id=np.array([f"tile{index:03d}" for index in range(TILES)]),
        histograms=stored,
        counts=counts_from_histograms(stored),
        height_px=np.full(TILES, 256),
        width_px=np.full(TILES, 256),
        gsd_m=np.full(TILES, 0.8),
        epoch=np.array(20),
        **landslides(random),
    )
    return stored, buffer.getvalue()


def landslides(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Two landslides, three patches and a boundary in each tile."""
    arrays: dict[str, np.ndarray] = {}
    for kind, share, number in (("landslide", "found_px", 2), ("patch", "true_px", 3)):
        pixels = random.integers(20, 4000, number * TILES)
        arrays[f"{kind}_tile"], arrays[f"{kind}_px"] = np.repeat(np.arange(TILES), number), pixels
        arrays[f"{kind}_{share}"] = random.binomial(pixels, 0.8)
    for kind in ("true", "predicted"):
        pixels = random.integers(50, 400, TILES)
        arrays[f"boundary_{kind}_px"], arrays[f"boundary_{kind}_matched_px"] = pixels, random.binomial(pixels, 0.7)
    return arrays


def write_run(client: MlflowClient, experiment: str, folder: Path, number: int, setting: int, seed: int) -> None:
    """One finished run."""
    random = np.random.default_rng([setting, seed])
    arch = ARCHITECTURES[setting % len(ARCHITECTURES)]
    run = client.create_run(experiment, run_name=f"{arch} {number}")
    run_id = run.info.run_id
    stored = {name: validation(number % VARIANTS + at) for at, name in enumerate(("best", "last"))}
    params = {f"group.key{index}": str(index) for index in range(46)} | {
        "arch.name": arch,
        "optimizer.lr": f"{1e-4 * (1 + setting // len(ARCHITECTURES)):.2e}",
        "objective.metric": "val/f1",
        "objective.direction": "maximize",
        "trainer.max_epochs": str(EPOCHS),
        "seed": str(seed),
    }
    tags = {"landslide.kind": "run", "landslide.device": "a CPU, 2 threads", "landslide.data_digest": "d" * 64}
    keys = ("train/loss", "val/loss", "val/f1", "val/iou", "time/images_per_s", *(f"val/m{n}" for n in range(7)))
    points = [Metric(key, float(random.random()), 0, epoch) for epoch in range(1, EPOCHS + 1) for key in keys]
    for name, (each, _) in stored.items():
        points += [
            Metric(f"{name}/{key}", value, 0, 0) for key, value in ratios(counts_from_histograms(each).sum(0)).items()
        ]
        points.append(Metric(f"{name}/epoch", 20 if name == "best" else EPOCHS, 0, 0))
    once = {"time/fit_s": 612.3, "time/best_s": 401.2, "memory/peak_mb": 912.0}
    once |= {"model/parameters": 11_000_000, "model/gflops": 12.5}
    points += [Metric(key, value, 0, 0) for key, value in once.items()]
    client.log_batch(
        run_id, points, [Param(*each) for each in params.items()], [RunTag(*each) for each in tags.items()]
    )
    client.set_terminated(run_id)
    place = folder / "artifacts" / run_id / "artifacts" / "validation"
    place.mkdir(parents=True)
    for name, (_, content) in stored.items():
        (place / f"{name}.npz").write_bytes(content)


def write_runs(folder: Path, runs: int, seeds: int) -> str:
    """Runs of ``runs / seeds`` settings in a new store; returns its address."""
    uri = f"sqlite:///{folder}/mlflow.db"
    client = open_store(uri).client
    experiment = client.create_experiment("many", artifact_location=(folder / "artifacts").as_uri())
    for number in track(range(runs), f"Writing {runs} runs", transient=True):
        write_run(client, experiment, folder, number, number // seeds, number % seeds)
    return uri


def measure(runs: int, seeds: int) -> dict[str, float]:
    """Seconds of the command, its imports included, and of processors that it and its second process took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = write_runs(folder, runs, seeds)
        command = [str(Path(sys.executable).with_name("landslide")), "compare", "--filter", "params.seed != 'none'"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run(
            [*command, "--uri", uri, "-o", str(folder / "out")], capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(done.stderr)
        page = (folder / "out" / "comparison.html").stat().st_size / 1e6
        cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        told = {"seconds": seconds, "cpu_seconds": cpu, "page_mb": page}
        return {"runs": runs, "seeds": seeds} | {key: round(value, 2) for key, value in told.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 5])
    arguments = parser.parse_args()
    for runs in arguments.runs:
        for seeds in arguments.seeds:
            print(json.dumps(measure(runs, seeds)), flush=True)


if __name__ == "__main__":
    main()
