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
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout
from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException

from landslide.errors import CustodyError, TrackingError
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


def locked_tiles(store: Store, run: Run) -> set[str]:
    """Names of the tiles that a run has locked away for a test.

    Raises:
        TrackingError: where its split cannot be read.
    """
    try:
        with TemporaryDirectory() as scratch:
            path = Path(store.client.download_artifacts(run.info.run_id, "split.json", scratch))
            return set(json.loads(path.read_text(encoding="utf-8")).get("test", []))
    except (MlflowException, OSError, ValueError) as error:
        who = f"run {run.info.run_id} ({run.info.run_name})"
        raise TrackingError(
            f"{who}: its split.json cannot be read ({str(error).splitlines()[0]}). Restore this artifact."
        ) from error


def looks_of_others(store: Store, counter: Run, runs: Sequence[Run]) -> tuple[list[Look], set[str]]:
    """Looks at the same test tiles that are counted elsewhere: of other sweeps, or of runs alone.

    One tile that two test parts share is enough, however the rest was divided. Tiles are known again in a dataset whose
    digest is the same: not in other sizes or bands of it, nor beside other tiles.

    Args:
        store: of the runs.
        counter: the run whose own looks are left out.
        runs: whose test part it is.

    Returns:
        The looks, the first one first, and which of the tiles they saw.

    Raises:
        CustodyError: see :func:`looks_of`.
        TrackingError: see :func:`locked_tiles`; not to know what was seen would be to give a look away.
    """
    own = set(looks_of(counter))
    looks, seen = set[Look](), set[str]()
    locked: dict[str | None, set[str]] = {}

    def tiles_of(run: Run) -> set[str]:  # equal splits have equal digests, so one is read of them
        split = run.data.tags.get(SPLIT)
        if split not in locked:
            locked[split] = locked_tiles(store, run)
        return locked[split]

    for data in {run.data.tags.get(DATA, "-") for run in runs}:
        ours = set[str]().union(*(tiles_of(run) for run in runs if run.data.tags.get(DATA, "-") == data))
        for run in search(store.client, f"tags.`{DATA}` = '{data}' and tags.`{LOG}` != '[]'"):
            others = set(looks_of(run)) - own
            if others and (shared := ours & tiles_of(run)):
                looks |= others
                seen |= shared
    return sorted(looks, key=lambda look: look.time), seen


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
