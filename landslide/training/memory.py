"""Peak memory of one run, also where several runs share a process."""

from __future__ import annotations

import gc
import resource
import sys
from pathlib import Path

import torch


def reset_peak() -> None:
    """Start anew: on Linux and on GPUs a peak can be forgotten, elsewhere it is the process's own."""
    gc.collect()  # the network of the run before hangs in cycles: Lightning's trainer, the traceback of a failure
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        try:
            clear.write_text("5")  # resets VmHWM, see proc(5)
        except OSError:  # a container may forbid it; the peak is then the process's, an upper bound
            return


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
