"""Precision, memory format and threads, chosen from the hardware that is there."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import nn

from landslide.errors import ConfigError

LIGHTNING_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclass(frozen=True)
class Hardware:
    """What a run trains on, and how."""

    accelerator: str
    """``cpu``, ``gpu`` or ``mps``."""
    device: str
    """For people: the processor's name, and threads on a CPU."""
    precision: str
    """``32``, ``bf16`` or ``16``."""
    channels_last: bool
    threads: int

    def __str__(self) -> str:
        layout = "channels_last" if self.channels_last else "contiguous"
        return f"{self.device}, precision {self.precision}, {layout}"


def choose_hardware(trainer: DictConfig) -> Hardware:
    """Fill in what the ``trainer`` group leaves to us.

    Raises:
        ConfigError: for an accelerator that is not there, or a precision that it cannot do.
    """
    accelerator = _accelerator(trainer.accelerator)
    threads = trainer.threads or _usable_cores()
    precision = trainer.precision
    if precision == "auto":
        precision = "bf16" if _native_bf16(accelerator) else "32"
    if precision == "16" and accelerator == "cpu":
        raise ConfigError("trainer.precision=16: a CPU trains in 32 or bf16.")
    return Hardware(
        accelerator=accelerator,
        device=_device_name(accelerator, threads),
        precision=precision,
        channels_last=trainer.memory_format in ("auto", "channels_last"),
        threads=threads,
    )


def apply(hardware: Hardware, *, deterministic: bool) -> None:
    """Set what is global in torch. Denormal numbers, which CPUs compute in slow motion, become zero."""
    torch.set_num_threads(hardware.threads)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(deterministic)
    if hardware.accelerator == "gpu":
        torch.set_float32_matmul_precision("high")


def require_deterministic(hardware: Hardware, segmenter: nn.Module, loss: nn.Module, bands: int, size: int) -> None:
    """Try a step of two tiles of zeros on a copy, after :func:`apply` has forbidden what may differ from run to run.

    Which networks and losses those are depends on torch and the device: PSPNet's pools are among them on CUDA.

    Args:
        hardware: the step is tried there.
        segmenter: maps ``(N, bands, H, W)`` to ``(N, 1, H, W)``.
        loss: of logits and target, both ``(N, 1, H, W)``.
        bands: number of them.
        size: side of a tile in pixels.

    Raises:
        ConfigError: naming the operation.
    """
    device = torch.device("cuda" if hardware.accelerator == "gpu" else hardware.accelerator)
    copied = copy.deepcopy(segmenter).to(device).train()
    image = torch.zeros(2, bands, size, size, device=device)
    try:
        logits = copied(image)  # (2, 1, H, W)
        loss(logits, torch.zeros_like(logits)).backward()
    except RuntimeError as error:
        operation, told, _ = str(error).partition(" does not have a deterministic implementation")
        if not told:
            raise
        raise ConfigError(
            f"trainer.deterministic=true: this network with this loss takes {operation}, which has no deterministic "
            f"form on {hardware.device}. Give trainer.deterministic=false, or another arch or loss."
        ) from error


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # what Slurm, Docker or taskset leave us, not what the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _accelerator(asked: str) -> str:
    there = {"cpu": True, "gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return "gpu" if there["gpu"] else "mps" if there["mps"] else "cpu"
    if not there.get(asked, False):
        usable = ", ".join(name for name, found in there.items() if found)
        raise ConfigError(f"trainer.accelerator={asked}: not on this machine. Usable here: auto, {usable}.")
    return asked


def _native_bf16(accelerator: str) -> bool:
    if accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if accelerator == "mps":
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _device_name(accelerator: str, threads: int) -> str:
    if accelerator == "gpu":
        return torch.cuda.get_device_name()
    if accelerator == "mps":
        return "Apple GPU"
    name = torch.cpu.get_capabilities().get("cpu_name", "CPU")
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"
