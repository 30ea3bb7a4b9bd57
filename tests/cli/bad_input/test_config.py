"""Values, and words that Hydra reads."""

from __future__ import annotations

from pathlib import Path

from tests.cli.bad_input.row import NUMBER, Row, assert_told_in_a_sentence, each, row
from tests.cli.bad_input.spoiled_tiles import no_dem

VALUES = [
    row("train.py data.batch_size=0", "data.batch_size=0: must be 1 or more"),
    row("train.py data.batch_size=-1", "data.batch_size=-1: must be 1 or more"),
    row("train.py data.batch_size=9", "data.batch_size=9: the training part has 8 tiles, which fills no batch"),
    row("train.py data.image_size=0", "data.image_size=0: must be 1 or more"),
    row("train.py data.image_size=1000000", "data.image_size=1000000", "free"),
    row("train.py trainer.max_epochs=0", "trainer.max_epochs=0: must be 1 or more"),
    row("train.py trainer.threads=0", "trainer.threads=0: must be 1 or more, or null"),
    row("train.py optimizer.lr=nan", f"optimizer.lr=nan: {NUMBER}"),
    row("train.py optimizer.lr=inf", f"optimizer.lr=inf: {NUMBER}"),
    row("train.py optimizer.lr=-1", f"optimizer.lr=-1: {NUMBER}"),
    row("train.py optimizer.lr=0", f"optimizer.lr=0: {NUMBER}"),
    row("train.py optimizer.lr=fast", f"optimizer.lr=fast: {NUMBER}"),
    row("train.py optimizer.lr=true", f"optimizer.lr=True: {NUMBER}"),
    row("train.py regularization.dropout=1", "regularization.dropout=1.0: must be at least 0 and below 1"),
    row("train.py regularization.dropout=nan", "regularization.dropout=nan: must be at least 0 and below 1"),
    row("train.py regularization.weight_decay=-0.1", "regularization.weight_decay=-0.1: must be 0 or more"),
    row(
        "train.py regularization.label_smoothing=2", "regularization.label_smoothing=2.0: must be at least 0 and below"
    ),
    row("train.py regularization.augmentation=nan", "regularization.augmentation=nan: must be 0 or more"),
    row("train.py seed=-1", "seed=-1: must be 0 to 4294967295"),
    row("train.py seed=4294967296", "seed=4294967296: must be 0 to 4294967295"),
    row("train.py data.gsd_m=nan", "data.gsd_m=nan: must be a number of metres above 0, or null"),
    row("train.py data.split.train=0", "data.split.train=0: must be a count from 1 up, or a share between 0 and 1"),
    row("train.py data.split.val=-4", "data.split.val=-4: must be a count from 1 up"),
    row("train.py data.split.train=nan", "data.split.train=nan: must be a count from 1 up"),
    row("train.py data.split.train=2.5", "data.split.train=2.5: must be a count from 1 up"),
    row(
        "train.py data.split.train=690",
        "data.split.train=690 data.split.val=4: 690 + 4 tiles are asked for, 12 are there",
    ),
    row("train.py data.split.seed=-1", "data.split.seed=-1: must be 0 or more"),
    row("train.py data.layout=geotiff", "data.layout=geotiff: must be one of bijie"),
    row("train.py data.bands=[red,gren]", "data.bands: 'gren' is not one of", "Did you mean 'green'?"),
    row("train.py data.bands=[red,red]", "data.bands=['red', 'red']: name at least one band, each once"),
    row("train.py data.bands=[]", "data.bands=[]: name at least one band, each once"),
    row("train.py encoder.mean=[0.5]", "encoder.mean=[0.5]: must be 3 finite numbers, one a band"),
    row("train.py encoder.std=[1,0,1]", "encoder.std=[1.0, 0.0, 1.0]: must be 3 finite numbers, one a band, above 0"),
    row("train.py trainer.precision=fp16", "trainer.precision=fp16: must be one of auto, 32, bf16, 16"),
    row("train.py trainer.precision=16 trainer.accelerator=cpu", "trainer.precision=16: a CPU trains in 32 or bf16"),
    row("train.py trainer.memory_format=channel_last", "Did you mean 'channels_last'?"),
    row("train.py trainer.accelerator=tpu", "trainer.accelerator=tpu: not on this machine. Usable here: auto, cpu"),
    row("train.py tracking.keep_models=best", "tracking.keep_models=best: must be one of finalists, all, none"),
    row("train.py tracking.panel_tiles=0", "tracking.panel_tiles=0: must be 1 or more"),
    row("train.py objective.metric=val/f2", "objective.metric=val/f2: no epoch logs it", "Did you mean 'val/f1'?"),
    row("train.py objective.direction=minimize", "objective.direction=minimize: val/f1 is better when we maximize it"),
    row("train.py data.image_size=???", "data.image_size: has no value", "Missing mandatory value"),
    row("train.py 'data.root=${rot}'", "data.root: has no value", "Interpolation key 'rot' not found"),
    row("train.py +patience=3", "patience: there is no such value"),
    row("train.py +data.image_sise=32", "data.image_sise: there is no such value", "Did you mean 'image_size'?"),
    row("train.py ckpt_path=gone.ckpt", "ckpt_path=gone.ckpt: no such file"),
    row("train.py regularization.weight_decay=nan", "regularization.weight_decay=nan: must be 0 or more"),
    row("train.py regularization.gradient_clip=0", "regularization.gradient_clip=0.0: must be above 0, or null"),
    row("train.py regularization.gradient_clip=-1", "regularization.gradient_clip=-1.0: must be above 0, or null"),
    row("train.py regularization.gradient_clip=nan", "regularization.gradient_clip=nan: must be above 0, or null"),
    row("train.py regularization.ema=1", "regularization.ema=1.0: must be above 0 and below 1"),
    row("train.py regularization.ema=0", "regularization.ema=0.0: must be above 0 and below 1"),
    row("train.py regularization.ema=99", "regularization.ema=99.0: must be above 0 and below 1"),
    row("train.py regularization.freeze_encoder=0", "regularization.freeze_encoder=0: must be true, false, or 1 epoch"),
    row("train.py regularization.freeze_encoder=-1", "regularization.freeze_encoder=-1: must be true, false"),
    row("train.py regularization.freeze_encoder=1.5", "regularization.freeze_encoder=1.5: must be true, false"),
    row("train.py regularization.freeze_encoder=yes", "regularization.freeze_encoder=yes: must be true, false"),
    row("train.py regularization.early_stopping=0", "regularization.early_stopping=0: must be 1 epoch or more"),
    row("train.py regularization.early_stopping=-2", "regularization.early_stopping=-2: must be 1 epoch or more"),
    row(
        "train.py scheduler=cosine scheduler.warmup_epochs=1",
        "scheduler.warmup_epochs=1: must be at least 0 and below trainer.max_epochs=1",
    ),
    row("train.py scheduler=none scheduler.warmup_epochs=-1", "scheduler.warmup_epochs=-1: must be at least 0"),
    row("train.py scheduler=none scheduler.warmup_epochs=nan", "scheduler.warmup_epochs=nan: must be at least 0"),
    row("train.py data.split.test=-1", "data.split.test=-1: must be a count from 1 up"),
    row("train.py data.split.test=nan", "data.split.test=nan: must be a count from 1 up"),
    row("train.py data.split.test=2.5", "data.split.test=2.5: must be a count from 1 up"),
    row(
        "train.py data.split.test=5",
        "data.split.train=8 data.split.val=4 data.split.test=5: 8 + 4 + 5 tiles are asked for, 12 are there",
    ),
    row("train.py data.split.by=county", "data.split.by=county: must be one of tile, group, folder"),
    row("train.py data.split.by=folder", "data.split.by=folder: the Bijie layout has no folders of parts"),
    row(
        "train.py data.split.hold_out=gorgee",
        "data.split.hold_out=gorgee: there is no such group. Known: gorge (4), hill (4)",
        "Did you mean 'gorge'?",
    ),
    row("train.py data.split.hold_out=gorge data.split.test=2", "data.split.test=2: data.split.hold_out leaves no"),
    row("train.py data.split.hold_out=gorge data.split.csv=a.csv", "data.split.csv=a.csv data.split.hold_out=gorge"),
    row("train.py data.split.by=group data.split.csv=a.csv", "data.split.by=group: data.split.csv and data.split.hold"),
    row("train.py data.negatives.train=-1", "data.negatives.train=-1: must be none, all, or a number above 0"),
    row("train.py data.negatives.val=some", "data.negatives.val=some: must be none, all, or a number above 0"),
    row("train.py data.negatives.val=nan", "data.negatives.val=nan: must be none, all, or a number above 0"),
    row(
        "train.py data.bands=[red,dem]",
        "12 of 12 DEM are missing",
        "Leave dem and slope out of data.bands",
        given=no_dem,
    ),
    row(
        "train.py objective.metric=val/false_alarm objective.direction=minimize",
        "objective.metric=val/false_alarm: every validation tile holds a landslide",
        "data.negatives.val=all",
    ),
]

HYDRA = [
    row("train.py sweep=architectures", "Error merging override sweep", "Did you mean 'sweeps'?", status=1, lines=9),
    row("train.py -m sweep=architectures", "Error merging override sweep", "Did you mean 'sweeps'?", status=1, lines=9),
    row(
        "train.py data.image_sise=32",
        "Could not override 'data.image_sise'",
        "Did you mean 'data.image_size'?",
        status=1,
        lines=9,
    ),
    row(
        "train.py optimizer.lrr=1",
        "Could not override 'optimizer.lrr'",
        "Did you mean 'optimizer.lr'?",
        status=1,
        lines=9,
    ),
    row("train.py regularisation.dropout=0.1", "Did you mean 'regularization'?", status=1, lines=9),
    row(
        "train.py arch=resunet", "Could not find 'arch/resunet'", "fpn", "linknet", "pspnet", "unet", status=1, lines=20
    ),
    row("train.py loss=dyce", "Could not find 'loss/dyce'", "bce_dice", status=1, lines=20),
    row("train.py optimizer=adm", "Could not find 'optimizer/adm'", "adamw", status=1, lines=20),
    row("train.py experiment=papper", "Could not find 'experiment/papper'", "bijie_cpu", status=1, lines=20),
    row("train.py model=unet", "Could not override 'model'", status=1, lines=9),
    row("train.py data.batch_size=abc", "Value 'abc'", "data.batch_size", status=1, lines=9),
    row("train.py data.batch_size=2.5", "data.batch_size", status=1, lines=9),
    row("train.py seed=first", "Value 'first'", "seed", status=1, lines=9),
    row("train.py data=3", "these arguments do not compose", "Config group override must be a string", status=1),
    row("train.py arch=unet,fpn", "Ambiguous value for argument 'arch=unet,fpn'", "--multirun", status=1, lines=9),
    row("train.py epochs", "epochs: cannot be read", status=1, lines=9),
    row("train.py 'data.root=[a'", "data.root=[a: cannot be read", status=1, lines=9),
    row("train.py --epochs=3", "unrecognized arguments: --epochs=3", status=2, lines=20),
    row("train.py --config-name=mine", "Cannot find primary config 'mine'", status=1, lines=20),
    row("landslide train", "invalid choice: 'train'", lines=9),
]

ROWS = [*VALUES, *HYDRA]


@each(ROWS)
def test_a_wrong_word_is_told_in_a_sentence_and_leaves_nothing_half_written(
    row: Row, folder: Path, places: dict[str, str]
) -> None:
    assert_told_in_a_sentence(row, folder, places)
