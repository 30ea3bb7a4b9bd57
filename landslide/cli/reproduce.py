"""``landslide reproduce``: a published comparison, trained again and set beside what was published."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landslide.cli.exit_status import FAILED, USER_ERROR

if TYPE_CHECKING:
    from landslide.report.reproduction import Reproduction
    from landslide.sweep.reproduction import Begun, Plan

ROOT = Path(__file__).parents[2]
SEEDS = "0,1,2,3,4"

DESCRIPTION = """\
Train the four models of Oak et al. 2024 (conf/experiment/paper.yaml) with several seeds, as far as they are not trained
yet, and set its Tables I and II beside ours, with a verdict a cell (within our 95 % interval, better, worse, or not
comparable and why), rankings, ratios of times, and our Figures 6, 7 and 8.

  landslide reproduce paper                                        in full: 4 models x 5 seeds x 100 epochs, hub, GPU
  landslide reproduce paper --seeds 0,1,2 sweep.slots=4            a GPU each, where there are four
  landslide reproduce paper --scale epochs=6,encoder=efficientnet_lite0,image_size=128
                                                                   scaled: for a CPU, without the hub
  landslide reproduce paper -o FOLDER data.root=PATH               any value of train.py

It is a sweep, named reproduce-paper and what is scaled: `landslide sweep status` shows how far it is. Killed or
interrupted, the same command goes on; finished, it only writes; with more seeds, it trains only those. Whatever is not
as in the paper stands in every title and in the names of all files. The data is the Bijie dataset, in
data/Bijie-landslide-dataset or where LANDSLIDE_BIJIE_ROOT says.

Exit status: 0; 1 where a run failed; 2 for what you can mend; 130 after Ctrl-C.
"""


def add(commands: Any) -> None:
    """Add the command and its own sub-commands."""
    parser = commands.add_parser(
        "reproduce",
        help="a published comparison beside ours: tables, verdicts, rankings",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    papers = parser.add_subparsers(title="papers", metavar="PAPER", required=True)
    paper = papers.add_parser(
        "paper",
        help="Oak et al. 2024: U-Net, LinkNet, PSPNet and FPN on the Bijie dataset",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    paper.add_argument(
        "overrides", nargs="*", metavar="key=value", help="further values, as after `python train.py -m`"
    )
    paper.add_argument("--seeds", default=SEEDS, metavar="LIST", help=f"that follow one another; without it {SEEDS}")
    paper.add_argument(
        "--scale", default="", metavar="LIST", help="of epochs=, encoder= and image_size=, with commas between"
    )
    paper.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="for the pages; without it `reproduction` in the sweep's own",
    )
    paper.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train what is left, then write."""
    from hydra.errors import CompactHydraException

    from landslide.cli.exit_status import tell_refusal
    from landslide.report.paper import TABLE_II
    from landslide.sweep.reproduction import find_begun, read_plan
    from landslide.training.run import prepare

    try:
        plan = read_plan(
            ROOT / "conf",
            "paper",
            list(TABLE_II),
            seeds=arguments.seeds,
            scale=arguments.scale,
            overrides=arguments.overrides,
        )
    except CompactHydraException as error:  # in Hydra's words, as train.py
        tell_refusal(error, ROOT / "conf")
        return USER_ERROR
    if find_begun(plan) is None:
        prepare(plan.cfg)  # finds data that is not there and a hub that does not answer, before a sweep begins
    status = _train(plan.overrides)
    begun = find_begun(plan)
    if status not in (0, FAILED) or begun is None:
        return status
    _write(plan, begun, arguments.output)
    return status


def _train(overrides: tuple[str, ...]) -> int:
    """``python train.py -m ...`` in this process; returns its exit status."""
    import runpy

    before, script = sys.argv, str(ROOT / "train.py")
    sys.argv = [script, "-m", *overrides]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else FAILED
    finally:
        sys.argv = before
    return 0


def _write(plan: Plan, begun: Begun, output: Path | None) -> None:
    from landslide.report.reproduction import read_reproduction
    from landslide.terminal import open_console, tell
    from landslide.tracking.store import answering, open_existing

    console, store = open_console(), open_existing(plan.cfg.tracking.uri)
    folder = output or begun.folder / "reproduction"
    with answering(store):
        found: Reproduction = read_reproduction(
            store.client, begun.parent_id, name=plan.name, changes=plan.changes, seeds=plan.seeds
        )
        files = found.write(folder)
        for path in files:
            place = "reproduction" if path.parent == folder else f"reproduction/{path.parent.name}"
            store.client.log_artifact(begun.parent_id, str(path), place)
    console.print()
    found.terminal(console)
    console.print()
    page = next(path for path in files if path.suffix == ".html")
    tell(console, f"The whole reproduction: {page}")
