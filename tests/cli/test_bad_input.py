"""What a person sees who brings something wrong: a sentence with a cure, an exit status, and nothing half-written.

A row is what is typed, the words that must be seen, and what is wrong in the folder.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from landslide.data.synthetic import synthesize
from tests.cli import typed
from tests.cli.typed import Ended, run_typed, start_fork_server

Spoil = Callable[[Path], None]

SMALL = (
    "encoder.name=tu-test_resnet data.root=tiles data.generate=null data.cache_dir=cache data.image_size=64 "
    "data.batch_size=4 'data.split={train: 8, val: 4, seed: 0}' trainer.max_epochs=1 trainer.threads=1"
)
"""What stands between ``train.py`` and the words of a row: one epoch on twelve tiles."""


@dataclass(frozen=True)
class Row:
    typed: str
    sees: tuple[str, ...]
    given: tuple[Spoil, ...] = ()
    status: int = 2
    runs: tuple[str, ...] = ()
    """States of the MLflow runs that the command leaves; none where it is refused before training."""
    environment: tuple[tuple[str, str], ...] = ()
    before: Callable[[], None] | None = None
    lines: int = 1
    """Of standard error, at most."""

    def command(self) -> str:
        words = self.typed.split(" ", 1)
        return " ".join([words[0], SMALL, *words[1:]]) if words[0] == "train.py" else self.typed


def row(typed: str, *sees: str, given: tuple[Spoil, ...] | Spoil = (), **more: object) -> Row:
    return Row(typed, sees, given if isinstance(given, tuple) else (given,), **more)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- what is wrong in the folder


# ------------------------------------------------------------------------------------------------------------ the table
VALUES = [
    row("train.py data.batch_size=0", "data.batch_size=0: must be 1 or more"),
    row("train.py data.batch_size=-1", "data.batch_size=-1: must be 1 or more"),
    row("train.py optimizer.lr=nan", "optimizer.lr=nan: must be a finite number above 0, for example 1e-3"),
]
ROWS = VALUES


# ------------------------------------------------------------------------------------------------------------ what is run
@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    return start_fork_server()


@pytest.fixture(scope="module")
def before_all(tmp_path_factory: pytest.TempPathFactory, server: ForkServerContext) -> Path:
    """A folder with twelve tiles and a store with one finished run."""
    folder = tmp_path_factory.mktemp("before")
    synthesize(folder / "tiles", count=12, non_landslide=0, size_px=64, seed=0)
    done = run_typed(server, f"train.py {SMALL} data.cache_dir=../cache", folder, environment=clean_environment())
    assert done.status == 0, done.stderr
    shutil.rmtree(folder / "mlruns" / "outputs")
    return folder


def clean_environment(**more: str) -> dict[str, str]:
    ours = ("PYTEST", "CI", "MLFLOW", "LANDSLIDE", "HYDRA", "HF_")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | more


@pytest.fixture
def folder(before_all: Path, tmp_path: Path) -> Path:
    place = tmp_path / "here"
    shutil.copytree(before_all, place)
    return place


def run_states(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "mlruns" / "mlflow.db") as database:
        found = [state for (state,) in database.execute("SELECT status FROM runs ORDER BY start_time")]
    database.close()
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def half_written(folder: Path, before: set[str]) -> list[str]:
    """New files that are neither locks, nor what Hydra notes of every command, nor a whole cache."""
    new = set(files(folder)) - before
    whole = {Path(name).parent for name in new if name.endswith("/tiles.json") and ".part" not in name}
    return sorted(
        name
        for name in new
        if not name.endswith(".lock") and "/.hydra/" not in name and Path(name).parent not in whole
    )


@pytest.mark.parametrize("row", ROWS, ids=[row.typed for row in ROWS])
def test_a_mistake_is_told_in_a_sentence_and_leaves_nothing_half_written(
    row: Row, folder: Path, server: ForkServerContext
) -> None:
    # Given
    for spoil in row.given:
        spoil(folder)
    before = set(files(folder))
    # When
    ended = run_typed(
        server, row.command(), folder, environment=clean_environment(**dict(row.environment)), before=row.before
    )
    # Then
    seen = ended.stdout + ended.stderr
    assert ended.status == row.status, seen
    assert "Traceback" not in seen, seen
    for words in row.sees:
        assert words in ended.stderr, ended.stderr
    assert len(ended.stderr.strip().splitlines()) <= row.lines, ended.stderr
    assert half_written(folder, before) == []
