"""What is chosen from the machine, and what a user can choose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from landslide.errors import ConfigError
from landslide.training.hardware import Hardware, apply, choose_hardware


def choose(**values: object) -> Hardware:
    defaults = {"precision": "auto", "memory_format": "auto", "threads": None, "accelerator": "cpu"}
    return choose_hardware(OmegaConf.create(defaults | values))


def test_a_cpu_trains_in_bf16_only_where_it_has_it_natively() -> None:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    native = any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))
    assert choose().precision == ("bf16" if native else "32")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"precision": "32"}, ("32", True)),
        ({"precision": "bf16", "memory_format": "contiguous"}, ("bf16", False)),
    ],
)
def test_what_is_asked_for_is_taken(values: dict[str, object], expected: tuple[str, bool]) -> None:
    chosen = choose(**values)
    assert (chosen.precision, chosen.channels_last) == expected


def test_threads_are_what_the_process_may_use_unless_asked_for() -> None:
    assert choose(threads=1).threads == 1
    assert choose(threads=1).device.endswith("1 thread")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(ConfigError, match=r"accelerator=gpu: not on this machine\. Usable here: auto, cpu"):
        choose(accelerator="gpu")


def test_half_precision_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="a CPU trains in 32 or bf16"):
        choose(precision="16")


def test_settings_reach_torch() -> None:
    before = torch.get_num_threads()
    apply(choose(threads=1), deterministic=False)
    try:
        assert torch.get_num_threads() == 1
        assert torch.tensor(1e-40).add(0).item() == 0.0  # denormals are zero
    finally:
        torch.set_num_threads(before)
