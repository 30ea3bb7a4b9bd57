"""Comparisons, of ours and with the paper."""

from __future__ import annotations

from pathlib import Path

from tests.cli.bad_input.row import NOT_ANSWERING, Row, a_file, assert_told_in_a_sentence, each, row
from tests.cli.bad_input.spoiled_store import a_name_twice, no_database, no_store, sql

TINY_TILES = "data.root=tiles data.cache_dir=cache data.image_size=64 data.batch_size=4 'data.split={train: 8, val: 4}'"

COMPARE = [
    row("landslide compare 0123", "'0123', in sqlite:///", "there is no such run", "landslide ui"),
    row("landslide compare unet-tu-test_resnet", "2 runs are called so; give an id", given=a_name_twice, lines=3),
    row("landslide compare STORED", "is still going", given=sql("UPDATE runs SET status='RUNNING'")),
    row("landslide compare --filter 'f1 is good'", "--filter 'f1 is good': MLflow cannot read it"),
    row("""landslide compare --filter "params.seed = '7'" """, "finds no run. What there is to find: landslide ui"),
    row("landslide compare STORED -o letter.txt", "letter.txt", given=a_file("letter.txt")),
    row("landslide compare STORED -o /proc/x", "/proc/x: no folder can be made there"),
    row("landslide compare STORED", "mlruns/mlflow.db: there is none in", "Train first", given=no_store),
    row("landslide compare STORED --uri http://127.0.0.1:CLOSED", *NOT_ANSWERING),
    row("landslide compare STORED --uri sqlite:///gone/mlflow.db", "sqlite:///gone/mlflow.db: there is no such file"),
    row("landslide compare", "No run to compare: name at least one run id"),
    row("landslide compare STORED", "file is not a database", given=no_database),
    row(f"landslide compare STORED {'e' * 32}", "has no counts of its tiles", "landslide rerun", given=a_name_twice),
]

REPRODUCE = [
    row("landslide reproduce oak", "invalid choice: 'oak' (choose from", lines=9),
    row("landslide reproduce paper --seeds 0,one", "--seeds 0,one: 'one' is no whole number from 0 up"),
    row("landslide reproduce paper --seeds 1,0,1", "--seeds 1,0,1: 1 stands there more than once"),
    row("landslide reproduce paper --seeds 0,2", "--seeds 0,2: seeds must follow one another, such as --seeds 0,1"),
    row("landslide reproduce paper --scale epoch=6", "--scale epoch=6: must be one of", "Did you mean 'epochs'?"),
    row("landslide reproduce paper --scale epochs=6,epochs=7", "epochs stands there more than once"),
    row("landslide reproduce paper --scale epochs=0", "trainer.max_epochs=0: must be 1 or more"),
    row("landslide reproduce paper seed=3", "seed=3: what is reproduced settles it. Name seeds so: --seeds 0,1,2"),
    row("landslide reproduce paper sweep.repeats=2", "sweep.repeats=2: what is reproduced settles it"),
    row("landslide reproduce paper optimizer.lr=1e-3,2e-3", "optimizer.lr=1e-3,2e-3: give one value"),
    row("landslide reproduce paper data=3", "data=3: does not compose ("),
    row("landslide reproduce paper --scale encoder=null", "encoder=null: does not compose ("),
    row("landslide reproduce paper data.image_sise=32", "Did you mean 'data.image_size'?", lines=7),
    row("landslide reproduce paper", "no Bijie dataset there", "LANDSLIDE_BIJIE_ROOT"),
    row(f"landslide reproduce paper {TINY_TILES}", "the hub cannot be reached for the weights of resnet50"),
]

ROWS = [*COMPARE, *REPRODUCE]


@each(ROWS)
def test_a_comparison_that_cannot_be_made_is_told_in_a_sentence_and_leaves_nothing_half_written(
    row: Row, folder: Path, places: dict[str, str]
) -> None:
    assert_told_in_a_sentence(row, folder, places)
