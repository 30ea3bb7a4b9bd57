"""The error tree.

    Exception
    |-- UserError                 what a person can mend: one sentence, exit status 2, no traceback
    |   |-- ConfigError           a value, or two values that do not fit together
    |   |-- DataError             a dataset, an image, a mask, a split
    |   |-- WeightsError          pretrained weights that cannot be had or do not fit
    |   |-- TrackingError         the MLflow store
    |   `-- ComparisonError       runs that cannot be compared
    `-- TrainingDiverged          the loss is no longer a number; the run is FAILED, its last good checkpoint stays

A message says where, what was given, and what would be right.
"""

import difflib
from collections.abc import Iterable


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


class ComparisonError(UserError):
    """The runs asked for do not exist or cannot be compared."""


class TrainingDiverged(Exception):
    """The training loss became NaN or infinite."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
