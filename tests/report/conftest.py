"""A real MLflow store with a multirun: four finished runs and a failed one, as training stores them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from landslide.metrics import ratios
from landslide.report import Comparison, compare

EPOCHS = 3
TILES = ("tile_a", "tile_b")
FINISHED = {"unet": 0.1, "linknet": 0.2, "pspnet": 0.4, "fpn": 0.15}
"""By architecture: the share of pixels that its prediction gets wrong."""


@dataclass(frozen=True)
class Store:
    """An MLflow store and what was written to it."""

    client: MlflowClient
    experiment: str
    parent: str
    children: Mapping[str, str]
    """By architecture, the run id."""

    def log(
        self,
        *,
        name: str = "run",
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        status: str = "FINISHED",
    ) -> str:
        """Write a run without series and files."""
        return log_run(
            self.client,
            self.experiment,
            name=name,
            params=base_params("unet") | dict(params or {}),
            tags=dict(tags or {}),
            metrics=[Metric(key, value, 0, 0) for key, value in (metrics or {}).items()],
            status=status,
        )

    def tested(self, f1: float, seed: int = 0, *, tiles: int = 20, ground: int = 0, **given: Any) -> str:
        """Write a finished run of an F1 near this one, with its validations.

        Tiles of the same ``ground`` have the same landslides in them.
        """
        rest = np.random.default_rng([seed, round(f1 * 1e4)])
        landslide = np.random.default_rng(ground).integers(100, 2000, tiles)
        found = rest.binomial(landslide, f1)
        false = rest.binomial(landslide, 1 - f1)
        counts = np.stack([found, false, landslide - found, 4096 - landslide - false], axis=-1)
        histograms = np.zeros((tiles, 2, 256), np.int64)
        histograms[:, 0, 200], histograms[:, 0, 40] = counts[:, 1], counts[:, 3]
        histograms[:, 1, 200], histograms[:, 1, 40] = counts[:, 0], counts[:, 2]
        best = {f"best/{key}": value for key, value in ratios(counts.sum(0)).items()}
        last = {f"last/{key}": value for key, value in ratios(counts.sum(0)).items()}
        params = dict(given.pop("params", {})) | {"seed": str(seed)}
        once = {"best/epoch": 2.0, "last/epoch": 3.0, "time/fit_s": 60.0 + seed}
        run_id = self.log(metrics=best | last | once, params=params, **given)
        stored = {
            "tile_id": np.array([f"{ground}_{tile:03d}" for tile in range(tiles)]),
            "counts": counts,
            "histograms": histograms,
            "height_px": np.full(tiles, 64),
            "width_px": np.full(tiles, 64),
            "gsd_m": np.full(tiles, 0.8),
            "epoch": np.array(2),
        }
        with TemporaryDirectory() as folder:
            for name in ("best", "last"):
                self.client.log_artifact(run_id, str(save_arrays(Path(folder) / f"{name}.npz", stored)), "validation")
        return run_id

    def score(self, f1: float, *, epoch: int = 1, name: str = "run", **given: Any) -> str:
        """Write a finished run that has reached this F1."""
        run_id = self.log(name=name, metrics={"best/epoch": epoch, "best/f1": f1, "time/fit_s": 60.0}, **given)
        self.client.log_metric(run_id, "val/f1", f1, step=epoch)
        return run_id


def base_params(arch: str) -> dict[str, str]:
    """The params that a run of the default config has, and that matter here."""
    return {
        "arch.name": arch,
        "arch.depth": "3" if arch == "pspnet" else "5",
        "encoder.name": "tu-tf_efficientnet_lite0",
        "objective.metric": "val/f1",
        "objective.direction": "maximize",
        "optimizer.lr": "0.001",
        "seed": "0",
        "tracking.run_id": f"id of {arch}",
        "trainer.max_epochs": str(EPOCHS),
    }


def log_run(
    client: MlflowClient,
    experiment: str,
    *,
    name: str,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    metrics: list[Metric],
    status: str,
) -> str:
    """Create a run, log everything in one call and end it."""
    run_id: str = client.create_run(experiment, run_name=name).info.run_id
    client.log_batch(
        run_id,
        metrics,
        [Param(key, value) for key, value in params.items()],
        [RunTag(key, value) for key, value in tags.items()],
    )
    if status != "RUNNING":
        client.set_terminated(run_id, status)
    return run_id


def prediction(wrong: float) -> dict[str, np.ndarray[Any, Any]]:
    """Two tiles of 16 x 16 with a landslide in the first, and a prediction that is wrong for a share of the pixels."""
    random = np.random.default_rng(0)
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[0, 4:12, 4:12] = 1
    flipped = random.random(masks.shape) < wrong
    return {
        "images": random.integers(60, 200, (2, 16, 16, 3), dtype=np.uint8),
        "masks": masks,
        "probability": np.where((masks > 0) ^ flipped, 200, 40).astype(np.uint8),
        "tile_id": np.array(TILES),
        "rule": np.array("the first two by name"),
    }


def validation(panel: Mapping[str, np.ndarray[Any, Any]], epoch: int = 2) -> dict[str, np.ndarray[Any, Any]]:
    """What a run stores of its validation, computed pixel by pixel."""
    masks, probability = panel["masks"], panel["probability"]
    histograms = np.zeros((len(masks), 2, 256), np.int64)
    for tile, (truth, found) in enumerate(zip(masks, probability, strict=True)):
        np.add.at(histograms[tile], (truth, found), 1)
    return {
        "tile_id": panel["tile_id"],
        "counts": confusion(panel),
        "histograms": histograms,
        "height_px": np.full(len(masks), 16),
        "width_px": np.full(len(masks), 16),
        "gsd_m": np.full(len(masks), 0.8),
        "epoch": np.array(epoch),
    }


def confusion(panel: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """int64, (tiles, 4): TP, FP, FN, TN."""
    truth, found = panel["masks"] > 0, panel["probability"] >= 128
    areas = (truth & found, ~truth & found, truth & ~found, ~truth & ~found)
    return np.stack([area.sum(axis=(1, 2)) for area in areas], axis=-1).astype(np.int64)


def log_validations(client: MlflowClient, run_id: str, folder: Path, panel: Mapping[str, Any]) -> None:
    """Store the best and the last validation of a run, which are the same here."""
    for name in ("best", "last"):
        client.log_artifact(run_id, str(save_arrays(folder / f"{name}.npz", validation(panel))), "validation")


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> Path:
    """Write an npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.write_bytes(buffer.getvalue())
    return path


def series(best: Mapping[str, float]) -> list[Metric]:
    """Three epochs that reach the best numbers in the second one, and what is logged once."""
    points = [
        Metric(key, value, 0, epoch)
        for epoch, share in ((1, 0.8), (2, 1.0), (3, 0.9))
        for key, value in {
            "train/loss": 0.5 / epoch,
            "val/loss": 0.6 / epoch,
            "time/images_per_s": 10.0 * epoch,
            **{f"val/{name}": share * value for name, value in best.items()},
        }.items()
    ]
    once = {f"best/{name}": value for name, value in best.items()} | {"best/epoch": 2}
    once |= {f"last/{name}": 0.9 * value for name, value in best.items()} | {"time/fit_s": 612.3}
    once |= {"last/epoch": 3, "time/best_s": 408.2, "memory/peak_mb": 900.0}
    once |= {"model/parameters": 6_251_469, "model/gflops": 13.75}
    return points + [Metric(key, value, 0, 0) for key, value in once.items()]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("mlruns")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("report", artifact_location=(folder / "artifacts").as_uri())
    parent: str = client.create_run(experiment, run_name="four models", tags={"landslide.kind": "multirun"}).info.run_id
    origin = {
        "mlflow.parentRunId": parent,
        "landslide.kind": "run",
        "landslide.commit": "0123456789abcdef",
        "landslide.device": "cpu, 2 threads",
        "landslide.data_digest": "d" * 64,
    }
    children = {}
    for trial, (arch, wrong) in enumerate(FINISHED.items()):
        panel = prediction(wrong)
        counts = confusion(panel)
        run_id = log_run(
            client,
            experiment,
            name=arch,
            params=base_params(arch),
            tags=origin | {"landslide.trial": str(trial)},
            metrics=series(ratios(counts.sum(axis=0))),
            status="FINISHED",
        )
        client.log_artifact(run_id, str(save_arrays(folder / "panel.npz", panel)), "validation")
        log_validations(client, run_id, folder, panel)
        client.log_dict(run_id, {"kind": "random", "seed": 0, "train": ["x"] * 9, "val": list(TILES)}, "split.json")
        client.log_dict(run_id, {"packages": {"torch": "2.14.1"}}, "environment.json")
        children[arch] = run_id
    children["manet"] = log_run(
        client,
        experiment,
        name="manet",
        params=base_params("manet"),
        tags=origin | {"landslide.trial": "4", "landslide.failure": "TrainingDiverged: loss is NaN\nin epoch 1"},
        metrics=[Metric("train/loss", 9.0, 0, 1)],
        status="FAILED",
    )
    return Store(client, experiment, parent, children)


@pytest.fixture(scope="session")
def comparison(store: Store) -> Comparison:
    return compare(store.client, [store.parent])


@pytest.fixture(scope="session")
def html(comparison: Comparison) -> str:
    return comparison.html()
