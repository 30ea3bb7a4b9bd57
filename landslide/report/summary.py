"""The result of a comparison in words, and what makes it unfair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import mean, stdev

from landslide.report.runs import Objective, Run
from landslide.report.table import RATIOS, Row

_SAME: dict[str, tuple[Callable[[Run], str | None], str]] = {
    "device": (lambda run: run.tags.get("landslide.device"), "times and images/s cannot be compared"),
    "precision": (lambda run: run.tags.get("landslide.precision"), "neither times nor last digits can be compared"),
    "data": (lambda run: _short(run.tags.get("landslide.data_digest")), "they saw different images or masks"),
    "split": (lambda run: _short(run.tags.get("landslide.split_digest")), "their tiles are not the same"),
    "number of epochs": (lambda run: run.params.get("trainer.max_epochs"), "some were trained for longer"),
    "commit": (lambda run: _short(run.tags.get("landslide.commit")), "the code may have changed between them"),
    "objective": (lambda run: run.params.get("objective.metric"), "their best epochs were chosen by different metrics"),
}
"""What must be the same for a fair comparison: how to read it, and what follows where it is not."""

_MOST_NAMED = 4


def sentence(rows: Sequence[Row], objective: Objective) -> str:
    """What came out, how far that can be trusted, and how many runs are missing from it."""
    ranked = [row for row in rows if row.score is not None]
    parts = [_result(ranked, objective), _trust(ranked, objective), _unfinished(rows)]
    return " ".join(part for part in parts if part)


def warnings(rows: Sequence[Row]) -> list[str]:
    """A sentence for each thing that the finished runs do not share and that makes comparing them unfair."""
    finished = [row for row in rows if row.run.finished]
    found = []
    for name, (read, consequence) in _SAME.items():
        values = Counter(read(row.run) or "unknown" for row in finished)
        if len(values) > 1:
            named = "; ".join(f"{value} ({_who(finished, read, value)})" for value in values)
            found.append(f"The runs differ in {name}: {consequence}. {named}.")
    if changed := [row for row in finished if row.run.tags.get("landslide.dirty", "").lower() == "true"]:
        found.append(f"Trained with uncommitted changes, so the commit does not say all: {_names(changed)}.")
    return found


def metric_name(key: str) -> str:
    """``val/f1`` is F1, ``val/loss`` is validation loss."""
    name = key.rpartition("/")[2]
    return RATIOS.get(name, key.replace("val/", "validation ").replace("train/", "training "))


def duration(seconds: float) -> str:
    """In words: ``10 min 12 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _result(ranked: Sequence[Row], objective: Objective) -> str:
    if not ranked:
        return "No run has finished yet."
    first, *others = ranked
    name = metric_name(objective.metric)
    time = f", after {duration(first.numbers['time_s'])}" if "time_s" in first.numbers else ""
    if not others:
        return f"{first.label.text} reached {name} {first.score:.4f}{time}; no other finished run stands beside it."
    order = "highest" if objective.maximize else "lowest"
    second = f"{others[0].label.text} follows with {others[0].score:.4f}"
    return f"{first.label.text} has the {order} {name}, {first.score:.4f}{time}; {second}."


def _trust(ranked: Sequence[Row], objective: Objective) -> str:
    """Repeats with other seeds as mean and standard deviation, or that there are none."""
    scores: dict[tuple[str, ...], list[float]] = {}
    names = {}
    for row in ranked:
        settings = {key: value for key, value in row.label.settings.items() if key != "seed"}
        key = (row.label.model, *settings.values())
        names[key] = row.label.model
        scores.setdefault(key, []).append(row.score or 0.0)
    if len(ranked) < 2:
        return ""
    repeated = {key: values for key, values in scores.items() if len(values) > 1}
    if not repeated:
        return "Each was trained once: the order may be chance, because the seed alone moves these numbers."
    order = sorted(repeated, key=lambda key: mean(repeated[key]), reverse=objective.maximize)
    means = [
        f"{names[key]} {mean(repeated[key]):.4f} (SD {stdev(repeated[key]):.4f}, {len(repeated[key])} runs)"
        for key in order
    ]
    return f"Mean over seeds: {listed(means)}."


def _unfinished(rows: Sequence[Row]) -> str:
    states = Counter(row.run.status.lower() for row in rows if not row.run.finished)
    return f"Not finished: {', '.join(f'{count} {state}' for state, count in states.items())}." if states else ""


def _who(rows: Sequence[Row], read: Callable[[Run], str | None], value: str) -> str:
    return _names([row for row in rows if (read(row.run) or "unknown") == value])


def _names(rows: Sequence[Row]) -> str:
    return listed([row.label.text for row in rows])


def listed(texts: Sequence[str], between: str = ", ") -> str:
    """The first few of them, and how many more there are."""
    more = len(texts) - _MOST_NAMED
    return between.join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(digest: str | None) -> str | None:
    return digest[:12] if digest else None
