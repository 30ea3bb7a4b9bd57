"""``landslide doctor``: what this machine is, what would be chosen on it, and what would be slow or fail."""

from __future__ import annotations

import argparse
from typing import Any

from landslide.cli.tracking_options import add_uri

MARKS = {"ok": "[green]ok[/green]", "slow": "[yellow]slow[/yellow]", "fail": "[bold red]fails[/bold red]"}


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="hardware, versions, storage, hub: can training start, and what would be slow",
        description="Say what this machine has, what would be chosen on it, and what would be slow. "
        "Exit status 1 where training cannot start.",
    )
    add_uri(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print every finding, the worst ones with their cure."""
    from rich.markup import escape
    from rich.table import Table

    from landslide.terminal import open_console
    from landslide.training.doctor import examine

    console = open_console()
    findings = examine(arguments.uri)
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        table.add_row(escape(finding.what), MARKS[finding.state], escape(finding.found))
        if finding.cure:
            table.add_row("", "", f"[italic]{escape(finding.cure)}[/italic]")
    console.print(table)
    return 1 if any(finding.state == "fail" for finding in findings) else 0
