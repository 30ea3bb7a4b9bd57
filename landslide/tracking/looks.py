"""How often the test part was looked at: counted on runs before anything is predicted, and never taken back.

    landslide.test_looks     how often; on each run that was scored, and on the sweep that it belongs to
    landslide.test_log       JSON, a look each, the first one first: when, by which command, at which runs
    landslide.test_scored    of a run: the time of the look that it was last scored for
    landslide.test_shown     of a sweep, or of a run alone: the time of the last look that was shown
    landslide.test_result    what that one showed, in a sentence

So a look that is cut short is known by the two last ones, and goes on without being counted again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from filelock import FileLock, Timeout
from mlflow.entities import Run, RunTag

from landslide.errors import CustodyError
from landslide.tracking.store import Store, folder_of, search

LOOKS, LOG = "landslide.test_looks", "landslide.test_log"
SCORED, SHOWN, RESULT = "landslide.test_scored", "landslide.test_shown", "landslide.test_result"
DATA, SPLIT = "landslide.data_digest", "landslide.split_digest"

TAG_LENGTH = 8000
"""Of MLflow; a log that is longer loses its middle, the count does not."""

LOCK = ".test.lock"


@dataclass(frozen=True)
class Look:
    """One look at the test part."""

    time: str
    """In UTC, ISO 8601; tells two looks apart."""
    command: str
    runs: str
    """Digest of the ids of the runs that were looked at."""


def new_look(command: str, run_ids: Sequence[str]) -> Look:
    """A look that begins now."""
    return Look(datetime.now(UTC).isoformat(timespec="milliseconds"), command, _digest(run_ids))


def looks_of(run: Run) -> list[Look]:
    """The looks that a run's log has, the first one first.

    Raises:
        CustodyError: for a log that was edited by hand; to guess would be to give looks away.
    """
    text = run.data.tags.get(LOG, "[]")
    try:
        return [Look(**entry) for entry in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise CustodyError(f"run {run.info.run_id}: its tag {LOG} cannot be read ({error}). Mend it first.") from error


def count_of(run: Run) -> int:
    """How often the test part was looked at with a run.

    Raises:
        CustodyError: see :func:`looks_of`.
    """
    text = run.data.tags.get(LOOKS, "0")
    if not text.isdecimal():
        raise CustodyError(f"run {run.info.run_id}: its tag {LOOKS} is no number ('{text[:20]}'). Mend it first.")
    return int(text)


def unfinished_look(counter: Run, run_ids: Sequence[str]) -> Look | None:
    """The look at these runs that was counted and cut short; None where there is none."""
    looks = looks_of(counter)
    cut = looks and counter.data.tags.get(SHOWN) != looks[-1].time
    return looks[-1] if cut and looks[-1].runs == _digest(run_ids) else None


def looks_of_others(store: Store, counter: Run, runs: Sequence[Run]) -> list[Look]:
    """Looks at the same test part that are counted elsewhere, the first one first: of other sweeps, or of runs alone.

    The same are equal tiles that are divided equally; other sizes or bands of them are not known again.

    Args:
        store: of the runs.
        counter: the run whose own looks are left out.
        runs: whose test part it is.

    Raises:
        CustodyError: see :func:`looks_of`.
    """
    found: set[Look] = set()
    for data, split in {(run.data.tags.get(DATA, "-"), run.data.tags.get(SPLIT, "-")) for run in runs}:
        same = f"tags.`{DATA}` = '{data}' and tags.`{SPLIT}` = '{split}' and tags.`{LOG}` != '[]'"
        found.update(look for run in search(store.client, same) for look in looks_of(run))
    return sorted(found - set(looks_of(counter)), key=lambda look: look.time)


def count(store: Store, run_id: str, look: Look) -> int:
    """Count a look on a run; one that was counted there already is not counted again. Returns the number of looks."""
    run = store.client.get_run(run_id)
    looks, known = looks_of(run), count_of(run)
    if look in looks[-1:]:
        return known
    looks.append(look)
    while len(log := json.dumps([asdict(each) for each in looks])) > TAG_LENGTH:
        del looks[len(looks) // 2]
    store.client.log_batch(run_id, tags=[RunTag(LOG, log), RunTag(LOOKS, str(known + 1))])
    return known + 1


def _digest(run_ids: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(sorted(run_ids)).encode()).hexdigest()[:16]


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Hold the test parts of a store against other processes: of those of a server only such as stand in this folder.

    Raises:
        CustodyError: where another process scores.
    """
    folder = folder_of(store)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise CustodyError(f"{folder / LOCK}: another process is looking at a test part. Wait for its end.") from error
    try:
        yield
    finally:
        lock.release()
