"""How long ``landslide compare`` takes, start to end, with the page and all figures written.

    python benchmarks/comparing.py                      # 100 and 1,000 runs of 80 tiles
    python benchmarks/comparing.py --runs 100 --seeds 5

The runs are written as training stores them: 52 params, 30 epochs of 12 metrics, both validations with their
histograms, landslides and probability maps, pictures of all tiles, the panel, the split and the environment, in SQLite
and in local files; files that a comparison never opens hold nothing, in their size. Runs share the content of their
files. What is timed is the command itself, in a process of its own.
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
from hashlib import sha256
from pathlib import Path

import numpy as np
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient
from rich.progress import track
from scipy.ndimage import gaussian_filter

from landslide.metrics import counts_from_histograms, ratios
from landslide.report.sheet import pack_tiles
from landslide.tracking.store import open_store

EPOCHS, TILES, SIDE_PX = 30, 80, 256
PIXELS = SIDE_PX * SIDE_PX
VARIANTS = 32
"""Of validations; the runs share them."""
NAMES = [f"tile{index:03d}" for index in range(TILES)]
UNOPENED = {
    "config.yaml": 1_600,
    "curves.png": 50_000,
    "panel.png": 900_000,
    "confusion_matrix/best.png": 21_000,
    "confusion_matrix/last.png": 21_000,
}
"""Bytes."""
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
def ground() -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8, (80, 256, 256, 3), and the order of each one's pixels by height, int64, (80, 65536)."""
    random = np.random.default_rng(1)
    heights = gaussian_filter(random.normal(size=(TILES, SIDE_PX, SIDE_PX)), (0, 12, 12))
    texture = gaussian_filter(random.normal(size=(TILES, SIDE_PX, SIDE_PX, 3)), (0, 1, 1, 0))
    images = 120 + 25 * heights[..., None] / heights.std() + 20 * texture / texture.std()
    return images.clip(0, 255).astype(np.uint8), np.argsort(heights.reshape(TILES, PIXELS), axis=1)


def maps(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks and probabilities of these histograms, uint8, (80, 256, 256): surest on top."""
    masks, probability = np.zeros((2, TILES, PIXELS), np.uint8)
    for tile, (order, counts) in enumerate(zip(ground()[1], stored, strict=True)):
        masks[tile, order] = np.repeat([0, 1], counts.sum(1))
        probability[tile, order] = np.concatenate([np.repeat(np.arange(256), pixels) for pixels in counts])
    return masks.reshape(-1, SIDE_PX, SIDE_PX), probability.reshape(-1, SIDE_PX, SIDE_PX)


@cache
def validation(variant: int) -> tuple[np.ndarray, bytes]:
    """Histograms, and the file that holds them."""
    random = np.random.default_rng(variant)
    stored = histograms(random, 0.8 + 0.02 * random.normal())
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        tile_id=np.array(NAMES),
        histograms=stored,
        counts=counts_from_histograms(stored),
        height_px=np.full(TILES, SIDE_PX),
        width_px=np.full(TILES, SIDE_PX),
        gsd_m=np.full(TILES, 0.8),
        epoch=np.array(20),
        probability=maps(stored)[1],
        **landslides(random),
    )
    return stored, buffer.getvalue()


@cache
def shared_files() -> dict[str, bytes]:
    """By path, what a run stores beside its validations."""
    masks, probability = maps(validation(0)[0])
    panel = io.BytesIO()
    shown = slice(0, 6)
    np.savez_compressed(
        panel,
        images=ground()[0][shown],
        masks=masks[shown],
        probability=probability[shown],
        tile_id=np.array(NAMES[shown]),
        rule=np.array("Validation tiles at percentiles of landslide area, whatever was predicted on them."),
    )
    with tempfile.TemporaryDirectory() as folder:
        pack_tiles(Path(folder) / "tiles.zip", ground()[0], masks)
        pictures = (Path(folder) / "tiles.zip").read_bytes()
    split = {"kind": "random", "seed": 0, "train": [f"train{index:04d}" for index in range(690)], "val": NAMES}
    environment = {"python": "3.11.7", "packages": {f"package{index}": "1.2.3" for index in range(20)}}
    return {
        "validation/panel.npz": panel.getvalue(),
        "validation/tiles.zip": pictures,
        "split.json": json.dumps(split).encode(),
        "environment.json": json.dumps(environment).encode(),
        **{path: bytes(size) for path, size in UNOPENED.items()},
    }


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
    write_files(
        folder / "artifacts" / run_id / "artifacts",
        shared_files() | {f"validation/{name}.npz": content for name, (_, content) in stored.items()},
    )


def write_files(place: Path, files: dict[str, bytes]) -> None:
    """Files of a run; those of equal content are one on the disk, which would else hold 5 GB of a thousand runs."""
    pool = place.parents[2] / "pool"
    pool.mkdir(exist_ok=True)
    for path, content in files.items():
        kept = pool / sha256(content).hexdigest()
        if not kept.exists():
            kept.write_bytes(content)
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).hardlink_to(kept)


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
