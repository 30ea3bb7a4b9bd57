"""The result of a comparison in words, and what makes it unfair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from landslide.report.labels import ARCHITECTURES, SEED, Label
from landslide.report.pairs import Question
from landslide.report.runs import AT, Objective, Run
from landslide.report.strata import RATIOS, Row, Stratum
from landslide.report.table import MISSING, listed


def _budget(run: Run) -> str | None:
    epochs = run.params.get("trainer.max_epochs")
    return f"{epochs}, pruned" if "landslide.pruned" in run.tags else epochs


_SAME: dict[str, tuple[Callable[[Run], str | None], str]] = {
    "device": (lambda run: run.tags.get("landslide.device"), "times and images/s are not ranked"),
    "precision": (lambda run: run.tags.get("landslide.precision"), "neither times nor last digits can be compared"),
    "data": (lambda run: _short(run.tags.get("landslide.data_digest")), "they saw different images or masks"),
    "split": (lambda run: _short(run.tags.get("landslide.split_digest")), "their tiles are not the same"),
    "number of epochs": (_budget, "some were trained for longer"),
    "commit": (lambda run: _short(run.tags.get("landslide.commit")), "the code may have changed between them"),
    "objective": (lambda run: run.params.get("objective.metric"), "their best epochs were chosen by different metrics"),
}
"""What must be the same for a fair comparison: how to read it, and what follows where it is not."""

_UNREPEATABLE = ("pspnet", "upernet")
"""Architectures that pool in a way whose backward pass has no deterministic form on CUDA (docs/results.md)."""

_DETERMINISTIC = "trainer.deterministic"


def sentence(strata: Sequence[Stratum], objective: Objective, questions: Sequence[Question]) -> str:
    """What came out, how far that can be trusted, and how many runs are missing from it."""
    ranked = [stratum for stratum in strata if stratum.score is not None]
    parts = [_result(ranked, objective), _trust(ranked, questions), _unfinished(strata)]
    return " ".join(part for part in parts if part)


def unfair(rows: Sequence[Row], budgets: Mapping[str, str]) -> list[str]:
    """A sentence for each thing that the finished runs do not share and that makes comparing them unfair.

    Args:
        rows: of the comparison.
        budgets: by run id, from how much its setting was chosen.
    """
    finished = [row for row in rows if row.run.finished]
    found = []
    same = {**_SAME, "sweep budget": (lambda run: budgets.get(run.id), "the best of more is better by chance alone")}
    for name, (read, consequence) in same.items():
        values = Counter(read(row.run) or "unknown" for row in finished)
        if len(values) > 1:
            named = "; ".join(f"{value} ({_who(finished, read, value)})" for value in values)
            found.append(f"The runs differ in {name}: {consequence}. {named}.")
    if changed := [row for row in finished if row.run.tags.get("landslide.dirty", "").lower() == "true"]:
        found.append(f"Trained with uncommitted changes, so the commit does not say all: {_names(changed, finished)}.")
    if unsure := [row for row in finished if _on_gpu(row.run) and row.run.params.get(_DETERMINISTIC) != "True"]:
        found.append(
            f"Trained on a GPU without {_DETERMINISTIC}=true, so the same seed does not give the same numbers again: "
            f"{_names(unsure, finished)}.{_without_remedy(unsure)}"
        )
    return found


def unfair_between(strata: Mapping[str, Sequence[Run]]) -> list[str]:
    """:func:`unfair` of runs outside a comparison.

    Args:
        strata: by name, runs that differ in their seed alone; none of them was chosen by the numbers that are shown.
    """
    named = [(name, run, run.params.get(SEED, MISSING)) for name, runs in strata.items() for run in runs]
    rows = [Row(run, Label(f"{name}, seed {seed}", name, {}, ""), None, {}) for name, run, seed in named]
    return unfair(rows, {})


def _without_remedy(rows: Sequence[Row]) -> str:
    archs = {row.run.params.get("arch.name", "") for row in rows} & set(_UNREPEATABLE)
    named = " and ".join(sorted(ARCHITECTURES[arch] for arch in archs))
    return f" {named} cannot be trained with it: PyTorch has no deterministic form of their pooling." if named else ""


def one_device(rows: Sequence[Row]) -> bool:
    """Whether times of the finished runs may be put in order."""
    return len({row.run.tags.get("landslide.device") for row in rows if row.run.finished}) <= 1


def metric_name(key: str) -> str:
    """``val/f1`` is F1, ``val/loss`` is validation loss."""
    name = key.rpartition("/")[2]
    return RATIOS.get(name, key.replace("val/", "validation ").replace("train/", "training "))


def duration(seconds: float) -> str:
    """In words: ``10 min 12 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _result(ranked: Sequence[Stratum], objective: Objective) -> str:
    if not ranked:
        return "No run has finished yet."
    first, *others = ranked
    name = metric_name(objective.metric)
    seconds = first.mean("time_s")
    time = f", after {duration(seconds)}" if seconds is not None else ""
    if not others:
        among = f"in the mean of {len(first.finished)} runs " if len(first.finished) > 1 else ""
        return (
            f"{AT['best']}, {first.name} reached {name} {first.score:.4f} {among}".rstrip()
            + f"{time}; no other finished {'stratum' if among else 'run'} stands beside it."
        )
    order = "highest" if objective.maximize else "lowest"
    mean = "mean " if any(len(stratum.finished) > 1 for stratum in ranked) else ""
    second = f"{others[0].name} follows with {others[0].score:.4f}"
    return f"{AT['best']}, {first.name} has the {order} {mean}{name}, {first.score:.4f}{time}; {second}."


def _trust(ranked: Sequence[Stratum], questions: Sequence[Question]) -> str:
    """What the test over seeds says of the first pair, or that there is none."""
    if len(ranked) < 2:
        return ""
    if all(len(stratum.finished) == 1 for stratum in ranked):
        return "Each was trained once: the order may be chance, because the seed alone moves these numbers."
    recipes = questions[-1]
    leading = {stratum.name for stratum in ranked[:2]}
    if recipes.pairs and {recipes.pairs[0].first, recipes.pairs[0].second} == leading:
        return recipes.sentences[0]
    return recipes.refused or recipes.sentences[0]


def _unfinished(strata: Sequence[Stratum]) -> str:
    states = Counter(row.run.status.lower() for stratum in strata for row in stratum.rows if not row.run.finished)
    return f"Not finished: {', '.join(f'{count} {state}' for state, count in states.items())}." if states else ""


def _on_gpu(run: Run) -> bool:
    """A CPU's name ends with its threads, and PyTorch says ``Apple GPU`` for Metal, which is no CUDA."""
    device = run.tags.get("landslide.device", "")
    return bool(device) and "thread" not in device and device != "Apple GPU"


def _who(rows: Sequence[Row], read: Callable[[Run], str | None], value: str) -> str:
    return _names([row for row in rows if (read(row.run) or "unknown") == value], rows)


def _names(rows: Sequence[Row], among: Sequence[Row]) -> str:
    """A stratum by its name where all of its runs are meant, else run by run."""
    others = {row.label.stratum for row in among if row not in rows}
    names = [row.label.text if row.label.stratum in others else row.label.stratum for row in rows]
    return listed(list(dict.fromkeys(names)), "; ")


def _short(digest: str | None) -> str | None:
    return digest[:12] if digest else None
