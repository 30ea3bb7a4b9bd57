"""What a sweep shows while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from optuna.trial import TrialState
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from landslide.sweep.branch import Branch
from landslide.sweep.study import Record
from landslide.terminal import tell

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class Watch:
    """Tells people what happens.

    Args:
        console: to print to.
        branches: of the sweep.
        slots: trials at once; with one, the run's own progress bar shows below each trial's heading.
        repeats: of the best setting of each branch, once all have searched; until then they are time that is left.
    """

    def __init__(self, console: Console, branches: Sequence[Branch], slots: int, repeats: int = 0) -> None:
        self.console = console
        self.branches = list(branches)
        self._repeats_to_come = repeats * len(branches)
        self._slots = slots
        self._start = time.monotonic()
        self._finished_before = self._finished()
        live = slots > 1 and console.is_terminal
        self._live = Live(console=console, get_renderable=self.table, refresh_per_second=2) if live else None

    def add_repeats(self, branches: Sequence[Branch]) -> None:
        """Show them too; what another start has trained of them is not this one's pace."""
        self.branches += branches
        self._repeats_to_come = 0
        self._finished_before += sum(branch.study.finished for branch in branches)

    def shown(self) -> AbstractContextManager[object]:
        """While trials run."""
        return self._live or nullcontext()

    def tell(self, sentence: str) -> None:
        """Say a sentence, whatever characters are in it."""
        tell(self.console, sentence)

    def begin(self, branch: Branch, record: Record, *, goes_on: bool = False) -> None:
        """A trial begins, or goes on, so that it need not be the latest."""
        heading = f"{self._place(record, branch, goes_on=goes_on)}  {branch.run_name(record)}"
        if self._slots == 1:
            self.console.rule(escape(heading), align="left", characters="-")
        elif self._live is None:
            self.tell(f"{heading}  begins")

    def end(self, branch: Branch, record: Record) -> None:
        """A trial is told."""
        found = "" if record.value is None else f" {record.value:.4f}"
        reason = record.outcome.get("reason")
        name = f"{branch.run_name(record)}: " if self._slots > 1 else ""
        why = f" ({escape(str(reason))})" if reason else ""
        failed = bool(record.outcome.get("failed"))
        state = "[bold red]failed[/]" if failed else f"[bold]{STATES[record.state]}[/]"
        self.console.print(f"{escape(name)}{state}{found}{why}{self._standing(branch)}", highlight=False)

    def died(self, branch: Branch, record: Record) -> None:
        """The process of a trial was killed, or its time was up."""
        self.tell(f"{branch.run_name(record)}: its process is gone. It goes on from its last checkpoint.")

    def stopped(self, branch: Branch) -> None:
        """A stratum is given up."""
        self.tell(f"{branch.title}: no further trials, because {branch.stopped}")

    def stopping(self, running: int) -> None:
        """After a signal."""
        if running:
            self.tell(f"\nAsking {running} running trials to keep their checkpoints.")

    def table(self) -> Table:
        """How far each stratum is."""
        table = Table(title=self._left(), title_justify="left", box=None)
        table.add_column(overflow="fold")  # names that differ in their ends alone must be told apart
        for name in ("finished", "running", "pruned", "failed", "best"):
            table.add_column(name, justify="right", no_wrap=True)
        for branch in self.branches:
            records = branch.study.records
            failed = sum(bool(record.outcome.get("failed")) for record in records)
            pruned = sum(record.state == TrialState.PRUNED and not record.outcome.get("failed") for record in records)
            found = branch.shown_best
            table.add_row(
                escape(branch.title),
                f"{branch.study.finished}/{branch.target or '?'}",
                str(len(branch.study.unfinished())),
                str(pruned),
                str(failed),
                "-" if found is None else f"{found.value:.4f}",
            )
        return table

    def _standing(self, branch: Branch) -> str:
        found, left = branch.shown_best, self._left()
        if branch.study.best is None or branch.target == 1:
            return ""
        words = [*([f"best {found.value:.4f}"] if found else []), *([left] if left else [])]
        return "".join(f"  {word}" for word in words)

    def _place(self, record: Record, branch: Branch, *, goes_on: bool) -> str:
        total = self._total()
        if total is None or goes_on:
            return f"{branch.title} {record.number}"
        return f"{sum(len(one.study.records) for one in self.branches)}/{total}"

    def _finished(self) -> int:
        return sum(branch.study.finished for branch in self.branches)

    def _total(self) -> int | None:
        """Trials of all branches in the end; None while one of them asks as long as there are seconds left."""
        ends = [branch.target if branch.may_ask() else len(branch.study.records) for branch in self.branches]
        return None if any(end is None for end in ends) else sum(end or 0 for end in ends)

    def _left(self) -> str:
        total, finished = self._total(), self._finished()
        done = finished - self._finished_before
        if total is None or not done:
            return ""
        to_come = total - finished + self._repeats_to_come
        if not to_come:
            return ""
        seconds = (time.monotonic() - self._start) / done * to_come
        return f"about {seconds / 60:.0f} min left" if seconds >= 60 else f"about {seconds:.0f} s left"
