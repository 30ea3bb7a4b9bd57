"""What a controller does that needs no sweep to be seen."""

from __future__ import annotations

import time
from concurrent.futures import Future
from pathlib import Path
from unittest.mock import MagicMock, Mock

from landslide.sweep.controller import Controller, Job
from landslide.sweep.slots import Failure


def test_an_interruption_waits_for_no_job_that_has_not_begun_and_pauses_its_trial(tmp_path: Path) -> None:
    # Given: a job in a queue, which may be hours long
    controller = Controller(Mock(), "parent", "tiny", Mock(), [], Mock(), shared=False, max_attempts=3)
    controller.store.client.get_run.return_value.info.status = "RUNNING"
    slot, branch, record = Mock(), Mock(), Mock(launch={"run_id": "run", "attempts": 1, "mark": None})
    slot.stop.return_value = False
    controller._running[Future()] = Job(branch, record, tmp_path, "run", slot)
    start = time.monotonic()
    # When
    controller._stop()
    # Then
    assert time.monotonic() - start < 5
    slot.close.assert_called_once()
    branch.study.launched.assert_called_once_with(record, {"run_id": "run", "attempts": 0, "mark": None})
    controller.store.client.set_terminated.assert_called_once_with("run", "KILLED")
    assert controller._running == {}


def test_a_trial_that_fails_after_it_was_killed_has_spent_both_parts(tmp_path: Path) -> None:
    controller = Controller(Mock(), "parent", "tiny", Mock(), [], Mock(), shared=False, max_attempts=3)
    branch, record = MagicMock(), Mock(launch={"run_id": "run", "attempts": 1, "mark": 1, "parts": {"100000": 20.0}})
    # When
    controller._fail(Job(branch, record, tmp_path, "run", Mock()), Failure("a mistake", "", None))
    # Then
    outcome = branch.study.tell.call_args.args[3]
    assert 20 <= outcome["seconds"] < 25
