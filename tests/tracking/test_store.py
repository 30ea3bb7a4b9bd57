"""Whether a store is away, or says no; and how long it is waited for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, REQUEST_LIMIT_EXCEEDED

from landslide.errors import TrackingError
from landslide.tracking import store as stores
from landslide.tracking.store import Store, answering, is_refusal, wait_for


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
