"""Commands as a person types them, run in forks of one process that has already imported what takes seconds.

The fork server is Python's own (:mod:`multiprocessing.forkserver`). Each command has its own working folder,
arguments, environment and streams, runs the real script as ``__main__``, and ends with its real exit status.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import resource
import runpy
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import NamedTuple

import landslide

ROOT = Path(__file__).resolve().parents[2]
IMPORTED_ONCE = (
    "landslide.sweep.sweeper",  # and with it torch, Lightning, MLflow, Matplotlib
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.pyfunc",
    "timm",
    "tests.cli.typed",
    "tests.sweep.harness",
)
LONGEST_S = 120
CAPABILITY_VERSION = 0x20080522


class Ended(NamedTuple):
    """What a command left to the shell."""

    status: int
    stdout: str
    stderr: str


def start_fork_server() -> ForkServerContext:
    """Import once; the server ends with this process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED_ONCE))
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # the hub's client reads its settings when it is imported
    with _environment({"PYTHONPATH": path, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": os.devnull}):
        first = context.Process(target=_assert_imported)
        first.start()
    first.join()
    assert first.exitcode == 0, f"the fork server has not imported all of {', '.join(IMPORTED_ONCE)}"
    return context


def run_typed(
    context: ForkServerContext,
    typed: str,
    folder: Path,
    *,
    environment: Mapping[str, str],
    before: Callable[[], None] | None = None,
    longest_s: float = LONGEST_S,
) -> Ended:
    """Run ``train.py ...`` or ``landslide ...``.

    Args:
        context: of :func:`start_fork_server`.
        typed: as in a shell; quotes and backslashes are read, nothing else.
        folder: to stand in.
        environment: all of it.
        before: called in the fork before the command, to take rights or disk from it; a function of a module.
        longest_s: after which it is killed.
    """
    with tempfile.TemporaryDirectory() as aside:
        streams = [Path(aside) / name for name in ("stdout", "stderr")]
        arguments = (shlex.split(typed), folder, dict(environment), streams, before)
        process = context.Process(target=_run, args=arguments)
        process.start()
        process.join(longest_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{typed}: still running after {longest_s} s")
        return Ended(process.exitcode, *(stream.read_text(encoding="utf-8") for stream in streams))


def _assert_imported() -> None:
    assert not set(IMPORTED_ONCE) - set(sys.modules)


def _run(
    words: list[str],
    folder: Path,
    environment: dict[str, str],
    streams: list[Path],
    before: Callable[[], None] | None,
) -> None:
    for number, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    importlib.reload(landslide)  # sets what MLflow reads
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
