"""Keeps the slots at work: asks for trials, launches them, tells what they came to.

What is written, in which order (two databases and a folder do not change in one transaction):

    trial (RUNNING, with all parameters) -> MLflow run (tagged with sweep, stratum and number) -> both known to each
    other (the trial's attribute `launch`) -> folder -> checkpoints -> result.json -> end of the MLflow run -> tell

Every trial that is RUNNING and that nobody trains is picked up before a new one is asked for, and what is there
decides: with a result it is told, else it goes on from its checkpoint, else it begins again; under the same number, in
the same folder and MLflow run.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.trial import TrialState

from landslide.errors import SweepError
from landslide.sweep.branch import Branch
from landslide.sweep.slots import GRACE_S, Failure, Slot, newest_checkpoint
from landslide.sweep.storage import Claims, patiently
from landslide.sweep.study import STOPPED, Record
from landslide.sweep.values import quoted
from landslide.sweep.watch import Watch
from landslide.tracking.run import create_child, failure_tag, find_child, killed_parts, send_rest
from landslide.tracking.spool import has_unsent
from landslide.tracking.store import Store, wait_for
from landslide.training.result import RunResult, read_result

POLL_S = 5
"""Between looks at what workers elsewhere have finished."""

ORPHAN_S = 30
"""How long a process that trained a trial before may hold on to its folder."""

FAILURES_IN_A_ROW = 5
"""After which a stratum is given up, likewise for one choice that has never come to a result."""


@dataclass
class Job:
    """A trial in a slot."""

    branch: Branch
    record: Record
    folder: Path
    run_id: str
    slot: Slot
    begun: float = field(default_factory=time.monotonic)

    @property
    def key(self) -> tuple[str, int]:
        """Of the trial, in the whole sweep."""
        return self.branch.study.name, self.record.number


class Controller:
    """One process's part in a sweep.

    Args:
        store: of MLflow.
        parent_id: of the sweep's MLflow run.
        experiment: of MLflow.
        claims: who may train what.
        shared: others may work on this sweep at the same time.
        slots: where trials run.
        max_attempts: of a trial that dies without a new checkpoint.
        watch: shows what happens.
    """

    def __init__(
        self,
        store: Store,
        parent_id: str,
        experiment: str,
        claims: Claims,
        slots: Sequence[Slot],
        watch: Watch,
        *,
        shared: bool,
        max_attempts: int,
    ) -> None:
        self.store = store
        self.parent_id = parent_id
        self.experiment = experiment
        self.claims = claims
        self.shared = shared
        self.slots = slots
        self.max_attempts = max_attempts
        self.watch = watch
        self.signal: int | None = None
        """By which the sweep was interrupted."""
        self._running: dict[Future[Failure | None], Job] = {}
        self._lost: SweepError | None = None

    def train(self, branches: Sequence[Branch]) -> None:
        """Run trials until none is left to ask for, or a signal comes.

        Raises:
            SweepError: where the database is lost; what was running has come to its end in its folder.
        """
        with self._interruptible():
            try:
                while self._step(branches):
                    pass
            except KeyboardInterrupt:
                self.signal = self.signal or signal.SIGINT
                self._stop()
        if self._lost is not None:
            raise self._lost

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        def interrupt(number: int, _: Any) -> None:
            self.signal = number
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGTERM, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _step(self, branches: Sequence[Branch]) -> bool:
        """Fill the slots and wait for the first trial to end; False when nothing is left to do."""
        if self._lost is None and self.signal is None:
            try:
                self._fill(branches)
            except SweepError as error:
                self._lost = error  # what is running goes on to its end: its result is in its folder
        if not self._running:
            if self._lost is not None or self.signal is not None:
                return False
            return self._others_at_work(branches)
        done, _ = wait(self._running, timeout=1, return_when=FIRST_COMPLETED)
        for future in done:
            self._settle(self._running.pop(future), future)
        return True

    def _others_at_work(self, branches: Sequence[Branch]) -> bool:
        if not self.shared or not any(branch.study.unfinished() for branch in branches):
            return False
        time.sleep(POLL_S)
        return True

    def _fill(self, branches: Sequence[Branch]) -> None:
        busy = {id(job.slot) for job in self._running.values()}
        for slot in self.slots:
            if id(slot) not in busy and self.signal is None and not self._launch_next(slot, branches):
                return

    def _launch_next(self, slot: Slot, branches: Sequence[Branch]) -> bool:
        """Whether there was a trial for the slot."""
        while (found := patiently(lambda: self._next(branches), self.watch.tell)) is not None:
            branch, record, begun = found
            folder = branch.folder / str(record.number)
            if begun and (outlived := slot.adopt(folder)) is not None:
                self.watch.begin(branch, record, goes_on=True)
                self._running[outlived] = Job(branch, record, folder, record.launch["run_id"], slot)
                return True
            if begun and not self._is_free(folder):
                self.claims.let_go(branch.study.name, record.number)
                continue
            if begun and self._finish_from_folder(branch, record, folder):
                self.claims.let_go(branch.study.name, record.number)
                continue
            overrides = self._prepare(branch, record, folder, found=begun)
            if overrides is None:
                continue
            self.watch.begin(branch, record, goes_on=begun)
            job = Job(branch, record, folder, record.launch["run_id"], slot)
            self._running[slot.submit(overrides, record.number, folder)] = job
            return True
        return False

    def _next(self, branches: Sequence[Branch]) -> tuple[Branch, Record, bool] | None:
        """The next trial, and whether it was begun before: those first, then the stratum with the fewest."""
        running = {job.key for job in self._running.values()}
        with self.claims.alone():
            for branch in branches:
                if self.shared or branch.study.uncertain:
                    branch.study.refresh()
                for record in branch.study.unfinished():
                    key = branch.study.name, record.number
                    if key not in running and self.claims.take(*key):
                        return branch, record, True
            open_branches = [branch for branch in branches if branch.may_ask()]
            if not open_branches:
                return None
            branch = min(open_branches, key=lambda one: len(one.study.records))
            record = branch.study.ask()
            if self.claims.take(branch.study.name, record.number):
                return branch, record, False
        return self._next(branches)  # the server was restarted meanwhile, and another was faster

    def _is_free(self, folder: Path) -> bool:
        """Whether nobody trains there; a slot outlives its controller by a moment, and holds the folder that long.

        Raises:
            SweepError: where nobody else should.
        """
        if not folder.is_dir():
            return True
        try:
            with FileLock(folder / ".lock", timeout=ORPHAN_S):
                return True
        except Timeout as error:
            if self.shared:  # a worker whose lock was lost with the server
                return False
            raise SweepError(
                f"{folder}: another process is still training this trial. Wait for its end, or end it."
            ) from error

    def _finish_from_folder(self, branch: Branch, record: Record, folder: Path) -> bool:
        """Tell a trial that came to its result before its controller was killed."""
        result = read_result(folder)
        if result is None:
            return False
        self._finish(branch, record, folder, result)
        return True

    def _prepare(self, branch: Branch, record: Record, folder: Path, *, found: bool) -> list[str] | None:
        """Everything that the job's config is composed with; None where the trial is given up."""
        checkpoint = newest_checkpoint(folder)
        mark = checkpoint.stat().st_mtime_ns if checkpoint else None
        before = record.launch
        attempts = before["attempts"] + 1 if before and before["mark"] == mark else 1
        parts = {**before.get("parts", {}), **killed_parts(folder)}  # one that is met again counts once
        if attempts > self.max_attempts:
            reason = f"died {self.max_attempts} times without a new checkpoint; out of memory, or of a launcher's time"
            self._give_up(branch, record, folder, reason, sum(parts.values()))
            return None
        run_id = before["run_id"] if before else self._make_run(branch, record, found=found)
        branch.study.launched(record, {"run_id": run_id, "attempts": attempts, "mark": mark, "parts": parts})
        return [
            *branch.overrides(record.params),
            f"tracking.run_id={run_id}",
            *branch.judged_by(record),
            f"hydra.sweep.subdir={quoted(branch.subdir(record.number))}",
            *([f"ckpt_path={quoted(str(checkpoint.absolute()))}"] if checkpoint else []),
        ]

    def _give_up(self, branch: Branch, record: Record, folder: Path, reason: str, seconds: float) -> None:
        run_id = record.launch["run_id"]
        self._wait_for_store()
        if has_unsent(folder):  # that the run runs, among it
            send_rest(self.store, run_id, folder)
        self._end_run(run_id, "FAILED", reason)
        outcome = {"seconds": seconds, "reason": reason, "run_id": run_id, "failed": True}
        self._tell(branch, record, TrialState.PRUNED, None, outcome, folder)
        self.claims.let_go(branch.study.name, record.number)
        self._stop_failing(branch)

    def _make_run(self, branch: Branch, record: Record, *, found: bool) -> str:
        tags = branch.run_tags
        self._wait_for_store()
        # a controller that was killed may have made it without remembering it
        there = found and find_child(self.store, self.parent_id, self.experiment, branch.run_kind, record.number, tags)
        return there or create_child(
            self.store, self.parent_id, self.experiment, branch.run_name(record), record.number, branch.run_kind, tags
        )

    def _wait_for_store(self) -> None:
        """Go on once MLflow's store answers; after a signal nobody waits."""
        wait_for(self.store, self.watch.tell, None if self.signal is None else 0)

    def _settle(self, job: Job, future: Future[Failure | None]) -> None:
        try:
            failure = future.result()
            died = False
        except BrokenExecutor:
            failure, died = None, True
        except SweepError as error:  # the launcher did not take it, nor would it take the next one
            self._lost = self._lost or error
            self._pause(job)
            self.claims.let_go(*job.key)
            return
        result = read_result(job.folder)
        if result is not None:
            self._finish(job.branch, job.record, job.folder, result)
        elif died and self.signal is None:
            self.watch.died(job.branch, job.record)
        elif died:
            self._pause(job)
        elif failure is not None and failure.interrupted:
            self.signal = self.signal or signal.SIGINT
            self._pause(job)
        else:
            self._fail(job, failure or Failure("the task ended without a result", "", None))
        self.claims.let_go(*job.key)

    def _finish(self, branch: Branch, record: Record, folder: Path, result: RunResult) -> None:
        self._wait_for_store()
        if has_unsent(folder):
            send_rest(self.store, result.run_id, folder)
        self._end_run(result.run_id, "FINISHED")
        state = TrialState.COMPLETE if result.pruned is None else TrialState.PRUNED
        values = branch.values(result)
        outcome = {
            "seconds": result.costs.get("time/fit_s", 0.0),
            "epoch": result.epoch,
            "score": result.score,
            "reason": result.pruned,
            "run_id": result.run_id,
        }
        self._tell(branch, record, state, values, outcome, folder, {} if branch.against else dict(result.series))
        branch.keep_the_better(record.number)

    def _fail(self, job: Job, failure: Failure) -> None:
        reason = failure.reason if failure.parameters is None else f"{failure.parameters}: {failure.reason}"
        self._wait_for_store()
        self._end_run(job.run_id, "FAILED", reason, failure.traceback)
        state = TrialState.FAIL if failure.parameters is None else TrialState.PRUNED
        seconds = time.monotonic() - job.begun + sum(job.record.launch.get("parts", {}).values())
        outcome = {"seconds": seconds, "reason": reason, "run_id": job.run_id, "failed": True}
        self._tell(job.branch, job.record, state, None, outcome, job.folder)
        self._stop_failing(job.branch)

    def _stop_failing(self, branch: Branch) -> None:
        branch.stopped = branch.stopped or _why_stop(branch)
        if branch.stopped:
            branch.study.set_fact(STOPPED, branch.stopped)  # the next start tries once more
            self.watch.stopped(branch)

    def _pause(self, job: Job) -> None:
        """Not an attempt that failed: the trial goes on when the sweep does."""
        launch = job.record.launch
        job.branch.study.launched(job.record, {**launch, "attempts": launch["attempts"] - 1})
        self._end_run(job.run_id, "KILLED")

    def _tell(
        self,
        branch: Branch,
        record: Record,
        state: TrialState,
        values: list[float] | None,
        outcome: dict[str, Any],
        folder: Path,
        series: Mapping[int, float] | None = None,
    ) -> None:
        branch.study.tell(record, state, values, {**outcome, "folder": str(folder)}, series or {})
        self.watch.end(branch, branch.study.records[record.number])

    def _end_run(self, run_id: str, status: str, reason: str = "", told: str = "") -> None:
        """End an MLflow run that its job left running."""
        client = self.store.client
        if client.get_run(run_id).info.status != "RUNNING":
            return
        if told:
            client.log_text(run_id, told, "traceback.txt")
        for key, value in failure_tag(reason).items() if reason else ():
            client.set_tag(run_id, key, value)
        client.set_terminated(run_id, status)

    def _stop(self) -> None:
        """Give running trials time to end their runs, then end what is left of them."""
        ending = [future for future, job in self._running.items() if job.slot.stop()]
        self.watch.stopping(len(ending))
        try:
            wait(ending, timeout=GRACE_S)
        except KeyboardInterrupt:
            self.watch.tell("Not waiting any longer.")
        for slot in {id(job.slot): job.slot for future, job in self._running.items() if not future.done()}.values():
            slot.close()
        for future in list(self._running):
            job = self._running.pop(future)
            if future.done():
                self._settle(job, future)
            elif read_result(job.folder) is None:
                self._pause(job)


def _why_stop(branch: Branch) -> str | None:
    finished = [record for record in branch.study.records if record.finished]
    failed = [bool(record.outcome.get("failed")) for record in finished]
    if len(failed) >= FAILURES_IN_A_ROW and all(failed[-FAILURES_IN_A_ROW:]):
        return f"its last {FAILURES_IN_A_ROW} trials failed, the last one: {finished[-1].outcome['reason']}"
    for key in sorted({key for record in finished for key in record.params}):
        for value in {record.params.get(key) for record in finished if isinstance(record.params.get(key), str | bool)}:
            tried = [record for record in finished if record.params.get(key) == value]
            if len(tried) >= FAILURES_IN_A_ROW and all(record.outcome.get("failed") for record in tried):
                return f"{key}={value} failed in all {len(tried)} trials, the last time: {tried[-1].outcome['reason']}"
    return None
