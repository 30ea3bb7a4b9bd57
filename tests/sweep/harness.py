"""Sweeps of the tiny task that are killed, and what must hold of them afterwards.

Controllers are forks of the server of :mod:`tests.cli.typed`, which has imported what takes seconds, and so are the
processes of their slots, which otherwise would be spawned; nothing else differs from the command line. The server is
of one thread and holds no file of a sweep, so a fork of it shares nothing with another.
"""

from __future__ import annotations

import json
import os
import random
import runpy
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import optuna
import psutil
from mlflow import MlflowClient
from optuna.trial import TrialState

from tests.cli.typed import use_fork_server

TASK = Path(__file__).parent / "tiny" / "task.py"
OUT, SLOTS, EPOCHS = "out.txt", "slots", "epochs.txt"
FINISHED = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "FINISHED", TrialState.FAIL: "FAILED"}
LONGEST_S = 120


# ---------------------------------------------------------------------------------------- what runs in forked processes
def _command(words: Sequence[str], folder: Path, environment: Mapping[str, str], server: str, process: int) -> None:
    """Be ``python task.py ...``."""
    os.setsid()
    os.chdir(folder)
    stream = os.open(OUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(stream, number)
    os.environ.update(environment)
    fork_slots(server, process)
    sys.argv = [str(TASK), *words]
    runpy.run_path(str(TASK), run_name="__main__")


def fork_slots(server: str, process: int) -> None:
    """Let the processes of slots be forks of this server; in a controller, before its command."""
    from landslide.sweep import slots

    use_fork_server(server, process)
    slots.WarmProcess._start = _start_slot


def _start_slot(slot: Any) -> ProcessPoolExecutor:
    arguments = (dict(os.environ), slot._payload, slot._cores, slot._gpu)
    return ProcessPoolExecutor(1, get_context("forkserver"), initializer=_settle_in, initargs=arguments)


def _settle_in(environment: Mapping[str, str], *arguments: Any) -> None:
    from landslide.sweep import slots

    os.environ.update(environment)
    Path(SLOTS).mkdir(exist_ok=True)
    (Path(SLOTS) / str(os.getpid())).touch()
    slots._settle_in(*arguments)


# ------------------------------------------------------------------------------------------------------ in the test
@dataclass
class Sweep:
    """One sweep of the tiny task, from its first start to its last.

    Args:
        server: of :func:`tests.cli.typed.start_fork_server`.
        folder: to stand in.
        typed: behind ``task.py -m``.
        storage: of Optuna; None is SQLite in the folder.
    """

    server: ForkServerContext
    folder: Path
    typed: Sequence[str]
    storage: str | None = None
    kills: int = 0
    killed: Counter[str] = field(default_factory=Counter)

    def start(self, *more: str) -> BaseProcess:
        environment = {"LANDSLIDE_SWEEP_STORAGE": self.storage} if self.storage else {}
        arguments = (["-m", *self.typed, *more], self.folder, environment, *fork_server_place())
        process = self.server.Process(target=_command, args=arguments)
        process.start()
        return process

    def run(self, *more: str) -> int:
        """To its end; returns the exit status."""
        process = self.start(*more)
        return wait_for(process)

    @property
    def output(self) -> str:
        path = self.folder / OUT
        return path.read_text() if path.is_file() else ""

    @property
    def url(self) -> str:
        return self.storage or f"sqlite:///{self.folder}/mlruns/sweeps.db"

    def slots(self) -> list[int]:
        """Processes of slots that are alive."""
        return slots_in(self.folder)

    def kill(self, process: BaseProcess) -> None:
        process.kill()
        process.join()
        self.kills += 1
        self.killed["controller"] += 1

    def kill_slot(self, choose: random.Random) -> bool:
        """Whether there was one."""
        alive = self.slots()
        if not alive:
            return False
        pid = choose.choice(alive)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
            self.killed["slot"] += 1
        (self.folder / SLOTS / str(pid)).unlink()
        return True

    # -------------------------------------------------------------------------------------------------- what is there
    def studies(self) -> dict[str, list[optuna.trial.FrozenTrial]]:
        """Trials by stratum."""
        storage = optuna.storages.RDBStorage(self.url.replace("postgresql://", "postgresql+psycopg://"))
        try:
            found = storage.get_all_studies()
            return {study.study_name.partition("/")[2]: storage.get_all_trials(study._study_id) for study in found}
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def runs(self) -> tuple[Any, list[Any]]:
        """The parent and its children."""
        client = self.client
        experiment = client.get_experiment_by_name("tiny")
        found = client.search_runs([experiment.experiment_id], max_results=5000)
        (parent,) = [run for run in found if run.data.tags["landslide.kind"] == "multirun"]
        children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert len(found) == 1 + len(children)
        return parent, children

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder}/mlruns/mlflow.db")

    def base(self) -> Path:
        (base,) = (self.folder / "mlruns" / "sweeps").glob("[!.]*")  # submitit keeps a folder of its own there
        return base

    def epochs(self) -> Counter[tuple[str, int]]:
        """How often each epoch of each trial was computed."""
        lines = (self.folder / EPOCHS).read_text().splitlines()
        return Counter((line.split()[0], int(line.split()[1])) for line in lines)

    def outcome(self) -> dict[str, list[Any]]:
        """Everything a sweep comes to but times, ids and places."""
        return {
            stratum: [
                (
                    trial.number,
                    trial.state.name,
                    trial.params,
                    trial.values,
                    trial.intermediate_values,
                    trial.user_attrs["origin"],
                    trial.user_attrs["outcome"].get("epoch"),
                    trial.user_attrs["outcome"].get("reason"),
                )
                for trial in trials
            ]
            for stratum, trials in self.studies().items()
        }

    def require_whole(self, trials: int | Mapping[str, int], *, slots: int = 1, pruned_with_run: bool = True) -> None:
        """Optuna, MLflow and the folders agree that exactly so many trials of each stratum are finished."""
        studies = self.studies()
        parent, children = self.runs()
        client = self.client
        by_place = Counter((run.data.tags["landslide.stratum"], run.data.tags["landslide.trial"]) for run in children)
        assert by_place and max(by_place.values()) == 1, "an MLflow run is doubled"
        assert parent.info.status in ("FINISHED", "FAILED")
        runs = {run.info.run_id: run for run in children}
        expected = set()
        for stratum, found in studies.items():
            wanted = trials if isinstance(trials, int) else trials[stratum]
            assert [trial.number for trial in found] == list(range(wanted)), (stratum, self.killed)
            for trial in found:
                self._require_trial(client, stratum, trial, runs.pop(trial.user_attrs["launch"]["run_id"]))
                expected.add(f"{stratum}/{trial.number}")
        assert not runs, "MLflow has runs that no trial knows"
        folders = {f"{path.parent.name}/{path.name}" for path in self.base().glob("*/*") if path.name.isdecimal()}
        assert folders == expected
        epochs = self.epochs()
        assert {place for place, _ in epochs} <= expected
        assert sum(epochs.values()) - len(epochs) <= self.kills * slots, "more was computed twice than a kill can cost"

    def _require_trial(self, client: MlflowClient, stratum: str, trial: Any, run: Any) -> None:
        place = f"{stratum}/{trial.number}"
        assert trial.state.is_finished(), place
        outcome = trial.user_attrs["outcome"]
        failed = bool(outcome.get("failed"))
        assert run.info.status == ("FAILED" if failed else "FINISHED"), (place, run.info.status, trial.state)
        assert (run.data.tags["landslide.stratum"], run.data.tags["landslide.trial"]) == (stratum, str(trial.number))
        if run.data.params or not failed:
            values = {key: value for key, value in trial.params.items() if not key.startswith("+")}  # nor any group
            for key, value in values.items():
                assert run.data.params[key] == str(value), place
        points = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "val/score")]
        assert [step for step, _ in points] == list(range(1, len(points) + 1)), f"{place}: {points}"
        assert dict(points) == trial.intermediate_values, place
        if failed:
            return
        result = json.loads((self.base() / place / "result.json").read_text())
        assert result["run_id"] == run.info.run_id
        choose = min if "objective.direction=minimize" in self.typed else max
        score = choose(value for _, value in points)
        assert result["score"] == outcome["score"] == score
        if trial.state == TrialState.COMPLETE:
            assert trial.value == score


def fork_server_place() -> tuple[str, int]:
    """Address and process, for :func:`fork_slots`."""
    server = forkserver._forkserver
    return server._forkserver_address, server._forkserver_pid


def slots_in(folder: Path) -> list[int]:
    """Processes of slots that are alive, of the sweep that stands in a folder."""
    found = [int(path.name) for path in (folder / SLOTS).glob("*")]
    return [pid for pid in found if _is_ours(pid)]


def _is_ours(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return process.ppid() == forkserver._forkserver._forkserver_pid and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_for(process: BaseProcess, longest_s: float = LONGEST_S) -> int:
    process.join(longest_s)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"still running after {longest_s} s")
    return process.exitcode


def epochs_begun(sweep: Sweep, count: int) -> Callable[[], bool]:
    file = sweep.folder / EPOCHS
    return lambda: file.is_file() and len(file.read_text().splitlines()) >= count


def wait_until(holds: Callable[[], bool], longest_s: float = 60) -> None:
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < longest_s, "it has not come to that"
        time.sleep(0.02)


def harass(sweep: Sweep, kills: int, seed: int, victims: Sequence[str], longest_s: float) -> None:
    """Start the same command and kill it, or slots of it, at random moments; in the end let it come to its end.

    Args:
        sweep: new.
        kills: how many, if it lasts so long.
        seed: of victims and moments.
        victims: of ``controller``, ``slot`` and ``everything``.
        longest_s: within which a start is killed.
    """
    choose = random.Random(seed)
    process = sweep.start()
    while sweep.kills < kills:
        victim = choose.choice(victims)
        process.join(choose.uniform(0, longest_s if victim == "controller" else longest_s / 2))
        if process.exitcode is not None:
            break  # it came to its end before
        while victim != "controller" and sweep.kill_slot(choose) and victim == "everything":
            pass
        if victim != "slot":
            sweep.kill(process)
            process = sweep.start()
    status = wait_for(process)
    assert status in (0, 1), sweep.output[-3000:]
