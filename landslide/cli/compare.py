"""``landslide compare``: any set of stored runs, side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from landslide.cli.tracking_options import add_uri

DESCRIPTION = """\
Compare stored runs, from what they stored: nothing is trained or predicted again.
Runs that differ in nothing but their seed are one stratum, and strata are compared.

  landslide compare architectures            a sweep or multirun, by its name or id
  landslide compare 81ab... 9c0d... -o out   two runs, and the pages into the folder out
  landslide compare --filter "params.`data.name` = 'bijie' and metrics.`best/f1` > 0.8"
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="compare runs: table, intervals, tests, curves, confusion matrices, predictions",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="MLflow run: id, beginning of one, or name; of a sweep, for its runs"
    )
    parser.add_argument("--filter", metavar="TEXT", help="all runs that this filter of MLflow finds")
    parser.add_argument(
        "--unpaired", action="store_true", help="allow runs that were validated on different tiles, which tells less"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="also write HTML, Markdown, CSV, LaTeX and figures there"
    )
    add_uri(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; write the pages where asked."""
    from landslide.report import compare
    from landslide.report.comparison import require_comparable
    from landslide.terminal import open_console
    from landslide.tracking.store import answering, open_existing

    console = open_console()
    store = open_existing(arguments.uri)
    with answering(store):
        comparison = compare(store.client, arguments.runs, where=arguments.filter)
    require_comparable(comparison, unpaired=arguments.unpaired)
    comparison.terminal(console)
    if arguments.output:
        for path in comparison.write(arguments.output):
            console.print(str(path), soft_wrap=True)
    return 0
