"""Trials in the hands of a launcher: whose turn it is, whoever begins them, and however often."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from joblib.externals.loky.process_executor import TerminatedWorkerError
from omegaconf import DictConfig, OmegaConf

from landslide.errors import ConfigError, SweepError
from landslide.sweep import launched
from landslide.sweep.launched import (
    BEGUN,
    LOCK,
    TICKET,
    WITHDRAWN,
    Launched,
    make_launched,
    require_processes,
    train_launched,
)
from landslide.sweep.slots import OUTPUT, Task, describe

ELSEWHERE = ("another machine", 1)


class Counting:
    """A task that notes what it was given."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.begun: list[str | None] = []
        self._act = act

    def __call__(self, cfg: DictConfig) -> None:
        self.begun.append(cfg.ckpt_path)
        self._act()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a trial, as Hydra names it to the job."""
    settings = SimpleNamespace(runtime=SimpleNamespace(output_dir=str(tmp_path)))
    monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: settings))
    monkeypatch.setattr(launched, "LOOK_S", 0.02)
    (tmp_path / TICKET).write_text("ours")
    return tmp_path


def begin(function: Any, ticket: str = "ours", controller: tuple[str, int] = ELSEWHERE) -> Any:
    cfg = OmegaConf.create({"ckpt_path": None})
    return train_launched(cfg, function=function, ticket=ticket, controller=controller)


# ----------------------------------------------------------------------------------------------------------- the job
def test_a_job_trains_once_however_often_it_is_begun(folder: Path) -> None:
    def finish() -> None:
        (folder / "result.json").write_text("{}")

    task = Counting(finish)
    assert [begin(task), begin(task)] == [None, None]
    assert task.begun == [None]
    assert (folder / BEGUN).read_text() == "ours"


def test_a_job_that_is_begun_again_after_a_death_goes_on_from_its_newest_checkpoint(folder: Path) -> None:
    task, checkpoints = Counting(), folder / "checkpoints"
    checkpoints.mkdir()
    for second, name in enumerate(("best.ckpt", "last.ckpt")):
        (checkpoints / name).touch()
        os.utime(checkpoints / name, (second, second))
    # When
    assert begin(task) is None
    # Then
    assert task.begun == [str(checkpoints / "last.ckpt")]


@pytest.mark.parametrize("there", ["of a later launch", "", None])
def test_a_job_without_its_ticket_touches_nothing(folder: Path, there: str | None) -> None:
    task = Counting()
    (folder / TICKET).unlink()
    if there is not None:
        (folder / TICKET).write_text(there)
    # When
    assert begin(task) == WITHDRAWN
    # Then
    assert task.begun == []
    assert not (folder / BEGUN).exists()
    assert not (folder / OUTPUT).exists()


def test_a_job_waits_for_the_one_before_it(folder: Path) -> None:
    task = Counting()
    before = FileLock(folder / LOCK, thread_local=False)
    before.acquire()
    threading.Timer(0.2, before.release).start()
    start = time.monotonic()
    # When
    assert begin(task) is None
    # Then
    assert task.begun == [None]
    assert time.monotonic() - start > 0.15


def test_a_job_whose_ticket_is_taken_away_is_interrupted_once_and_lets_go(folder: Path) -> None:
    held = []

    def train() -> None:
        held.append(launched._is_held(folder / LOCK))
        (folder / TICKET).unlink()
        try:
            time.sleep(20)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)  # as a terminal sends it, to all its processes
            raise

    before, start = signal.getsignal(signal.SIGINT), time.monotonic()
    # When
    failure = begin(Counting(train))
    # Then
    assert failure is not None
    assert failure.interrupted
    assert time.monotonic() - start < 10
    assert held == [True]
    assert not launched._is_held(folder / LOCK)
    assert signal.getsignal(signal.SIGINT) == before


def test_an_interruption_that_python_drops_while_it_collects_garbage_is_sent_again(folder: Path) -> None:
    def train() -> None:
        thing = Counting()
        dropped = weakref.ref(thing, lambda _: (os.kill(os.getpid(), signal.SIGUSR2), time.sleep(5)))
        del thing
        assert dropped() is None
        time.sleep(20)

    hook, start = sys.unraisablehook, time.monotonic()
    # When
    failure = begin(Counting(train))
    # Then
    assert failure is not None
    assert failure.interrupted
    assert time.monotonic() - start < 4
    assert sys.unraisablehook == hook


def test_a_job_whose_time_is_up_is_interrupted_like_by_ctrl_c_and_its_launcher_hears_the_signal_again(
    folder: Path,
) -> None:
    heard = []

    def train() -> None:
        try:
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(20)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGUSR2)
            raise

    before = signal.signal(signal.SIGUSR2, lambda *_: heard.append("launcher"))
    try:
        failure = begin(Counting(train))
        assert failure is not None
        assert failure.interrupted
        assert heard == []
        os.kill(os.getpid(), signal.SIGUSR2)
        assert heard == ["launcher"]
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_job_that_a_terminal_has_interrupted_ends_its_run_undisturbed_when_its_ticket_goes_too(folder: Path) -> None:
    ended = []

    def train() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(20)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # as after Lightning, which ignores it
            (folder / TICKET).write_text("")
            time.sleep(0.3)
            ended.append("whole")
            raise

    failure = begin(Counting(train))
    assert failure is not None
    assert failure.interrupted
    assert ended == ["whole"]


def test_a_disk_that_is_away_for_a_moment_takes_no_ticket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def train() -> None:
        (folder / "away").touch()  # no folder: the system answers with an error, not with "there is none"
        monkeypatch.setattr(launched, "_read", lambda file: asked.append(file) or read(file.with_name("away") / "x"))
        time.sleep(0.2)
        monkeypatch.setattr(launched, "_read", read)
        (folder / TICKET).unlink()
        time.sleep(20)

    read, start = launched._read, time.monotonic()
    # When
    failure = begin(Counting(train))
    # Then
    assert len(asked) > 1
    assert failure is not None
    assert failure.interrupted
    assert time.monotonic() - start < 10


def test_a_job_that_crashes_says_of_what_and_prints_into_its_folder(folder: Path) -> None:
    def crash() -> None:
        os.write(1, b"before it\n")
        raise MemoryError("no room")

    failure = begin(Counting(crash))
    assert failure is not None
    assert failure.reason == "no room"
    assert "MemoryError" in failure.traceback
    assert (folder / OUTPUT).read_text() == "before it\n"


def test_a_job_in_the_process_of_the_sweep_is_refused(folder: Path) -> None:
    task = Counting()
    with pytest.raises(ConfigError, match="in the sweep's own process"):
        begin(task, controller=(socket.gethostname(), os.getpid()))
    assert task.begun == []


def test_a_process_of_a_pool_ends_with_its_job_where_the_controller_is_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(BaseException):
        pass

    def end(status: int) -> None:
        assert not launched._is_held(folder / LOCK)
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    gone, task = subprocess.Popen(["true"]), Counting()
    gone.wait()
    # When, then
    with pytest.raises(Ended):
        begin(task, controller=(socket.gethostname(), gone.pid))
    assert task.begun == [None]
    assert begin(task, controller=(socket.gethostname(), os.getppid())) is None
    assert begin(task, controller=(ELSEWHERE[0], gone.pid)) is None


# ---------------------------------------------------------------------------------------------------------- the slot
class Launcher:
    """As Hydra's, with what happens given."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act

    def launch(self, overrides: Any, initial_job_idx: int) -> list[JobReturn]:
        return [self._act()]


def launch(act: Callable[[], Any], folder: Path) -> Any:
    return launched._launch(Launcher(act), [], 0, folder, "ours")


def test_a_job_that_the_launcher_lost_goes_on_and_one_that_it_did_not_take_ends_the_sweep(folder: Path) -> None:
    def lose() -> None:
        raise RuntimeError("sbatch: error: invalid partition specified: gpuu")

    with pytest.raises(SweepError, match=r"Launcher did not begin a trial .sbatch: error: invalid partition"):
        launch(lose, folder)
    (folder / BEGUN).write_text("ours")
    with pytest.raises(BrokenExecutor):
        launch(lose, folder)
    assert (folder / TICKET).read_text() == ""  # where the launcher begins it again, it is too late


def test_a_pool_that_another_job_took_with_it_before_this_one_began_ends_no_sweep(folder: Path) -> None:
    def lose() -> None:
        raise TerminatedWorkerError("a worker process was killed")

    with pytest.raises(BrokenExecutor, match="a worker process was killed"):
        launch(lose, folder)


def test_what_the_job_came_to_is_what_the_launcher_brings_back(folder: Path) -> None:
    job, crash = JobReturn(), describe(MemoryError("no room"))
    job.status, job.return_value = JobStatus.COMPLETED, crash
    assert launch(lambda: job, folder) == crash
    job.status, job.return_value = JobStatus.FAILED, ValueError("did not compose")
    assert launch(lambda: job, folder).reason == "did not compose"


def test_a_job_that_is_interrupted_by_another_than_its_controller_goes_on_and_interrupts_no_sweep(folder: Path) -> None:
    job = JobReturn()
    for failure in (WITHDRAWN, describe(KeyboardInterrupt())):
        job.status, job.return_value = JobStatus.COMPLETED, failure
        with pytest.raises(BrokenExecutor):
            launch(lambda: job, folder)


@pytest.fixture
def slot() -> Launched:
    return Launched(Task(None, None, OmegaConf.create()))  # type: ignore[arg-type]


def test_a_controller_that_starts_again_waits_for_the_job_that_still_trains(folder: Path, slot: Launched) -> None:
    assert slot.adopt(folder) is None
    orphan = FileLock(folder / LOCK, thread_local=False)
    orphan.acquire()
    # When
    future = slot.adopt(folder)
    # Then
    assert future is not None
    time.sleep(0.1)
    assert not future.done()
    (folder / "result.json").write_text("{}")
    orphan.release()
    assert future.result(timeout=10) is None


def test_a_job_that_was_waited_for_and_ends_without_a_result_goes_on(folder: Path, slot: Launched) -> None:
    orphan = FileLock(folder / LOCK, thread_local=False)
    orphan.acquire()
    (folder / TICKET).write_text("")  # by Ctrl-C of the controller before, while the job still ends its run
    future = slot.adopt(folder)
    assert future is not None
    orphan.release()
    with pytest.raises(BrokenExecutor):
        future.result(timeout=10)


def test_only_a_job_that_has_begun_is_waited_for_when_the_sweep_is_interrupted(folder: Path, slot: Launched) -> None:
    assert not slot.stop()
    (folder / BEGUN).write_text("of the launch before")
    slot._folder, slot._ticket = folder, "ours"
    assert not slot.stop()
    (folder / BEGUN).write_text("ours")
    assert slot.stop()
    assert (folder / TICKET).read_text() == ""


def test_a_job_that_outlived_its_controller_is_waited_for_likewise(folder: Path, slot: Launched) -> None:
    (folder / BEGUN).write_text("of the controller before")
    with FileLock(folder / LOCK, thread_local=False):
        future = slot.adopt(folder)
        assert slot.stop()
    assert future is not None
    with pytest.raises(BrokenExecutor):
        future.result(timeout=10)


def test_a_job_whose_death_its_launcher_does_not_see_is_given_up_once_nobody_holds_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launched, "SILENT_S", 0.1)
    silent: Future[Any] = Future()
    queued = launched._in_thread(partial(launched._answer, silent, folder, "ours"))
    time.sleep(0.5)
    assert not queued.done()
    with FileLock(folder / LOCK, thread_local=False):
        (folder / BEGUN).write_text("ours")
        time.sleep(0.5)
        assert not queued.done()
    # When, then
    with pytest.raises(BrokenExecutor, match="its launcher does not say"):
        queued.result(timeout=10)
    assert (folder / TICKET).read_text() == ""


# -------------------------------------------------------------------------------------------------------- its settings
def configured(**launcher: Any) -> DictConfig:
    hydra = {"launcher": {"_target_": "some.JoblibLauncher", **launcher}, "overrides": {"task": ["sweep.storage=pw"]}}
    return OmegaConf.create({"hydra": hydra, "sweep": {"storage": "postgresql://me:secret@host/name"}})


@pytest.mark.parametrize(("given", "slots", "used"), [(-1, 1, 2), (-1, 5, 5), (8, 5, 8)])
def test_joblib_gets_a_process_for_each_slot_and_never_a_single_one(given: int, slots: int, used: int) -> None:
    made = make_launched(Task(None, None, configured(n_jobs=given)), slots)  # type: ignore[arg-type]
    assert [slot._task.config.hydra.launcher.n_jobs for slot in made] == [used] * slots


@pytest.mark.parametrize(("given", "slots", "least"), [(3, 4, 4), (1, 1, 2), (0, 1, 2)])
def test_fewer_processes_than_slots_or_a_single_one_are_refused(given: int, slots: int, least: int) -> None:
    config = configured(n_jobs=given)
    config.sweep.slots = slots
    with pytest.raises(ConfigError, match=rf"hydra\.launcher\.n_jobs={given}: give {least} or more"):
        require_processes(config)


def test_a_launcher_is_told_no_password_of_the_database() -> None:
    config = configured()
    (slot,) = make_launched(Task(None, None, config), 1)  # type: ignore[arg-type]
    assert "secret" not in OmegaConf.to_yaml(slot._task.config)
    assert "secret" in OmegaConf.to_yaml(config)
