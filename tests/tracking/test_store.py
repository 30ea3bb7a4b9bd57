"""Whether a store is away, or says no; and how long it is waited for."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, REQUEST_LIMIT_EXCEEDED

from landslide.errors import TrackingError
from landslide.tracking import store as stores
from landslide.tracking.store import Store, answering, is_refusal, open_store, wait_for
from landslide.training.run import prepare
from tests.conftest import compose_run


def store_that_fails(times: int) -> Store:
    left = [MlflowException("API request failed: [Errno 111] Connection refused")] * times

    def search_experiments(**_: Any) -> list[Any]:
        if left:
            raise left.pop()
        return []

    return Store("http://user:secret@127.0.0.1:1", cast(Any, SimpleNamespace(search_experiments=search_experiments)))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MlflowException("no", INVALID_PARAMETER_VALUE), True),
        (MlflowException("later", REQUEST_LIMIT_EXCEEDED), False),
        (MlflowException("broken", INTERNAL_ERROR), False),
        (ConnectionError("away"), False),
        (TrackingError("a damaged line"), True),
    ],
)
def test_a_refusal_is_told_from_a_server_that_is_away(error: Exception, expected: bool) -> None:
    assert is_refusal(error) is expected


def test_a_store_that_comes_back_is_waited_for_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "ASK_AGAIN_S", 0)
    told: list[str] = []
    wait_for(store_that_fails(3), told.append)
    assert told == ["The tracking store does not answer; waiting up to 10 minutes for it."]


def test_a_store_that_stays_away_is_told_without_its_password() -> None:
    with pytest.raises(TrackingError, match=r"does not answer \(Connection refused\)") as raised:
        wait_for(store_that_fails(3), print, patience_s=0)
    assert "secret" not in str(raised.value)


def test_a_refusal_is_not_taken_for_a_lost_server() -> None:
    with pytest.raises(MlflowException, match="no"), answering(store_that_fails(0)):
        raise MlflowException("no", INVALID_PARAMETER_VALUE)


def test_a_trial_waits_for_the_database_that_a_run_by_itself_refuses(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: a database that was open a moment ago, and is locked by another program until somebody waits for it
    monkeypatch.setattr(stores, "BUSY_S", 0.1)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    open_store(uri)
    alone = compose_run(*tiny, f"tracking.uri={uri}")
    trial = compose_run(*tiny, f"tracking.uri={uri}", "tracking.run_id=0123456789abcdef0123456789abcdef")
    other = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waits = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: other.close())
    monkeypatch.setattr(stores, "time", waits)
    # When a run by itself begins, then a trial, which has a run from its sweep
    with pytest.raises(TrackingError, match="database is locked"):
        prepare(alone)
    parts = prepare(trial)
    # Then
    assert parts.store.uri == uri
    assert capsys.readouterr().out.count("The tracking store does not answer; waiting up to 10 minutes") == 1
