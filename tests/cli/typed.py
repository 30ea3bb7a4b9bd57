"""Commands as a person types them, run in forks of one process that has already imported what takes seconds.

The fork server is Python's own (:mod:`multiprocessing.forkserver`). Each command has its own working folder,
arguments, environment and streams, runs the real script as ``__main__``, and ends with its real exit status.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import multiprocessing
import os
import resource
import runpy
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import NamedTuple

import landslide
from landslide.tracking import store

ROOT = Path(__file__).resolve().parents[2]
_make = store._make
IMPORTED_ONCE = (
    "landslide.training.run",  # and with it torch, Lightning, MLflow
    "landslide.sweep.sweeper",  # and with it Optuna, Matplotlib
    "landslide.cli.main",
    "alembic.command",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "segmentation_models_pytorch",
    "sqlalchemy.dialects.sqlite",
    "timm",
    "torch.utils.flop_counter",
    "tests.cli.typed",
    "tests.sweep.harness",
    "tests.cli.frozen",  # last: what is there by then is no garbage
)
SHARED = "LANDSLIDE_FORK_SERVER_OF_TESTS"
LONGEST_S = 240
CAPABILITY_VERSION = 0x20080522


class Ended(NamedTuple):
    """What a command left to the shell; a signal that ended it is a negative status."""

    status: int
    stdout: str
    stderr: str


def share_fork_server() -> None:
    """Start one for the processes that this one starts, which find it by their environment; it ends with this one."""
    _begin_fork_server()
    server = forkserver._forkserver
    os.environ[SHARED] = f"{os.fsencode(server._forkserver_address).hex()} {server._forkserver_pid}"


@functools.cache
def start_fork_server() -> ForkServerContext:
    """Import once; the server ends with this process, or with the one that shares it."""
    if SHARED in os.environ:
        address, process = os.environ[SHARED].split()
        use_fork_server(os.fsdecode(bytes.fromhex(address)), int(process))
    else:
        _begin_fork_server()
    context = multiprocessing.get_context("forkserver")
    first = context.Process(target=_assert_imported)
    first.start()
    first.join()
    assert first.exitcode == 0, f"the fork server has not imported all of {', '.join(IMPORTED_ONCE)}"
    return context


def use_fork_server(address: str, process: int) -> None:
    """Fork from a server that an ancestor of this process has started."""
    server = forkserver._forkserver
    server._forkserver_address, server._forkserver_pid = address, process
    server._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)  # it lives as long as that ancestor
    server.ensure_running = resource_tracker.ensure_running  # type: ignore[method-assign]


def _begin_fork_server() -> None:
    server = forkserver._forkserver
    server.set_forkserver_preload(list(IMPORTED_ONCE))
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # the hub's client reads its settings when it is imported
    with _environment({"PYTHONPATH": path, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": os.devnull}):
        server.ensure_running()


class Running:
    """``train.py ...`` or ``landslide ...`` in a fork.

    Args:
        words: of the command.
        folder: to stand in.
        environment: all of it.
        before: called in the fork before the command, to take rights or disk from it; a function of a module.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str],
        before: Callable[[], None] | None = None,
    ) -> None:
        self._words = words
        self._aside = tempfile.TemporaryDirectory()
        self._streams = [Path(self._aside.name) / name for name in ("stdout", "stderr")]
        for stream in self._streams:
            stream.touch()
        arguments = (list(words), folder, dict(environment), self._streams, before, store._make)
        self._process = start_fork_server().Process(target=_run, args=arguments)
        self._process.start()

    @property
    def output(self) -> str:
        """What it has printed so far, errors last."""
        return "".join(stream.read_text(encoding="utf-8") for stream in self._streams)

    def wait_for(self, sign: str) -> None:
        """Return once it has printed the sign."""
        start = time.monotonic()
        while sign not in self.output:
            assert self._process.exitcode is None, f"ended without {sign!r}: {self.output}"
            assert time.monotonic() - start < LONGEST_S, f"no {sign!r} in {self.output}"
            time.sleep(0.02)

    def send(self, number: int) -> None:
        """A signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self) -> Ended:
        """Wait for its end."""
        self._process.join(LONGEST_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"{shlex.join(self._words)}: still running after {LONGEST_S} s")
        ended = Ended(self._process.exitcode, *(stream.read_text(encoding="utf-8") for stream in self._streams))
        self._aside.cleanup()
        return ended


def run_typed(
    typed: str, folder: Path, *, environment: Mapping[str, str], before: Callable[[], None] | None = None
) -> Ended:
    """Run a command as it is typed, where quotes and backslashes are read and nothing else, to its end."""
    return Running(shlex.split(typed), folder, environment=environment, before=before).end()


@contextmanager
def copy_databases(made: Path) -> Iterator[None]:
    """Copy this database wherever a new one for MLflow is made: its migrations take seconds."""
    kept, store._make = store._make, functools.partial(_copy, made)
    try:
        yield
    finally:
        store._make = kept


def make_databases() -> None:
    """For ``before`` of a command that is about the making."""
    store._make = _make


def _copy(made: Path, database: Path) -> None:
    aside = database.with_name(f".{database.name}.part")
    shutil.copyfile(made, aside)
    aside.replace(database)


def _assert_imported() -> None:
    assert not set(IMPORTED_ONCE) - set(sys.modules)


def _run(
    words: list[str],
    folder: Path,
    environment: dict[str, str],
    streams: list[Path],
    before: Callable[[], None] | None,
    make_database: Callable[[Path], None],
) -> None:
    for number, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY), number)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    importlib.reload(landslide)  # sets what MLflow reads
    store._make = make_database
    os.chdir(folder)
    sys.argv = words
    if before:
        before()
    if words[0] == "train.py":
        sys.argv[0] = str(ROOT / "train.py")
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        from landslide.cli.main import main

        sys.exit(main())


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    kept = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


# -------------------------------------------------------------------------------------- what `before` can take away
def as_an_ordinary_user() -> None:
    """Root reads and writes whatever it likes; from here on it does not."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def no_file_above(size: int) -> None:
    """As ``ulimit -f``, in bytes; a write beyond it fails like one on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
