"""A batch that does not fit is said in a sentence, and the next run has the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import Tensor, nn

from landslide.errors import OutOfMemory
from landslide.training.memory import require_memory
from landslide.training.run import run
from tests.conftest import compose_run, train

BEYOND = 1 << 50
"""Bytes, a petabyte: refused at once, nothing is taken."""

GREEDY, MODEST = "tests.training.test_memory.Greedy", "torch.nn.BCEWithLogitsLoss"


class Greedy(nn.Module):
    """A loss that asks for more than any machine has."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return logits.mean() + torch.empty(BEYOND, dtype=torch.uint8).sum()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: torch.empty(BEYOND, dtype=torch.uint8), r"fit into the memory of a CPU\. Give"),
        (lambda: np.empty(BEYOND, dtype=np.uint8), r"fit into the memory of a CPU \(1\.00 PiB more were asked for\)\."),
    ],
    ids=["torch", "numpy"],
)
def test_whoever_refuses_memory_it_is_told_with_the_batch_and_the_cure(ask, told: str) -> None:
    cfg = compose_run("data.batch_size=24")
    with (
        pytest.raises(OutOfMemory, match=rf"^data\.batch_size=24: .*{told}.*data\.batch_size=12 or less"),
        require_memory(cfg, "a CPU"),
    ):
        ask()


def test_a_batch_of_one_is_not_told_to_be_smaller() -> None:
    cfg = compose_run("data.batch_size=1")
    with pytest.raises(OutOfMemory, match=r"Give a smaller data\.image_size"), require_memory(cfg, "a CPU"):
        raise MemoryError


def test_what_has_nothing_to_do_with_memory_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="of another kind"), require_memory(compose_run(), "a CPU"):
        raise RuntimeError("of another kind")


def test_a_run_without_memory_is_failed_with_the_reason(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutOfMemory, match=r"data\.batch_size=8"):
        run(compose_run(*tiny, "loss=bce", f"loss._target_={GREEDY}", "trainer.accelerator=cpu"), tmp_path / "out")
    (stored,) = MlflowClient().search_runs(["1"])
    assert stored.info.status == "FAILED"
    assert stored.data.tags["landslide.failure"].startswith("data.batch_size=8: a batch of tiles of 64 px does not fit")
    assert [file.path for file in MlflowClient().list_artifacts(stored.info.run_id) if file.path == "traceback.txt"]


def test_the_command_says_it_in_a_sentence_with_status_1_and_a_multirun_goes_on(
    tiny: list[str], tmp_path: Path
) -> None:
    on_cpu = [*tiny, "loss=bce", "trainer.accelerator=cpu", "trainer.max_epochs=1"]
    done = train(tmp_path, "-m", *on_cpu, f"loss._target_={GREEDY},{MODEST}")
    assert done.status == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "failed (out of memory: data.batch_size=8: a batch of tiles of 64 px" in " ".join(done.stdout.split())
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    runs = client.search_runs(["1"], "tags.`landslide.kind` = 'run'")
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED"]

    alone = train(tmp_path, *on_cpu, f"loss._target_={GREEDY}")
    assert (alone.status, alone.stderr.count("\n")) == (1, 1), alone.stderr
    assert alone.stderr.startswith("train.py: data.batch_size=8: ") and alone.stderr.endswith("The run is FAILED.\n")
