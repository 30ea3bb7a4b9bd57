"""``landslide rerun``: a stored run again, and whether it gives the same numbers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from landslide.cli.tracking_options import add_uri

DESCRIPTION = """\
Run a stored run again, from the config that it recorded, as a new MLflow run. What is not as it was (versions, device,
precision, data, split, commit) is said before it trains; whether the metrics are equal is said at the end.

  landslide rerun 3f2c9d                  id, the beginning of one, or a name that only one run has
  landslide rerun --check 3f2c9d          only say what differs; exit status 1 where something does
  landslide rerun 3f2c9d data.root=tiles  with another value; paths are as recorded otherwise
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "rerun",
        help="run a stored run again and compare its numbers",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_name", metavar="RUN", help="MLflow run: id, beginning of an id, or name")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values that shall differ from the recorded")
    parser.add_argument("--check", action="store_true", help="do not train")
    add_uri(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Say what differs, train, say how far the numbers are apart."""
    from landslide.terminal import open_console
    from landslide.tracking.spool import has_unsent
    from landslide.tracking.store import find_run, open_existing
    from landslide.training import rerun
    from landslide.training.run import prepare

    console = open_console()
    store = open_existing(arguments.uri)
    recorded = rerun.read_recorded(store, find_run(store, arguments.run_name))
    cfg = rerun.plan(recorded, arguments.overrides, store.uri)
    different = rerun.what_differs(recorded, prepare(cfg))
    console.print(f"run {recorded.run.info.run_id} ({recorded.run.info.run_name})", markup=False)
    _show_differences(console, different)
    if arguments.check:
        return 1 if different else 0
    result = rerun.run_again(recorded, cfg)
    if has_unsent(Path(result.folder)):
        return 1
    _show_deviations(console, rerun.deviations(store, recorded.run.info.run_id, result.run_id))
    return 0


def _show_differences(console: Any, different: list[Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not different:
        console.print("Everything is as it was recorded.")
        return
    table = Table("what", "recorded", "now", title="Not as it was recorded", title_justify="left")
    for difference in different:
        table.add_row(*map(escape, difference))
    console.print(table)
    if any(difference.what == "data digest" for difference in different):
        console.print("[bold red]The data is not the data that the run was trained on.[/bold red]")


def _show_deviations(console: Any, found: list[Any]) -> None:
    from rich.table import Table

    apart = [deviation for deviation in found if deviation.largest != 0.0]
    if not apart:
        console.print(f"\nEqual: {len(found)} metrics, every epoch, bit for bit.")
        return
    table = Table("metric", "epochs", "largest difference", title=f"{len(apart)} of {len(found)} metrics differ")
    for deviation in apart:
        largest = "other epochs" if deviation.largest != deviation.largest else f"{deviation.largest:.3g}"
        table.add_row(deviation.metric, str(deviation.points), largest)
    console.print(table)
