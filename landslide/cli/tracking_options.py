"""The option that commands share which read MLflow."""

from __future__ import annotations

import argparse


def add_uri(parser: argparse.ArgumentParser) -> None:
    """``--uri``."""
    parser.add_argument(
        "--uri",
        metavar="URI",
        help="MLflow store; without it MLFLOW_TRACKING_URI, else mlruns/mlflow.db in this folder",
    )
