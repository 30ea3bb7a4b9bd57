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
