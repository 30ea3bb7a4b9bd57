"""What only a GPU can show; skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from landslide.data.augmentation import Augmentation
from landslide.data.datamodule import TileDataModule
from landslide.errors import ConfigError, OutOfMemory
from landslide.training import memory
from landslide.training.run import run
from tests.conftest import compose_run
from tests.training.test_bands import write_tiles
from tests.training.test_continue import RECIPE, Trained, assert_equal, train_here, train_until

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    torch.cuda.set_per_process_memory_fraction(1.0)


def trained(folder: Path, *overrides: str) -> dict[str, Any]:
    """Train in a folder of its own; what MLflow has then."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_here(folder, *overrides)
    stored = Trained.only_one(folder)
    return {"run": stored.client.get_run(stored.run_id).data, "series": stored.series(), "stored": stored}


@pytest.mark.parametrize("precision", ["auto", "32", "16", "bf16"])
def test_a_gpu_trains_as_a_cpu_does(precision: str, tiny: list[str], tmp_path: Path) -> None:
    # Given: tiles, order and augmentation of one seed; gradients that are clipped, which in 16 bits are scaled first
    recipe = [*tiny, "optimizer.fused=false", "regularization.gradient_clip=0.5", "scheduler=none"]
    # When
    on_cpu = trained(tmp_path / "cpu", *recipe, "trainer.accelerator=cpu", "trainer.precision=32")
    on_gpu = trained(tmp_path / "gpu", *recipe, f"trainer.precision={precision}")
    # Then
    np.testing.assert_allclose(on_gpu["series"]["train/loss"], on_cpu["series"]["train/loss"], rtol=0.05)
    # the norms of an epoch of two steps magnify what rounding differs by, so later validations drift apart
    np.testing.assert_allclose(on_gpu["series"]["val/loss"][0], on_cpu["series"]["val/loss"][0], rtol=0.05)
    tags = on_gpu["run"].tags
    assert tags["landslide.device"] == torch.cuda.get_device_name()
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    assert tags["landslide.precision"] == {"auto": "bf16" if native else "32"}.get(precision, precision)


def test_the_peak_is_that_of_the_gpu_and_grows_with_the_batch(tiny: list[str], tmp_path: Path) -> None:
    recipe = [*tiny, "trainer.max_epochs=1", "encoder=resnet18"]
    small, large = (
        trained(tmp_path / str(size), *recipe, f"data.batch_size={size}")["run"].metrics for size in (2, 16)
    )
    # weights, gradients and two moments of Adam are four numbers of four bytes a parameter
    assert 16 * small["model/parameters"] / 1e6 < small["memory/peak_mb"] < large["memory/peak_mb"]
    assert large["memory/peak_mb"] < torch.cuda.get_device_properties(0).total_memory / 1e6


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_tiles_are_augmented_on_the_gpu_as_on_the_cpu(dtype: torch.dtype) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 200, (16, 3, 32, 32))).to(dtype)
    mask = (image[:, 0].int() > 100).to(torch.uint8)
    augmentations = [Augmentation(1.0, 0, [(127.5, 255.0), (50.0, 20.0), None]) for _ in range(2)]
    for augmentation in augmentations:
        augmentation.start_epoch(3)
    on_cpu = augmentations[0](image.float(), mask)
    on_gpu = augmentations[1](image.cuda(), mask.cuda())
    assert all(tensor.is_cuda for tensor in on_gpu)
    torch.testing.assert_close(on_gpu[0].cpu(), on_cpu[0], rtol=1e-6, atol=1e-3)
    assert torch.equal(on_gpu[1].cpu(), on_cpu[1])


@pytest.mark.parametrize(("dtype", "factor"), [("uint16", 10_000), ("float32", 1.0)])
def test_bands_of_16_bits_and_of_floats_train_on_a_gpu(dtype: str, factor: float, tmp_path: Path) -> None:
    overrides = write_tiles(tmp_path / "tiles", dtype, factor)
    on_gpu = trained(tmp_path / "gpu", *overrides)
    on_cpu = trained(tmp_path / "cpu", *overrides, "trainer.accelerator=cpu")
    np.testing.assert_allclose(on_gpu["series"]["val/loss"], on_cpu["series"]["val/loss"], rtol=0.05)


def test_batches_are_sent_from_pinned_memory_in_channels_last(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(self: TileDataModule, batch: Any, dataloader_idx: int) -> Any:
        image = batch["image"]
        seen.append((image.is_pinned(), image.is_contiguous(memory_format=torch.channels_last)))
        return batch

    monkeypatch.setattr(TileDataModule, "on_before_batch_transfer", look)
    monkeypatch.chdir(tmp_path)
    train_here(tmp_path, *tiny, "trainer.max_epochs=1")
    assert set(seen) == {(True, True)}


@pytest.mark.parametrize("arch", ["unet", "linknet", "fpn"])
def test_a_deterministic_run_that_is_interrupted_goes_on_bit_for_bit(
    arch: str, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    recipe = [*tiny, *RECIPE, f"arch={arch}", "trainer.deterministic=true", "trainer.max_epochs=4"]
    trained(tmp_path / "whole", *recipe)
    interrupted = tmp_path / "interrupted"
    interrupted.mkdir()
    monkeypatch.chdir(interrupted)
    train_until(interrupted, 2, *recipe)
    # When
    train_here(interrupted, *recipe, f"ckpt_path={interrupted}/out/checkpoints/last.ckpt")
    # Then
    assert_equal(Trained.only_one(interrupted), Trained.only_one(tmp_path / "whole"))


def test_a_network_that_cannot_be_deterministic_here_is_refused_before_anything_is_written(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"trainer\.deterministic=true: .*adaptive_avg_pool2d_backward_cuda"):
        run(compose_run(*tiny, "arch=pspnet", "trainer.deterministic=true"), tmp_path / "out")
    assert not list(MlflowClient().search_experiments(filter_string="name = 'landslide'"))


def test_after_a_batch_that_did_not_fit_the_gpu_is_free_for_the_next_run(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a process that may take 0.3 GB
    monkeypatch.chdir(tmp_path)
    memory.reset_peak()
    before = torch.cuda.memory_allocated()
    torch.cuda.set_per_process_memory_fraction(0.3e9 / torch.cuda.get_device_properties(0).total_memory)
    # When
    with pytest.raises(OutOfMemory, match=rf"memory of {torch.cuda.get_device_name()} \([\d.]+ [MG]iB more"):
        run(compose_run(*tiny, "encoder.name=resnet50", "encoder.weights=null", "data.batch_size=16"), tmp_path / "out")
    # Then
    memory.reset_peak()
    assert torch.cuda.memory_allocated() == before
    assert torch.cuda.memory_reserved() < 50e6
    (stored,) = MlflowClient(mlflow.get_tracking_uri()).search_runs(["1"])
    assert stored.info.status == "FAILED"
