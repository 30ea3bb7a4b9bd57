"""What MLflow and the run's folder say of a run that was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from landslide.tracking.run import create_run, killed_parts, open_run
from landslide.tracking.spool import UNSENT, Spool
from landslide.tracking.store import open_store


def test_of_a_killed_run_it_is_known_how_long_each_part_has_lasted_at_least(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert killed_parts(tmp_path) == {}
    # Given: a part that is killed, one that logs the points before again and is killed, one that is killed at once
    spool.put("tags", tags={})
    spool.put("status", status="RUNNING", timestamp_ms=100_000)
    spool.put("metrics", values={"val/f1": 0.5}, step=1, timestamp_ms=103_500)
    spool.put("status", status="RUNNING", timestamp_ms=900_000)
    spool.put("metrics", values={"val/f1": 0.5}, step=1, timestamp_ms=103_500)
    spool.put("metrics", values={"system/cpu": 9.0}, step=2, timestamp_ms=907_000)
    spool.put("metrics", values={"val/f1": 0.6}, step=2, timestamp_ms=906_000)
    spool.put("status", status="RUNNING", timestamp_ms=990_000)
    with (tmp_path / UNSENT / "lines.jsonl").open("a") as file:
        file.write('{"what": "metrics", "timestamp_ms": 9999')
    # Then
    assert killed_parts(tmp_path) == {"100000": 3.5, "900000": 7.0, "990000": 0.0}


def test_what_is_known_before_training_is_one_point_though_the_run_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(None)
    run_id = create_run(store, "one", "run", {})
    # When
    for _ in range(2):
        with open_run(store, run_id, tmp_path / "run", print) as run:
            run.log_constants({"model/parameters": 3.0})
    # Then
    assert [(point.step, point.value) for point in store.client.get_metric_history(run_id, "model/parameters")] == [
        (0, 3)
    ]
