"""The result of a sweep in words: what tuning gained, how far that can be trusted, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import mean, stdev

from landslide.report.runs import Objective
from landslide.report.summary import metric_name
from landslide.report.sweep_table import against_name, gain_text
from landslide.report.sweep_trials import FAILED, PRUNED, RUNNING, WAITING, Stratum, seeds_alone
from landslide.report.table import listed

_NOT_TUNED = (
    "Nothing but the seed varies, so nothing was tuned. Epochs were selected on the validation tiles that they are "
    "measured on, which flatters; it is one split, and no difference here is claimed for other tiles."
)


def sentence(strata: Sequence[Stratum], objective: Objective, against: Sequence[str]) -> str:
    """What came out, and how far that can be trusted."""
    ranked = [stratum for stratum in strata if stratum.best]
    if not ranked:
        return "No trial has finished yet."
    if against:
        return _front(ranked, objective, against)
    how = " in the mean over seeds" if _seeded(ranked) else ""
    if seeds_alone(strata):
        return f"{_result(ranked, objective, how)} {_NOT_TUNED}"
    parts = [_result(ranked, objective, f" after tuning{how}"), _gains(ranked), _repeats(ranked), _caveat(ranked)]
    return " ".join(part for part in parts if part)


def missing(strata: Sequence[Stratum]) -> list[str]:
    """Why trials failed, and what has not finished."""
    return [text for stratum in strata for text in _missing(stratum)]


def notes(strata: Sequence[Stratum]) -> list[str]:
    """Why trials failed, what has not finished, and what makes the comparison of strata unfair."""
    found = missing(strata)
    spent = {stratum.label: len(stratum.finished) + stratum.count(PRUNED) for stratum in strata}
    if len(set(spent.values())) > 1 and not seeds_alone(strata):
        trials = ", ".join(f"{label} {count}" for label, count in spent.items())
        found.append(f"The best of more trials is better by chance alone, and their numbers differ: {trials}.")
    return found


def caption(strata: Sequence[Stratum], objective: Objective, against: Sequence[str]) -> str:
    """What the numbers of the table are."""
    measured = f"{metric_name(objective.metric)} is that of a trial's best epoch ({objective.metric})"
    time = "Time is training with validation, over all trials of the search."
    if against:
        return f"{measured}, selected on these validation tiles; the other measures are minimised. {time}"
    known = (
        "Default: the setting as composed, trained once. Tuned: the best trial. Repeats: the tuned setting with other "
        "seeds; SD is the standard deviation between them."
    )
    if seeds_alone(strata):
        known = "Mean and standard deviation (SD) are over seeds."
    elif _seeded(strata):
        known = (
            "Default: the setting as composed. Tuned: the setting with the best mean. Both are means over seeds; "
            + ("repeats are of the tuned setting with further seeds, and " if _repeated(strata) else "")
            + "SD is the standard deviation between the seeds of "
            + ("the repeats." if _repeated(strata) else "the tuned setting.")
        )
    return f"{measured}, selected on these validation tiles. {known} {time}"


def _seeded(strata: Sequence[Stratum]) -> bool:
    """Whether each setting was trained with the seeds of a grid."""
    return any(stratum.seeded for stratum in strata)


def _repeated(strata: Sequence[Stratum]) -> bool:
    return any(stratum.repeated for stratum in strata)


def _result(ranked: Sequence[Stratum], objective: Objective, how: str) -> str:
    first, *others = ranked
    assert first.best
    name = metric_name(objective.metric)
    value = f"{first.score(first.best):.4f}"
    where = _spread(first.scores(first.best)) if first.seeded else f"trial {first.best.number} of {len(first.trials)}"
    if not others:
        return f"{first.label} reached {name} {value}{how} ({where})."
    assert others[0].best
    order = "highest" if objective.maximize else "lowest"
    return (
        f"{first.label} has the {order} {name}{how}, {value} ({where}); "
        f"{others[0].label} follows with {others[0].score(others[0].best):.4f}."
    )


def _gains(ranked: Sequence[Stratum]) -> str:
    gains = [_gain(stratum) for stratum in ranked if stratum.known("default")]
    if not gains:
        return "No finished trial has the default setting, so what tuning gained is not known."
    how = "in means over seeds" if _seeded(ranked) else "trained once"
    return f"Against the default setting, {how}: {listed(gains, '; ')}."


def _gain(stratum: Stratum) -> str:
    default = stratum.known("default")
    assert default
    if stratum.best and default.setting == stratum.best.setting:
        return f"{stratum.label} found nothing better"
    return f"{stratum.label} {gain_text(stratum)}, from {stratum.score(default):.4f}"


def _repeats(ranked: Sequence[Stratum]) -> str:
    means = [repeats_text(stratum) for stratum in ranked if stratum.repeated]
    return f"The tuned settings again with other seeds: {listed(means, '; ')}." if means else ""


def repeats_text(stratum: Stratum) -> str:
    """``U-Net 0.8650 (SD 0.0040, 5 runs)``; one run has no standard deviation."""
    values = stratum.repeated
    return f"{stratum.label} {mean(values):.4f} ({_spread(values)})"


def _spread(values: Sequence[float]) -> str:
    return f"SD {stdev(values):.4f}, {len(values)} runs" if len(values) > 1 else "1 run"


def _caveat(ranked: Sequence[Stratum]) -> str:
    once = "" if _seeded(ranked) or _repeated(ranked) else "Each setting was trained once. "
    return (
        f"{once}Settings and epochs were selected on the validation tiles that they are measured on, so tuned numbers "
        "flatter; it is one split, and no difference here is claimed for other tiles."
    )


def _front(ranked: Sequence[Stratum], objective: Objective, against: Sequence[str]) -> str:
    front, finished = (sum(map(len, lists)) for lists in ([s.front for s in ranked], [s.finished for s in ranked]))
    measures = ", ".join([metric_name(objective.metric), *map(against_name, against)])
    apart = " of their model" if len(ranked) > 1 else ""
    return (
        f"{front} of {finished} finished trials are on the Pareto front{apart}: none is beaten in all of {measures}. "
        "They were selected on the validation tiles that they are measured on, so they flatter; it is one split."
    )


def _missing(stratum: Stratum) -> list[str]:
    found = []
    reasons = Counter(trial.reason.rstrip(".") for trial in stratum.trials if trial.state == FAILED)
    for reason, count in reasons.items():
        trials = "trial" if count == 1 else "trials"
        found.append(f"{stratum.label}: {count} {trials} failed: {reason or 'no reason was stored'}.")
    if failed := sum(trial.state == FAILED for trial in stratum.repeats):
        found.append(f"{stratum.label}: {failed} of {len(stratum.repeats)} repeats failed.")
    if stratum.outdated:
        found.append(
            f"{stratum.label}: its repeats are of trial {stratum.repeated_number}, which is no longer the best."
        )
    if not stratum.finished:
        found.append(f"{stratum.label}: no trial has finished, so nothing is tuned.")
    if left := stratum.count(RUNNING) + stratum.count(WAITING):
        those, them = ("trial has", "it") if left == 1 else ("trials have", "them")
        found.append(f"{stratum.label}: {left} {those} not ended; the same command goes on with {them}.")
    return found
