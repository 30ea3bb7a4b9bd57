"""What this machine is, what a run would choose on it, and what would be slow or fail."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from omegaconf import OmegaConf

from landslide import __version__
from landslide.config import TrainerConfig, without_credentials
from landslide.errors import TrackingError
from landslide.tracking.provenance import PACKAGES, installed_version
from landslide.tracking.store import FOLDER, default_uri, open_existing, resolve_uri
from landslide.training.hardware import Hardware, choose_hardware

HUB = ("huggingface.co", 443)
PATIENCE_S = 3.0
"""For each thing beyond this machine."""

LEAST_FREE_GB = 2.0
LEAST_MEMORY_GB = 2.0
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "lustre", "gpfs", "beegfs", "ceph", "afs")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    state: str
    """``ok``, ``slow`` or ``fail``."""
    found: str
    cure: str = ""


def examine(uri: str | None = None) -> list[Finding]:
    """Look at hardware, versions, storage, cache and hub; makes no folder and no database.

    Args:
        uri: of the MLflow store; None for the one that a run would take.
    """
    trainer = OmegaConf.structured(TrainerConfig(max_epochs=1))
    hardware = choose_hardware(trainer)
    return [
        *_processor(hardware),
        *_gpus(),
        _memory(),
        *_threads(hardware),
        Finding("a run", "ok", str(hardware)),
        *_versions(),
        _tracking(uri),
        _folder(),
        _cache(),
        _hub(),
    ]


def _processor(hardware: Hardware) -> Iterator[Finding]:
    capabilities = torch.cpu.get_capabilities()
    names = ("avx512_f", "avx512_bf16", "amx_bf16", "bf16")
    has = [name for name in names if capabilities.get(name, False)]
    found = f"{capabilities.get('cpu_name', platform.machine())}, {', '.join(has) or 'without AVX-512 and bf16'}"
    if hardware.accelerator == "cpu" and hardware.precision != "bf16":
        yield Finding("processor", "slow", found, "No bf16: a training step takes about twice as long as with it.")
    else:
        yield Finding("processor", "ok", found)


def _gpus() -> Iterator[Finding]:
    if torch.backends.mps.is_available():
        yield Finding("GPU", "ok", "Apple GPU")
    elif not torch.cuda.is_available():
        yield Finding("GPU", "ok", "none")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield Finding("GPU", "ok", f"{facts.name}, {facts.total_memory / 1e9:.0f} GB")


def _memory() -> Finding:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    found = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free, swap in use {swap.used / 1e9:.1f} GB"
    if memory.available / 1e9 < LEAST_MEMORY_GB:
        return Finding("memory", "slow", found, "Little is free: end other programs, or use a smaller data.batch_size.")
    return Finding("memory", "ok", found)


def _threads(hardware: Hardware) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = f"{cores} of {os.cpu_count()} usable, load {psutil.getloadavg()[0]:.1f}"
    if psutil.getloadavg()[0] > cores:
        yield Finding("cores", "slow", found, "Others compute here: wait, or share them out with trainer.threads=...")
    else:
        yield Finding("cores", "ok", found)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        value = os.environ.get(name)
        if value is not None and value != str(hardware.threads):
            cure = f"A run sets {hardware.threads} threads itself (trainer.threads); unset it, or make both the same."
            yield Finding(name, "slow", value, cure)


def _versions() -> Iterator[Finding]:
    versions = {name: installed_version(name) for name in PACKAGES}
    missing = [name for name, version in versions.items() if version is None]
    told = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield Finding("versions", "ok", f"landslide {__version__}, Python {platform.python_version()}, {told}")
    if missing:
        yield Finding(
            "versions", "fail", f"not installed: {', '.join(missing)}", "Install landslide again: pip install ."
        )


def _tracking(uri: str | None) -> Finding:
    found = resolve_uri(uri)
    shown = without_credentials(found)
    if found == default_uri() and not (FOLDER / "mlflow.db").is_file():
        return Finding("MLflow store", "ok", f"{shown} will be made by the first run")
    try:
        within(PATIENCE_S * 5, lambda: open_existing(uri))  # MLflow itself is seconds of imports
    except TrackingError as error:
        return Finding("MLflow store", "fail", str(error), "Name another one: tracking.uri=...")
    except TimeoutError:
        return Finding("MLflow store", "fail", f"{shown} does not answer", "Start its server, or tracking.uri=...")
    return Finding("MLflow store", "ok", f"{shown} answers, and its schema is the one of this MLflow")


def within(seconds: float, call: Callable[[], object]) -> None:
    """Call, but wait no longer than this, and let the process end without it.

    Raises:
        TimeoutError: where it takes longer.
        Exception: what the call raises.
    """
    outcome: Future[object] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:  # handed over to the caller's thread
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    outcome.result(seconds)


def _folder() -> Finding:
    place = FOLDER if FOLDER.is_dir() else Path.cwd()
    free = shutil.disk_usage(place).free / 1e9
    kind = file_system(place)
    found = f"{place.resolve()}, {free:.1f} GB free, {kind}"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return Finding("results", "fail", f"{found}: cannot be written ({error.strerror})", "Stand in another folder.")
    if free < LEAST_FREE_GB:
        return Finding(
            "results", "slow", found, "A run of a large network may not fit; tracking.keep_models=none helps."
        )
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        return Finding(
            "results", "slow", found, "SQLite is slow and unsafe over a network: use a local disk or a server."
        )
    return Finding("results", "ok", found)


def file_system(path: Path) -> str:
    """Kind of the file system that holds a path, such as ``ext4``; ``unknown`` where the machine does not say."""
    mounts = [part for part in psutil.disk_partitions(all=True) if path.resolve().is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def _cache() -> Finding:
    place = Path(os.environ.get("LANDSLIDE_CACHE", Path(os.environ.get("HOME", ".")) / ".cache" / "landslide"))
    if not place.is_dir():
        return Finding("tile cache", "ok", f"{place} will be made by the first run")
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 1e9
    kind = file_system(place)
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        cure = "Tiles are gathered from it at random: put it on a local disk with LANDSLIDE_CACHE=..."
        return Finding("tile cache", "slow", f"{place}, {size:.1f} GB, {kind}", cure)
    return Finding("tile cache", "ok", f"{place}, {size:.1f} GB")


def _hub() -> Finding:
    name = f"{HUB[0]}, for encoder.weights=imagenet"
    try:  # the resolver has a patience of its own, which can be long
        within(PATIENCE_S, lambda: socket.create_connection(HUB, PATIENCE_S).close())
    except OSError:  # a timeout is one
        cure = "Weights that need no hub: encoder=efficientnet_lite0, a local file, or encoder.weights=null."
        return Finding("hub", "slow", f"{name}: cannot be reached", cure)
    return Finding("hub", "ok", name)
