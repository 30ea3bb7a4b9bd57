"""``landslide data``: datasets on disk."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the command and its own sub-commands."""
    parser = commands.add_parser("data", help="write a synthetic dataset", description=__doc__)
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    synthesize = kinds.add_parser(
        "synthesize",
        help="write synthetic terrain with landslides, in the layout of the Bijie dataset",
        description="Write a synthetic dataset in the layout of the Bijie dataset, with an elevation model. The same "
        "seed writes the same bytes; a larger dataset begins with the smaller one. Use it with data.root=PATH "
        "data.generate=null.",
    )
    synthesize.add_argument("path", type=Path, metavar="PATH", help="a folder that does not exist yet")
    synthesize.add_argument("--count", type=int, default=400, help="tiles with a landslide (default: 400)")
    synthesize.add_argument("--non-landslide", type=int, default=0, help="tiles without one (default: 0)")
    synthesize.add_argument("--size", type=int, default=128, metavar="PX", help="side of a tile (default: 128)")
    synthesize.add_argument("--seed", type=int, default=0)
    synthesize.set_defaults(run=run_synthesize)


def run_synthesize(arguments: argparse.Namespace) -> int:
    """Write the dataset and say where it is."""
    from rich.progress import track

    from landslide.data.synthetic import synthesize

    root = synthesize(
        arguments.path,
        count=arguments.count,
        non_landslide=arguments.non_landslide,
        size_px=arguments.size,
        seed=arguments.seed,
        progress=lambda indices: track(list(indices), "Writing tiles"),
    )
    chosen = f"data.root={shlex.quote(str(root))} data.generate=null data.image_size={arguments.size}"
    print(f"{arguments.count} + {arguments.non_landslide} tiles in {root}. Train on them:")
    print(f"  python train.py {chosen} data.split.train=0.8 data.split.val=0.2")
    return 0
