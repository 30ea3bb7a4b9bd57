"""The database of a sweep, as it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from landslide.errors import SweepError
from landslide.sweep import storage
from landslide.sweep.storage import open_existing, open_storage


def test_a_database_that_another_program_writes_to_can_be_read_and_is_refused_to_who_would_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    url = f"sqlite:///{tmp_path}/sweeps.db"
    open_storage(url).get_all_studies()  # from now on it writes ahead
    other = sqlite3.connect(tmp_path / "sweeps.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(storage, "LOCK_S", 0.1)
    # When, then
    with pytest.raises(SweepError, match=r"sweeps.db: is locked by another program for more than 0.1 s\. End that"):
        open_storage(url)
    read = open_existing(url)
    assert read is not None
    assert read.get_all_studies() == []
    # When
    other.execute("ROLLBACK")
    other.close()
    # Then
    assert open_storage(url).get_all_studies() == []


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:sweeps?mode=memory&uri=true",
        "postgresql://me@host:abc/sweeps",
        "mysql://me@host/sweeps",
    ],
)
def test_what_no_sweep_can_keep_its_trials_in_is_refused_with_right_ones(url: str) -> None:
    for open_it in (open_storage, open_existing):
        with pytest.raises(SweepError, match=r"is no address of a database that sweeps can use"):
            open_it(url)


def test_sqlite_may_be_named_with_its_driver(tmp_path: Path) -> None:
    url = f"sqlite+pysqlite:///{tmp_path}/sweeps.db"
    assert storage.is_sqlite(url)
    assert open_storage(url).get_all_studies() == []
