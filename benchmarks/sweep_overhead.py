"""What a sweep costs beside its training: asking, launching, logging and telling; and how long slots stand idle.

    python benchmarks/sweep_overhead.py                    at 100, 1,000 and 10,000 trials, then four slots
    python benchmarks/sweep_overhead.py --trials 100
    python benchmarks/sweep_overhead.py --cpu              processor time of the main thread, for a busy machine

Trials are the tests' tiny task, which trains for no time at all. So many of them are put into the database (SQLite);
then a hundred more are run by the real sweeper in one slot, and the milliseconds of each are divided among

    task       what a training would be, its own logging included
    sampler    Optuna's, to draw the parameters
    MLflow     its client, by which the sweeper makes and ends runs
    Hydra      which composes the config of the job, calls the task and writes `.hydra/`
    ours       everything else: Optuna's database, folders, what is shown

In four slots trials of 2 to 8 seconds follow each other; waste is the time between the end of one and the start of the
next in the same slot, as a share of all, without the tail when no trial is left.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from mlflow import MlflowClient
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from landslide.sweep import controller, slots, study, sweeper
from landslide.sweep.storage import attach_storage, resolve_url
from tests.sweep.tiny import task

MEASURED = 100
SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
TYPED = ("x=interval(0,1)", "y=interval(0,1)", "sweep.name=cost", "epoch_s=0", "sweep.on_change=continue")
"""One sweep for both samplers: the database is filled once."""


class Clock:
    """Time in calls of the main thread; of calls in one another each counts what is its own, but in the task none."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.spent: dict[str, float] = defaultdict(float)
        self._within: list[float] = []
        self._training = False

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            if self._training or threading.current_thread() is not threading.main_thread():
                return function(*arguments, **named)
            self._training = name == "task"
            self._within.append(0.0)
            start = self.now()
            try:
                return function(*arguments, **named)
            finally:
                spent = self.now() - start
                self.spent[name] += spent - self._within.pop()
                if self._within:
                    self._within[-1] += spent
                self._training = False

        return timed


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a fork, since a process is one command."""
    with ProcessPoolExecutor(1, get_context("fork")) as process:
        return process.submit(function, *arguments).result()


def sweep(*typed: str) -> None:
    sys.argv = ["task.py", "-m", *typed]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with Path("out.txt").open("a") as out, redirect_stdout(out):
        task.main()


def timed_sweep(now: Callable[[], float], *typed: str) -> dict[str, float]:
    clock = Clock(now)
    with timed(clock):
        sweep(*typed)
    return dict(clock.spent)


def fill(first: int, count: int) -> None:
    """Finished trials from a number on, as the sweeper leaves them."""
    storage, choose = attach_storage(resolve_url(None)), random.Random(first)
    study_id = storage.get_study_id_from_name("cost/all")
    facts = storage.get_all_trials(study_id)[0].user_attrs
    for _ in range(first, count):
        params = {key: choose.random() for key in SPACE}
        told = create_trial(
            state=TrialState.COMPLETE,
            values=[params["x"] + params["y"]],
            params=params,
            distributions=SPACE,
            user_attrs=facts,
            intermediate_values={epoch: epoch * params["x"] for epoch in (1, 2, 3, 4)},
        )
        storage.create_new_trial(study_id, told)


@contextmanager
def timed(clock: Clock) -> Iterator[None]:
    """Let the clock see the calls of one sweep, from its first trial to its last."""
    train = controller.Controller.train

    def from_the_first(self: controller.Controller, branches: Any) -> None:
        clock.spent.clear()
        start = clock.now()
        train(self, branches)
        clock.spent["all"] = clock.now() - start

    calls = [(MlflowClient, name, "MLflow") for name in vars(MlflowClient) if not name.startswith("_")]
    calls += [(study.StratumStudy, "_draw", "sampler"), (ConfigLoaderImpl, "load_sweep_config", "Hydra")]
    calls.append((slots.InProcess, "submit", "Hydra"))  # its basic launcher, and next to nothing of ours
    patches = [mock.patch.object(*place, clock.around(name, getattr(*place))) for *place, name in calls]
    patches.append(mock.patch.object(task, "train", clock.around("task", task.train)))
    patches.append(mock.patch.object(controller.Controller, "train", from_the_first))
    patches.append(mock.patch.object(sweeper, "finish"))
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        mock.patch.stopall()


def costs(sizes: list[int], now: Callable[[], float]) -> None:
    names = ("Hydra", "sampler", "MLflow", "task")
    print(f"{'trials':>7} {'sampler':>9} | ms a trial: {'ours':>6} {' '.join(f'{name:>7}' for name in names)}")
    apart(sweep, *TYPED, "sweep.n_trials=1")
    there = 1
    for size in sizes:
        for sampler in ("random", "tpe"):
            apart(fill, there, size)
            there = max(size, there) + MEASURED
            found = apart(timed_sweep, now, *TYPED, f"sweep.sampler={sampler}", f"sweep.n_trials={there}")
            spent = {name: 1000 * seconds / MEASURED for name, seconds in found.items()}
            ours = spent["all"] - sum(spent[name] for name in names)
            shown = " ".join(f"{spent[name]:7.1f}" for name in names)
            print(f"{size:7,} {sampler:>9} |             {ours:6.1f} {shown}", flush=True)


def idle_slots(count: int, trials: int) -> None:
    lengths = ",".join(f"{random.Random(number).uniform(0.5, 2):.2f}" for number in range(trials))
    Path("trials.txt").unlink()
    apart(sweep, f"epoch_s={lengths}", "sweep.name=slots", f"sweep.slots={count}")
    ends: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in Path("trials.txt").read_text().splitlines():
        process, start, end = line.split()
        ends[process].append((float(start), float(end)))
    gaps = [
        following[0] - before[1]
        for found in ends.values()
        for before, following in zip(sorted(found), sorted(found)[1:], strict=False)
    ]
    busy = sum(end - start for found in ends.values() for start, end in found)
    waste, mean, longest = 100 * sum(gaps) / (busy + sum(gaps)), 1000 * sum(gaps) / len(gaps), 1000 * max(gaps)
    print(f"\n{count} slots, {trials} trials of {busy / trials:.1f} s: {waste:.1f} % of slot time between trials;")
    print(f"the next begins after {mean:.0f} ms, at most {longest:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--no-slots", action="store_true", help="leave out the four slots")
    parser.add_argument("--cpu", action="store_true", help="processor time of the main thread")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        costs(arguments.trials, time.thread_time if arguments.cpu else time.perf_counter)
        if not arguments.no_slots:
            idle_slots(4, 24)


if __name__ == "__main__":
    main()
