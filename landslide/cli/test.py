"""``landslide test``: the tuned settings of a sweep on its test part, once."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from landslide.cli.storage_options import add_storage, storage_of
from landslide.cli.tracking_options import add_uri

DESCRIPTION = """\
Score the tuned setting of each stratum of a sweep, all its repeats, on the test part (data.split.test), and compare
them. The weights are those of the best epoch by validation, the threshold is 0.5. The look is counted on the runs
before anything is predicted; a second one is refused, with other sweeps at the same tiles too. A command that was
interrupted goes on, and counts nothing.

  landslide test lr                 name of a sweep, or id of its MLflow run
  landslide test 3f2c9d -o test     a run of no sweep; the table also into the folder test
  landslide test lr --again         another look, or one at a run that its sweep has not chosen; it is counted
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "test",
        help="score the tuned settings of a sweep on its test part, once",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="SWEEP", help="name of a sweep or run, its MLflow id, or the beginning of one")
    parser.add_argument("--again", action="store_true", help="another look at the test part; it is counted")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="also write the table there")
    parser.add_argument("--data-root", metavar="PATH", help="where the dataset lies, if not where it was trained on")
    add_storage(parser)
    add_uri(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Score, print the table, write it where asked."""
    from functools import partial

    from landslide.errors import make_folder
    from landslide.sweep.custody import find_subject, test
    from landslide.terminal import open_console, tell
    from landslide.tracking.store import open_existing

    console = open_console()
    store = open_existing(arguments.uri)
    subject = find_subject(store, storage_of(arguments), arguments.name)
    if arguments.output:
        make_folder(arguments.output)  # what is wrong with it costs no look
    report = test(
        store,
        subject,
        again=arguments.again,
        command=f"landslide test {shlex.quote(arguments.name)}{' --again' if arguments.again else ''}",
        root=arguments.data_root,
        tell=partial(tell, console),
    )
    console.print()
    report.terminal(console)
    if arguments.output:
        for path in report.write(arguments.output):
            tell(console, str(path))
    return 0
