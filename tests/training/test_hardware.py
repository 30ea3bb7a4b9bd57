"""What is chosen from the machine, and what a user can choose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from landslide.errors import ConfigError
from landslide.training.hardware import Hardware, apply, choose_hardware
from landslide.training.run import prepare
from tests.conftest import compose_run


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


class Unordered(nn.Module):
    """A loss by an operation that torch has in no deterministic form, on any device."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        where = torch.zeros(1, dtype=torch.int64, device=logits.device)
        return logits.mean() + target.put_(where, target.new_zeros(1)).mean()


def test_what_cannot_be_deterministic_is_refused_by_the_name_of_the_operation(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unordered = ("loss=bce", "loss._target_=tests.training.test_hardware.Unordered")
    try:
        with pytest.raises(ConfigError, match=r"^trainer\.deterministic=true: .* takes put_, which has no determ"):
            prepare(compose_run(*tiny, *unordered, "trainer.deterministic=true"))
        assert prepare(compose_run(*tiny, "trainer.deterministic=true")).saved is None
    finally:
        torch.use_deterministic_algorithms(False)
