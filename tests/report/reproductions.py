"""Models of the paper from numbers made by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from landslide.config import flat_params
from landslide.report.paper import TABLE_II
from landslide.report.reproduction import Reproduction
from landslide.report.reproduction_models import Model, Shown
from landslide.report.reproduction_settings import Change
from landslide.report.runs import Artifacts, Objective, Run
from tests.conftest import compose_run

EPOCHS = Change("trainer.max_epochs", "epochs", "100", "6")
SOFTWARE = {"python": "3.11.7", "packages": {"torch": "2.14.1", "segmentation-models-pytorch": "0.6.0"}}


def run(arch: str, seed: int, minutes: float = 1.0, **tags: str) -> Run:
    return Run(
        id=f"{arch}{seed}",
        experiment_id="1",
        name=f"{arch} seed={seed}",
        status="FINISHED",
        params=flat_params(compose_run("experiment=paper", f"arch={arch}")) | {"seed": str(seed)},
        tags={"landslide.device": "one", "landslide.precision": "bf16", **tags},
        metrics={"time/fit_s": 60 * minutes, "best/epoch": 2.0},
        artifact_uri="",
        started=0,
    )


def counts(f1: float, seeds: int, tiles: int = 80) -> np.ndarray:
    """Of an F1 near this one, another one for each seed."""
    made = []
    for seed in range(seeds):
        rest = np.random.default_rng([seed, round(f1 * 1e4)])
        landslide = np.random.default_rng(0).integers(100, 2000, tiles)
        hits, false_alarms = rest.binomial(landslide, f1), rest.binomial(landslide, 1 - f1)
        made.append(np.stack([hits, false_alarms, landslide - hits, 16384 - landslide - false_alarms], axis=-1))
    return np.stack(made) if made else np.zeros((0, 0, 4), np.int64)


def model(arch: str, f1: float, seeds: int = 3, minutes: float = 1.0, **tags: str) -> Model:
    return Model(arch, tuple(run(arch, seed, minutes, **tags) for seed in range(seeds)), counts(f1, seeds))


def reproduction(*models: Model, changes: tuple[Change, ...] = (), failures: tuple[str, ...] = ()) -> Reproduction:
    history = {"train/loss": [(1, 0.5), (2, 0.4)], "val/loss": [(1, 0.6), (2, 0.5)], "val/f1": [(1, 0.7), (2, 0.8)]}
    split = {"train": ["a"] * 690, "val": ["b"] * 80}
    there = [each for each in models if each.runs]
    return Reproduction(
        name="reproduce-paper" + "".join(f"-{change.label}-{change.ours}" for change in changes),
        changes=changes,
        seeds=(0, 1, 2),
        models=models,
        shown={
            each.arch: Shown(Artifacts(split=split, environment=SOFTWARE), tuple(history for _ in each.runs))
            for each in there
        },
        failures=failures,
        objective=Objective("val/f1", maximize=True),
        tracking_uri="sqlite:///mlflow.db",
        created=datetime(2026, 11, 23, tzinfo=UTC),
    )


def four(seeds: int = 3) -> list[Model]:
    """FPN is better than in the paper, PSPNet worse, U-Net the same."""
    f1 = {"unet": 0.845, "pspnet": 0.78, "fpn": 0.90, "linknet": 0.80}
    minutes = {"unet": 3.0, "pspnet": 1.0, "fpn": 4.0, "linknet": 2.0}
    return [model(arch, f1[arch], seeds, minutes[arch]) for arch in TABLE_II]


def cells(found: Reproduction, title: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    """By the words of the first two columns, those of the others."""
    (table,) = [table for table in found.tables if table.title.startswith(title)]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    texts = [tuple(cell.text for cell in row) for row in rows]
    return {row[:2]: row[2:] for row in texts}
