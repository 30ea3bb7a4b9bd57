"""``landslide compare``: any set of stored runs, side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from landslide.cli.tracking_options import add_uri

DESCRIPTION = """\
Compare stored runs, from what they stored: nothing is trained or predicted again.

  landslide compare 3f2c9d...                a multirun stands for all its runs
  landslide compare 81ab... 9c0d... -o out   two runs, and the pages into the folder out
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="compare runs: table, curves, confusion matrices, predictions",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="MLflow run id; of a multirun, for all its runs")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="also write HTML, Markdown, CSV, LaTeX and figures there"
    )
    add_uri(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; write the pages where asked."""
    from landslide.report import compare
    from landslide.terminal import open_console
    from landslide.tracking.store import open_existing

    console = open_console()
    comparison = compare(open_existing(arguments.uri).client, arguments.runs)
    comparison.terminal(console)
    if arguments.output:
        for path in comparison.write(arguments.output):
            console.print(str(path), soft_wrap=True)
    return 0
