"""Kill sweeps a thousand times, and look after every fiftieth whether anything was lost.

make soak
python -m tests.sweep.soak --kills 200 --seed 1

Rounds differ in slots, sampler and pruner; with one slot the outcome is compared with the undisturbed sweep's. A round
that fails ends it all; its folder is kept and named.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.cli.typed import start_fork_server
from tests.sweep.harness import Sweep, harass

ROUND, TRIALS = 50, 24
KINDS = (  # slots, what is typed, victims
    (1, ("sweep.sampler=tpe", "sweep.pruner=median"), ("controller",)),
    (3, ("sweep.sampler=random", "sweep.pruner=hyperband"), ("slot", "slot", "everything")),
    (1, ("sweep.sampler=qmc", "sweep.pruner=successive_halving"), ("controller",)),
    (2, ("sweep.sampler=tpe", "sweep.pruner=none"), ("slot", "slot", "slot", "slot", "everything")),
    (1, ("sweep.sampler=nsga2", "sweep.pruner=percentile"), ("controller",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    server, killed, start = start_fork_server(), Counter[str](), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="landslide-soak-"))
    number = 0
    while killed.total() < arguments.kills:
        slots, more, victims = KINDS[number % len(KINDS)]
        typed = ("x=interval(0,1)", "y=interval(0,1)", "sweep.name=soak", f"sweep.n_trials={TRIALS}", *more)
        sweep = Sweep(
            server, folder / str(number), (*typed, f"sweep.slots={slots}", "sweep.max_attempts=1000", "epoch_s=0.15")
        )
        sweep.folder.mkdir()
        harass(sweep, ROUND, arguments.seed + number, victims, longest_s=2)
        sweep.require_whole(TRIALS, slots=slots)
        if slots == 1:
            undisturbed = Sweep(server, folder / "undisturbed", typed)
            undisturbed.folder.mkdir()
            assert undisturbed.run() == 0
            assert sweep.outcome() == undisturbed.outcome(), sweep.folder
            shutil.rmtree(undisturbed.folder)
        shutil.rmtree(sweep.folder)
        killed += sweep.killed
        number += 1
        told = ", ".join(f"{count} {victim}s" for victim, count in sorted(killed.items()))
        minutes = (time.monotonic() - start) / 60
        sys.stdout.write(f"{killed.total()} kills ({told}), {number} sweeps of {TRIALS} trials, {minutes:.1f} min: ")
        sys.stdout.write("nothing lost, nothing doubled\n")
        sys.stdout.flush()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
