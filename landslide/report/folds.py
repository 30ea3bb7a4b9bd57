"""What a sweep over `data.split.hold_out` says of models on groups that they have not seen.

And how much better a split that holds nothing out makes them look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landslide.config import HOLD_OUT
from landslide.report.figures import INK, MOST_MODELS, PALETTE, styled
from landslide.report.labels import ARCHITECTURES
from landslide.report.pictures import Picture
from landslide.report.runs import Objective
from landslide.report.summary import metric_name
from landslide.report.sweep_table import Cell, Column, setting_text
from landslide.report.sweep_trials import Parameter, Stratum, Trial
from landslide.report.table import MISSING, listed, to_csv

NOT_A_MODEL = (HOLD_OUT, "data.split.seed", "seed")
"""Parameters by which the trainings of one model differ."""

NOTHING_HELD_OUT = "Random split"


@dataclass(frozen=True)
class Model:
    """One setting, trained once for each fold, or as often as there were seeds."""

    label: str
    scores: Mapping[str | None, Sequence[float]]
    """The objective of the last epoch of each finished training, by the group that was held out; None is of nothing
    held out. A fold without a finished training has an empty one."""
    best_scores: Mapping[str | None, Sequence[float]]
    """Of the best epochs, which were chosen on the tiles of the fold itself."""
    maximize: bool

    @property
    def groups(self) -> dict[str, float]:
        """The mean of each group that was held out and has a finished training, in the order of the sweep."""
        return {group: mean(values) for group, values in self.scores.items() if group is not None and values}

    @property
    def unseen(self) -> float | None:
        """The mean over groups; None where one of them is missing, since groups are not equally hard."""
        return mean(self.groups.values()) if self.groups and len(self.groups) == self._asked else None

    @property
    def spread(self) -> float | None:
        """The standard deviation between groups; None where one is missing, and of a single one."""
        return stdev(self.groups.values()) if self.unseen is not None and len(self.groups) > 1 else None

    @property
    def worst(self) -> str | None:
        """The group with the worst mean; None where one of them is missing."""
        choose = min if self.maximize else max
        return choose(self.groups, key=lambda group: self.groups[group]) if self.unseen is not None else None

    @property
    def random(self) -> float | None:
        """The mean of the trainings that held nothing out; None where there is none."""
        values = self.scores.get(None)
        return mean(values) if values else None

    @property
    def optimism(self) -> float | None:
        """By how much the random split looks better than unseen groups; None where one of both is missing."""
        if self.random is None or self.unseen is None:
            return None
        return (self.random - self.unseen) * (1 if self.maximize else -1)

    @property
    def _asked(self) -> int:
        return sum(group is not None for group in self.scores)


@dataclass(frozen=True)
class Folds:
    """A sweep over groups that are held out."""

    models: tuple[Model, ...]
    """Best mean over groups first; those that miss a group come last."""
    objective: Objective

    @property
    def columns(self) -> list[Column]:
        """One row a model: what it reaches on unseen groups, and what a random split says of it."""
        worst = [model.worst for model in self.models]
        values = [
            None if group is None else model.groups[group] for group, model in zip(worst, self.models, strict=True)
        ]
        counts = [sum(map(len, model.scores.values())) for model in self.models]
        columns = [
            Column("Model", tuple(Cell(model.label) for model in self.models), numeric=False),
            self._ranked("Mean of groups", [model.unseen for model in self.models]),
            _numbers("SD of groups", [model.spread for model in self.models]),
            self._ranked("Worst group", values),
            Column("Which", tuple(Cell(group or MISSING) for group in worst), numeric=False),
        ]
        if any(None in model.scores for model in self.models):
            columns += [
                self._ranked(NOTHING_HELD_OUT, [model.random for model in self.models]),
                _numbers("Optimism", [model.optimism for model in self.models], "{:+.4f}"),
            ]
        return [*columns, Column("Trainings", tuple(Cell(str(count)) for count in counts))]

    @property
    def group_columns(self) -> list[Column]:
        """One row a group, the hardest first, and a column a model."""
        groups = self._groups()
        columns = [Column("Held out", tuple(map(Cell, groups)), numeric=False)]
        for model in self.models:
            columns.append(_numbers(model.label, [model.groups.get(group) for group in groups]))
        return columns

    @property
    def sentence(self) -> str:
        """The result in words, and how far it can be trusted."""
        name = metric_name(self.objective.metric)
        first, *others = self.models
        if first.unseen is None:
            return "No model has a finished training for every group that was held out."
        assert first.worst is not None
        reached = (
            f"{first.label} has a mean {name} of {first.unseen:.4f} over the {len(first.groups)} groups that were held "
            f"out in turn, {first.groups[first.worst]:.4f} on the worst ({first.worst})"
        )
        follows = [f"{model.label} {model.unseen:.4f}" for model in others if model.unseen is not None]
        parts = [f"{reached}; then {listed(follows)}." if follows else f"{reached}."]
        gaps = [f"{model.label} {model.optimism:+.4f}" for model in self.models if model.optimism is not None]
        if gaps:
            parts.append(f"Optimism of the random split, above 0 where it makes a model look better: {listed(gaps)}.")
        once = all(len(values) <= 1 for model in self.models for values in model.scores.values())
        parts.append(
            "Each fold was trained once: between models, and for a single group, the seed alone may be the difference."
            if once
            else "Repeats of a fold are averaged."
        )
        return " ".join(parts)

    @property
    def caption(self) -> str:
        """What the numbers are."""
        name = metric_name(self.objective.metric)
        return (
            f"{name} of the last epoch ({self.objective.metric}), so that no epoch is chosen on the group that is held "
            "out; the group validates, all others train. Groups count alike, whatever their size. Optimism: the random "
            "split less the mean of groups. A fold trains on all other groups, so on another number of tiles than the "
            "random split."
        )

    @property
    def picture(self) -> Picture | None:
        """Every fold of every model; None where none has finished."""
        shown = [model for model in self.models if model.groups][:MOST_MODELS]
        if not shown:
            return None
        name = metric_name(self.objective.metric)
        more = f" The first {len(shown)} of {len(self.models)} models." if len(shown) < len(self.models) else ""
        said = [
            f"{model.label}: {min(model.groups.values()):.4f} to {max(model.groups.values()):.4f}" for model in shown
        ]
        return Picture(
            "groups",
            "Groups that were held out",
            f"{name} of the last epoch on each group while it was held out, the hardest one on top; a ring is the "
            f"random split, a line the mean of groups.{more}",
            f"{name} by group that was held out. {'; '.join(said)}.",
            folds_figure(shown, self._groups(), name),
        )

    def csv(self) -> str:
        """One line a model and fold, every number in full; an empty field where it is missing."""
        lines: list[list[object]] = [["model", "held_out", "trainings", "last_epoch", "best_epoch"]]
        for model in self.models:
            for group, values in model.scores.items():
                numbers = [repr(mean(found)) if found else "" for found in (values, model.best_scores[group])]
                lines.append([model.label, group, len(values), *numbers])
        return to_csv(lines)

    def _groups(self) -> list[str]:
        found: dict[str, list[float]] = {}
        for model in self.models:
            for group in model.scores:
                if group is not None:
                    found.setdefault(group, []).extend([model.groups[group]] if group in model.groups else [])
        sign = 1 if self.objective.maximize else -1
        return sorted(found, key=lambda group: sign * mean(found[group]) if found[group] else math.inf)

    def _ranked(self, heading: str, values: Sequence[float | None]) -> Column:
        known = [value for value in values if value is not None]
        choose = max if self.objective.maximize else min
        best = f"{choose(known):.4f}" if len(known) > 1 else None
        return Column(heading, tuple(Cell(text, best=text == best) for text in _texts(values)))


def read_folds(strata: Sequence[Stratum], parameters: Sequence[Parameter], objective: Objective) -> Folds | None:
    """The folds of a sweep; None where no group is held out in turn.

    Args:
        strata: of the sweep.
        parameters: of its space; where groups are held out and others vary too, each setting of these is a model.
        objective: of the sweep.
    """
    axis = next((axis for axis in parameters if axis.key == HOLD_OUT), None)
    if axis is None:
        return None
    others = [other for other in parameters if other.key not in NOT_A_MODEL]
    models = []
    for stratum in strata:
        by_setting: dict[str, list[Trial]] = {}
        for trial in stratum.trials:
            by_setting.setdefault(setting_text(trial.params, others), []).append(trial)
        for setting, trials in by_setting.items():
            name = _name(stratum)
            label = name if setting == MISSING else f"{name}, {setting}"
            models.append(_model(label, trials, axis.choices, objective.maximize))
    sign = -1 if objective.maximize else 1
    return Folds(
        tuple(sorted(models, key=lambda each: math.inf if each.unseen is None else sign * each.unseen)), objective
    )


def _texts(values: Sequence[float | None], form: str = "{:.4f}") -> list[str]:
    return [MISSING if value is None else form.format(value) for value in values]


def _numbers(heading: str, values: Sequence[float | None], form: str = "{:.4f}") -> Column:
    return Column(heading, tuple(map(Cell, _texts(values, form))))


def _name(stratum: Stratum) -> str:
    """Of its architecture where nothing divides the sweep; else the stratum says it."""
    identity = stratum.settings.get("identity") or {}
    return ARCHITECTURES.get(str(identity.get("arch.name")), stratum.label) if stratum.name == "all" else stratum.label


def _model(label: str, trials: Sequence[Trial], groups: Sequence[str | None], maximize: bool) -> Model:
    last: dict[str | None, list[float]] = {group: [] for group in groups}
    best: dict[str | None, list[float]] = {group: [] for group in groups}
    for trial in trials:
        if trial.finished and trial.curve:
            last[trial.params[HOLD_OUT]].append(trial.curve[-1][1])
            best[trial.params[HOLD_OUT]].append(trial.values[0])
    return Model(label, last, best, maximize)


@styled
def folds_figure(models: Sequence[Model], groups: Sequence[str], metric: str) -> Figure:
    """Each group as a row, a dot a model; lines are means over groups, rings the split that holds nothing out.

    Args:
        models: at least one, as many as can be told apart.
        groups: from the top.
        metric: in words.
    """
    figure = Figure(figsize=(6.4, 0.32 * (len(groups) + 1) + 1.4), layout="constrained")
    axis = figure.subplots()
    for colour, model in zip(PALETTE, models, strict=False):
        rows = [row for row, group in enumerate(groups) if group in model.groups]
        axis.plot([model.groups[groups[row]] for row in rows], rows, "o", color=colour, markersize=6)
        if model.unseen is not None:
            axis.axvline(model.unseen, color=colour, linewidth=1, alpha=0.6)
        if model.random is not None:
            axis.plot(model.random, len(groups), "o", color=colour, markerfacecolor="none", markersize=7)
    random = any(model.random is not None for model in models)
    axis.set_yticks(range(len(groups) + random), [*groups, *([NOTHING_HELD_OUT] if random else [])])
    axis.set_ylim(len(groups) - 0.5 + random, -0.5)
    axis.set_xlabel(f"{metric}, last epoch")
    axis.grid(alpha=0.2)
    named = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=model.label)
        for colour, model in zip(PALETTE, models, strict=False)
    ]
    mean_line = Line2D([], [], color=INK, linewidth=1, label="mean of groups")
    figure.legend(handles=[*named, mean_line], loc="outside lower center", ncols=min(len(named) + 1, 4))
    return figure
