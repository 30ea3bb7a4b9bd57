"""Where trials run: in this process, in a warm process a slot, or by the launcher that the user named.

A slot takes one job at a time and answers with a future, so there is no barrier: whichever slot is free takes the next
trial. What a job came to is read from its folder; the future only says that it is over, and what it died of.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

import cloudpickle
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from landslide.errors import SweepError

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"

OUTPUT = "output.txt"
"""What a job in a process of its own printed, in its folder."""

GRACE_S = 30
"""How long a trial that is asked to stop may take to end its run."""

FAILURE_NAMES = {
    "TrainingDiverged": "not a number",
    "OutOfMemory": "out of memory",
    "OutOfMemoryError": "out of memory",
}
"""Errors that tell of the parameters, by the name of their class, and what the sampler's record calls them."""


@dataclass(frozen=True)
class Task:
    """What every job of a sweep has in common."""

    context: HydraContext
    function: TaskFunction
    config: DictConfig


@dataclass(frozen=True)
class Failure:
    """What a job died of."""

    reason: str
    traceback: str
    parameters: str | None
    """Why its parameters are to blame (see :data:`FAILURE_NAMES`); None for any other crash."""
    interrupted: bool = False


class Slot(Protocol):
    """One job at a time."""

    def submit(self, overrides: Sequence[str], number: int, folder: Path) -> Future[Failure | None]:
        """Start a job.

        Args:
            overrides: that its config is composed with.
            number: of the trial.
            folder: of the trial.

        Returns:
            None for a job that returned. ``BrokenExecutor`` where its process was killed, ``SweepError`` where it could
            not be started, which is no fault of the trial.
        """

    def adopt(self, folder: Path) -> Future[Failure | None] | None:
        """Wait for a job that outlived the controller which started it; None where none trains in that folder."""

    def stop(self) -> bool:
        """Ask the job to end its run, keeping its checkpoint; whether there is one, whose end is worth waiting for."""

    def close(self) -> None:
        """End what the slot holds, whether a job runs in it or not."""


def describe(error: BaseException) -> Failure:
    """A failure in words."""
    reason = str(error) or type(error).__name__
    told = "".join(traceback.format_exception(error))
    chain: BaseException | None = error
    names: list[str] = []
    while chain is not None:  # a library may wrap what ran out of memory
        names += [name for name in (kind.__name__ for kind in type(chain).__mro__) if name in FAILURE_NAMES]
        chain = chain.__cause__
    parameters = FAILURE_NAMES[names[0]] if names else None
    return Failure(reason, told, parameters, interrupted=isinstance(error, KeyboardInterrupt))


class InProcess:
    """The one slot of a sweep that stays here, by Hydra's basic launcher."""

    def __init__(self, task: Task) -> None:
        self._launcher = _launcher(task)

    def submit(self, overrides: Sequence[str], number: int, folder: Path) -> Future[Failure | None]:
        """Run the job; it is over when this returns."""
        done: Future[Failure | None] = Future()
        try:
            done.set_result(_failure(self._launcher.launch([list(overrides)], initial_job_idx=number)[0]))
        except KeyboardInterrupt as interrupt:
            done.set_result(describe(interrupt))
        except Exception as error:  # of the job itself it returns what went wrong
            done.set_exception(_not_started(overrides, error))
        return done

    def adopt(self, folder: Path) -> None:
        """None has: it was that process."""

    def stop(self) -> bool:
        """The signal has reached the job already: it is this process."""
        return True

    def close(self) -> None:
        """Nothing is held."""


class WarmProcess:
    """A process that stays for the next job, with cores and GPU of its own; its death harms no other slot.

    Args:
        task: of the sweep.
        index: of the slot, from 0.
        count: of all slots.
        gpus: that this machine shows; each slot sees one.
    """

    def __init__(self, task: Task, index: int, count: int, gpus: Sequence[str]) -> None:
        self._payload = cloudpickle.dumps((task.context, task.function, task.config, Singleton.get_state()))
        self._cores = share_of_cores(index, count)
        self._gpu = gpus[index % len(gpus)] if gpus else None
        self._executor = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_settle_in, initargs=(self._payload, self._cores, self._gpu)
        )

    def submit(self, overrides: Sequence[str], number: int, folder: Path) -> Future[Failure | None]:
        """See :class:`Slot`; where the process was killed by its last job, or since, a new one takes this."""
        try:
            return self._executor.submit(_work, list(overrides), number, folder)
        except BrokenExecutor:
            self.close()
            self._executor = self._start()
            return self._executor.submit(_work, list(overrides), number, folder)

    def adopt(self, folder: Path) -> None:
        """None has for long: its process ends with the controller."""

    def stop(self) -> bool:
        """Send what the process takes for Ctrl-C."""
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        return True

    def close(self) -> None:
        """Kill the process."""
        processes = self._processes()
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._executor.shutdown(wait=bool(processes), cancel_futures=True)

    def _processes(self) -> list[int]:
        return list(self._executor._processes or {})


def make_slots(task: Task, count: int, tell: Callable[[str], None]) -> list[Slot]:
    """The slots of a sweep; see the module.

    Args:
        task: of the sweep.
        count: of slots.
        tell: says that slots share a GPU.
    """
    if task.config.hydra.launcher._target_ != BASIC_LAUNCHER:
        from landslide.sweep.launched import make_launched  # which is made of what is above

        return [*make_launched(task, count)]
    if count == 1:
        return [InProcess(task)]
    gpus = visible_gpus(task.config)
    if 0 < len(gpus) < count:
        tell(f"{count} slots share {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}, in turn: {', '.join(gpus)}.")
    return [WarmProcess(task, index, count, gpus) for index in range(count)]


def share_of_cores(index: int, count: int) -> list[int]:
    """The cores of one slot: a fair share, at least one; empty where the system cannot bind a process to cores."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    if count >= len(cores):
        return [cores[index % len(cores)]]
    return cores[index * len(cores) // count : (index + 1) * len(cores) // count]


def visible_gpus(config: DictConfig) -> list[str]:
    """Names by which CUDA shows its GPUs to a process; none for a task that trains on a CPU.

    What ``CUDA_VISIBLE_DEVICES`` leaves visible keeps its name: a number, or an identifier of a GPU or a part of one.
    """
    if config.get("trainer", {}).get("accelerator") not in ("auto", "gpu", "cuda"):
        return []
    import torch  # only for a task that may train on a GPU, which imports it anyway

    count, shown = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(count)] if shown is None else [name.strip() for name in shown.split(",")]
    return names[:count]  # CUDA reads a list up to the first name that is no GPU


def _launcher(task: Task) -> Any:
    return Plugins.instance().instantiate_launcher(
        hydra_context=task.context, task_function=task.function, config=task.config
    )


def _failure(job: JobReturn) -> Failure | None:
    return None if job.status == JobStatus.COMPLETED else describe(job._return_value)


# What follows runs in a slot's process.

_task: Task | None = None


def _settle_in(payload: bytes, cores: Sequence[int], gpu: str | None) -> None:
    """Prepare a process for jobs."""
    global _task  # noqa: PLW0603
    if cores:
        os.sched_setaffinity(0, cores)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the controller decides
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    context, function, config, state = cloudpickle.loads(payload)  # of our own parent, handed over by a pipe
    Singleton.set_state(state)
    setup_globals()
    _task = Task(context, function, config)


def _end_with_parent() -> None:
    """A controller that is killed takes its slots with it: a trial must not be trained twice."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _work(overrides: list[str], number: int, folder: Path) -> Failure | None:
    assert _task is not None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config = _task.context.config_loader.load_sweep_config(_task.config, overrides)
    except Exception as error:
        raise _not_started(overrides, error) from error
    try:
        with PrintingTo(folder / OUTPUT):
            return _failure(_run(_task, config, number))
    except BaseException as error:  # whatever it is, the controller decides what it means
        return describe(error)


def _not_started(overrides: Sequence[str], error: Exception) -> SweepError:
    """Such as for a config file that was changed meanwhile."""
    return SweepError(
        f"A trial could not be started: {error}\nIts words: {' '.join(overrides)}\nMend that; the same command goes on."
    )


def _run(task: Task, config: DictConfig, number: int) -> JobReturn:
    """What Hydra's basic launcher does, for one job."""
    with open_dict(config):
        config.hydra.job.id = number
        config.hydra.job.num = number
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=task.context,
        task_function=task.function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def newest_checkpoint(folder: Path) -> Path | None:
    """What a trial goes on from; None before its first epoch has ended."""
    return max((folder / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns, default=None)


class PrintingTo:
    """Send what this process prints, and what libraries in C print, to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._kept = [os.dup(descriptor) for descriptor in (1, 2)]
        with self._path.open("ab") as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, descriptor)
            os.close(kept)
