"""The figures of a sweep with their words."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from landslide.report import sweep_figures as figures
from landslide.report.figures import MOST_MODELS
from landslide.report.pictures import Picture
from landslide.report.runs import Objective
from landslide.report.summary import duration, metric_name
from landslide.report.sweep_table import against_name, setting_text
from landslide.report.sweep_trials import ENOUGH_TRIALS, FINISHED, PRUNED, Parameter, Stratum, seeds_alone


def make_pictures(
    strata: Sequence[Stratum], parameters: Sequence[Parameter], objective: Objective, against: Sequence[str]
) -> list[Picture]:
    """The figures that the finished trials allow; none where no trial has finished.

    Args:
        strata: best first.
        parameters: of the space.
        objective: of the sweep.
        against: what it is minimised beside the objective, if anything.
    """
    with_trials = [stratum for stratum in strata if stratum.finished]
    shown = with_trials[:MOST_MODELS]
    if not shown:
        return []
    note = f" The best {len(shown)} of {len(with_trials)} searches." if len(with_trials) > len(shown) else ""
    metric = metric_name(objective.metric)
    varied = [axis for axis in parameters if len({str(t.params.get(axis.key)) for s in shown for t in s.finished}) > 1]
    if seeds_alone(strata):
        return [picture for picture in [_intermediate(shown, metric, note)] if picture]
    pictures: list[Picture | None] = [
        _pareto(shown, metric, against, note) if against else _default_and_tuned(shown, metric, note)
    ]
    if not against and not any(stratum.seeded for stratum in strata):  # the best of several seeds is luck
        pictures.append(_best_against_seconds(shown, metric, note))
    pictures += [
        _history(shown, metric, note),
        _importances(shown, parameters, against, note),
        _slices(shown, varied, metric, note),
        _parallel(shown, varied, metric, note),
        _intermediate(shown, metric, note),
    ]
    return [picture for picture in pictures if picture]


def _default_and_tuned(strata: Sequence[Stratum], metric: str, note: str) -> Picture:
    said = [_gain(stratum) for stratum in strata]
    seeded = any(stratum.seeded for stratum in strata)
    default = "both are means over seeds" if seeded else "the default was trained once"
    return Picture(
        "default_and_tuned",
        "Default and tuned",
        f"The tuned setting is the best of its trials, selected on these tiles; {default}. Repeats "
        f"train the tuned setting with other seeds, which are not selected.{note}",
        f"{metric} of the default setting, the tuned one and its repeats. {'; '.join(said)}.",
        figures.default_and_tuned_figure(strata, metric),
    )


def _gain(stratum: Stratum) -> str:
    assert stratum.best
    default, repeats = stratum.known("default"), stratum.repeated
    before = f" from {stratum.score(default):.4f} to" if default else ""
    after = f", {mean(repeats):.4f} in the mean of {len(repeats)} repeats" if repeats else ""
    return f"{stratum.label}{before} {stratum.score(stratum.best):.4f}{after}"


def _best_against_seconds(strata: Sequence[Stratum], metric: str, note: str) -> Picture:
    said = [f"{s.label}: {s.best.values[0]:.4f} in {duration(s.seconds)}" for s in strata if s.best]
    return Picture(
        "best_against_seconds",
        f"Best {metric} against training time",
        "Training of all trials, pruned and failed ones included, in the order in which they ended; trials that ran "
        f"side by side count one after the other. Each line ends where its budget was spent.{note}",
        f"The best {metric} so far against the training time spent. {'; '.join(said)}.",
        figures.best_against_seconds_figure(strata, metric),
    )


def _history(strata: Sequence[Stratum], metric: str, note: str) -> Picture:
    said = [f"{s.label} is best at trial {s.best.number} of {len(s.trials)}" for s in strata if s.best]
    return Picture(
        "history",
        "Trials in their order",
        f"A trial that was pruned stands at its best epoch, and does not count for the line.{note}",
        f"{metric} of every trial, and the best so far. {', '.join(said)}.",
        figures.history_figure(strata, metric),
    )


def _importances(
    strata: Sequence[Stratum], parameters: Sequence[Parameter], against: Sequence[str], note: str
) -> Picture | None:
    there = [stratum for stratum in strata if stratum.importances]
    if not there:
        return None
    labels = {axis.key: axis.label for axis in parameters}
    said = []
    for stratum in there:
        first, share = next(iter(stratum.importances.items()))
        said.append(f"{stratum.label}: {labels[first]} {share:.0%}")
    best = "on the Pareto front or next to it" if against else "in the best tenth (or five, if these are more)"
    return Picture(
        "importances",
        "What mattered",
        "PED-ANOVA (Watanabe, Bansal and Hutter 2023): how differently a parameter is distributed among the trials "
        f"{best} and among all, as shares. It needs {ENOUGH_TRIALS} finished trials, and from few it is rough.{note}",
        f"Importance of each parameter. Largest: {'; '.join(said)}.",
        figures.importances_figure(there, parameters),
    )


def _slices(strata: Sequence[Stratum], parameters: Sequence[Parameter], metric: str, note: str) -> Picture | None:
    if not parameters:
        return None
    said = [f"{s.label}: {setting_text(s.best.params, parameters)}" for s in strata if s.best]
    return Picture(
        "slices",
        f"{metric} against each parameter",
        "Finished trials; a ring marks the best one of a search. The other parameters vary too, so a cloud is no curve."
        f"{note}",
        f"{metric} of the finished trials against {', '.join(p.label for p in parameters)}. Best: {'; '.join(said)}.",
        figures.slices_figure(strata, parameters, metric),
    )


def _parallel(strata: Sequence[Stratum], parameters: Sequence[Parameter], metric: str, note: str) -> Picture | None:
    if len(parameters) < 2:
        return None
    return Picture(
        "parallel_coordinates",
        "Parallel coordinates",
        "A line is a finished trial; coloured is the best quarter, thick the best one. A line below an axis has no "
        f"such parameter.{note}",
        f"Each finished trial as a line through {', '.join(axis.label for axis in parameters)} to its {metric}.",
        figures.parallel_coordinates_figure(strata, parameters, metric),
    )


def _intermediate(strata: Sequence[Stratum], metric: str, note: str) -> Picture | None:
    curves = [trial.curve for s in strata for trial in s.trials if trial.state in (FINISHED, PRUNED)]
    if not any(len(curve) > 1 for curve in curves):
        return None
    said = [f"{stratum.label}: {stratum.count(PRUNED)} of {len(stratum.trials)} pruned" for stratum in strata]
    return Picture(
        "intermediate_values",
        f"{metric} by epoch",
        f"Thick: the best trial. A grey line ends at a cross, where its trial was pruned.{note}",
        f"{metric} of every trial by epoch. {'; '.join(said)}.",
        figures.intermediate_values_figure(strata, metric),
    )


def _pareto(strata: Sequence[Stratum], metric: str, against: Sequence[str], note: str) -> Picture:
    names = [against_name(key) for key in against]
    said = [f"{s.label}: {len(s.front)} of {len(s.finished)} finished trials are on it" for s in strata]
    return Picture(
        "pareto_front",
        "Pareto front",
        f"No trial beats one on the front in all measures. Up and to the left is better.{note}",
        f"{metric} against {' and '.join(names)}, with the Pareto front. {'; '.join(said)}.",
        figures.pareto_figure(strata, metric, against),
    )
