"""What a slot's process is given: cores and a GPU of its own, before it trains."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from landslide.errors import SweepError
from landslide.sweep.slots import Task, make_slots, share_of_cores, visible_gpus

GPUS = ["2", "GPU-8f2c", "5"]


def look(cfg: DictConfig) -> None:
    """The task of a slot: what its process sees."""
    seen = {
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "torch was imported": "torch" in sys.modules,
        "cores": sorted(os.sched_getaffinity(0)),
        "process": os.getpid(),
    }
    (Path(HydraConfig.get().runtime.output_dir) / "seen.json").write_text(json.dumps(seen))


@pytest.fixture
def task(tmp_path: Path) -> Iterator[Task]:
    """Of a sweep that may train on GPUs."""
    text = f"trainer: {{accelerator: gpu}}\nhydra: {{sweep: {{dir: {tmp_path}}}}}\n"
    (tmp_path / "config.yaml").write_text(text)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = compose("config", return_hydra_config=True)
        yield Task(HydraContext(GlobalHydra.instance().config_loader(), Callbacks()), look, config)


def machine_with(monkeypatch: pytest.MonkeyPatch, gpus: int, visible: str | None) -> None:
    """So many GPUs, of which the user has made some visible."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)


def seen_by_slots(task: Task, folder: Path, count: int) -> tuple[list[dict[str, Any]], list[str]]:
    """What real processes of so many slots see, and what people are told."""
    told: list[str] = []
    slots = make_slots(task, count, told.append)
    try:
        jobs = [slot.submit([f"hydra.sweep.subdir='{n}'"], n, folder / str(n)) for n, slot in enumerate(slots)]
        assert [job.result(timeout=60) for job in jobs] == [None] * count
    finally:
        for slot in slots:
            slot.close()
    return [json.loads((folder / str(number) / "seen.json").read_text()) for number in range(count)], told


def test_each_slot_sees_one_of_the_gpus_that_the_user_left_visible_before_torch_is_imported(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, 3, ",".join(GPUS))
    # When
    seen, told = seen_by_slots(task, tmp_path, 2)
    # Then
    assert [each["gpu"] for each in seen] == GPUS[:2]
    assert [each["torch was imported"] for each in seen] == [False, False]
    assert len({each["process"] for each in seen} | {os.getpid()}) == 3
    assert [each["cores"] for each in seen] == [share_of_cores(index, 2) for index in range(2)]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(GPUS)
    assert told == []


def test_more_slots_than_gpus_share_them_in_turn_and_it_is_said(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, 2, None)
    # When
    seen, told = seen_by_slots(task, tmp_path, 3)
    # Then
    assert [each["gpu"] for each in seen] == ["0", "1", "0"]
    assert told == ["3 slots share 2 GPUs, in turn: 0, 1."]


@pytest.mark.parametrize(
    ("index", "count", "share"),
    [(0, 2, [0, 1]), (1, 2, [2, 3, 4]), (0, 1, [0, 1, 2, 3, 4]), (6, 7, [1]), (2, 3, [3, 4])],
)
def test_cores_are_shared_out_and_each_slot_has_one(
    monkeypatch: pytest.MonkeyPatch, index: int, count: int, share: list[int]
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(5)))
    assert share_of_cores(index, count) == share


@pytest.mark.parametrize("count", [1, 2])
def test_a_job_that_does_not_compose_is_not_started_and_no_failure_of_the_trial(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    machine_with(monkeypatch, 0, None)
    slots = make_slots(task, count, print)
    try:
        job = slots[0].submit(["nowhere=1"], 0, tmp_path / "0")
        with pytest.raises(SweepError, match=r"(?s)could not be started: .*nowhere.*the same command goes on"):
            job.result(timeout=60)
    finally:
        for slot in slots:
            slot.close()


@pytest.mark.parametrize(
    ("accelerator", "gpus", "visible", "found"),
    [
        ("auto", 4, None, ["0", "1", "2", "3"]),
        ("auto", 2, "3, 1", ["3", "1"]),
        ("auto", 1, "0,9,1", ["0"]),  # CUDA reads no further than the 9
        ("auto", 0, "-1", []),
        ("auto", 0, "", []),
        ("auto", 0, "0,1", []),  # named, but the machine has none
        ("cpu", 2, None, []),
        ("mps", 0, None, []),
    ],
)
def test_what_cuda_shows_is_what_is_divided(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, gpus: int, visible: str | None, found: list[str]
) -> None:
    machine_with(monkeypatch, gpus, visible)
    assert visible_gpus(OmegaConf.create({"trainer": {"accelerator": accelerator}})) == found
