"""Sweeps."""

from __future__ import annotations

from pathlib import Path

from tests.cli.bad_input.row import NOT_ANSWERING, NUMBER, Row, a_file, assert_told_in_a_sentence, each, row
from tests.cli.bad_input.spoiled_store import (
    mlruns_is_a_file,
    own_sweeps_database,
    read_only_mlruns,
    sweeps_database,
    with_sweeps_database_locked,
)
from tests.cli.typed import as_an_ordinary_user

MULTIRUN = [
    row("train.py -m data=3,4", "data=3: must be one of"),
    row("train.py -m data.batch_size=4,0", "data.batch_size=0: must be 1 or more", "trial 2 of 2"),
    row("train.py -m data.batch_size=4,8 trainer.accelerator=mps", "accelerator=mps: not on this machine"),
    row("train.py -m data.batch_size=4,many", "Value 'many' of type 'str'", "data.batch_size", status=1, lines=9),
    row("train.py -m optimizer.lr=1e-3,nan,1e-4", f"optimizer.lr=nan: {NUMBER}", "trial 2 of 3: lr=nan"),
    row(
        "train.py -m objective.metric=val/false_alarm objective.direction=minimize seed=0,1",
        "objective.metric=val/false_alarm: every validation tile holds a landslide",
    ),
    row("train.py -m seed=0,0", "seed=0,0: seed=0 stands there more than once"),
    row("train.py -m 'seed=range(0,0)'", "seed=range(0,0): holds no value"),
    row("train.py -m arch=unet,unett", "unett", "Did you mean 'unet'?"),
    row("train.py -m arch.name=unet,unett", "arch.name=unett: not one of"),
    row("train.py -m encoder.name=tu-test_resnet,resnet19", "encoder.name=resnet19: no such encoder"),
    row("train.py -m model=unet,fpn", "'model' is not in the composed config."),
    row("train.py -m sweeps=lr", "Could not find 'sweeps/lr'", "architectures", status=1, lines=20),
    row("train.py -m arch=unet,", "arch=unet,: cannot be read", status=1, lines=9),
    row("train.py -m tracking.uri=http://127.0.0.1:CLOSED arch=unet,fpn", *NOT_ANSWERING),
    row("train.py -m arch=unet,fpn", "mlruns", given=mlruns_is_a_file),
    row(
        "train.py -m arch=unet,fpn",
        "mlflow.db: ",
        "readonly database",
        given=read_only_mlruns,
        before=as_an_ordinary_user,
    ),
    row(
        "train.py -m seed=0,1",
        "sweeps.db: is locked by another program for more than 0.2 s. End that program, or name another database.",
        given=own_sweeps_database,
        before=with_sweeps_database_locked,
    ),
    row("train.py -m hydra.sweep.dir=letter.txt/out", "letter.txt", given=a_file("letter.txt")),
]

TWO = "train.py -m data.batch_size=4,2"
SWEEP = [
    row(
        "train.py sweeps=smoke sweep.n_trials=7", "sweeps=smoke: a study is many runs, and needs -m: python train.py -m"
    ),
    row("train.py sweep.slots=0", "sweep.slots=0: must be 1 or more"),
    row(f"{TWO} sweep.slots=0", "sweep.slots=0: must be 1 or more"),
    row(f"{TWO} sweep.n_trials=0", "sweep.n_trials=0: must be 1 or more"),
    row(f"{TWO} sweep.repeats=-1", "sweep.repeats=-1: must be 0 or more"),
    row(f"{TWO} sweep.max_attempts=0", "sweep.max_attempts=0: must be 1 or more"),
    row(f"{TWO} sweep.timeout_s=0", "sweep.timeout_s=0.0: must be seconds above 0, or null"),
    row(f"{TWO} sweep.timeout_s=inf", "sweep.timeout_s=inf: must be seconds above 0, or null"),
    row(f"{TWO} sweep.name=../out", "sweep.name=../out: must be a name for a folder"),
    row(f"{TWO} sweep.sampler=tpee", "sweep.sampler=tpee: must be one of grid, ", "Did you mean 'tpe'?"),
    row(f"{TWO} sweep.pruner=medain", "sweep.pruner=medain: must be one of none, ", "Did you mean 'median'?"),
    row(f"{TWO} sweep.on_change=go", "sweep.on_change=go: must be one of stop, fresh, continue"),
    row(f"{TWO} sweep.role=worker", "sweep.role=worker: mlruns/sweeps.db is SQLite", "sweep.storage=postgresql://"),
    row(f"{TWO} 'sweep.against=[time/fit]'", "sweep.against=time/fit: must be one of", "Did you mean 'time/fit_s'?"),
    row(f"{TWO} 'sweep.against=[time/fit_s,time/fit_s]'", "name each once"),
    row(f"{TWO} 'sweep.against=[time/fit_s]' sweep.sampler=tpe", "sweep.sampler=tpe: several objectives", "need nsga2"),
    row(f"{TWO} 'sweep.against=[time/fit_s]' sweep.pruner=median", "sweep.pruner=median: no pruner can weigh several"),
    row(f"{TWO} sweep.samplr=tpe", "Did you mean 'sweep.sampler'?", status=1, lines=9),
    row(f"{TWO} sweep.slots=many", "Value 'many' of type 'str' could not be converted to Integer", status=1, lines=9),
]

COMMANDS = [
    row("landslide sweep status", "mlruns/sweeps.db: there is no sweep. Begin one with", "--storage sqlite:///"),
    row("landslide sweep status", "belongs to another program (its tables: ", given=sweeps_database("")),
    row("landslide sweep status", "file is not a database", given=sweeps_database("Dear diary, " * 99)),
    row("landslide sweep status --storage gone.db", "sweep.storage=gone.db: is no address of a database"),
    row("landslide sweep status --storage sqlite:///gone.db", "sqlite:///gone.db: there is no sweep"),
    row("landslide sweep status a b", "unrecognized arguments: b", lines=9),
    row("landslide sweep", "the following arguments are required: COMMAND", lines=9),
    row("landslide sweep plan data.batch_size=4,0", "data.batch_size=0: must be 1 or more", "trial 2 of 2"),
    row("landslide sweep plan arch=unet,", "arch=unet,: cannot be read", lines=9),
    row("landslide sweep plan model=unet,fpn", "'model' is not in the composed config"),
    row("landslide sweep plan data=3", "data=3: does not compose ("),
    row("landslide sweep plan 'optimizer.lr=interval(1e-2,1e-4)'", "the ends are swapped"),
    row("landslide sweep plan seed=0,1", "belongs to another program", given=sweeps_database("")),
    row("landslide sweep plan data.root=nowhere seed=0,1", "data.root=nowhere: no Bijie dataset there"),
    row("landslide sweep plan sweep.role=worker seed=0,1", "sweep.role=worker: mlruns/sweeps.db is SQLite"),
]

ROWS = [*MULTIRUN, *SWEEP, *COMMANDS]


@each(ROWS)
def test_a_sweep_that_nobody_could_run_is_told_in_a_sentence_and_leaves_nothing_half_written(
    row: Row, folder: Path, places: dict[str, str]
) -> None:
    assert_told_in_a_sentence(row, folder, places)
