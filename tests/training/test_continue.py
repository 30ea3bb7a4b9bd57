"""A run that is killed and continued ends as if nothing had happened; the same seed gives the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from safetensors.numpy import load_file

from landslide.errors import ConfigError, TrackingError
from landslide.training.checkpoint import WholeCheckpointIO, newest_checkpoint, open_checkpoint
from landslide.training.result import RunResult
from landslide.training.run import prepare, run
from tests.cli.typed import start_fork_server
from tests.conftest import begin, compose_run, standing_in, train

EPOCHS = 8
RECIPE = [
    "trainer.deterministic=true",  # of no consequence on a CPU; without it no two runs on a GPU are equal
    f"trainer.max_epochs={EPOCHS}",
    "trainer.precision=32",
    "regularization.dropout=0.3",
    "regularization.augmentation=1",
]


class Trained(NamedTuple):
    """What a run left, read from the MLflow store."""

    client: MlflowClient
    run_id: str

    @classmethod
    def only_one(cls, folder: Path) -> Trained:
        client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
        (stored,) = client.search_runs(["1"])
        return cls(client, stored.info.run_id)

    @property
    def status(self) -> str:
        return str(self.client.get_run(self.run_id).info.status)

    def metrics(self) -> dict[str, float]:
        """All but those of time, memory and machine, which no two runs share."""
        stored = self.client.get_run(self.run_id).data.metrics
        return {key: value for key, value in stored.items() if key.split("/")[0] not in ("time", "memory", "system")}

    def series(self) -> dict[str, list[tuple[int, float]]]:
        """Every point of every metric, doubled ones too."""
        history = self.client.get_metric_history
        return {key: [(p.step, p.value) for p in history(self.run_id, key)] for key in self.metrics()}

    def arrays(self, name: str) -> dict[str, np.ndarray[Any, Any]]:
        path = self.client.download_artifacts(self.run_id, name)
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)

    def weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """Of the logged model."""
        (output,) = self.client.get_run(self.run_id).outputs.model_outputs
        place = Path(self.client.get_logged_model(output.model_id).artifact_location.removeprefix("file://"))
        (file,) = place.rglob("weights.safetensors")
        return load_file(file)


def assert_equal(one: Trained, other: Trained) -> None:
    assert one.series() == other.series()
    assert one.metrics() == other.metrics()
    for name in ("validation/best.npz", "validation/last.npz", "validation/panel.npz"):
        left, right = one.arrays(name), other.arrays(name)
        assert left.keys() == right.keys()
        for key in left:
            np.testing.assert_array_equal(left[key], right[key], err_msg=f"{name}: {key}")
    weights, others = one.weights(), other.weights()
    assert weights.keys() == others.keys()
    assert all((weights[key] == others[key]).all() for key in weights)


def train_here(folder: Path, *overrides: str) -> None:
    """In this process; where MLflow then leaves the store in the environment, from which others would take it."""
    try:
        run(compose_run(*overrides), folder / "out")
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        mlflow.set_tracking_uri(None)


def train_until(folder: Path, epochs: int, *overrides: str) -> None:
    """Train in this process until so many epochs lie in checkpoints, and interrupt there."""
    save, writes = WholeCheckpointIO.save_checkpoint, []

    def until(self: WholeCheckpointIO, checkpoint: dict[str, Any], path: Path, storage_options: Any = None) -> None:
        if checkpoint["epoch"] == epochs:
            raise KeyboardInterrupt
        writes.append(Path(path).name)
        save(self, checkpoint, path, storage_options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WholeCheckpointIO, "save_checkpoint", until)
        with pytest.raises(KeyboardInterrupt):
            train_here(folder, *overrides)
    assert writes[:2] == ["best.ckpt", "last.ckpt"]


@pytest.fixture(scope="module")
def undisturbed(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    with standing_in(tmp_path_factory.mktemp("undisturbed")) as folder:
        train_here(folder, *tiny, *RECIPE)
        yield Trained.only_one(folder)


def kill(folder: Path, sign: str, number: signal.Signals, *arguments: str) -> tuple[int, str]:
    """Start the command, send a signal once it has printed the sign, and wait for its end."""
    running = begin(folder, *arguments)
    running.wait_for(sign)
    running.send(number)
    ended = running.end()
    return ended.status, ended.stdout + ended.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_that_is_continued_equals_the_undisturbed_one(
    number: signal.Signals, undisturbed: Trained, tiny: list[str], tmp_path: Path
) -> None:
    # Given: a run that is killed in its third epoch or soon after
    status, output = kill(tmp_path, f" 3/{EPOCHS}", number, *tiny, *RECIPE)
    assert status in (-9, 130), output
    assert f"epoch {EPOCHS}/{EPOCHS}" not in output
    killed = Trained.only_one(tmp_path)
    assert killed.status == {signal.SIGKILL: "RUNNING", signal.SIGINT: "KILLED"}[number]
    (last,) = tmp_path.glob("mlruns/outputs/*/*/checkpoints/last.ckpt")
    saved = open_checkpoint(last)
    # When
    done = train(tmp_path, *tiny, *RECIPE, f"ckpt_path={last}")
    # Then
    assert done.status == 0, done.stderr
    assert f"continues after epoch {saved.epochs}" in done.stdout
    continued = Trained.only_one(tmp_path)
    assert (continued.run_id, continued.status) == (killed.run_id, "FINISHED")
    assert_equal(continued, undisturbed)
    facts = continued.client.get_run(continued.run_id).data
    assert facts.tags["landslide.continued"] == str(saved.epochs)
    epochs_s = sum(p.value for p in continued.client.get_metric_history(continued.run_id, "time/epoch_s"))
    assert facts.metrics["time/fit_s"] >= epochs_s * 0.99  # of both parts


EVERYTHING = [
    *("scheduler=plateau", "scheduler.patience=0", "scheduler.factor=0.5"),
    *("trainer.precision=32", "trainer.deterministic=true"),
    *("regularization.ema=0.9", "regularization.early_stopping=3", "regularization.freeze_encoder=3"),
    *("regularization.gradient_clip=0.1", "regularization.dropout=0.3", "regularization.label_smoothing=0.1"),
    "trainer.max_epochs=12",
]


def test_a_run_with_every_regulariser_goes_on_as_the_undisturbed_one(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a run whose rate falls, whose encoder is let go, and that stops by itself; once whole, once interrupted
    folders = [tmp_path / name for name in ("whole", "interrupted")]
    for folder in folders:
        folder.mkdir()
    last = [folder / "out" / "checkpoints" / "last.ckpt" for folder in folders]
    monkeypatch.chdir(folders[0])
    train_here(folders[0], *tiny, *EVERYTHING)
    monkeypatch.chdir(folders[1])
    train_until(folders[1], 2, *tiny, *EVERYTHING)
    # When
    train_here(folders[1], *tiny, *EVERYTHING, f"ckpt_path={last[1]}")
    # Then
    whole, continued = (Trained.only_one(folder) for folder in folders)
    assert_equal(continued, whole)
    stored = [torch.load(path, weights_only=True) for path in last]
    for part in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(stored[1][part], stored[0][part], rtol=0, atol=0)
    assert stored[1]["lr_schedulers"] == stored[0]["lr_schedulers"]
    # and what was to be shown has happened
    assert 3 < len(whole.series()["val/f1"]) < 12
    assert stored[0]["lr_schedulers"][0]["_last_lr"][0] < 0.002


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_numbers_bit_for_bit_in_another_process(
    threads: int, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: the same run twice in this process, and once in another
    recipe = [*tiny, *RECIPE, "trainer.max_epochs=2", f"trainer.threads={threads}"]
    folders = [tmp_path / name for name in ("here", "again", "elsewhere")]
    for folder in folders:
        folder.mkdir()
    for folder in folders[:2]:
        monkeypatch.chdir(folder)
        train_here(folder, *recipe)
    # When
    done = train(folders[2], *recipe)
    # Then
    assert done.status == 0, done.stderr
    here, again, elsewhere = (Trained.only_one(folder) for folder in folders)
    assert_equal(here, again)
    assert_equal(here, elsewhere)


@pytest.fixture(scope="module")
def cut(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of four epochs that was killed after its second: what its checkpoint says, is there."""
    with standing_in(tmp_path_factory.mktemp("cut")) as folder:
        train_until(folder, 2, *tiny, "trainer.max_epochs=4", "scheduler=none")
    return folder


@pytest.fixture
def copy(cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, moved to another place, and we stand in it."""
    shutil.copytree(cut, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    return tmp_path / "moved"


def go_on(tiny: list[str], folder: Path, *overrides: str) -> RunResult:
    last = folder / "out" / "checkpoints" / "last.ckpt"
    base = [*tiny, "trainer.max_epochs=4", "scheduler=none", f"ckpt_path={last}"]
    return run(compose_run(*base, *overrides), folder / "unused")


def test_mlflow_has_no_epoch_that_no_checkpoint_has(cut: Path) -> None:
    assert open_checkpoint(cut / "out" / "checkpoints" / "last.ckpt").epochs == 2
    assert [step for step, _ in Trained.only_one(cut).series()["train/loss"]] == [1, 2]


def test_a_run_goes_on_in_its_own_folder_wherever_that_was_moved(copy: Path, tiny: list[str]) -> None:
    result = go_on(tiny, copy)
    assert result.folder == str(copy / "out")
    assert not (copy / "unused").exists()
    assert [step for step, _ in Trained.only_one(copy).series()["val/f1"]] == [1, 2, 3, 4]


def test_points_that_a_kill_kept_from_mlflow_are_logged_when_the_run_goes_on(copy: Path, tiny: list[str]) -> None:
    # Given: the run file is gone, so nothing is in the new MLflow run
    old = Trained.only_one(copy).run_id
    (copy / "out" / "run.json").unlink()
    # When
    result = go_on(tiny, copy)
    # Then
    client = MlflowClient(f"sqlite:///{copy}/mlruns/mlflow.db")
    assert result.run_id != old
    assert [point.step for point in client.get_metric_history(result.run_id, "val/f1")] == [1, 2, 3, 4]
    assert client.get_run(result.run_id).data.params["trainer.max_epochs"] == "4"


def test_the_newer_of_both_checkpoints_is_continued_from(copy: Path, tiny: list[str]) -> None:
    # Given: killed between the two writes, so that best.ckpt has an epoch more than last.ckpt
    checkpoints = copy / "out" / "checkpoints"
    shutil.copy(checkpoints / "last.ckpt", checkpoints / "best.ckpt")
    stored = torch.load(checkpoints / "last.ckpt", weights_only=True)
    stored["callbacks"]["History"]["points"].pop()
    torch.save(stored, checkpoints / "last.ckpt")
    # When, then
    assert newest_checkpoint(copy / "out") == checkpoints / "best.ckpt"
    prepared = prepare(
        compose_run(*tiny, "trainer.max_epochs=4", "scheduler=none", f"ckpt_path={checkpoints}/last.ckpt")
    )
    assert prepared.saved is not None
    assert prepared.saved.epochs == 2


def test_the_best_epoch_survives_though_none_after_the_interruption_is_better(copy: Path, tiny: list[str]) -> None:
    # Given: a score before the interruption that no epoch can reach
    for name in ("last.ckpt", "best.ckpt"):
        path = copy / "out" / "checkpoints" / name
        stored = torch.load(path, weights_only=True)
        (state,) = [value for value in stored["callbacks"].values() if value.get("monitor") == "val/f1"]
        state["best_k_models"] = {path: torch.tensor(2.0) for path in state["best_k_models"]}
        best = stored["callbacks"]["History"]["best"]
        torch.save(stored, path)
    # When
    result = go_on(tiny, copy)
    # Then
    trained = Trained.only_one(copy)
    assert result.epoch == best["epoch"] <= 2
    np.testing.assert_array_equal(trained.arrays("validation/best.npz")["histograms"], best["histograms"].numpy())
    np.testing.assert_array_equal(trained.arrays("validation/best.npz")["probability"], best["probability"].numpy())
    kept = torch.load(copy / "out" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    mine = trained.weights()
    assert not all((mine[key] == kept[f"segmenter.{key}"].numpy()).all() for key in mine)  # the best's, not the last's


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=1e-4", r"must stay the same run\. optimizer\.lr was 0\.002, is 0\.0001"),
        ("arch=fpn", r"arch\.name was unet, is fpn"),
        ("data.split.seed=7", r"data\.split\.seed was 0, is 7; split digest was"),
        ("trainer.precision=bf16", r"trainer\.precision was 32, is bf16"),
        ("trainer.max_epochs=1", "has 2 epochs already, trainer.max_epochs=1 leaves nothing"),
    ],
)
def test_another_config_is_refused_by_name_with_both_values(
    copy: Path, tiny: list[str], override: str, message: str
) -> None:
    if "precision" in override and prepare(compose_run(*tiny)).hardware.precision == "bf16":
        override, message = "trainer.precision=32", r"trainer\.precision was bf16, is 32"
    with pytest.raises(ConfigError, match=message):
        go_on(tiny, copy, override)
    assert Trained.only_one(copy).status == "KILLED"


def test_a_run_with_a_constant_rate_can_be_prolonged_after_its_end(copy: Path, tiny: list[str]) -> None:
    go_on(tiny, copy)
    with pytest.raises(ConfigError, match=r"has 4 epochs already, trainer\.max_epochs=4 leaves nothing"):
        go_on(tiny, copy)
    go_on(tiny, copy, "trainer.max_epochs=6")
    trained = Trained.only_one(copy)
    assert [step for step, _ in trained.series()["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert trained.metrics()["last/epoch"] == 6


def test_a_schedule_over_the_whole_run_cannot_be_prolonged(copy: Path, tiny: list[str]) -> None:
    last = copy / "out" / "checkpoints" / "last.ckpt"
    stored = torch.load(last, weights_only=True)
    identity = stored["landslide"]["identity"]
    cycle = compose_run(*tiny, "trainer.max_epochs=6", f"ckpt_path={last}")
    for key in [key for key in identity if key.startswith("scheduler.")]:
        del identity[key]
    identity |= {f"scheduler.{key}": str(value) for key, value in cycle.scheduler.items()}
    torch.save(stored, last)
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs was 4, is 6\. The scheduler is laid out"):
        run(cycle, copy / "unused")


def test_an_mlflow_run_that_is_gone_is_told_with_both_ways_on(copy: Path, tiny: list[str]) -> None:
    with pytest.raises(TrackingError, match=r"is not in sqlite.*other\.db\. It was in .*or delete .*run\.json"):
        go_on(tiny, copy, f"tracking.uri=sqlite:///{copy}/other.db")


def test_a_deleted_mlflow_run_is_told_with_the_cure(copy: Path, tiny: list[str]) -> None:
    trained = Trained.only_one(copy)
    trained.client.delete_run(trained.run_id)
    with pytest.raises(TrackingError, match=f"was deleted. Restore it in MLflow.*{trained.run_id}"):
        go_on(tiny, copy)


def test_a_damaged_run_file_is_told(copy: Path, tiny: list[str]) -> None:
    (copy / "out" / "run.json").write_text(json.dumps({"run_id": "../../etc"}))
    with pytest.raises(ConfigError, match=r"run\.json: is damaged.*Delete it to go on as a new run"):
        go_on(tiny, copy)


def test_two_processes_do_not_train_one_run(copy: Path, tiny: list[str]) -> None:
    from landslide.training.checkpoint import alone_in

    with alone_in(copy / "out"), pytest.raises(ConfigError, match="another process is training this run"):
        go_on(tiny, copy)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_file_that_is_no_checkpoint_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    if content is None:
        torch.save({"state_dict": {}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="no checkpoint that landslide can continue from"):
        open_checkpoint(path)


def test_an_interruption_in_the_middle_of_a_write_is_one_and_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    # Given
    path = tmp_path / "last.ckpt"
    torch.save({"epoch": 1}, path)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGALRM, interrupt)
    # When: several times, for not every moment lies within torch's own writing
    try:
        for number in range(8):
            signal.setitimer(signal.ITIMER_REAL, 0.05 + 0.007 * number)
            with pytest.raises(KeyboardInterrupt):
                while True:
                    WholeCheckpointIO().save_checkpoint({"weights": torch.zeros(4_000_000)}, path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    # Then
    assert not path.with_name("last.ckpt.part").exists()
    assert torch.load(path, weights_only=True)


def _write_large_checkpoint(path: Path) -> None:
    WholeCheckpointIO().save_checkpoint({str(number): torch.zeros(4_000_000) for number in range(32)}, path)


def test_a_kill_in_the_middle_of_a_write_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    # Given: a checkpoint, and a process that writes a large one over it and is killed meanwhile
    path = tmp_path / "last.ckpt"
    torch.save({"epoch": 1}, path)
    process = start_fork_server().Process(target=_write_large_checkpoint, args=(path,))
    process.start()
    # When: a tenth of it is written
    while not (aside := path.with_name("last.ckpt.part")).exists() or aside.stat().st_size < 50_000_000:
        assert process.exitcode is None
    process.kill()
    process.join()
    # Then
    assert torch.load(path, weights_only=True) == {"epoch": 1}
