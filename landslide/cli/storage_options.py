"""Which database of sweeps a command reads."""

from __future__ import annotations

import argparse
import os


def add_storage(parser: argparse.ArgumentParser) -> None:
    """Add ``--storage``."""
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="Optuna's database; without it LANDSLIDE_SWEEP_STORAGE, else mlruns/sweeps.db in this folder",
    )


def storage_of(arguments: argparse.Namespace) -> str:
    """The address that is meant."""
    from landslide.sweep.storage import STORAGE, resolve_url

    return resolve_url(arguments.storage or os.environ.get(STORAGE))
