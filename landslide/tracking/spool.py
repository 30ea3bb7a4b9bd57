"""What a run logs, kept on disk until the tracking server has it.

    FOLDER/unsent/lines.jsonl        what is to be sent, a line each, in order
    FOLDER/unsent/sent               how many bytes of it were sent
    FOLDER/unsent/artifacts/...      files that the lines name

A run writes here and never waits for a server; one thread sends. A line may be sent twice, after a kill between sending
and marking: MLflow keeps one of two points that are the same, params are equal, and artifacts are written over. Lines
that a full disk does not take wait in memory, so that the store still hears how the run ended.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from landslide.errors import TrackingError

UNSENT, SENT = "unsent", "sent"

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Between attempts while the server is away; the last one again and again."""

Line = dict[str, Any]
Send = Callable[[Line], None]


def has_unsent(folder: Path) -> bool:
    """Whether a run's folder holds what its tracking server has not."""
    return (folder / UNSENT).is_dir()


def unsent_folders(folder: Path) -> list[Path]:
    """The folders of runs under this one, itself included, that hold such lines."""
    return sorted(place.parent for place in folder.rglob(UNSENT) if place.is_dir())


def kept_lines(folder: Path) -> Iterator[Line]:
    """The whole lines of a run's folder in which nobody trains, sent or not; what a kill has cut is left out."""
    file = folder / UNSENT / "lines.jsonl"
    for raw in file.read_bytes().split(b"\n") if file.is_file() else ():
        with suppress(ValueError):  # one that is damaged is told by who sends it
            if isinstance(line := json.loads(raw), dict):
                yield line


def discard_unsent(folder: Path) -> None:
    """Forget what was not sent, where another MLflow run begins in this folder."""
    if has_unsent(folder):
        shutil.rmtree(folder / UNSENT)


class Spool:
    """The lines of one run; written by one process at a time, by any of its threads.

    Args:
        folder: of the run. What an earlier process left there is sent first; a line that its end cut is dropped.
    """

    def __init__(self, folder: Path) -> None:
        self.run_folder = folder
        self.artifacts = folder / UNSENT / "artifacts"
        self.changed = threading.Condition()
        self._lines = folder / UNSENT / "lines.jsonl"
        self._mark = folder / UNSENT / "sent"
        self._marked = 0
        self._unwritten: deque[Line] = deque()
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self._drop_cut_line()

    def _drop_cut_line(self) -> None:
        with self._lines.open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)

    def put(self, what: str, **facts: Any) -> None:
        """Append a line; ``facts`` are what JSON can hold."""
        line = {"what": what, **facts}
        with self.changed:
            if self._unwritten or not self._append(json.dumps(line).encode() + b"\n"):
                self._unwritten.append(line)  # behind it every later one, to keep their order
            self.changed.notify_all()

    def _append(self, raw: bytes) -> bool:
        """Whether the disk took the whole line; else it holds none of it."""
        with self._lines.open("ab", buffering=0) as file:
            start = file.tell()
            with suppress(OSError):
                if file.write(raw) == len(raw):
                    return True
            file.truncate(start)
        return False

    @property
    def unwritten(self) -> int:
        """Lines that only memory holds, because the disk was full."""
        return len(self._unwritten)

    def put_artifact(self, name: str, write: Callable[[Path], Any]) -> None:
        """Keep an artifact and append its line.

        Args:
            name: where it stands among the run's artifacts, such as ``validation/best.npz``.
            write: given a path, makes the file.
        """
        place = self.artifacts / name
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_name(f"{place.name}.part")
        write(aside)
        aside.replace(place)  # the sender reads this one or the one before, whole
        self.put("artifact", name=name)

    def artifact(self, name: str) -> Path:
        """The file that a line names.

        Raises:
            TrackingError: for a name that leads elsewhere, which no run writes.
        """
        place = (self.artifacts / name).resolve()
        if not place.is_relative_to(self.artifacts.resolve()) or not place.is_file():
            raise TrackingError(f"{self._lines}: names the artifact '{name}', which is not in {self.artifacts}.")
        return place

    def next_line(self) -> tuple[Line, int | None] | None:
        """The first line that was not sent, and what to mark when it is; None where all were.

        Raises:
            TrackingError: for a line that no run writes.
        """
        start = self._sent()
        with self._lines.open("rb") as file:
            file.seek(start)
            raw = file.readline()
        if not raw.endswith(b"\n"):
            return (self._unwritten[0], None) if self._unwritten else None
        try:
            line = json.loads(raw)
            line["what"]
        except (ValueError, TypeError, KeyError) as error:
            raise TrackingError(
                f"{self._lines}: is damaged at byte {start} ({error}). Mend or delete that line, then send again."
            ) from error
        return line, start + len(raw)

    def mark_sent(self, end: int | None) -> None:
        """Remember that everything before this byte was sent; None is a line that only memory holds."""
        if end is None:
            self._unwritten.popleft()
            return
        self._marked = end
        with suppress(OSError):  # a full disk keeps the mark before: the next process sends some lines again
            aside = self._mark.with_name("sent.part")
            aside.write_text(str(end), encoding="utf-8")
            aside.replace(self._mark)

    def _sent(self) -> int:
        if self._marked or not self._mark.is_file():
            return self._marked
        text = self._mark.read_text(encoding="utf-8")
        if not text.isdecimal():
            raise TrackingError(f"{self._mark}: is damaged ('{text[:20]}'). Delete it: sending twice does no harm.")
        return int(text)

    def delete(self) -> None:
        """Remove it, everything having been sent; at once, since a part of it would be sent again, or miss files."""
        aside = self.run_folder / SENT
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed right here
        self._lines.parent.rename(aside)
        shutil.rmtree(aside)


def send_all(spool: Spool, send: Send) -> dict[str, int]:
    """Send what is there and delete the spool.

    Returns:
        How many lines of each kind were sent.

    Raises:
        Exception: what ``send`` raises; lines sent before stay marked.
    """
    counts: dict[str, int] = {}
    while (found := spool.next_line()) is not None:
        line, end = found
        send(line)
        spool.mark_sent(end)
        counts[line["what"]] = counts.get(line["what"], 0) + 1
    spool.delete()
    return counts


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]


class Sender(threading.Thread):
    """Sends a spool's lines in order, again and again while the server is away.

    Args:
        spool: whose lines.
        send: sends one; raises where the server did not take it.
        refused: whether what it raised is a refusal, which no second attempt will change.
        tell: says a sentence to the user.
    """

    def __init__(
        self, spool: Spool, send: Send, refused: Callable[[Exception], bool], tell: Callable[[str], None]
    ) -> None:
        super().__init__(name="tracking", daemon=True)  # one that hangs in a call must not keep the process
        self.spool = spool
        self.failure: Exception | None = None
        """Of the latest attempt."""
        self._send = send
        self._refused = refused
        self._tell = tell
        self._ending = self._abandoned = False
        self._told = False

    def run(self) -> None:
        """Send until :meth:`finish`, or a refusal."""
        failures = 0
        while True:
            try:
                found = self._next_or_wait()
                if found is None:
                    return
                self._send(found[0])
            except Exception as error:  # whatever a client library makes of a lost server; it is kept, told and retried
                self.failure = error
                if self._refused(error):
                    self._tell(f"The tracking store refuses what the run logs ({_first_line(error)}). The run goes on.")
                    return
                self._tell_once()
                self._pause(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1
            else:
                self._recovered(found[1])
                failures = 0

    def _next_or_wait(self) -> tuple[Line, int | None] | None:
        with self.spool.changed:
            while not self._abandoned:
                found = self.spool.next_line()
                if found is not None or self._ending:
                    return found
                self.spool.changed.wait()
        return None

    def _pause(self, seconds: float) -> None:
        with self.spool.changed:
            self.spool.changed.wait_for(lambda: self._abandoned, seconds)

    def _tell_once(self) -> None:
        if not self._told:
            self._told = True
            self._tell(f"The tracking store does not answer; the run goes on, and what it logs is kept in {UNSENT}/.")

    def _recovered(self, end: int | None) -> None:
        if self._abandoned:
            return  # what is in the folder may be another sender's by now
        self.spool.mark_sent(end)
        self.failure = None
        if self._told:
            self._told = False
            self._tell("The tracking store answers again.")

    def finish(self, patience_s: float) -> bool:
        """Wait until everything is sent, and delete the spool; or leave it, where the server is away or refuses.

        Args:
            patience_s: how long to wait for a server that is away; one that answers is waited for to the end.

        Returns:
            Whether everything was sent.
        """
        with self.spool.changed:
            self._ending = True
            self.spool.changed.notify_all()
        start = time.monotonic()
        try:
            while self.is_alive():
                self.join(0.1)
                away = self.failure is not None
                start = start if away else time.monotonic()
                if away and time.monotonic() - start > patience_s:
                    return False
        finally:
            self._abandon()
        if self.failure is not None or self.spool.next_line() is not None:
            return False
        self.spool.delete()
        return True

    def _abandon(self) -> None:
        with self.spool.changed:
            self._abandoned = True
            self.spool.changed.notify_all()
