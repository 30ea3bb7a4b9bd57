"""``landslide compare``: any set of stored runs, side by side."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landslide.cli.tracking_options import add_uri

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from rich.console import Console

    from landslide.report.pictures import Picture

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
    gc.disable()  # looking for garbage in all that is imported and read took a tenth of the time
    try:
        return _compare(arguments)
    finally:
        gc.enable()


def _compare(arguments: argparse.Namespace) -> int:
    from landslide.errors import make_folder
    from landslide.report import compare
    from landslide.report.comparison import require_comparable, with_searches
    from landslide.terminal import open_console
    from landslide.tracking.store import answering, open_existing

    gc.freeze()  # statsmodels collects garbage at each correction
    console = open_console()
    store = open_existing(arguments.uri)
    with answering(store):
        comparison = compare(store.client, arguments.runs, where=arguments.filter)
    require_comparable(comparison, unpaired=arguments.unpaired)
    if arguments.output and (sweeps := comparison.selection.sweeps):
        comparison = with_searches(comparison, _searches(sweeps, store.uri, console))
    if not arguments.output:
        comparison.terminal(console)
        return 0
    make_folder(arguments.output)  # before anything is shown
    for path in comparison.print_and_write(arguments.output, console):
        console.print(str(path), soft_wrap=True)
    return 0


def _searches(names: Sequence[str], tracking_uri: str, console: Console) -> dict[str, list[Picture]]:
    """The figures of sweeps, from their studies; where those are not here or cannot be read, none, which is said."""
    import os

    from landslide.config import without_credentials
    from landslide.errors import SweepError
    from landslide.report.sweep import report_sweep
    from landslide.sweep.storage import DATABASE_ERRORS, STORAGE, open_existing, reason_of, resolve_url
    from landslide.terminal import tell

    found: dict[str, list[Picture]] = {}
    url, left = resolve_url(os.environ.get(STORAGE)), list(names)
    place = without_credentials(url)
    try:
        storage = open_existing(url)
        for name in names:
            if studies := [] if storage is None else _studies(storage, name):
                found[name] = report_sweep(studies, tracking_uri=tracking_uri, command="").pictures
            else:
                tell(
                    console,
                    f"What mattered in sweep '{name}' is not shown: its studies are not in {place}. Stand in the "
                    f"folder where it was trained, or name the database by {STORAGE}.",
                )
            left.remove(name)
    except (SweepError, *DATABASE_ERRORS) as error:  # the comparison itself needs MLflow alone
        reason = str(error) if isinstance(error, SweepError) else f"{place}: {without_credentials(reason_of(error))}"
        listed, first = ", ".join(f"'{name}'" for name in left), reason.partition("\n")[0]
        tell(console, f"What mattered in {listed} is not shown: {first}")
    return found


def _studies(storage: BaseStorage, sweep: str) -> list[Study]:
    import optuna

    names = [study.study_name for study in storage.get_all_studies() if study.user_attrs.get("sweep") == sweep]
    return [optuna.load_study(study_name=name, storage=storage) for name in names]
