"""Optuna Dashboard, started as the README says, on the database of a sweep as it is."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.sweep.harness import Sweep

PROGRAM = Path(sys.executable).with_name("optuna-dashboard")
LONGEST_S = 60


@contextmanager
def dashboard(folder: Path) -> Iterator[Callable[[str], Any]]:
    """Asks the dashboard of a folder's sweeps for what its page shows; it has ended when this ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [str(PROGRAM), "--host", "127.0.0.1", "--port", str(port), "sqlite:///mlruns/sweeps.db"]
    with (folder / "dashboard.txt").open("w") as told:
        process = subprocess.Popen(words, cwd=folder, stdout=told, stderr=subprocess.STDOUT)

    def ask(what: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{what}", timeout=LONGEST_S) as answer:
            return json.load(answer)

    try:
        wait_for(ask, process, folder / "dashboard.txt")
        yield ask
    finally:
        process.kill()
        process.wait()


def wait_for(ask: Callable[[str], Any], process: subprocess.Popen[bytes], told: Path) -> None:
    start = time.monotonic()
    while True:
        try:
            ask("meta")
        except OSError:  # refused, or cut off as it begins
            assert process.poll() is None and time.monotonic() - start < LONGEST_S, told.read_text()
            time.sleep(0.1)
        else:
            return


def shown(trial: Any) -> tuple[Any, ...]:
    """A trial of the page, as :func:`stored` has it."""
    return (
        trial["number"],
        trial["state"].upper(),
        trial.get("values"),
        {point["step"]: point["value"] for point in trial["intermediate_values"]},
        {param["name"]: param["param_external_value"] for param in trial["params"]},
    )


def stored(trial: Any) -> tuple[Any, ...]:
    """A trial of Optuna."""
    params = {name: str(value) for name, value in trial.params.items()}
    return trial.number, trial.state.name, trial.values, trial.intermediate_values, params


def test_optuna_dashboard_opens_on_the_database_as_it_is_and_shows_its_studies_and_trials(
    begin: Callable[..., Sweep],
) -> None:
    # Given: trials that are complete, failed and pruned, and a study of repeats
    sweep = begin("kind=good,crash,nan", "x=0.1,0.3", "sweep.repeats=2", "sweep.name=watched")
    assert sweep.run() == 1, sweep.output
    studies, before = sweep.studies(), sweep.outcome()
    assert {trial.state.name for trial in studies["all"]} == {"COMPLETE", "FAIL", "PRUNED"}
    # When
    with dashboard(sweep.folder) as ask:
        found = {study["study_name"]: study["study_id"] for study in ask("studies")["study_summaries"]}
        trials = {name: ask(f"studies/{number}?after=0")["trials"] for name, number in found.items()}
    # Then
    expected = {f"watched/{stratum}": [stored(trial) for trial in kept] for stratum, kept in studies.items()}
    assert len(expected) == 2
    assert {name: [shown(trial) for trial in of_study] for name, of_study in trials.items()} == expected
    assert sweep.outcome() == before
    assert sweep.run() == 1, "the same command still knows its sweep"
