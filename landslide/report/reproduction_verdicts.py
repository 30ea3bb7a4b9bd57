"""The paper's numbers against ours: a verdict a number, and which model is the better one by each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import kendalltau

from landslide.report.paper import METRICS, TABLE_II, Reported
from landslide.report.reproduction_models import TIME, Model
from landslide.report.reproduction_settings import Change
from landslide.report.statistics import Estimate

WITHIN, BETTER, WORSE, NOT = "within our interval", "better", "worse", "not comparable"
_OTHER_DATA = ("data.name", "data.layout", "data.generate", "data.root", "data.negatives.val")
"""Of what is measured: what is trained on beside it, as ``data.negatives.train``, is a recipe that may be compared."""
_OTHER_SPLIT = ("data.split.by", "data.split.hold_out", "data.split.csv")


def verdict_on(model: Model, quantity: str, changes: Sequence[Change]) -> str:
    """What the paper's number is to ours.

    Args:
        model: ours.
        quantity: a metric, or :data:`~landslide.report.reproduction_models.TIME`.
        changes: what is not as the paper has it.
    """
    if quantity == TIME:
        return f"{NOT}: another machine"
    if any(change.key in _OTHER_DATA for change in changes):
        return f"{NOT}: other data"
    if any(change.key in _OTHER_SPLIT for change in changes):
        return f"{NOT}: not a split at random"
    return verdict(reported(TABLE_II[model.arch], quantity), model.estimate(quantity))


def verdict(theirs: float, ours: Estimate | None) -> str:
    """What a published number is to our interval: :data:`WITHIN`, :data:`BETTER`, :data:`WORSE`, or why it is neither.

    Examples:
        >>> verdict(0.85, Estimate(0.86, 0.01, 0.84, 0.88, seeds=5, tiles=80))
        'within our interval'
        >>> verdict(0.85, Estimate(0.9, 0.01, 0.88, 0.92, seeds=5, tiles=80))
        'better'
        >>> verdict(0.85, Estimate(0.9, math.nan, 0.88, 0.92, seeds=1, tiles=80))
        'not comparable: one seed has no interval'
    """
    if ours is None:
        return f"{NOT}: no run has finished"
    if ours.seeds == 1:
        return f"{NOT}: one seed has no interval"
    if math.isnan(ours.mean):
        return f"{NOT}: undefined in a run"
    if math.isnan(ours.low):
        return f"{NOT}: {ours.mean:g} in every run has no interval"
    return WITHIN if ours.low <= theirs <= ours.high else BETTER if theirs < ours.low else WORSE


@dataclass(frozen=True)
class Ranking:
    """Two orders of the models, best first."""

    quantity: str
    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    tau: float
    """Kendall's tau-b (1945): 1 where both orders are the same, -1 where one is the other turned round; NaN where one
    of them is all ties."""
    p: float
    """Of a tau so far from 0 or farther, if all orders were as likely."""


def rankings(models: Sequence[Model]) -> list[Ranking]:
    """By each metric and by time, of the models that have numbers; none of fewer than two."""
    found = [rank(quantity, models) for quantity in (*METRICS, *([TIME] if one_device(models) else []))]
    return [ranking for ranking in found if ranking is not None]


def one_device(models: Sequence[Model]) -> bool:
    """Whether all times are of one device."""
    return len({run.tags.get("landslide.device") for model in models for run in model.runs}) == 1


def rank(quantity: str, models: Sequence[Model]) -> Ranking | None:
    """The paper's order of the models and ours; None where fewer than two have a number.

    Args:
        quantity: a metric, of which more is better, or :data:`TIME`, of which less is.
        models: in any order.
    """
    known = [model for model in models if not math.isnan(model.mean(quantity))]
    if len(known) < 2:
        return None
    sign = 1 if quantity == TIME else -1
    theirs = [sign * reported(TABLE_II[model.arch], quantity) for model in known]
    ours = [sign * model.mean(quantity) for model in known]
    found = kendalltau(theirs, ours)
    return Ranking(
        quantity, _ordered(known, theirs), _ordered(known, ours), float(found.statistic), float(found.pvalue)
    )


def _ordered(models: Sequence[Model], values: Sequence[float]) -> tuple[str, ...]:
    return tuple(models[at].name for at in sorted(range(len(models)), key=values.__getitem__))


def reported(row: Reported, quantity: str) -> float:
    """A number of Table II by its name."""
    return float(row.minutes if quantity == TIME else getattr(row, quantity))
