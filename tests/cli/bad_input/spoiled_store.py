"""What can be wrong with the stores of runs and of sweeps, in a folder that holds both whole."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from landslide.sweep import storage

held: list[sqlite3.Connection] = []


def database(folder: Path) -> Path:
    return folder / "mlruns" / "mlflow.db"


def sql(statement: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with sqlite3.connect(database(folder)) as connection:
            connection.execute(statement)
        connection.close()

    return change


def no_database(folder: Path) -> None:
    database(folder).write_text("Dear diary, this is not a database, however long it may go on. " * 20)


def another_programs_database(folder: Path) -> None:
    database(folder).unlink()
    sql("CREATE TABLE birds (name TEXT)")(folder)


def sweeps_database(content: str) -> Callable[[Path], None]:
    def other_sweeps_database(folder: Path) -> None:
        place = folder / "mlruns" / "sweeps.db"
        if content:
            place.write_text(content)
        else:
            shutil.copy(database(folder), place)

    return other_sweeps_database


def own_sweeps_database(folder: Path) -> None:
    connection = sqlite3.connect(folder / "mlruns" / "sweeps.db")
    connection.execute("CREATE TABLE studies (study_id INTEGER)")
    connection.close()


def with_sweeps_database_locked() -> None:
    """By a connection that ends with the process, and is as good as another program."""
    storage.LOCK_S = 0.2
    held.append(sqlite3.connect("mlruns/sweeps.db", isolation_level=None))
    held[0].execute("BEGIN EXCLUSIVE")


def no_store(folder: Path) -> None:
    shutil.rmtree(folder / "mlruns")


def mlruns_is_a_file(folder: Path) -> None:
    no_store(folder)
    (folder / "mlruns").write_text("mine")


def read_only_mlruns(folder: Path) -> None:
    (folder / "mlruns").chmod(0o555)


def read_only_database(folder: Path) -> None:
    database(folder).chmod(0o444)


def a_name_twice(folder: Path) -> None:
    """A second run of the stored one's name, of which nothing but its row is there."""
    columns = "experiment_id, name, source_type, source_name, user_id, start_time, lifecycle_stage"
    sql(
        f"INSERT INTO runs (run_uuid, status, artifact_uri, {columns}) "
        f"SELECT '{'e' * 32}', 'FINISHED', 'file:///nowhere', {columns} FROM runs"
    )(folder)


def read_only_here(folder: Path) -> None:
    (folder / "mlruns").chmod(0o555)
    folder.chmod(0o555)
