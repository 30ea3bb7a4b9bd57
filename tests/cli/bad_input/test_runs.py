"""Runs that there are: continued, run again, and scored on the test part."""

from __future__ import annotations

from pathlib import Path

from tests.cli.bad_input.row import NOT_ANSWERING, NUMBER, Row, a_file, assert_told_in_a_sentence, each, row
from tests.cli.bad_input.spoiled_store import a_name_twice, no_store
from tests.cli.bad_input.spoiled_tiles import no_tiles
from tests.cli.bad_input.spoiled_weights import (
    checkpoint,
    checkpoint_elsewhere,
    half_a_checkpoint,
    pickled_checkpoint,
)

LEFT = "ckpt_path=left/checkpoints/last.ckpt"
DAMAGED = "ckpt_path=out/checkpoints/last.ckpt: this is no checkpoint that landslide can continue from"
CONTINUED = [
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=checkpoint(b"")),
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=checkpoint(b"PK\3\4" + b"\0" * 999)),
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=checkpoint(b"no checkpoint")),
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=pickled_checkpoint),
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=half_a_checkpoint),
    row(
        "train.py ckpt_path=last.ckpt",
        "ckpt_path=last.ckpt: must lie in the folder 'checkpoints' of its run",
        given=checkpoint_elsewhere,
    ),
    row("train.py ckpt_path=left/checkpoints", "ckpt_path=left/checkpoints: no such file"),
    row(f"train.py {LEFT} arch=fpn", "a continued run must stay the same run", "arch.name was unet, is fpn"),
    row(f"train.py {LEFT} encoder.name=tu-test_efficientnet", "encoder.name was tu-test_resnet, is tu-test_eff"),
    row(f"train.py {LEFT} optimizer.lr=1e-4", "optimizer.lr was 0.002, is 0.0001"),
    row(f"train.py {LEFT} regularization.ema=0.9", "regularization.ema was None, is 0.9"),
    row(f"train.py {LEFT} data.split.seed=1", "data.split.seed was 0, is 1; split digest was"),
    row(f"train.py {LEFT}", "has 1 epochs already, trainer.max_epochs=1 leaves nothing"),
    row(f"train.py {LEFT} trainer.max_epochs=2", "trainer.max_epochs was 1, is 2", "can be prolonged"),
]

RERUN = [
    row("landslide rerun 0123", "'0123', in sqlite:///", "there is no such run. Give an id"),
    row("landslide rerun unet-tu-test_resnet", "2 runs are called so; give an id", given=a_name_twice, lines=3),
    row("landslide rerun STORED", "mlruns/mlflow.db: there is none in", given=no_store),
    row(f"landslide rerun {'e' * 32}", "its config.yaml and environment.json cannot be read", given=a_name_twice),
    row("landslide rerun STORED optimizer", "'optimizer' is no override: write key=value"),
    row("landslide rerun STORED optimizer.lr=-1", f"optimizer.lr=-1: {NUMBER}"),
    row("landslide rerun STORED data.image_sise=32", "image_sise"),
    row("landslide rerun STORED data.root=nowhere", "data.root=nowhere: no Bijie dataset there"),
    row("landslide rerun STORED", "data.root=", "no Bijie dataset there", given=no_tiles),
    row("landslide rerun --uri http://127.0.0.1:CLOSED STORED", *NOT_ANSWERING),
    row("landslide rerun", "the following arguments are required: RUN", lines=9),
]

TEST = [
    row("landslide test 0123", "'0123', in sqlite:///", "there is no such run. Give an id"),
    row("landslide test STORED", "has no test part. Train with one, such as data.split.test=0.1"),
    row("landslide test STORED", "mlruns/mlflow.db: there is none in", given=no_store),
    row("landslide test STORED --uri http://127.0.0.1:CLOSED", *NOT_ANSWERING),
    row("landslide test STORED -o letter.txt", "letter.txt", given=a_file("letter.txt")),
    row("landslide test", "the following arguments are required: SWEEP", lines=9),
]

ROWS = [*CONTINUED, *RERUN, *TEST]


@each(ROWS)
def test_a_run_that_cannot_go_on_is_told_in_a_sentence_and_leaves_nothing_half_written(
    row: Row, folder: Path, places: dict[str, str]
) -> None:
    assert_told_in_a_sentence(row, folder, places)
