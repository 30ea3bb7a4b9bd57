"""A second process that draws figures while this one goes on."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def done_beside(work: Callable[[], object]) -> Iterator[None]:
    """Do something in a copy of this process until the block has ended; here, after it, where that is not possible.

    A copy has all objects at once, which another process would first have to import and be sent. Only Linux makes
    copies that are safe to draw in.

    Args:
        work: changes nothing but files, and may be done twice.
    """
    if sys.platform != "linux":
        yield
        work()
        return
    copy = get_context("fork").Process(target=_quietly, args=(work,), daemon=True)
    with warnings.catch_warnings():
        # Python 3.12 warns of threads that might hold a lock; NumPy's hold none between two products
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        copy.start()
    try:
        yield
    finally:
        copy.join()
    if copy.exitcode != 0:
        work()  # for its error, unless it was the copy that failed


def _quietly(work: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of its own after Ctrl-C
    try:
        work()
    except Exception:  # told by the process that it was copied from, which does the work again
        sys.exit(1)
