"""The error tree.

    Exception
    |-- UserError                 what a person can mend: one sentence, exit status 2, no traceback
    |   |-- ConfigError           a value, or two values that do not fit together
    |   |-- DataError             a dataset, an image, a mask, a split
    |   |-- WeightsError          pretrained weights that cannot be had or do not fit
    |   |-- TrackingError         the MLflow store
    |   |-- SweepError            a sweep's database, or a sweep that is not the one that was begun
    |   |-- ComparisonError       runs that cannot be compared
    |   |-- CustodyError          a test part that is not there, cannot be scored, or was looked at before
    |   `-- StorageError          a disk that is full, a folder that cannot be written
    |-- TrainingDiverged          the loss is no longer a number; the run is FAILED, its last good checkpoint stays
    `-- OutOfMemory               the machine has too little for this batch; the run is FAILED likewise

A message says where, what was given, and what would be right.
"""

import difflib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

FULL = (
    *(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),  # a full disk, a quota, `ulimit -f`
    *("database or disk is full", "disk I/O error", "readonly database"),  # SQLite
)
"""What is said where a disk takes no more."""


class UserError(Exception):
    """A mistake that the person at the keyboard can mend; commands print it and exit with status 2."""


class ConfigError(UserError):
    """A value of the configuration is wrong, or does not fit another one."""


class DataError(UserError):
    """A dataset is missing, of another layout, or cannot be trained on."""


class WeightsError(UserError):
    """Pretrained weights cannot be reached, read, or do not belong to the encoder."""


class TrackingError(UserError):
    """The MLflow store cannot be opened or does not answer."""


class SweepError(UserError):
    """A sweep cannot begin or go on: its database, its folder, or what it was begun with."""


class ComparisonError(UserError):
    """The runs asked for do not exist or cannot be compared."""


class CustodyError(UserError):
    """The test part is not there, cannot be scored, or was looked at before."""


class StorageError(UserError):
    """A disk is full, or a folder cannot be written."""


class TrainingDiverged(Exception):
    """The training loss became NaN or infinite."""


class OutOfMemory(Exception):
    """A GPU, or the machine, has too little memory for what is trained."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def storage_error(error: BaseException, place: Path | None = None) -> StorageError | None:
    """The sentence for an error behind which a disk or a folder stands; None where there is none of them.

    Libraries wrap what the operating system refuses, some of them as text only, so the whole chain of causes is read.

    Args:
        error: what was raised.
        place: what was being written, for errors that do not say it themselves.

    Examples:
        >>> print(storage_error(OSError(errno.ENOSPC, "No space left on device", "last.ckpt")))
        last.ckpt: cannot be written: No space left on device. Free some space, or choose another disk.
        >>> print(storage_error(ValueError("of another kind")))
        None
    """
    for link in _chain(error):
        named = link.filename if isinstance(link, OSError) and link.filename else place
        where = f"{named}: " if named else ""
        reason = next((words for words in FULL if words in str(link)), None)
        if reason:
            return StorageError(f"{where}cannot be written: {reason}. Free some space, or choose another disk.")
        if named and isinstance(link, PermissionError | FileExistsError | NotADirectoryError | IsADirectoryError):
            return StorageError(f"{where}{link.strerror}. Choose another place, or make this one usable.")
    return None


def make_folder(folder: Path) -> None:
    """Make a folder to write to, where it is missing.

    Raises:
        StorageError: where none can be made, as below a file or in ``/proc``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: no folder can be made there ({error}). Choose another place.") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
