"""Does a search pay: seconds of training until it has found what the exhaustive grid of the same ranges finds.

The study `sweeps/lr_batch_regularization.yaml` and a full grid over its ranges, on synthetic tiles few and small enough
for the grid; network, data and seed of training are the same. For each seed: the best F1 of the grid, the seconds of
training that the whole grid took, and those after which the search was within 0.005 of that best; beside it what a grid
in random order would need on average, which is what luck alone does.

Then TPE with each pruner is played back on the trials of the grid, of which every epoch is known: how often, and after
which share of the grid's seconds, it finds the grid's best within 0.005 in 40 trials. This costs no training.

    python benchmarks/search.py --slots 2 --out search            trains, hours on two cores
    python benchmarks/search.py --only-read --out search          reads what was trained
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from landslide.config import PRUNERS
from landslide.sweep.study import make_sampler
from landslide.sweep.trial import make_pruner

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 6
PROBLEM = [
    "encoder.name=tu-test_resnet",
    "data.image_size=64",
    "data.generate={count: 128, size_px: 64, non_landslide: 0, seed: 0}",
    "data.split={train: 96, val: 32, seed: 0}",
    f"trainer.max_epochs={EPOCHS}",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "tracking.keep_models=none",
    "tracking.store_probability=false",
]
GRID = [
    "optimizer.lr=1e-4,3e-4,1e-3,3e-3,1e-2",
    "data.batch_size=4,8,16,32",
    "regularization.weight_decay=1e-4,1e-2",
    "regularization.dropout=null,0.2",
]
SEARCHED = [line.partition("=")[0] for line in GRID]
WITHIN = 0.005


@dataclass(frozen=True)
class Course:
    """Trials in the order in which they ended."""

    seconds: npt.NDArray[np.float64]
    """Of training, of each trial."""
    score: npt.NDArray[np.float64]
    """F1 of each trial; 0 where it was pruned or failed."""
    epochs: npt.NDArray[np.int64]
    """That each trial trained."""

    @property
    def spent(self) -> npt.NDArray[np.float64]:
        return np.cumsum(self.seconds)

    @property
    def best(self) -> npt.NDArray[np.float64]:
        return np.maximum.accumulate(self.score)

    def until(self, target: float, order: npt.NDArray[np.int64] | slice = slice(None)) -> float:
        """Seconds of training until the target is reached; NaN where it never is."""
        reached = np.flatnonzero(self.score[order] >= target)
        return float(self.seconds[order][: reached[0] + 1].sum()) if len(reached) else float("nan")

    def epochs_until(self, target: float) -> float:
        """Epochs likewise, which do not depend on what else the machine does."""
        reached = np.flatnonzero(self.score >= target)
        return float(self.epochs[: reached[0] + 1].sum()) if len(reached) else float("nan")


def train(folder: Path, shared: Path, *arguments: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "train.py"), "-m", *PROBLEM, *arguments]
    command += [f"data.root={shared / 'tiles'}", f"data.cache_dir={shared / 'cache'}"]
    command += [f"sweep.storage=sqlite:///{folder.with_suffix('.db')}"]
    with (folder / "output.txt").open("w") as output:
        subprocess.run(command, cwd=folder, check=True, stdout=output, stderr=output)


def read(database: Path) -> list[FrozenTrial]:
    storage = f"sqlite:///{database}"
    (summary,) = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=summary.study_name, storage=storage).get_trials(deepcopy=False)
    finished = [trial for trial in trials if trial.datetime_complete is not None]
    if len(finished) < len(trials):
        print(f"{database.name}: {len(trials) - len(finished)} of {len(trials)} trials have not ended")
    return sorted(finished, key=lambda trial: str(trial.datetime_complete))


def course(trials: Sequence[FrozenTrial]) -> Course:
    score = [trial.values[0] if trial.state.name == "COMPLETE" else 0.0 for trial in trials]
    seconds = [trial.user_attrs["outcome"]["seconds"] for trial in trials]
    return Course(np.array(seconds), np.array(score), np.array([len(trial.intermediate_values) for trial in trials]))


def luck(grid: Course, target: float) -> float:
    """Mean seconds until a grid in random order reaches the target."""
    rng = np.random.default_rng(0)
    return float(np.mean([grid.until(target, rng.permutation(len(grid.score))) for _ in range(2000)]))


def play_back(trials: Sequence[FrozenTrial], pruner: str, seed: int) -> float:
    """Share of the seconds of these trials after which TPE has found the best within the tolerance; NaN for never."""
    known = {tuple(trial.params[key] for key in SEARCHED): trial for trial in trials}
    values = [sorted({point[axis] for point in known}, key=str) for axis in range(len(SEARCHED))]
    whole, target = course(trials).spent[-1], course(trials).best[-1] - WITHIN
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(), pruner=make_pruner(pruner, EPOCHS))
    spent = 0.0
    for number in range(40):
        study.sampler = make_sampler("tpe", seed, number)
        trial = study.ask()
        found = known[tuple(_suggest(trial, key, choices) for key, choices in zip(SEARCHED, values, strict=True))]
        for epoch, value in found.intermediate_values.items():
            trial.report(value, epoch)
            spent += found.user_attrs["outcome"]["seconds"] / EPOCHS
            if epoch < EPOCHS and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, found.value)
            if study.best_value >= target:
                return float(spent / whole)
    return float("nan")


def _suggest(trial: optuna.Trial, key: str, values: Sequence[Any]) -> Any:
    """A number by its rank, so that the sampler knows which are near each other."""
    if any(value is None for value in values):
        return trial.suggest_categorical(key, values)
    return sorted(values)[trial.suggest_int(key, 0, len(values) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=30, help="of each search")
    parser.add_argument("--slots", type=int, default=2, help="processes at a time, of searches and of the grid")
    parser.add_argument("--out", type=Path, default=Path("search"), help="databases, table and figure")
    parser.add_argument("--scratch", type=Path, help="everything else; default: beside them")
    parser.add_argument("--only-read", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out, seeds = arguments.out.resolve(), range(arguments.seeds)
    if not arguments.only_read:
        run(arguments, out, (arguments.scratch or out).resolve())
    of_grid = read(out / "grid.db")
    grids = [course([trial for trial in of_grid if trial.params["seed"] == seed]) for seed in seeds]
    searches = [course(read(out / f"search{seed}.db")) for seed in seeds]
    rows = []
    for seed, grid, search in zip(seeds, grids, searches, strict=True):
        target, whole = grid.best[-1] - WITHIN, grid.spent[-1]
        until = search.until(target)
        row = [len(grid.score), grid.best[-1], whole, search.best[-1], search.spent[-1], until]
        of_epochs = search.epochs_until(target) / grid.epochs.sum()
        rows.append([seed, *row, until / whole, of_epochs, luck(grid, target) / whole])
    names = ["seed", "points", "grid_f1", "grid_s", "search_f1", "search_s", "until_s", "share", "of_epochs", "luck"]
    with (out / "search.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    print("".join(f"{name:>11}" for name in names))
    for row in rows:
        print("".join(f"{value:>11.4f}" if isinstance(value, float) else f"{value:>11}" for value in row))
    shares = np.array([row[names.index("share")] for row in rows])
    reached = ~np.isnan(shares)
    print(f"reached {reached.sum()} of {len(shares)} times, there with a median share of {np.nanmedian(shares):.3f}")
    draw(out / "search.png", grids, searches)
    print("played back: share of searches that found it, median share of the grid's seconds there")
    for pruner in PRUNERS:
        found = [
            play_back([trial for trial in of_grid if trial.params["seed"] == seed], pruner, again)
            for seed in seeds
            for again in range(12)
        ]
        print(f"{pruner:>20} {np.mean(~np.isnan(found)):.2f} {np.nanmedian(found):.3f}")


def run(arguments: argparse.Namespace, out: Path, scratch: Path) -> None:
    train(scratch / "first", scratch, "optimizer.lr=1e-3")  # writes the tiles and the cache, which the others share
    study = ["sweeps=lr_batch_regularization", f"sweep.n_trials={arguments.trials}"]
    seeds = range(arguments.seeds)
    with ThreadPoolExecutor(arguments.slots) as pool:
        jobs = [pool.submit(train, out / f"search{seed}", scratch, *study, f"seed={seed}") for seed in seeds]
        for job in jobs:
            job.result()
    train(out / "grid", scratch, *GRID, f"seed={','.join(map(str, seeds))}", f"sweep.slots={arguments.slots}")


def draw(path: Path, grids: Sequence[Course], searches: Sequence[Course]) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    top = max(one.best[-1] for one in (*grids, *searches))
    figure, axes = plt.subplots(1, len(grids), figsize=(3 * len(grids), 3), sharey=True, layout="constrained")
    for seed, (axis, grid, search) in enumerate(zip(np.atleast_1d(axes), grids, searches, strict=True)):
        axis.step(grid.spent, grid.best, where="post", color="0.6", label="grid")
        axis.step(search.spent, search.best, where="post", color="#0072b2", label="search")
        target = grid.best[-1] - WITHIN
        axis.axhline(target, color="#d55e00", linewidth=0.8, linestyle="--", label="grid's best - 0.005")
        axis.axvline(grid.spent[-1] / 8, color="0.8", linewidth=0.8, label="an eighth of the grid")
        axis.set(xscale="log", xlabel="seconds of training", title=f"seed {seed}", ylim=(0.35, top + 0.02))
    np.atleast_1d(axes)[0].set_ylabel("best F1 so far")
    np.atleast_1d(axes)[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
