"""The main job through the real command line."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient

from tests.conftest import begin, train


class Multirun(NamedTuple):
    folder: Path
    status: int
    output: str

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder}/mlruns/mlflow.db")

    def runs(self) -> tuple[Any, list[Any]]:
        found = self.client.search_runs(["1"], order_by=["attributes.start_time ASC"])
        (parent,) = [run for run in found if run.data.tags["landslide.kind"] == "multirun"]
        children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert len(found) == 1 + len(children)
        return parent, sorted(children, key=place)


def place(run: Any) -> tuple[str, int]:
    """Stratum and number of a trial."""
    return run.data.tags["landslide.stratum"], int(run.data.tags["landslide.trial"])


@pytest.fixture(scope="module")
def one_fails(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Multirun]:
    """LinkNet cannot take 72 px and fails; U-Net can, and U-Net at both sizes goes on."""
    folder = tmp_path_factory.mktemp("multirun")
    done = train(folder, "-m", *tiny, "arch=linknet,unet", "data.image_size=72,64")
    yield Multirun(folder, done.status, done.stdout + done.stderr)


def test_a_failed_model_is_shown_with_its_reason_and_the_others_go_on(one_fails: Multirun) -> None:
    parent, children = one_fails.runs()
    assert one_fails.status == 1, one_fails.output
    assert [run.info.status for run in children] == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]
    assert "needs a multiple of 32" in children[0].data.tags["landslide.failure"]
    assert parent.info.status == "FINISHED"
    assert "needs a multiple of 32" in parent.data.tags["mlflow.note.content"]
    assert "Traceback" not in one_fails.output


def test_a_list_of_multiruns_shows_what_each_came_to(one_fails: Multirun) -> None:
    parent, children = one_fails.runs()
    finished = {run.info.run_id: run.data.metrics for run in children if run.info.status == "FINISHED"}
    assert parent.data.metrics["best/f1"] == max(metrics["best/f1"] for metrics in finished.values())
    assert parent.data.metrics["best/f1"] == finished[parent.data.tags["landslide.best_run"].split()[-1]]["best/f1"]


def test_the_parent_says_from_how_many_settings_each_model_could_choose(one_fails: Multirun) -> None:
    parent, _ = one_fails.runs()
    budgets = {name: value for name, value in parent.data.tags.items() if name.startswith("landslide.budget.")}
    assert budgets == {"landslide.budget.linknet": "2 settings", "landslide.budget.unet": "2 settings"}


def test_the_parent_carries_the_comparison_in_every_form(one_fails: Multirun) -> None:
    parent, _ = one_fails.runs()
    there = {file.path for file in one_fails.client.list_artifacts(parent.info.run_id)}
    assert {f"comparison.{form}" for form in ("html", "md", "csv", "tex")} <= there
    figures = {file.path for file in one_fails.client.list_artifacts(parent.info.run_id, "figures")}
    assert {"figures/confusion_matrices.png", "figures/loss_curves.png", "figures/tiles.png"} <= figures
    assert "U-Net" in parent.data.tags["mlflow.note.content"]


def test_one_trial_is_one_run_and_one_folder_of_the_same_number(one_fails: Multirun) -> None:
    _, children = one_fails.runs()
    (sweep,) = one_fails.folder.glob("mlruns/sweeps/*")
    assert [place(run) for run in children] == [("linknet", 0), ("linknet", 1), ("unet", 0), ("unet", 1)]
    for run in children:
        overrides = sweep.joinpath(*map(str, place(run)), ".hydra", "overrides.yaml").read_text()
        assert f"tracking.run_id={run.info.run_id}" in overrides


def test_only_the_best_run_of_each_architecture_keeps_its_model(one_fails: Multirun) -> None:
    _, children = one_fails.runs()
    finished = [run for run in children if run.info.status == "FINISHED"]
    kept = {run.info.run_id for run in finished if run.outputs.model_outputs}
    expected = set()
    for arch in ("linknet", "unet"):
        of_arch = [run for run in finished if run.data.params["arch.name"] == arch]
        expected.add(max(of_arch, key=lambda run: run.data.metrics["best/f1"]).info.run_id)
    assert kept == expected
    (sweep,) = one_fails.folder.glob("mlruns/sweeps/*")
    for run in children:
        folder = sweep.joinpath(*map(str, place(run)))
        assert (folder / "checkpoints").exists() == (run.info.run_id in kept)
        assert not (folder / "model").exists()


def test_the_smoke_study_runs_and_repeats_its_best_setting(tmp_path: Path) -> None:
    done = train(tmp_path, "-m", "sweeps=smoke", f"data.cache_dir={tmp_path / 'cache'}")
    assert done.status == 0, done.stdout + done.stderr
    assert "4 runs, searched by tpe" in done.stdout
    assert "The tuned settings again with other seeds" in " ".join(done.stdout.split())
    there = {path.name for path in tmp_path.glob("mlruns/sweeps/smoke/comparison/*")}
    assert {"sweep.html", "trials.csv", "best_all.yaml"} <= there


def test_data_that_no_trial_could_read_is_refused_before_the_first(tmp_path: Path) -> None:
    done = train(tmp_path, "-m", "data=bijie", "data.root=nowhere", "arch=unet,fpn", "trainer.threads=1")
    assert done.status == 2
    assert "no Bijie dataset there" in done.stderr
    assert not list(tmp_path.glob("mlruns/sweeps/*"))


def test_where_every_trial_fails_the_reasons_are_compared(tiny: list[str], tmp_path: Path) -> None:
    done = train(tmp_path, "-m", *tiny, "data.image_size=72", "arch=linknet,fpn")
    parent, children = Multirun(tmp_path, done.status, done.stdout).runs()
    assert done.status == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert [run.info.status for run in (parent, *children)] == ["FAILED"] * 3
    assert parent.data.tags["mlflow.note.content"].count("needs a multiple of 32") == 2


def interrupt(folder: Path, sign: str, *arguments: str) -> tuple[int, str]:
    """Start the command, press Ctrl-C once it has printed the sign, and wait."""
    running = begin(folder, *arguments)
    running.wait_for(sign)
    running.send(signal.SIGINT)
    ended = running.end()
    return ended.status, ended.stdout + ended.stderr


def test_ctrl_c_kills_the_current_run_keeps_its_checkpoint_and_compares_what_finished(
    tiny: list[str], tmp_path: Path
) -> None:
    endless = ["trainer.max_epochs=1,100000", "tracking.keep_models=none"]
    status, output = interrupt(tmp_path, " 2/100000", "-m", *tiny, *endless)
    parent, children = Multirun(tmp_path, status, output).runs()
    assert status == 130, output
    assert [run.info.status for run in (parent, *children)] == ["KILLED", "FINISHED", "KILLED"]
    assert "U-Net" in output.split("Interrupted", maxsplit=1)[1]
    assert "Traceback" not in output
    (sweep,) = tmp_path.glob("mlruns/sweeps/*")
    assert (sweep / "all" / "1" / "checkpoints" / "last.ckpt").is_file()


def test_ctrl_c_in_a_single_run_says_where_its_checkpoint_is_and_the_run_can_go_on(
    tiny: list[str], tmp_path: Path
) -> None:
    status, output = interrupt(tmp_path, " 2/12", *tiny, "trainer.max_epochs=12")
    (last,) = tmp_path.glob("mlruns/outputs/*/*/checkpoints/last.ckpt")
    assert status == 130, output
    assert f"Its last checkpoint: {last}" in output
    assert "Traceback" not in output
    done = train(tmp_path, *tiny, "trainer.max_epochs=12", f"ckpt_path={last}")
    assert done.status == 0, done.stderr
    assert "epoch  1/12" not in done.stdout
    assert "epoch 12/12" in done.stdout
