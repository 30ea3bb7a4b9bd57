"""What a branch of a sweep is given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.config_loader import ConfigLoader
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState, create_trial

from landslide.errors import SweepError
from landslide.sweep.branch import Branch, require_same_distributions, search_branch
from landslide.sweep.storage import open_storage
from landslide.sweep.study import Point
from tests.sweep.spaces import LR, ONLY_SGD, composed, read

SEEDED = [{"optimizer.lr": rate, "seed": seed} for rate in (0.1, 0.2, 0.3) for seed in (0, 1)]


@pytest.mark.parametrize(
    ("sampler", "points", "target", "budget_s", "budget"),
    [
        ("grid", [{}], 1, None, "1 setting"),
        ("grid", SEEDED, 6, None, "3 settings"),
        ("tpe", [{"optimizer.lr": 0.1}], 20, None, "20 settings"),
        ("tpe", [], None, 3600.0, "3600 s of training"),
        ("tpe", [], 20, 3600.0, "20 settings or 3600 s of training"),
    ],
)
def test_a_budget_is_said_in_settings_and_not_in_seeds(
    sampler: str, points: list[dict[str, Any]], target: int | None, budget_s: float | None, budget: str
) -> None:
    study: Any = SimpleNamespace(records=[], planned=[Point("grid", point, {}) for point in points])
    space: Any = SimpleNamespace(sampler=sampler)
    rest: dict[str, Any] = {"sweep": "lr", "stratum": None, "kind": "search", "against": [], "keep_models": "none"}
    branch = Branch(**rest, space=space, study=study, folder=Path(), target=target, budget_s=budget_s, pruner="none")
    assert branch.budget == budget


def branch_of(loader: ConfigLoader, *words: str, storage: BaseStorage | None = None) -> Branch:
    space = read(loader, *words)
    cfg = composed(loader, *(word for word in words if word.startswith("sweep.")))
    place = {"folder": Path(), "facts": {}, "patiently": lambda ask: ask()}
    return search_branch(storage or InMemoryStorage(), "lr", space.strata[0], space, cfg, cfg.sweep, **place)


@pytest.mark.parametrize(("trials", "origins"), [(5, ["default", "paper", *["qmc"] * 3]), (1, ["default"])])
def test_a_sequence_begins_with_what_is_known_to_be_good(loader: ConfigLoader, trials: int, origins: list[str]) -> None:
    branch = branch_of(loader, LR, "sweep.sampler=qmc", f"sweep.n_trials={trials}")
    assert [point.origin for point in branch.study.planned] == origins
    assert branch.target == trials


def test_a_default_is_known_by_its_setting_whichever_seeds_are_listed(loader: ConfigLoader) -> None:
    branch = branch_of(loader, "optimizer.lr=1e-3,2e-3", "seed=1,2", "sweep.n_trials=4")
    found = [(point.origin, point.params["optimizer.lr"], point.params["seed"]) for point in branch.study.planned]
    usual = composed(loader).optimizer.lr
    assert usual in (1e-3, 2e-3)
    assert [each for each in found if each[0] == "default"] == [("default", usual, 1)]


@pytest.mark.parametrize(
    "words",
    [
        [LR, "data.batch_size=range(4,17,4)", "optimizer=adamw,sgd", "sweep.sampler=qmc", "sweep.n_trials=6"],
        ["arch=choice(unet,fpn)", "sweep.sampler=qmc", "sweep.n_trials=6"],
        [LR, "data.batch_size=8,16"],
        ["optimizer=adamw,sgd", "optimizer.momentum=range(0.1,0.35,0.1)", "optimizer.lr=1e-3,2e-3", ONLY_SGD],
    ],
    ids=["sequence", "sequence with points that it has more than once", "known settings", "grid with a condition"],
)
def test_a_plan_goes_on_where_it_was_left_with_the_points_that_no_trial_has(
    loader: ConfigLoader, words: list[str], tmp_path: Path
) -> None:
    def planned() -> list[dict[str, Any]]:
        return [point.params for point in branch.study.planned]

    # Given
    url = f"sqlite:///{tmp_path}/sweeps.db"
    branch = branch_of(loader, *words, storage=open_storage(url))
    whole, target = planned(), branch.target
    assert len(whole) > 1
    for asked in (len(whole) // 2, len(whole)):
        # When
        while len(branch.study.records) < asked:
            branch.study.ask()
        branch = branch_of(loader, *words, storage=open_storage(url))
        # Then
        assert planned() == whole[asked:]
        assert branch.target == target
    assert [record.params for record in branch.study.records] == whole


def test_a_parameter_that_only_a_later_trial_has_is_looked_at_too(loader: ConfigLoader) -> None:
    # Given: the second trial was drawn from another momentum than is asked for
    storage = InMemoryStorage()
    words = ["optimizer=adamw,sgd", LR, ONLY_SGD, "sweep.sampler=random"]
    branch = branch_of(loader, *words, "optimizer.momentum=interval(0.5,0.9)", storage=storage)
    study_id = storage.get_study_id_from_name("lr/all")
    known = {parameter.key: parameter.distribution for parameter in branch.space.parameters}
    for drawn in ({"optimizer.lr": 1e-3}, {"optimizer.lr": 1e-3, "optimizer.momentum": 0.95}):
        of = {**known, "optimizer.momentum": FloatDistribution(0.5, 0.99)}
        distributions = {key: of[key] for key in drawn}
        trial = create_trial(state=TrialState.RUNNING, params=drawn, distributions=distributions)
        storage.create_new_trial(study_id, trial)
    # When / Then
    with pytest.raises(SweepError, match=r"its trials drew optimizer\.momentum from FloatDistribution\(high=0\.99"):
        require_same_distributions(branch)
