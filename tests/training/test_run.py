"""One run from config to MLflow, with everything real."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image
from sklearn.metrics import confusion_matrix, f1_score

from landslide.errors import ConfigError, TrainingDiverged
from landslide.report.sheet import unpack_tiles
from landslide.training.checkpoint import open_checkpoint
from landslide.training.module import SegmentationModule
from landslide.training.result import RunResult
from landslide.training.run import run
from tests.conftest import compose_run, standing_in, train


class Finished(NamedTuple):
    result: RunResult
    client: MlflowClient
    folder: Path

    def artifact(self, name: str) -> Path:
        return Path(self.client.download_artifacts(self.result.run_id, name))


@pytest.fixture(scope="module")
def finished(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    with standing_in(tmp_path_factory.mktemp("finished")) as folder:
        result = run(compose_run(*tiny, "trainer.precision=32"), folder / "out")
        yield Finished(result, MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db"), folder)


def truth(finished: Finished, dataset: Path) -> dict[str, np.ndarray[Any, Any]]:
    split = json.loads(finished.artifact("split.json").read_text())
    masks = {name: np.asarray(Image.open(dataset / "landslide" / "mask" / f"{name}.png")) > 0 for name in split["val"]}
    assert len(masks) == 8
    return masks


def test_a_run_logs_a_point_an_epoch_of_losses_metrics_and_times(finished: Finished) -> None:
    for key in ("train/loss", "val/loss", "val/accuracy", "val/f1", "val/iou", "time/epoch_s", "time/images_per_s"):
        history = finished.client.get_metric_history(finished.result.run_id, key)
        assert [point.step for point in history] == [1, 2], key
        assert all(math.isfinite(point.value) for point in history)


def test_the_stored_histograms_agree_with_scikit_learn_on_the_stored_maps(finished: Finished, dataset: Path) -> None:
    masks = truth(finished, dataset)
    for which in ("best", "last"):
        stored = np.load(finished.artifact(f"validation/{which}.npz"), allow_pickle=False)
        for row, name in enumerate(stored["tile_id"].tolist()):
            predicted = stored["probability"][row] >= 128
            tn, fp, fn, tp = confusion_matrix(masks[name].ravel(), predicted.ravel(), labels=[False, True]).ravel()
            assert stored["counts"][row].tolist() == [tp, fp, fn, tn]
        assert stored["histograms"].sum() == 8 * 64 * 64
        assert stored["histograms"].dtype == np.int64


def test_the_logged_f1_is_pooled_over_pixels(finished: Finished, dataset: Path) -> None:
    masks = truth(finished, dataset)
    stored = np.load(finished.artifact("validation/last.npz"), allow_pickle=False)
    pooled_truth = np.stack([masks[name] for name in stored["tile_id"].tolist()]).ravel()
    expected = f1_score(pooled_truth, (stored["probability"] >= 128).ravel())
    metrics = finished.client.get_run(finished.result.run_id).data.metrics
    assert metrics["last/f1"] == pytest.approx(expected, abs=1e-12)
    assert metrics["val/f1"] == pytest.approx(expected, abs=1e-6)  # Lightning hands it on in float32


def test_landslides_and_patches_hold_the_pixels_that_were_counted(finished: Finished) -> None:
    for which in ("best", "last"):
        stored = np.load(finished.artifact(f"validation/{which}.npz"), allow_pickle=False)
        for what, true, counted in (("landslide", "found_px", (0, 2)), ("patch", "true_px", (0, 1))):
            tile, tiles = stored[f"{what}_tile"], len(stored["counts"])
            pixels, both = (np.bincount(tile, stored[f"{what}_{name}"], tiles) for name in ("px", true))
            assert pixels.tolist() == stored["counts"][:, counted].sum(1).tolist()  # all that is true, or predicted
            assert both.tolist() == stored["counts"][:, 0].tolist()


def test_pictures_of_all_validation_tiles_stand_at_the_positions_of_their_counts(
    finished: Finished, dataset: Path
) -> None:
    masks = truth(finished, dataset)
    names = np.load(finished.artifact("validation/best.npz"), allow_pickle=False)["tile_id"].tolist()
    images, stored = unpack_tiles(finished.artifact("validation/tiles.zip"), range(len(names)))
    for row, name in enumerate(names):
        image = np.asarray(Image.open(dataset / "landslide" / "image" / f"{name}.png").convert("RGB")).astype(int)
        np.testing.assert_array_equal(stored[row] > 0, masks[name])
        assert np.abs(images[row] - image).mean() < 8  # of 255; JPEG


def test_without_maps_a_run_keeps_no_pictures_but_knows_its_landslides(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bare = ["tracking.store_probability=false", "tracking.keep_models=none", "trainer.max_epochs=1"]
    result = run(compose_run(*tiny, *bare), tmp_path / "out")
    client = MlflowClient()
    paths = [file.path for file in client.list_artifacts(result.run_id, "validation")]
    assert sorted(paths) == ["validation/best.npz", "validation/last.npz", "validation/panel.npz"]
    stored = np.load(client.download_artifacts(result.run_id, "validation/best.npz"), allow_pickle=False)
    assert "probability" not in stored
    assert stored["landslide_px"].sum() == stored["counts"][:, [0, 2]].sum()


def test_the_score_is_the_best_epochs_objective(finished: Finished) -> None:
    history = finished.client.get_metric_history(finished.result.run_id, "val/f1")
    best = max(history, key=lambda point: point.value)
    assert (finished.result.score, finished.result.epoch) == (pytest.approx(best.value), best.step)
    assert finished.client.get_run(finished.result.run_id).data.metrics["best/epoch"] == best.step


def test_a_run_says_what_made_it(finished: Finished) -> None:
    stored = finished.client.get_run(finished.result.run_id)
    environment = json.loads(finished.artifact("environment.json").read_text())
    assert stored.info.status == "FINISHED"
    assert stored.data.params["arch.name"] == "unet"
    assert stored.data.params["data.split.train"] == "16"
    assert stored.data.tags["landslide.precision"] == "32"
    assert torch.__version__.startswith(environment["packages"]["torch"])
    (dataset_input,) = stored.inputs.dataset_inputs
    assert stored.data.tags["landslide.data_digest"].startswith(dataset_input.dataset.digest)
    assert "max_epochs: 2" in finished.artifact("config.yaml").read_text()


def test_the_confusion_matrix_is_there_as_picture_table_and_json(finished: Finished) -> None:
    folder = finished.artifact("confusion_matrix")
    facts = json.loads((folder / "best.json").read_text())
    rows = list(csv.reader(io.StringIO((folder / "best.csv").read_text())))
    assert sum(facts["pixels"].values()) == 8 * 64 * 64
    assert [int(value) for value in rows[2][1:]] == [facts["pixels"]["FN"], facts["pixels"]["TP"]]
    assert Image.open(folder / "best.png").width > 200


def test_the_best_model_loads_without_unpickling_and_predicts_what_validation_saw(
    finished: Finished, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(f"sqlite:///{finished.folder}/mlruns/mlflow.db")
    model = mlflow.pyfunc.load_model(f"runs:/{finished.result.run_id}/model")
    stored = np.load(finished.artifact("validation/best.npz"), allow_pickle=False)
    names = stored["tile_id"].tolist()
    images = np.stack([np.asarray(Image.open(dataset / "landslide" / "image" / f"{name}.png")) for name in names])
    probability = model.predict(images)
    assert probability.shape == (8, 64, 64)
    assert np.abs(probability * 256 - stored["probability"]).max() < 1.5  # one bin, and rounding


def test_what_is_kept_on_disk_is_the_last_checkpoint_and_the_result(finished: Finished) -> None:
    kept = sorted(path.relative_to(finished.folder / "out").as_posix() for path in (finished.folder / "out").rglob("*"))
    assert kept == [".lock", "checkpoints", "checkpoints/last.ckpt", "result.json", "run.json"]
    assert json.loads((finished.folder / "out" / "result.json").read_text())["run_id"] == finished.result.run_id


def test_no_model_is_kept_where_none_is_wanted(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(compose_run(*tiny, "tracking.keep_models=none", "trainer.max_epochs=1"), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".lock", "result.json", "run.json"]
    assert MlflowClient().get_run(result.run_id).outputs.model_outputs == []


def test_the_same_seed_gives_the_same_numbers(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    alike = [*tiny, "trainer.deterministic=true"]  # of no consequence on a CPU
    scores = [
        run(compose_run(*alike, f"seed={seed}"), tmp_path / name).score for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    ]
    assert scores[0] == scores[1] != scores[2]


def test_a_loss_that_is_no_number_fails_the_run_and_names_the_epoch(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingDiverged, match="epoch 1"):
        run(compose_run(*tiny, "optimizer.lr=1e38", "scheduler=none"), tmp_path / "out")
    (stored,) = MlflowClient().search_runs(["1"])
    assert stored.info.status == "FAILED"
    assert "train/loss is nan" in stored.data.tags["landslide.failure"]
    assert [file.path for file in MlflowClient().list_artifacts(stored.info.run_id) if file.path == "traceback.txt"]


@pytest.mark.parametrize(("key", "value"), [("train/loss", "inf"), ("val/loss", "nan"), ("val/loss", "-inf")])
def test_a_loss_that_is_no_number_in_a_later_epoch_keeps_the_checkpoint_before(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    # Given: a loss that breaks in the second epoch, in training or only in validation
    monkeypatch.chdir(tmp_path)
    log = SegmentationModule.log

    def broken(self: SegmentationModule, name: str, logged: Any, **settings: Any) -> None:
        log(self, name, float(value) if name == key and self.current_epoch == 1 else logged, **settings)

    monkeypatch.setattr(SegmentationModule, "log", broken)
    # When
    with pytest.raises(TrainingDiverged, match=f"{key} is {value} in epoch 2"):
        run(compose_run(*tiny), tmp_path / "out")
    # Then
    (stored,) = MlflowClient().search_runs(["1"])
    assert stored.info.status == "FAILED"
    assert [point.step for point in MlflowClient().get_metric_history(stored.info.run_id, "val/f1")] == [1]
    assert open_checkpoint(tmp_path / "out" / "checkpoints" / "last.ckpt").epochs == 1


def test_a_diverged_run_is_told_in_a_sentence_with_status_1(tiny: list[str], tmp_path: Path) -> None:
    done = train(tmp_path, *tiny, "optimizer.lr=1e38", "scheduler=none")
    assert done.status == 1
    assert "train.py: train/loss is nan in epoch 1. A lower optimizer.lr may help. The run is FAILED." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_size_that_the_network_cannot_take_is_refused_before_mlflow_has_a_run(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"data\.image_size=70.*for example 64"):
        run(compose_run(*tiny, "arch=linknet", "data.image_size=70"), tmp_path / "out")
    experiments = MlflowClient().search_experiments()
    assert not [run for found in experiments for run in MlflowClient().search_runs([found.experiment_id])]


@pytest.mark.parametrize("wrong", ["+optimizer.lrr=1", "+loss.alpha=2", "+scheduler.gamma=1"])
def test_an_argument_that_nothing_takes_is_refused_before_mlflow_has_a_run(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"unexpected keyword argument '(lrr|alpha|gamma)'"):
        run(compose_run(*tiny, wrong), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_is_not_there_is_refused_before_mlflow_has_a_run(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"ckpt_path=away\.ckpt: no such file"):
        run(compose_run(*tiny, "ckpt_path=away.ckpt"), tmp_path / "out")
    assert not list(tmp_path.iterdir())
