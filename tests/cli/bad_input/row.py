"""A mistake, and what must be seen of it."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.bad_input.spoiled_store import database
from tests.cli.typed import run_typed

Spoil = Callable[[Path], None]

NUMBER = "must be a finite number above 0, for example 1e-3"
NOT_ANSWERING = ("the MLflow server does not answer", "tracking.uri=null writes to mlruns/mlflow.db")

SMALL = (
    "encoder.name=tu-test_resnet data.root=tiles data.generate=null data.cache_dir=cache data.image_size=64 "
    "data.batch_size=4 'data.split={train: 8, val: 4, seed: 0}' trainer.max_epochs=1 trainer.threads=1 "
    "tracking.panel_tiles=1"
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
    on: str = "stderr"
    """Where it is seen: ``stdout`` where a report is what was asked for."""
    small: bool = True

    @property
    def name(self) -> str:
        """What is typed, and what is wrong."""
        return self.typed + "".join(f" [{spoil.__qualname__.partition('.')[0]}]" for spoil in self.given)

    def command(self) -> str:
        if not self.small:
            return self.typed
        return re.sub("^(train.py( -m)?|landslide sweep plan)", rf"\1 {SMALL}", self.typed)


def row(typed: str, *sees: str, given: tuple[Spoil, ...] | Spoil = (), **more: object) -> Row:
    return Row(typed, sees, given if isinstance(given, tuple) else (given,), **more)  # type: ignore[arg-type]


def a_file(name: str) -> Spoil:
    return lambda folder: (folder / name).write_text("mine") and None


def each(rows: Sequence[Row]) -> pytest.MarkDecorator:
    """A test for each row."""
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


def assert_told_in_a_sentence(row: Row, folder: Path, places: dict[str, str]) -> None:
    """And that nothing is left half-written."""
    # Given
    for spoil in row.given:
        spoil(folder)
    before, runs_before = files(folder), run_states(folder)
    environment = {key: filled_in(value, places) for key, value in row.environment}
    # When
    ended = run_typed(
        filled_in(row.command(), places),
        folder,
        environment=clean_environment(**environment),
        before=row.before,
    )
    # Then
    seen = f"exit status {ended.status}\n{ended.stdout}\n---\n{ended.stderr}"
    assert ended.status == row.status, seen
    assert "Traceback" not in seen, seen
    for words in row.sees:
        assert filled_in(words, places) in getattr(ended, row.on), seen
    assert len(ended.stderr.strip().splitlines()) <= row.lines, seen
    left, states = half_written(folder, before), run_states(folder)
    assert not left, f"{left}\n{seen}"
    assert states == [*runs_before, *row.runs], f"{states}\n{seen}"


def clean_environment(**more: str) -> dict[str, str]:
    ours = ("PYTEST", "CI", "MLFLOW", "LANDSLIDE", "HYDRA", "HF_")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | more


def filled_in(text: str, places: dict[str, str]) -> str:
    return re.sub("|".join(places), lambda found: places[found[0]], text)


def run_states(folder: Path) -> list[str]:
    """Of every run in the store; none where there is no store or it is broken."""
    try:
        with sqlite3.connect(f"file:{quote(str(database(folder)))}?mode=ro", uri=True) as connection:
            found = [state for (state,) in connection.execute("SELECT status FROM runs ORDER BY start_time")]
        connection.close()
    except sqlite3.Error:
        return []
    return found


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def half_written(folder: Path, before: set[str]) -> list[str]:
    """New files that are neither locks, nor what Hydra notes of every command, nor a whole cache."""
    new = files(folder) - before
    whole = {Path(name).parent for name in new if name.endswith("/tiles.json") and ".part" not in name}
    return sorted(
        name for name in new if not name.endswith(".lock") and "/.hydra/" not in name and Path(name).parent not in whole
    )
