"""Memory of one run, also where several runs share a process: its peak, and what is said where there is too little."""

from __future__ import annotations

import gc
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from omegaconf import DictConfig

from landslide.errors import OutOfMemory

REFUSALS = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")
"""In the words of CUDA, of torch on a CPU (Linux; elsewhere), and of cuDNN and cuBLAS; most have no type of theirs."""


def reset_peak() -> None:
    """Start anew: on Linux and on GPUs a peak can be forgotten, elsewhere it is the process's own."""
    if gc.get_freeze_count():
        gc.collect()  # the network of the run before hangs in cycles: Lightning's trainer, the traceback of a failure
    else:
        gc.freeze()  # before a first run there are libraries; to look for garbage in them takes a quarter of a second
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        try:
            clear.write_text("5")  # resets VmHWM, see proc(5)
        except OSError:  # a container may forbid it; the peak is then the process's, an upper bound
            return


@contextmanager
def require_memory(cfg: DictConfig, device: str) -> Iterator[None]:
    """Say in a sentence that a batch does not fit.

    Args:
        cfg: a composed :class:`~landslide.config.RunConfig`.
        device: what it is trained on, for people.

    Raises:
        OutOfMemory: with what was asked for, and the cure.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError, NumPy's a MemoryError
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in REFUSALS):
            raise
        asked = re.search(r"allocate ([\d.]+ ?[KMGTPE]?iB)", str(error))
        size = cfg.data.batch_size
        fewer = f"data.batch_size={size // 2} or less, " if size > 1 else ""
        raise OutOfMemory(
            f"data.batch_size={size}: a batch of tiles of {cfg.data.image_size} px does not fit into the memory of "
            f"{device}{f' ({asked[1]} more were asked for)' if asked else ''}. Give {fewer}a smaller data.image_size "
            "or a smaller encoder, or end what else computes there."
        ) from error


def peak_mb() -> float:
    """Largest resident memory in MB since :func:`reset_peak`: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available() and (peak := torch.cuda.max_memory_allocated()):  # 0: trained on the CPU
        return peak / 1e6
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
