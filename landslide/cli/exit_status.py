"""What an error means to the shell: a sentence on standard error and an exit status."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from landslide.errors import TrainingDiverged, UserError, nearest, storage_error

if TYPE_CHECKING:
    from hydra.errors import CompactHydraException

FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130


def tell(command: str, error: BaseException) -> int:
    """Say what ended a command.

    Args:
        command: its name, which begins the sentence.
        error: what it raised.

    Returns:
        The exit status: 2 for what the user can mend, 1 for a training that diverged, 130 after Ctrl-C.

    Raises:
        BaseException: the error itself where it is a mistake of ours, which needs its traceback.
    """
    if isinstance(error, KeyboardInterrupt):
        print(f"\n{command}: interrupted.", file=sys.stderr)
        return INTERRUPTED
    known = isinstance(error, UserError | TrainingDiverged)
    told = error if known else storage_error(error)
    if told is None:
        raise error
    print(f"{command}: {told}", file=sys.stderr)
    return FAILED if isinstance(told, TrainingDiverged) else USER_ERROR


def tell_composition(error: CompactHydraException, conf: Path) -> int:
    """Say what Hydra refused, in Hydra's own words, and the nearest name where one is unknown.

    Args:
        error: what Hydra raised.
        conf: the folder that it composes from.

    Returns:
        The exit status: 1, as Hydra's.
    """
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    cause = error.__cause__
    print(error, *([cause] if isinstance(cause, OmegaConfBaseException) else []), sep="\n", file=sys.stderr)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        near = nearest(str(cause.full_key), _names(conf)).strip()
        print(near or "What can be chosen: python train.py --help", file=sys.stderr)
    return FAILED


def _names(conf: Path) -> list[str]:
    """Every group of choices, and every value that a run is composed of."""
    from hydra import compose, initialize_config_dir

    from landslide.config import flat_params

    with initialize_config_dir(str(conf), version_base="1.3"):
        return [*(path.name for path in conf.iterdir() if path.is_dir()), *flat_params(compose("config"))]
