"""What made a run: versions, commit, machine."""

from __future__ import annotations

import getpass
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import landslide
from landslide.config import without_credentials

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "segmentation-models-pytorch",
    "timm",
    "torchmetrics",
    "hydra-core",
    "mlflow",
    "numpy",
    "pillow",
)


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout that this package runs from, and whether files differ from it.

    Asked once a process: what runs is what was there when it was imported.

    Returns:
        ``(None, None)`` where it is no checkout: an installed wheel is told by its version.
    """
    root = Path(landslide.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None, None
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    return commit, bool(_git(root, "status", "--porcelain"))


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):  # no git here: then the commit is unknown, which is recorded
        return None
    return done.stdout.strip()


def environment(device: str) -> dict[str, Any]:
    """Versions and machine, as stored with a run."""
    commit, dirty = git_state()
    return {
        "landslide": landslide.__version__,
        "commit": commit,
        "dirty": dirty,
        "command": [without_credentials(word) for word in sys.argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
        "packages": {name: installed_version(name) for name in PACKAGES},
    }


class Difference(NamedTuple):
    """One thing that is not as it was recorded."""

    what: str
    recorded: str
    now: str

    def __str__(self) -> str:
        return f"{self.what} was {self.recorded}, is {self.now}"


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """What two descriptions by :func:`environment` do not have in common, by name; the command is no part of it.

    Examples:
        >>> [str(found) for found in differences({"packages": {"torch": "2.13"}}, {"packages": {"torch": "2.14"}})]
        ['torch was 2.13, is 2.14']
    """
    before, after = _flat(recorded), _flat(now)
    found = [Difference(key, before.get(key, "-"), after.get(key, "-")) for key in sorted(before.keys() | after.keys())]
    return [difference for difference in found if difference.recorded != difference.now]


def _flat(facts: Mapping[str, Any]) -> dict[str, str]:
    packages = facts.get("packages", {})
    named = {key: value for key, value in facts.items() if key not in ("packages", "command")}
    return {key: "-" if value is None else str(value) for key, value in {**named, **packages}.items()}


def source_tags() -> dict[str, str]:
    """Tags of a new run: who, from what, at which commit."""
    commit, dirty = git_state()
    tags = {"mlflow.source.name": Path(sys.argv[0]).name, "mlflow.source.type": "LOCAL", "mlflow.user": _user()}
    if commit is not None:
        tags |= {"mlflow.source.git.commit": commit, "landslide.commit": commit, "landslide.dirty": str(dirty)}
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return "unknown"


def installed_version(name: str) -> str | None:
    """Version of a package; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
