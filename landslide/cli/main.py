"""The command line; it imports nothing heavy, so that ``--help`` is there at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from landslide import __version__
from landslide.cli import compare, data, doctor, reproduce, rerun, sweep, sync, test, ui
from landslide.cli.exit_status import tell

DESCRIPTION = """\
Train, sweep and compare segmentation models that map landslides from satellite images.

Training is started by train.py, which takes Hydra's overrides:
  python train.py                                   one model on synthetic tiles
  python train.py -m arch=unet,linknet,pspnet,fpn   four models, compared
  python train.py --help                            what can be chosen
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(
        prog="landslide", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"landslide {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (compare, reproduce, sweep, test, rerun, sync, ui, data, doctor):
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 when all went well, 2 for what the user can mend, 130 after Ctrl-C.
    """
    chosen = build_parser().parse_args(arguments)
    try:
        status: int = chosen.run(chosen)
    except (Exception, KeyboardInterrupt) as error:
        return tell("landslide", error)
    return status
