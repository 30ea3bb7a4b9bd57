"""``landslide sync``: what a tracking server that was lost has not taken yet."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Send to MLflow what runs kept in their folders while the tracking server was away: params, points, artifacts, model and
status. Sending again does no harm. A run that is still going on is refused, since it sends by itself.

  landslide sync mlruns/outputs/2026-11-22/10-15-00     the folder of a run, or of a multirun
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sync",
        help="send what a lost tracking server has not taken",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help="of a run or of a multirun")
    parser.add_argument("--uri", metavar="URI", help="MLflow store; without it the one that the run was logged to")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Send folder by folder, and say what was sent."""
    from landslide.errors import ConfigError
    from landslide.terminal import open_console, tell
    from landslide.tracking.spool import unsent_folders

    console = open_console()
    for folder in arguments.folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: there is no such folder. A run says at its end where it was kept.")
    for folder in arguments.folders:
        unsent = unsent_folders(folder)
        for place in unsent:
            tell(console, f"{place}: {_send(place, arguments.uri)}")
        if not unsent:
            tell(console, f"{folder}: nothing is left to send.")
    return 0


def _send(folder: Path, uri: str | None) -> str:
    from landslide.errors import ConfigError
    from landslide.tracking.run import require_run, send_rest
    from landslide.tracking.store import open_existing
    from landslide.training.checkpoint import alone_in
    from landslide.training.result import RUN, read_run

    recorded = read_run(folder)
    if recorded is None:
        raise ConfigError(f"{folder}: {RUN} is missing, which names the MLflow run.")
    with alone_in(folder):
        store = open_existing(uri or recorded["tracking_uri"])
        run_id = recorded["run_id"]
        require_run(store, run_id, str(folder), "Name the store that it was logged to: --uri")
        counts = send_rest(store, run_id, folder)
    told = ", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing was left"
    return f"sent to run {run_id}: {told}"
