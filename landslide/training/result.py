"""The two small files in a run's folder: which MLflow run it is, and what it came to. Without torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from landslide.errors import ConfigError, StorageError

RUN, RESULT = "run.json", "result.json"


@dataclass(frozen=True)
class RunResult:
    """What a sweep needs to know of a finished run."""

    score: float
    """The best epoch's objective."""
    metric: str
    epoch: int
    """Of the score; 1 is the first."""
    run_id: str
    folder: str
    """Holds ``model/`` (the best weights) and ``checkpoints/``."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """``time/fit_s``, ``model/parameters``, ``model/gflops`` and ``memory/peak_mb``, as they are logged."""
    series: Sequence[tuple[int, float]] = ()
    """Each epoch with its objective, but those in which it is undefined."""
    pruned: str | None = None
    """After which epoch and by which rule a sweep ended it early; None for a run that went to its end."""


def write_result(folder: Path, result: RunResult) -> None:
    """Leave the result in the run's folder."""
    write_json(folder / RESULT, asdict(result))


def read_result(folder: Path) -> RunResult | None:
    """The result that lies in a run's folder, None where the run has not come to one.

    Raises:
        StorageError: for a file that no run wrote.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return RunResult(**{**stored, "folder": str(folder)})
    except (ValueError, TypeError) as error:
        raise StorageError(f"{path}: is damaged ({error}). Delete it; the run goes on from its checkpoint.") from error


def read_run(folder: Path) -> dict[str, Any] | None:
    """What a run's ``run.json`` says: ``run_id``, ``tracking_uri``, ``environment``; None where there is none.

    Raises:
        ConfigError: for a file that says nothing of the kind.
    """
    path = folder / RUN
    if not path.is_file():
        return None
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not re.fullmatch(r"[0-9a-f]{32}", stored["run_id"]):
            raise ValueError(f"run_id={stored['run_id']}")
        return {"run_id": stored["run_id"], **{key: stored[key] for key in ("tracking_uri", "environment")}}
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path}: is damaged ({error}). Delete it to go on as a new run.") from error


def write_json(path: Path, value: Any) -> None:
    """A whole JSON file or none: written aside, then renamed."""
    aside = path.with_name(f"{path.name}.part")
    aside.write_text(json.dumps(value, indent=2), encoding="utf-8")
    aside.replace(path)
