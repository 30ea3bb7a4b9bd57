"""Real Optuna studies in memory, as a sweep leaves them: searches of two architectures, and repeats of the first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import optuna
from optuna import Study, Trial
from optuna.pruners import PercentilePruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState

EPOCHS = 6
FAULT = "RuntimeError: <b>no\nkernel</b>"
RECIPE = ["encoder.name=tu-test_resnet", "data.image_size=64", "trainer.max_epochs=6"]

Suggest = Callable[[Trial], dict[str, Any]]


def new_study(stratum: str, *, kind: str = "search", against: tuple[str, ...] = (), **given: Any) -> Study:
    """An empty study that says of itself what the sweep writes."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = given.pop("direction", "maximize")
    study = optuna.create_study(
        directions=[direction, *("minimize" for _ in against)],
        sampler=TPESampler(seed=len(stratum)),
        pruner=PercentilePruner(70.0, n_startup_trials=4, n_warmup_steps=2),
    )
    attributes = {
        "sweep": "lr_batch",
        "stratum": stratum,
        "kind": kind,
        "overrides": [*RECIPE, f"arch={stratum}"],
        "parent_id": "p" * 32,
        "objective": {"metric": "val/f1", "direction": direction},
        "against": list(against),
        "identity": {"data_digest": "d" * 64, "version": "0.1.0"},
        "settings": {"sampler": "tpe", "pruner": "percentile", "n_trials": 30},
    }
    for key, value in (attributes | given).items():
        study.set_user_attr(key, value)
    return study


def suggest(trial: Trial) -> dict[str, Any]:
    """A space with everything: a log scale, choices of numbers, of a group and of null, and a condition."""
    found = {
        "optimizer": trial.suggest_categorical("optimizer", ["adamw", "sgd"]),
        "optimizer.lr": trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True),
        "data.batch_size": trial.suggest_categorical("data.batch_size", [4, 8, 16]),
        "regularization.dropout": trial.suggest_categorical("regularization.dropout", [None, 0.1, 0.3]),
    }
    if found["optimizer"] == "sgd":
        found["optimizer.momentum"] = trial.suggest_float("optimizer.momentum", 0.5, 0.99)
    return found


def f1_of(params: dict[str, Any], level: float) -> float:
    """A formula with one summit: a rate of 5e-3, small batches, Adam."""
    slope = 0.06 * (math.log10(params["optimizer.lr"]) + 2.3) ** 2
    return level - slope - 0.002 * params["data.batch_size"] - 0.02 * (params["optimizer"] == "sgd")


def run_trial(study: Study, trial: Trial, score: float, origin: str, seconds: float = 60.0) -> None:
    """Train by formula: the value of each epoch is reported, the pruner is asked, and the end is told."""
    trial.set_user_attr("origin", origin)
    trial.set_user_attr("launch", {"run_id": f"{study.user_attrs['stratum']}{trial.number:028d}", "attempts": 1})
    for epoch in range(1, EPOCHS + 1):
        trial.report(score * (1 - 0.5 ** (epoch + 1)), epoch)
        if trial.should_prune() and epoch < EPOCHS:
            end(trial, seconds * epoch / EPOCHS, epoch, f"percentile at epoch {epoch}")
            study.tell(trial, state=TrialState.PRUNED)
            return
    end(trial, seconds, EPOCHS, None)
    study.tell(trial, score * (1 - 0.5 ** (EPOCHS + 1)))


def end(trial: Trial, seconds: float, epoch: int | None, reason: str | None) -> None:
    """Write what the sweep knows of a trial that ended."""
    run_id = trial.user_attrs["launch"]["run_id"]
    facts = {"seconds": seconds, "epoch": epoch, "reason": reason, "run_id": run_id, "folder": f"mlruns/{run_id}"}
    trial.set_user_attr("outcome", facts)


def search(stratum: str, level: float, trials: int = 30) -> Study:
    """A search whose first trial is the default setting."""
    study = new_study(stratum)
    default = {"optimizer": "adamw", "optimizer.lr": 2e-4, "data.batch_size": 16, "regularization.dropout": None}
    study.enqueue_trial(default)
    for number in range(trials):
        trial = study.ask()
        score = f1_of(suggest(trial), level)
        run_trial(study, trial, score, "tpe" if number else "default", seconds=50.0 + 5 * level)
    return study


def fail(study: Study, reason: str = FAULT) -> None:
    """A trial that crashes."""
    trial = study.ask()
    suggest(trial)
    trial.set_user_attr("origin", "tpe")
    trial.set_user_attr("launch", {"run_id": "f" * 32, "attempts": 3})
    end(trial, 2.5, None, reason)
    study.tell(trial, state=TrialState.FAIL)


def leave_running(study: Study) -> None:
    """A trial that is interrupted after two epochs."""
    trial = study.ask()
    suggest(trial)
    trial.set_user_attr("origin", "tpe")
    trial.set_user_attr("launch", {"run_id": "a" * 32, "attempts": 1})
    trial.report(0.1, 1)
    trial.report(0.2, 2)


def repeat(stratum: str, scores: list[float]) -> Study:
    """Trainings of one setting with the seeds 1, 2, ..."""
    study = new_study(stratum, kind="repeats")
    for seed, score in enumerate(scores, start=1):
        study.enqueue_trial({"seed": seed})
        trial = study.ask()
        trial.suggest_categorical("seed", list(range(1, len(scores) + 1)))
        run_trial(study, trial, score / (1 - 0.5 ** (EPOCHS + 1)), "seed")
    return study


def two_strata() -> list[Study]:
    """30 trials of U-Net and of FPN; a failed and an interrupted one of FPN; three repeats of U-Net."""
    studies = [search("fpn", 0.86), search("unet", 0.9), repeat("unet", [0.86, 0.87, 0.88])]
    fail(studies[0])
    leave_running(studies[0])
    return studies
