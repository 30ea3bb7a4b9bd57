"""What a branch of a sweep is given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from landslide.sweep.plan import Branch
from landslide.sweep.study import Point

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
    study: Any = SimpleNamespace(planned=[Point("grid", point, {}) for point in points])
    space: Any = SimpleNamespace(sampler=sampler)
    rest: dict[str, Any] = {"sweep": "lr", "stratum": None, "kind": "search", "against": [], "keep_models": "none"}
    branch = Branch(**rest, space=space, study=study, folder=Path(), target=target, budget_s=budget_s, pruner="none")
    assert branch.budget == budget
