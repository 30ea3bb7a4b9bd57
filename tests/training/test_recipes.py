"""Every architecture, loss, optimizer, scheduler and regularisation trains two steps through the real module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from landslide.errors import ConfigError
from landslide.models.segmenter import Segmenter
from landslide.training.module import SegmentationModule
from landslide.training.run import build_module, build_trainer, early_stopping, prepare, quiet, run
from tests.conftest import ROOT, compose_run


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


class Trained(NamedTuple):
    module: SegmentationModule
    trainer: pl.Trainer
    before: dict[str, Tensor]
    rates: list[float]
    """Learning rate of each step."""

    def changed(self, part: str) -> bool:
        after = {name: value for name, value in self.module.segmenter.named_parameters() if name.startswith(part)}
        assert after
        return any(not torch.equal(value, self.before[name]) for name, value in after.items())


class Rates(pl.Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


Train = Callable[..., Trained]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@pytest.fixture(scope="module")
def trained(tiny: list[str], folder: Path) -> Train:
    """Train two steps an epoch, one epoch, without MLflow's run."""

    def fit(*overrides: str, callbacks: tuple[pl.Callback, ...] = ()) -> Trained:
        store = f"tracking.uri=sqlite:///{folder}/mlflow.db"
        few = ["data.batch_size=4", "data.split={train: 8, val: 4, seed: 0}"]
        cfg = compose_run(*tiny, store, *few, "trainer.max_epochs=1", "trainer.precision=32", *overrides)
        parts = prepare(cfg)
        module, rates = build_module(parts), Rates()
        before = {name: value.detach().clone() for name, value in parts.segmenter.named_parameters()}
        with quiet():
            trainer = build_trainer(parts, [rates, *early_stopping(cfg), *callbacks], folder)
            trainer.fit(module, datamodule=parts.data)
        for key in ("train/loss", "val/loss"):
            assert trainer.callback_metrics[key].isfinite(), key
        return Trained(module, trainer, before, rates.seen)

    return fit


# ------------------------------------------------------------------------------------------------------------ smoke
NARROW = ["+arch.decoder_fusion_channels=16", "+arch.decoder_intermediate_channels=[16, 16, 32, 32]"]
NEEDS = {"dpt": ["encoder.name=tu-test_vit4", *NARROW], "pan": ["data.image_size=128"]}


@pytest.mark.parametrize("arch", options("arch"))
def test_every_architecture_trains(arch: str, trained: Train) -> None:
    done = trained(f"arch={arch}", *NEEDS.get(arch, []))
    assert len(done.rates) == 2
    assert done.changed("net.encoder")
    assert done.changed("net.decoder")
    assert done.changed("net.segmentation_head")


@pytest.mark.parametrize("loss", options("loss"))
def test_every_loss_trains_in_low_precision(loss: str, trained: Train) -> None:
    assert trained(f"loss={loss}", "trainer.precision=bf16").changed("net")


@pytest.mark.parametrize("optimizer", options("optimizer"))
def test_every_optimizer_trains_at_the_rate_that_is_given(optimizer: str, trained: Train) -> None:
    done = trained(f"optimizer={optimizer}", "optimizer.lr=0.003", "scheduler=none")
    assert done.changed("net")
    assert done.rates == [0.003, 0.003]


@pytest.mark.parametrize("scheduler", options("scheduler"))
def test_every_scheduler_trains(scheduler: str, trained: Train) -> None:
    assert trained(f"scheduler={scheduler}").changed("net")


REGULARIZATIONS = [
    *("weight_decay=0.1", "dropout=0.3", "augmentation=0.5", "label_smoothing=0.1", "gradient_clip=0.1"),
    *("freeze_encoder=true", "freeze_encoder=1", "ema=0.9", "early_stopping=1"),
]


@pytest.mark.parametrize("setting", REGULARIZATIONS)
def test_every_regularisation_can_be_had_alone(setting: str, trained: Train) -> None:
    assert trained("regularization=none", f"regularization.{setting}").changed("net.decoder")


# -------------------------------------------------------------------------------------------------------- schedulers
def test_a_warm_up_reaches_the_rate_after_its_epochs(trained: Train) -> None:
    # Given: two steps an epoch
    done = trained("scheduler=none", "scheduler.warmup_epochs=2", "trainer.max_epochs=3", "optimizer.lr=0.004")
    # Then
    assert done.rates == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.004, 0.004])


def test_cosine_goes_from_the_rate_to_nothing_after_a_warm_up(trained: Train) -> None:
    done = trained("scheduler=cosine", "scheduler.warmup_epochs=1", "trainer.max_epochs=3", "optimizer.lr=0.004")
    assert done.rates == pytest.approx([0.002, 0.004, 0.004, 0.004 * 0.853553, 0.002, 0.004 * 0.146447], rel=1e-5)


class Series(pl.Callback):
    """What each epoch measured."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.values: list[float] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.values.append(float(trainer.callback_metrics[self.metric]))


@pytest.mark.parametrize(("metric", "direction"), [("val/f1", "maximize"), ("train/loss", "minimize")])
def test_a_plateau_follows_the_objective_in_its_direction(trained: Train, metric: str, direction: str) -> None:
    # Given
    series = Series(metric)
    # When
    done = trained(
        *("scheduler=plateau", "scheduler.patience=0", "scheduler.factor=0.5", "optimizer.lr=1e-5"),
        *(f"objective.metric={metric}", f"objective.direction={direction}", "trainer.max_epochs=6"),
        *("data.batch_size=8", "data.split={train: 16, val: 8, seed: 0}"),
        callbacks=(series,),
    )
    # Then: half the rate after each epoch that is no better than the best by a ten-thousandth
    expected, sign, best = [1e-5], 1 if direction == "maximize" else -1, None
    for value in series.values:
        better = best is None or sign * value > sign * best * (1 + sign * 1e-4)
        best = value if better else best
        expected.append(expected[-1] * (1 if better else 0.5))
    assert done.rates[::2] == pytest.approx(expected[:-1])
    assert len(set(expected[:-1])) > 1


# ---------------------------------------------------------------------------------------------------- regularisation
def test_gradients_are_clipped_to_their_norm_with_a_fused_optimizer_in_low_precision(trained: Train) -> None:
    # Given
    norms: list[float] = []

    class Norms(pl.Callback):
        def on_before_zero_grad(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            if gradients:
                norms.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))

    # When
    trained("regularization.gradient_clip=0.01", "trainer.precision=bf16", callbacks=(Norms(),))
    # Then
    assert norms
    assert all(norm <= 0.01 * 1.0001 for norm in norms)


def batch_norms(module: nn.Module) -> list[Tensor]:
    return [m.running_mean for m in module.modules() if isinstance(m, nn.BatchNorm2d) and m.running_mean is not None]


def test_a_frozen_encoder_keeps_weights_and_statistics_and_is_not_given_to_the_optimizer(trained: Train) -> None:
    done = trained("regularization.freeze_encoder=true", "trainer.max_epochs=2")
    network: Any = done.module.segmenter.net
    assert not done.changed("net.encoder")
    assert done.changed("net.decoder")
    assert all(not mean.any() for mean in batch_norms(network.encoder))
    assert any(mean.any() for mean in batch_norms(network.decoder))
    given = {id(p) for group in done.trainer.optimizers[0].param_groups for p in group["params"]}
    assert not given & {id(parameter) for parameter in network.encoder.parameters()}


def test_an_encoder_that_is_frozen_for_an_epoch_learns_from_the_second_on(trained: Train) -> None:
    # Given
    seen: list[tuple[bool, bool]] = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            encoder = pl_module.segmenter.net.encoder
            seen.append((encoder.training, next(encoder.parameters()).requires_grad))

    # When
    done = trained("regularization.freeze_encoder=1", "trainer.max_epochs=2", callbacks=(Watch(),))
    # Then
    assert seen == [(False, False)] * 2 + [(True, True)] * 2
    assert done.changed("net.encoder")


def test_the_average_follows_the_weights_as_computed_by_hand(trained: Train) -> None:
    # Given
    steps: list[Tensor] = []

    class Weights(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *rest: Any) -> None:
            steps.append(pl_module.segmenter.net.segmentation_head[0].weight.detach().clone())

    # When
    done = trained("regularization.ema=0.25", "trainer.max_epochs=2", callbacks=(Weights(),))
    # Then: the window grows with the run, up to the decay that is given
    expected = steps[0].double()
    for step, weight in enumerate(steps[1:], start=2):
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.double()
    network: Any = done.module.evaluated.net
    assert torch.allclose(network.segmentation_head[0].weight.double(), expected, atol=1e-7)
    assert not torch.equal(network.segmentation_head[0].weight, steps[-1])


def test_training_ends_when_the_objective_no_longer_improves(trained: Train) -> None:
    # Given
    series = Series("val/f1")
    # When
    done = trained("regularization.early_stopping=2", "trainer.max_epochs=30", "optimizer.lr=0.02", callbacks=(series,))
    # Then: the last two epochs are no better than one before them, and no two earlier ones in a row were
    waits, best = [], -1.0
    for value in series.values:
        waits.append(0 if value > best else waits[-1] + 1)
        best = max(best, value)
    assert waits.index(2) == len(waits) - 1 < 29
    assert len(done.rates) == 2 * len(waits)


def test_the_model_that_is_kept_is_the_average_that_was_validated(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import numpy as np

    monkeypatch.chdir(tmp_path)
    # Given
    overrides = ("regularization.ema=0.9", "trainer.precision=32", "optimizer.lr=0.01")
    # When
    result = run(compose_run(*tiny, *overrides), tmp_path / "out")
    # Then
    client = mlflow.MlflowClient()
    stored = np.load(client.download_artifacts(result.run_id, "validation/panel.npz"), allow_pickle=False)
    probability = mlflow.pyfunc.load_model(f"runs:/{result.run_id}/model").predict(stored["images"])
    assert np.abs(probability * 256 - stored["probability"]).max() < 1.5  # one bin, and rounding


# ---------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["arch=deeplabv3plus", "data.batch_size=1"], "data.batch_size=1: .*Give data.batch_size=2 or more"),
        (["arch=pan"], "data.image_size=64: .*The nearest that fits is 128"),
        (["arch=pspnet", "+arch.encoder_depth=4"], "arch.upsampling=8: .*Give arch.upsampling=16"),
        (["arch=dpt"], "encoder.name=tu-test_resnet: .*vision transformer of timm"),
        (["loss=lovasz", "regularization.label_smoothing=0.1"], "regularization.label_smoothing=0.1: .*another loss"),
        (["loss=tversky", "loss.alpha=-1"], "^loss.alpha=-1: must be 0 or more"),
        (["loss.dice_weight=2"], "^loss.dice_weight=2: must be at least 0 and at most 1"),
        (["+arch.encoder_dept=4"], "arch.encoder_dept: unet has no such argument"),
    ],
)
def test_what_cannot_train_is_refused_before_training(
    tiny: list[str], folder: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        prepare(compose_run(*tiny, f"tracking.uri=sqlite:///{folder}/mlflow.db", *overrides))
    assert "\n" not in str(caught.value)


def test_clipping_in_half_precision_is_refused_with_a_fused_optimizer() -> None:
    from landslide.training import hardware as hw
    from landslide.training.run import _require_unscaled_gradients

    cfg = compose_run("regularization.gradient_clip=1")
    half = hw.Hardware("gpu", "a GPU", "16", True, 1)
    with pytest.raises(ConfigError, match=r"optimizer\.fused=false"):
        _require_unscaled_gradients(cfg, half)
    _require_unscaled_gradients(compose_run("regularization.gradient_clip=1", "optimizer.fused=false"), half)


def test_a_segmenter_is_what_is_evaluated_with_and_without_an_average(trained: Train) -> None:
    with_average = trained("regularization.ema=0.9").module
    assert isinstance(with_average.evaluated, Segmenter)
    assert with_average.evaluated is not with_average.segmenter
    without = trained().module
    assert without.evaluated is without.segmenter
