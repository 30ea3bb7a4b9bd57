"""Trials in the hands of a launcher that the user named: joblib's, submitit's, Ray's.

A launcher may begin a job hours later and on another machine, begin it again after a death (Ray's retries, Slurm's
requeue), and go on with it when the controller is gone. Whose turn it is therefore lies in the trial's folder, which
both see:

    .ticket    the launch that may train; a job looks at it before it begins and each second while it trains, and where
               it finds another ticket, an empty one or none, it keeps its checkpoint and leaves
    .begun     the ticket of the last job that has begun
    .job.lock  held by that job until it ends

So Ctrl-C takes the ticket away; a job that is begun twice goes on from its checkpoint; one that waited in a queue while
its trial was launched anew touches nothing; and a controller that starts again waits for what still trains. A ticket is
emptied and not deleted, because a machine may go on for a minute to believe that a file of a network disk is not there.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from landslide.errors import ConfigError, SweepError
from landslide.sweep.slots import OUTPUT, Failure, PrintingTo, Task, describe, newest_checkpoint
from landslide.training.result import RESULT

TICKET, BEGUN, LOCK = ".ticket", ".begun", ".job.lock"

LOOK_S = 1
"""Between looks at a ticket, or at a lock."""

SILENT_S = 120
"""How long a launcher may take to answer once a job has left its folder; network disks show files a minute late."""

INTERRUPTIONS = (signal.SIGINT, signal.SIGUSR2)
"""The second is what submitit has Slurm send before a job's time is up; the trial then goes on in another job."""

RAY_OF_OUR_OWN = {"include_dashboard": False, "object_store_memory": 78_643_200}
"""The least that Ray takes: trials hand nothing over by its store of objects."""

WITHDRAWN = Failure("its ticket was taken away", "", None, interrupted=True)


def require_processes(config: DictConfig) -> None:
    """Refuse a launcher that would train in this process, or make slots wait for each other.

    Raises:
        ConfigError: of joblib's ``n_jobs``; other launchers have no such number.
    """
    given, slots = config.hydra.launcher.get("n_jobs"), config.sweep.slots
    if given is not None and 0 <= given < max(2, slots):
        raise ConfigError(
            f"hydra.launcher.n_jobs={given}: give {max(2, slots)} or more, or leave it away. How many trials train at "
            f"once is said by sweep.slots={slots}, and a single process would be the sweep's own."
        )


def make_launched(task: Task, count: int) -> list[Launched]:
    """The slots of a launcher."""
    config = task.config.copy()
    launcher = config.hydra.launcher
    with read_write(config), open_dict(config):
        config.sweep.storage, config.hydra.overrides.task = None, []  # launchers write it down, and jobs don't need it
        if launcher.get("n_jobs", 0) < 0:  # all cores, of which there may be fewer than slots, or one
            launcher.n_jobs = max(2, count)
    if launcher._target_.endswith(".RayLauncher"):
        _start_ray(launcher)
    return [Launched(replace(task, config=config)) for _ in range(count)]


def _start_ray(launcher: DictConfig) -> None:
    """Once, here: launched from several threads it would be started several times."""
    import ray

    if ray.is_initialized():
        return
    settings = {str(key): value for key, value in launcher.ray.init.items()}
    if settings.get("address") is None and "RAY_ADDRESS" not in os.environ:  # nobody named a cluster: one of our own
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        settings = {**RAY_OF_OUR_OWN, **settings, "address": "local"}
    ray.init(**settings)


class Launched:
    """A slot of a launcher; each job is a launch of its own, so that none waits for another."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._folder: Path | None = None
        self._ticket: str | None = None

    def submit(self, overrides: Sequence[str], number: int, folder: Path) -> Future[Failure | None]:
        """See :class:`~landslide.sweep.slots.Slot`.

        Returns:
            ``BrokenExecutor`` where the job was lost after it had begun, or was interrupted, by its controller or by
            another: the controller knows what it has asked for. ``SweepError`` where it could not begin.
        """
        ticket = uuid.uuid4().hex
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TICKET).write_text(ticket, encoding="utf-8")
        self._folder, self._ticket = folder, ticket
        here = socket.gethostname(), os.getpid()
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self._task.context,
            task_function=partial(train_launched, function=self._task.function, ticket=ticket, controller=here),
            config=self._task.config,
        )
        launching = _in_thread(partial(_launch, launcher, list(overrides), number, folder, ticket))
        return _in_thread(partial(_answer, launching, folder, ticket))

    def adopt(self, folder: Path) -> Future[Failure | None] | None:
        """See :class:`~landslide.sweep.slots.Slot`."""
        if not _is_held(folder / LOCK):
            return None
        self._folder, self._ticket = folder, _read(folder / BEGUN)
        return _in_thread(partial(_wait_for_job, folder))

    def stop(self) -> bool:
        """Take the job's ticket away; one that still waits in a queue leaves when it begins, however late that is."""
        if self._folder is None:
            return False
        (self._folder / TICKET).write_text("", encoding="utf-8")
        return _read(self._folder / BEGUN) == self._ticket

    def close(self) -> None:
        """See :meth:`stop`; of joblib's pool, which after a death may never end by itself, kill the processes."""
        self.stop()
        for process in active_children():
            process.terminate()  # loky knows no kill()


def _in_thread(call: Callable[[], Failure | None]) -> Future[Failure | None]:
    """An executor's thread would have to be waited for at the end, however long a job stays in its queue."""
    future: Future[Failure | None] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _launch(launcher: Any, overrides: list[str], number: int, folder: Path, ticket: str) -> Failure | None:
    try:
        job: JobReturn = launcher.launch([overrides], initial_job_idx=number)[0]
    except BaseException as error:  # each launcher has its own, for a job that died and for one that it did not take
        told = " ".join((str(error) or type(error).__name__).split())
        if _read(folder / TICKET) == ticket:
            (folder / TICKET).write_text("", encoding="utf-8")  # nor may it train when its launcher begins it again
        if _read(folder / BEGUN) == ticket or isinstance(error, BrokenExecutor):  # joblib's, by a death in another slot
            raise BrokenExecutor(told) from error
        raise SweepError(
            f"hydra/launcher: {type(launcher).__name__} did not begin a trial ({told[:400]}). The same command goes on "
            "once it does."
        ) from error
    if job.status != JobStatus.COMPLETED:
        return describe(job._return_value)
    failure: Failure | None = job.return_value
    if failure is not None and failure.interrupted:
        raise BrokenExecutor(failure.reason)
    return failure


def _answer(launching: Future[Failure | None], folder: Path, ticket: str) -> Failure | None:
    """What the launcher answers; one that does not see a death, as submitit without Slurm's accounts, never does."""
    silent_s = 0.0
    while silent_s < SILENT_S:
        if wait([launching], timeout=LOOK_S).done:
            return launching.result()
        with suppress(OSError):  # as below
            ended = _read(folder / BEGUN) == ticket and not _is_held(folder / LOCK)
            silent_s = silent_s + LOOK_S if ended else 0.0
    (folder / TICKET).write_text("", encoding="utf-8")
    raise BrokenExecutor("it has left its folder, and its launcher does not say what it came to")


def _wait_for_job(folder: Path) -> None:
    while _is_held(folder / LOCK):
        time.sleep(LOOK_S)
    if not (folder / RESULT).is_file():
        raise BrokenExecutor("it ended without a result, and whom it would have told is gone")


def _is_held(lock: Path) -> bool:
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


# What follows runs wherever the launcher runs it.


def train_launched(
    cfg: DictConfig, *, function: TaskFunction, ticket: str, controller: tuple[str, int]
) -> Failure | None:
    """The task as a launcher is given it.

    Args:
        cfg: of the job.
        function: the task itself.
        ticket: of the launch.
        controller: host and process that have launched it.

    Returns:
        What it died of; None for a task that returned, now or when it was begun before.

    Raises:
        ConfigError: in the controller's own process, where it would take streams and signals from the controller.
    """
    if (socket.gethostname(), os.getpid()) == controller:
        raise ConfigError("hydra/launcher: runs a trial in the sweep's own process; leave the launcher away for that.")
    failure = _train_in_turn(cfg, function, ticket)
    if _is_gone(controller):
        os._exit(0)  # or this process, of a pool of joblib, would wait for another job for five minutes
    return failure


def _train_in_turn(cfg: DictConfig, function: TaskFunction, ticket: str) -> Failure | None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    with _turn(folder, ticket) as is_ours:
        if not is_ours:
            return WITHDRAWN
        if (folder / RESULT).is_file():
            return None
        checkpoint = newest_checkpoint(folder)
        if checkpoint is not None:
            cfg.ckpt_path = str(checkpoint)
        try:
            with PrintingTo(folder / OUTPUT), _Interruptible(ticket, folder):
                function(cfg)
        except BaseException as error:  # whatever it is, the controller decides what it means
            return describe(error)
    return None


def _is_gone(controller: tuple[str, int]) -> bool:
    """Whether nobody is left who would be told; of another machine that is not known."""
    host, process = controller
    return host == socket.gethostname() and not psutil.pid_exists(process)


@contextmanager
def _turn(folder: Path, ticket: str) -> Iterator[bool]:
    """Hold the folder once the job before this one has left it; False where another launch has its turn."""
    lock = FileLock(folder / LOCK)
    try:
        while not lock.is_locked and _read(folder / TICKET) == ticket:
            with suppress(Timeout):
                lock.acquire(timeout=LOOK_S)
        is_ours = _read(folder / TICKET) == ticket
        if is_ours:
            (folder / BEGUN).write_text(ticket, encoding="utf-8")
        yield is_ours
    finally:
        lock.release()


class _Interruptible:
    """Ctrl-C for the task within: when its ticket is gone, when its time is up, or from a terminal; but only once.

    Raised while Python collects garbage an interruption is dropped, and therefore sent again.
    """

    def __init__(self, ticket: str, folder: Path) -> None:
        self._ticket, self._folder = ticket, folder
        self._due = self._raised = False
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._hook, sys.unraisablehook = sys.unraisablehook, self._dropped
        self._handlers = _handle(dict.fromkeys(INTERRUPTIONS, self._interrupt))
        self._looking.start()

    def __exit__(self, *_: object) -> None:
        _handle(dict.fromkeys(INTERRUPTIONS, signal.SIG_IGN))
        self._over.set()
        self._looking.join()
        sys.unraisablehook = self._hook
        _handle(self._handlers)

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            with suppress(OSError):  # a disk of the network that is away for a moment
                if not self._raised and (self._due or _read(self._folder / TICKET) != self._ticket):
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _interrupt(self, *_: object) -> None:
        _handle(dict.fromkeys(INTERRUPTIONS, signal.SIG_IGN))  # the task must end its run undisturbed
        self._due = self._raised = True
        raise KeyboardInterrupt

    def _dropped(self, unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            self._hook(unraisable)
            return
        self._raised = False
        _handle(dict.fromkeys(INTERRUPTIONS, self._interrupt))


def _handle(handlers: Mapping[signal.Signals, Any]) -> dict[signal.Signals, Any]:
    """Returns the handlers before."""
    return {number: signal.signal(number, handler or signal.SIG_DFL) for number, handler in handlers.items()}
