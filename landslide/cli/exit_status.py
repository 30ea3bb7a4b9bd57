"""What an error means to the shell: a sentence on standard error and an exit status."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from landslide.errors import UserError, nearest, storage_error

FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130


def tell(command: str, error: BaseException) -> int:
    """Say what ended a command.

    Args:
        command: its name, which begins the sentence.
        error: what it raised.

    Returns:
        The exit status: 2 for what the user can mend, 130 after Ctrl-C.

    Raises:
        BaseException: the error itself where it is a mistake of ours, which needs its traceback.
    """
    if isinstance(error, KeyboardInterrupt):
        print(f"\n{command}: interrupted.", file=sys.stderr)
        return INTERRUPTED
    told = error if isinstance(error, UserError) else storage_error(error)
    if told is None:
        raise error
    print(f"{command}: {told}", file=sys.stderr)
    return USER_ERROR


def refused_by_hydra(error: BaseException) -> bool:
    """Whether Hydra refused the command line, in its own way or by stumbling before any code of ours began."""
    from hydra.errors import CompactHydraException

    if isinstance(error, CompactHydraException):
        return True
    if isinstance(error, OSError):
        return False
    names = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = any(name.partition(".")[0] in ("landslide", "hydra_plugins") for name in names)
    return not ours and names[-1].partition(".")[0] in ("hydra", "omegaconf")


def tell_refusal(error: BaseException, conf: Path) -> int:
    """Say what Hydra refused, in Hydra's own words, and the nearest name where one is unknown.

    Args:
        error: what Hydra raised.
        conf: the folder that it composes from.

    Returns:
        The exit status: 1, as Hydra's.
    """
    from hydra.errors import CompactHydraException, OverrideParseException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    if not isinstance(error, CompactHydraException):  # a check that Hydra lacks, such as of `data=3`
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"  # the key stands in a line of its own
        print(f"train.py: these arguments do not compose ({reason}).", file=sys.stderr)
        return FAILED
    if isinstance(error, OverrideParseException):
        print(f"{error.override}: cannot be read.", file=sys.stderr)
    cause = error.__cause__
    print(error, *([cause] if isinstance(cause, OmegaConfBaseException) else []), sep="\n", file=sys.stderr)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        near = nearest(str(cause.full_key), _names(conf)).strip()
        print(near or "What can be chosen: python train.py --help", file=sys.stderr)
    elif isinstance(cause, OmegaConfBaseException) and cause.full_key == "sweep":
        print("Did you mean 'sweeps'? It chooses a study; settings are sweep.n_trials and others.", file=sys.stderr)
    return FAILED


def _names(conf: Path) -> list[str]:
    """Every group of choices, and every value that a run is composed of."""
    from hydra import compose, initialize_config_dir

    from landslide.config import names

    with initialize_config_dir(str(conf), version_base="1.3"):
        return [*(path.name for path in conf.iterdir() if path.is_dir()), *names(compose("config"))]
