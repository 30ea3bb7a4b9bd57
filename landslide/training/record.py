"""What a finished run leaves in MLflow: numbers, tiles, pictures."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landslide.data.datamodule import TileDataModule
from landslide.data.pixels import as_rgb
from landslide.metrics import COUNTS, false_alarm, ratios
from landslide.report.figures import confusion_matrix_figure, curves_figure, panel_figure, to_png
from landslide.report.sheet import pack_tiles
from landslide.tracking.run import TrackedRun
from landslide.training.history import History, Validation
from landslide.training.landslides import measure_landslides

PICTURE_DPI = 120


def record(
    run: TrackedRun, history: History, data: TileDataModule, *, panel_tiles: int, store_probability: bool
) -> None:
    """Log the best and the last epoch: metrics, confusion matrices, counts and histograms a tile, pictures.

    Args:
        run: still open.
        history: of at least one epoch.
        data: the tiles that were validated on.
        panel_tiles: how many tiles are shown as pictures.
        store_probability: also the probability maps, one byte a pixel, and pictures of all tiles to draw them with.
    """
    best, last = history.best, history.last
    assert best is not None and last is not None
    # at the time of the last epoch: a run that is killed here and continued logs the same points, not second ones
    run.log_metrics(_summary(history, best, last), timestamp_ms=history.points[-1].timestamp_ms)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "validation").mkdir()
        for which, validation in (("best", best), ("last", last)):
            path = folder / "validation" / f"{which}.npz"
            write_measured(path, validation, data, data.split.val, store_probability=store_probability)
            _write_confusion(folder / "confusion_matrix", which, validation)
        if store_probability:
            _write_tiles(folder / "validation" / "tiles.zip", data)
        _write_panel(folder, best, data, panel_tiles)
        (folder / "curves.png").write_bytes(to_png(curves_figure(history.series), PICTURE_DPI))
        run.log_folder(folder)


def _summary(history: History, best: Validation, last: Validation) -> dict[str, float]:
    metrics = {"time/fit_s": last.seconds, "time/best_s": best.seconds, "memory/peak_mb": history.peak_mb}
    for which, validation in (("best", best), ("last", last)):
        metrics[f"{which}/epoch"] = validation.epoch
        for key, value in ratios(validation.counts.sum(0)).items():
            metrics[f"{which}/{key}"] = value
        metrics[f"{which}/false_alarm"] = false_alarm(validation.counts)
    return metrics


def write_measured(
    path: Path, validation: Validation, data: TileDataModule, rows: Sequence[int], *, store_probability: bool
) -> None:
    """What was measured on the tiles of a part, as an ``npz``; docs/architecture.md has its arrays.

    Args:
        path: of the file, in a folder that is there.
        validation: of these tiles, in their order.
        data: that they are of.
        rows: of the part.
        store_probability: also the probability maps, one byte a pixel.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "tile_id": np.array([data.cache.tile_id[row] for row in rows]),
        "histograms": validation.histograms,
        "counts": validation.counts,
        "height_px": data.cache.height_px[rows],
        "width_px": data.cache.width_px[rows],
        "gsd_m": np.full(len(rows), data.gsd_m),
        "epoch": np.array(validation.epoch, dtype=np.int64),
        **measure_landslides(data.cache.mask[rows], validation.probability),
    }
    if store_probability:
        arrays["probability"] = validation.probability
    np.savez_compressed(path, allow_pickle=False, **arrays)


def _write_tiles(path: Path, data: TileDataModule) -> None:
    rows, cache = data.split.val, data.cache
    images = (as_rgb(cache.image[[row]], data.bands, cache.scale)[0] for row in rows)  # one at a time in memory
    pack_tiles(path, images, (cache.mask[row] for row in rows))


def _write_confusion(folder: Path, which: str, validation: Validation) -> None:
    folder.mkdir(exist_ok=True)
    counts = validation.counts.sum(0)
    named = dict(zip(COUNTS, counts.tolist(), strict=True))
    title = f"{which.capitalize()} epoch ({validation.epoch})"
    (folder / f"{which}.png").write_bytes(to_png(confusion_matrix_figure(counts, title), PICTURE_DPI))
    facts = {"epoch": validation.epoch, "pixels": named, **ratios(counts)}
    (folder / f"{which}.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    with (folder / f"{which}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["truth", "predicted background", "predicted landslide"])
        writer.writerow(["background", named["TN"], named["FP"]])
        writer.writerow(["landslide", named["FN"], named["TP"]])


def _write_panel(folder: Path, best: Validation, data: TileDataModule, tiles: int) -> None:
    shown, rule = panel_positions(data.cache.mask[data.split.val], tiles)
    rows = np.asarray(data.split.val)[shown]
    panel = {
        "images": as_rgb(data.cache.image[rows], data.bands, data.cache.scale),
        "masks": data.cache.mask[rows],
        "probability": best.probability[shown],
        "tile_id": np.array([data.cache.tile_id[row] for row in rows]),
        "rule": np.array(rule),
    }
    np.savez_compressed(folder / "validation" / "panel.npz", allow_pickle=False, **panel)
    figure = panel_figure(**{**panel, "tile_id": panel["tile_id"].tolist(), "rule": rule})
    (folder / "panel.png").write_bytes(to_png(figure, PICTURE_DPI))


def panel_positions(masks: npt.NDArray[np.uint8], tiles: int) -> tuple[list[int], str]:
    """Which tiles are shown: spread evenly over landslide area, whatever was predicted on them.

    Args:
        masks: ``(tiles, H, W)``, 0 or 1.
        tiles: how many to choose; fewer where there are fewer.

    Returns:
        Positions, smallest landslide first, and the rule in words.

    Examples:
        >>> panel_positions(np.arange(4, dtype=np.uint8).reshape(4, 1, 1), 2)[0]
        [1, 3]
    """
    order = np.argsort(masks.reshape(len(masks), -1).sum(1), kind="stable")
    count = min(tiles, len(order))
    chosen = [int(order[int((index + 0.5) / count * len(order))]) for index in range(count)]
    percentiles = ", ".join(f"{100 * (index + 0.5) / count:.0f}" for index in range(count))
    return chosen, f"Validation tiles at percentiles {percentiles} of landslide area, whatever was predicted on them."
