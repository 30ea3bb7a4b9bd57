"""Stores of runs, and the commands that show them."""

from __future__ import annotations

from pathlib import Path

from tests.cli.bad_input.row import NOT_ANSWERING, Row, a_file, assert_told_in_a_sentence, each, row
from tests.cli.bad_input.spoiled_store import (
    another_programs_database,
    mlruns_is_a_file,
    no_database,
    no_store,
    read_only_database,
    read_only_here,
    read_only_mlruns,
    sql,
)
from tests.cli.typed import as_an_ordinary_user, make_databases, no_file_above


def small_files_where_databases_are_made() -> None:
    make_databases()
    no_file_above(100_000)


STORE = [
    row("train.py", "mlruns", "Not a directory", given=mlruns_is_a_file),
    row("train.py", "mlruns", "Permission denied", given=read_only_mlruns, before=as_an_ordinary_user),
    row("train.py", "mlflow.db: ", "readonly database", given=read_only_database, before=as_an_ordinary_user),
    row("train.py", "mlflow.db: the MLflow store does not open", "file is not a database", given=no_database),
    row("train.py", "belongs to another program (its tables: birds", given=another_programs_database),
    row("train.py", "newer MLflow than", "Install that one", given=sql("UPDATE alembic_version SET version_num='f00'")),
    row(
        "train.py",
        "older MLflow",
        "mlflow db upgrade",
        given=sql("UPDATE alembic_version SET version_num='451aebb31d03'"),
    ),
    row(
        "train.py",
        "tracking.experiment=landslide: was deleted. Restore it",
        given=sql("UPDATE experiments SET lifecycle_stage='deleted'"),
    ),
    row("train.py", "mlflow.db: ", "disk", given=no_store, before=small_files_where_databases_are_made),
    row("train.py tracking.experiment=", "tracking.experiment=: cannot be made"),
    row(
        "train.py tracking.uri=http://127.0.0.1:CLOSED",
        "tracking.uri=http://127.0.0.1:CLOSED: ",
        "Connection refused",
        *NOT_ANSWERING,
    ),
    row(
        "train.py tracking.uri=http://127.0.0.1:SILENT",
        "tracking.uri=http://127.0.0.1:SILENT: ",
        "timed out",
        *NOT_ANSWERING,
    ),
    row("train.py tracking.uri=http://127.0.0.1:WEBSITE", "tracking.uri=http://127.0.0.1:WEBSITE: ", "404"),
    row("train.py tracking.uri=http://me:secret@127.0.0.1:CLOSED", "tracking.uri=http://127.0.0.1:CLOSED: "),
    row(
        "train.py",
        "MLFLOW_TRACKING_URI=http://127.0.0.1:CLOSED: ",
        environment=(("MLFLOW_TRACKING_URI", "http://127.0.0.1:CLOSED"),),
    ),
    row("train.py tracking.uri=htp://127.0.0.1", "tracking.uri=htp://127.0.0.1: the MLflow store does not open"),
    row("train.py tracking.uri=mlruns", "tracking.uri=mlruns: the MLflow store does not open"),
    row(
        "train.py tracking.uri=postgresql://127.0.0.1:CLOSED/mlflow",
        "tracking.uri=postgresql://127.0.0.1:CLOSED/mlflow: the MLflow store does not open",
    ),
    row("train.py hydra.run.dir=letter.txt/out", "letter.txt", "Not a directory", given=a_file("letter.txt")),
]

COMMANDS = [
    row(
        "landslide doctor",
        "cannot be written",
        "Stand in another folder",
        given=read_only_here,
        before=as_an_ordinary_user,
        on="stdout",
        status=1,
    ),
    row("landslide doctor", "file is not a database", given=no_database, on="stdout", status=1),
    row("landslide ui", "mlruns/mlflow.db: there is none in", "--uri", given=no_store),
    row("landslide ui --port TAKEN", "--port TAKEN: cannot be used (Address already in use)", "choose another"),
    row("landslide ui --port 0", "argument --port: '0' is no port: give a number from 1 to 65535", lines=9),
    row("landslide ui --port 70000", "argument --port: '70000' is no port", lines=9),
    row("landslide ui", "file is not a database", given=no_database),
]

ROWS = [*STORE, *COMMANDS]


@each(ROWS)
def test_a_store_that_cannot_be_used_is_told_in_a_sentence_and_leaves_nothing_half_written(
    row: Row, folder: Path, places: dict[str, str]
) -> None:
    assert_told_in_a_sentence(row, folder, places)
