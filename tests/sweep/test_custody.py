"""``landslide test`` on a sweep that was really trained."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.pruners import NopPruner
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from landslide.cli.main import main
from landslide.data.synthetic import synthesize
from landslide.sweep import custody
from landslide.sweep.branch import Branch
from landslide.sweep.study import Point, StratumStudy
from landslide.tracking.looks import LOCK
from landslide.tracking.store import open_existing
from landslide.training.testing import predict, read_trained
from tests.cli.typed import run_typed

SMALL = (
    "encoder.name=tu-test_resnet data.root={root} data.generate=null data.cache_dir=cache data.image_size=64 "
    "data.batch_size=5 trainer.max_epochs=1 trainer.threads=1 trainer.precision=32 optimizer.lr=1e-2 "
    "tracking.panel_tiles=1"
)
LOCKED = "'data.split={train: 14, val: 6, test: 8, seed: 0}'"
OPEN = "'data.split={train: 14, val: 6, seed: 0}'"
SEEDS = 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sweep ``two`` of U-Net and FPN, two repeats each, and two plain runs that cannot be scored."""
    folder = tmp_path_factory.mktemp("trained")
    root = synthesize(folder / "tiles", count=28, non_landslide=0, size_px=64, seed=0)
    small = SMALL.format(root=root)
    for words in (
        f"-m {small} {LOCKED} arch=unet,fpn sweep.repeats={SEEDS} sweep.name=two",
        f"{small} {OPEN} tracking.experiment=open",
        f"{small} {LOCKED} tracking.keep_models=none tracking.experiment=without",
    ):
        ended = run_typed(f"train.py {words}", folder, environment={})
        assert ended.status == 0, ended
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Databases of its own, on the same artifacts and data: what a test tags, no other one sees."""
    (tmp_path / "mlruns").mkdir()
    for name in ("mlflow.db", "sweeps.db"):
        copy_database(trained / "mlruns" / name, tmp_path / "mlruns" / name)
    (tmp_path / "cache").symlink_to(trained / "cache")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LANDSLIDE_SWEEP_STORAGE", raising=False)
    return tmp_path


def copy_database(source: Path, target: Path) -> None:
    """With what still stands in the log that SQLite writes ahead."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def client() -> MlflowClient:
    return MlflowClient(f"sqlite:///{Path.cwd()}/mlruns/mlflow.db")


def found(*tags: str, experiment: str = "landslide") -> list[Run]:
    """Runs with these tags, such as ``kind=repeat``."""
    place = client().get_experiment_by_name(experiment)
    asked = " and ".join(f"tags.`landslide.{tag.partition('=')[0]}` = '{tag.partition('=')[2]}'" for tag in tags)
    return list(client().search_runs([place.experiment_id], asked))


def looks() -> dict[str, str]:
    """The count on every run that has one, by name."""
    runs = [*found("kind=multirun"), *found("kind=repeat"), *found("kind=run")]
    return {
        run.info.run_name: run.data.tags["landslide.test_looks"]
        for run in runs
        if "landslide.test_looks" in run.data.tags
    }


ALL_ONCE = {"two": "1", **{f"{arch} repeat seed={seed}": "1" for arch in ("unet", "fpn") for seed in (1, 2)}}


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the runs that were predicted; the real prediction goes on."""
    names: list[str] = []

    def predicting(store: Any, trained: Any, rows: Any) -> Any:
        names.append(trained.run.info.run_name)
        return predict(store, trained, rows)

    monkeypatch.setattr(custody, "predict", predicting)
    yield names


# --------------------------------------------------------------------------------------------------------- the scores
def test_all_repeats_of_each_stratum_are_scored_on_the_test_part_and_compared(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # When
    assert main(["test", "two", "-o", "out"]) == 0
    # Then: what is logged is what the stored models predict
    output = capsys.readouterr().out
    repeats = found("kind=repeat")
    assert len(repeats) == 2 * SEEDS
    for run in repeats:
        truth, prediction = predicted_by_the_stored_model(run)
        hits = int((truth & prediction).sum())
        f1 = 2 * hits / (int(truth.sum()) + int(prediction.sum()))
        assert run.data.metrics["test/f1"] == pytest.approx(f1, abs=2e-3)
    assert all(0 < run.data.metrics["test/f1"] < 1 for run in found("kind=repeat", "stratum=unet"))
    # and: what was said is what is logged
    for arch, label in (("unet", "U-Net"), ("fpn", "FPN")):
        values = [run.data.metrics["test/f1"] for run in found("kind=repeat", f"stratum={arch}")]
        told = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
        (line,) = [line for line in output.splitlines() if line.startswith(f"{label}  ")]
        assert told in line
    assert "with 8 tiles and 2 seeds" in output
    assert "the setting of trial 0, best by validation; its repeats, 2 of 2 finished" in output
    # and: it lies in the folder and on the sweep
    (parent,) = found("kind=multirun")
    stored = {item.path for item in client().list_artifacts(parent.info.run_id, "test")}
    assert stored == {"test/test.md", "test/test.csv"}
    assert len((here / "out" / "test.csv").read_text().splitlines()) == 1 + 2 * SEEDS
    assert looks() == ALL_ONCE
    log = json.loads(parent.data.tags["landslide.test_log"])
    assert [entry["command"] for entry in log] == ["landslide test two"]


def predicted_by_the_stored_model(run: Run) -> tuple[Any, Any]:
    """Truth and prediction of the test part, by way of nothing that scores."""
    store = open_existing(None)
    data = read_trained(store, run, None, {}).data
    split = json.loads(Path(client().download_artifacts(run.info.run_id, "split.json")).read_text())
    rows = [data.cache.tile_id.index(name) for name in split["test"]]
    mlflow.set_tracking_uri(store.uri)
    probability = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model").predict(data.cache.image[rows])
    return data.cache.mask[rows] == 1, probability >= 0.5


def test_the_same_way_of_predicting_gives_the_validation_that_was_stored_bit_for_bit(here: Path) -> None:
    store = open_existing(None)
    run = found("kind=repeat", "stratum=unet")[0]
    trained = read_trained(store, run, None, {})
    again = predict(store, trained, trained.data.split.val)
    with np.load(client().download_artifacts(run.info.run_id, "validation/best.npz"), allow_pickle=False) as stored:
        np.testing.assert_array_equal(again.histograms, stored["histograms"])
        np.testing.assert_array_equal(again.probability, stored["probability"])
        assert again.epoch == stored["epoch"]


def test_the_stored_arrays_are_those_of_a_validation_and_name_the_tiles_of_the_test_part(here: Path) -> None:
    assert main(["test", "two"]) == 0
    run = found("kind=repeat", "stratum=fpn")[0]
    split = json.loads(Path(client().download_artifacts(run.info.run_id, "split.json")).read_text())
    arrays = {
        name: np.load(client().download_artifacts(run.info.run_id, name), allow_pickle=False)
        for name in ("test/best.npz", "validation/best.npz")
    }
    tested, validated = arrays.values()
    assert sorted(tested.files) == sorted(validated.files)
    assert tested["tile_id"].tolist() == split["test"]
    assert not set(split["test"]) & {*split["train"], *split["val"]}
    assert tested["histograms"].sum((1, 2)).tolist() == [64 * 64] * 8


# ---------------------------------------------------------------------------------------------------------- the looks
def test_a_second_look_is_refused_with_what_the_first_one_showed(
    here: Path, capsys: pytest.CaptureFixture[str], predictions: list[str]
) -> None:
    assert main(["test", "two"]) == 0
    shown = capsys.readouterr().out
    predictions.clear()
    # When
    assert main(["test", "two"]) == 2
    # Then
    refused = capsys.readouterr()
    assert "its test part was looked at once, last at 20" in refused.err
    assert "by `landslide test two`" in refused.err
    values = [
        f"{np.mean([run.data.metrics['test/f1'] for run in found('stratum=' + arch, 'kind=repeat')]):.4f}"
        for arch in ("unet", "fpn")
    ]
    assert all(value in refused.err and value in shown for value in values)
    assert (refused.out, predictions) == ("", [])
    assert looks() == ALL_ONCE


def test_another_look_that_is_wanted_is_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "two"]) == 0
    assert main(["test", "two", "--again"]) == 0
    assert "There have been 2 looks at this test part" in capsys.readouterr().out
    assert looks() == dict.fromkeys(ALL_ONCE, "2")
    run = found("kind=repeat")[0]
    assert [point.step for point in client().get_metric_history(run.info.run_id, "test/f1")] == [1, 2]
    log = json.loads(found("kind=multirun")[0].data.tags["landslide.test_log"])
    assert [entry["command"] for entry in log] == ["landslide test two", "landslide test two --again"]


def test_a_look_of_another_sweep_at_the_same_tiles_needs_again_and_is_counted_and_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: a run that has left its sweep, and was looked at
    run_id = found("kind=run", "stratum=unet")[0].info.run_id
    seen = [{"time": "2026-01-02T03:04:05+00:00", "command": "landslide test before", "runs": "0" * 16}]
    client().delete_tag(run_id, "mlflow.parentRunId")
    client().set_tag(run_id, "landslide.test_log", json.dumps(seen))
    # When, then: refused
    assert main(["test", "two"]) == 2
    told = capsys.readouterr().err
    assert "'two': 8 of its test tiles were looked at once with other sweeps or runs, last at 2026-01-02" in told
    assert "by `landslide test before`" in told
    assert looks() == {}
    # When, then: wanted
    assert main(["test", "two", "--again"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "There have been 2 looks at this test part" in output
    assert "Of the looks, 1 was at networks of other sweeps or runs on 8 of these tiles, the last one at 2026" in output
    assert "by `landslide test before`" in output


def test_a_look_is_counted_before_the_first_prediction(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def refuse(store: Any, trained: Any, rows: Any) -> Any:
        seen.append(looks())
        raise KeyboardInterrupt

    monkeypatch.setattr(custody, "predict", refuse)
    assert main(["test", "two"]) == 130
    assert seen == [{"two": "1", "unet repeat seed=1": "1"}]


def test_a_look_that_was_cut_short_goes_on_with_what_is_missing_and_counts_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: a kill in the third prediction
    names: list[str] = []

    def twice(store: Any, trained: Any, rows: Any) -> Any:
        if len(names) == 2:
            raise KeyboardInterrupt
        names.append(trained.run.info.run_name)
        return predict(store, trained, rows)

    monkeypatch.setattr(custody, "predict", twice)
    assert main(["test", "two"]) == 130
    first = list(names)
    capsys.readouterr()
    # When
    monkeypatch.setattr(custody, "predict", lambda *given: names.append(given[1].run.info.run_name) or predict(*given))
    assert main(["test", "two"]) == 0
    # Then
    assert len(first) == 2
    assert sorted(names) == sorted(set(ALL_ONCE) - {"two"})
    assert looks() == ALL_ONCE
    assert "which is counted already" in capsys.readouterr().out
    assert main(["test", "two"]) == 2


def test_a_run_that_its_sweep_has_not_chosen_needs_again_and_counts_on_the_sweep(
    here: Path, capsys: pytest.CaptureFixture[str], predictions: list[str]
) -> None:
    (run,) = found("kind=run", "stratum=fpn")
    run_id = run.info.run_id
    with_model = found("kind=repeat", "stratum=fpn")[0].info.run_id
    # When, then: refused
    assert main(["test", run_id]) == 2
    assert "is one run of sweep 'two', whose own test is `landslide test two`" in capsys.readouterr().err
    assert looks() == {}
    # When, then: wanted
    assert main(["test", with_model, "--again"]) == 0
    assert len(predictions) == 1
    assert looks() == {"two": "1", predictions[0]: "1"}
    # and: so the sweep's own look is another one
    assert main(["test", "two"]) == 2
    assert "by `landslide test" in capsys.readouterr().err


def test_a_run_of_no_sweep_is_scored_and_its_looks_are_counted_on_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = found("kind=repeat", "stratum=unet")[0].info.run_id
    client().delete_tag(run_id, "mlflow.parentRunId")
    assert main(["test", run_id[:10]]) == 0
    assert "U-Net      1" in capsys.readouterr().out
    assert {item.path for item in client().list_artifacts(run_id, "test")} >= {"test/best.npz", "test/test.md"}
    assert main(["test", run_id]) == 2
    assert "looked at once" in capsys.readouterr().err
    assert client().get_run(run_id).data.tags["landslide.test_looks"] == "1"


# ----------------------------------------------------------------------------------------------------- what is refused
def paused(folder: Path) -> None:
    (parent,) = found("kind=multirun")
    client().set_tag(parent.info.run_id, "landslide.sweep_state", "paused")


def under_way(folder: Path) -> None:
    client().update_run(found("kind=multirun")[0].info.run_id, "RUNNING")


def no_sweeps(folder: Path) -> None:
    (folder / "mlruns" / "sweeps.db").unlink()


def another_sweep_of_this_name(folder: Path) -> None:
    (parent,) = found("kind=multirun")
    client().delete_run(parent.info.run_id)
    tags = {key: value for key, value in parent.data.tags.items() if key.startswith("landslide.")}
    new = client().create_run(parent.info.experiment_id, tags=tags, run_name="two")
    client().set_terminated(new.info.run_id)


def no_models(folder: Path) -> None:
    for model in client().search_logged_models([found("kind=multirun")[0].info.experiment_id]):
        client().delete_logged_model(model.model_id)


def a_run_is_gone(folder: Path) -> None:
    client().delete_run(found("kind=repeat")[0].info.run_id)


def other_images(folder: Path) -> None:
    synthesize(folder / "other", count=28, non_landslide=0, size_px=64, seed=5)


def another_process(folder: Path) -> FileLock:
    lock = FileLock(folder / "mlruns" / LOCK)
    lock.acquire()
    return lock  # let go of where nobody has it any more


def log_by_hand(folder: Path) -> None:
    (parent,) = found("kind=multirun")
    client().set_tag(parent.info.run_id, "landslide.test_log", "none so far")


def nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("typed", "given", "sees"),
    [
        (["tow"], nothing, "'tow', in sqlite:///"),
        (["two"], paused, "sweep 'two': is paused, so what is best may still change"),
        (["two"], under_way, "sweep 'two': is not at its end"),
        (["two"], no_sweeps, "sweeps.db does not know it"),
        (["two"], another_sweep_of_this_name, "sweeps.db does not know it"),
        (["two"], no_models, "no model is left of it. tracking.keep_models=finalists keeps"),
        (["two"], a_run_is_gone, "was deleted. Restore it in MLflow"),
        (["two"], another_process, "another process is looking at a test part"),
        (["two"], log_by_hand, "its tag landslide.test_log cannot be read"),
        (["two", "--data-root", "nowhere"], nothing, "data.root=nowhere: no Bijie dataset there"),
        (["two", "--data-root", "other"], other_images, "does not hold the images and masks that it was trained on"),
        (["two", "--uri", "http://127.0.0.1:9"], nothing, "the MLflow server does not answer"),
        (["two", "-o", "mlruns/mlflow.db"], nothing, "mlflow.db: no folder can be made there"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_scored_is_told_in_a_sentence_and_no_look_is_counted(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    predictions: list[str],
    typed: list[str],
    given: Callable[[Path], FileLock | None],
    sees: str,
) -> None:
    held = given(here)
    assert main(["test", *typed]) == 2
    del held
    ended = capsys.readouterr()
    assert sees in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert predictions == []
    assert looks() == {}


@pytest.mark.parametrize(
    ("experiment", "sees"),
    [
        ("open", "has no test part. Train with one, such as data.split.test=0.1"),
        ("without", "trained with tracking.keep_models=none, so its weights are gone"),
    ],
)
def test_a_run_without_a_test_part_or_without_weights_is_told_with_the_cure(
    here: Path, capsys: pytest.CaptureFixture[str], experiment: str, sees: str
) -> None:
    (run,) = found("kind=run", experiment=experiment)
    assert main(["test", run.info.run_id]) == 2
    assert sees in capsys.readouterr().err
    assert "landslide.test_looks" not in client().get_run(run.info.run_id).data.tags


def test_a_run_that_failed_is_not_scored(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = found("kind=run", experiment="open")
    client().set_terminated(run.info.run_id, "FAILED")
    assert main(["test", run.info.run_id]) == 2
    assert "is FAILED, and only a finished run is scored" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ what is kept
@pytest.mark.parametrize(
    ("seeds_first", "values", "kept"),
    [
        (False, (0.7, 0.5, 0.9, 0.6), [2, 3]),
        (False, (0.7, 0.8, 0.9, 0.4), [0, 1]),  # the best single one is of the other
        (True, (0.7, 0.9, 0.8, 0.4), [0, 2]),  # which had been the better one by then
    ],
)
def test_every_seed_of_the_best_setting_by_its_mean_keeps_its_model_and_no_other_setting_does(
    tmp_path: Path, seeds_first: bool, values: tuple[float, ...], kept: list[int]
) -> None:
    # Given: a grid of two learning rates and two seeds
    lr, seed = FloatDistribution(1e-4, 1.0), IntDistribution(0, 9)
    points = [{"optimizer.lr": rate, "seed": number} for rate in (0.1, 0.2) for number in (0, 1)]
    if seeds_first:
        points = [points[at] for at in (0, 2, 1, 3)]
    study = StratumStudy(
        InMemoryStorage(),
        "grid/unet",
        directions=["maximize"],
        planned=[Point("grid", point, {"optimizer.lr": lr, "seed": seed}) for point in points],
        sampler=None,
        suggest=lambda _: {},
        pruner=NopPruner(),
        seed=0,
        facts={},
        patiently=lambda write: write(),
    )
    known: dict[str, Any] = {"sweep": "grid", "stratum": None, "space": None, "kind": "search", "against": []}
    branch = Branch(
        **known, study=study, folder=tmp_path, target=4, budget_s=None, keep_models="finalists", pruner="none"
    )
    # When
    for value in values:
        record = study.ask()
        for name in ("model", "checkpoints"):
            (tmp_path / str(record.number) / name).mkdir(parents=True)
        study.tell(record, TrialState.COMPLETE, [value], {}, {})
        branch.keep_the_better(record.number)
    # Then
    assert sorted(int(path.parent.name) for path in tmp_path.glob("*/model")) == kept
    assert len(list(tmp_path.glob("*/checkpoints"))) <= 1
