"""Which runs a comparison is of: those that were named, the runs of a sweep, or those that a filter finds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean

from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode
from mlflow.tracking import MlflowClient

from landslide.errors import ComparisonError
from landslide.report.labels import SEED, setting_key
from landslide.report.runs import UNDER_WAY, Objective, Run, objective_of, read_run, read_score
from landslide.report.table import listed
from landslide.tracking.store import find_runs, runs_by_id, search

MOST_SETTINGS = 24
"""A grid of no more is compared whole; of a larger one, and of a search, the best setting of each stratum."""

PARENT = "mlflow.parentRunId"
BUDGET = "landslide.budget."
"""Tag of a sweep's own run, before the name of a stratum: what its search was given."""
ONE_SETTING = "1 setting"
_KIND, _STRATUM, _TRIAL, _REPEAT_OF = "landslide.kind", "landslide.stratum", "landslide.trial", "landslide.repeat_of"


@dataclass(frozen=True)
class Selection:
    """Runs to compare, each once, in the order asked for."""

    objective: Objective
    runs: tuple[Run, ...]
    named: frozenset[str] = frozenset()
    """Ids of those that were asked for by themselves, and not as runs of a sweep or by a filter."""
    sweeps: tuple[str, ...] = ()
    """Names of the sweeps that are among them."""
    notes: tuple[str, ...] = ()
    """What stands for a sweep, and what is left out, a sentence each."""
    budgets: Mapping[str, str] = field(default_factory=dict)
    """By run id: from how much its setting was chosen, for people; without those of which it is not known."""


def select(
    client: MlflowClient, names: Sequence[str], where: str | None = None, objective: Objective | None = None
) -> Selection:
    """Find runs.

    Args:
        client: of the store that holds them.
        names: ids of runs, beginnings of ids, or names; a multirun or sweep stands for its runs: for its repeats where
            it has any, else for all settings of a small grid, else for the best setting of each stratum. Of these
            and of what the filter finds, a trial that a search chose is left out where repeats of its setting stand.
        where: MLflow's filter, such as ``params.arch.name = 'unet'``; sweeps themselves are not among what it finds.
        objective: where the caller knows it, since runs that failed early have stored none.

    Raises:
        ComparisonError: nothing is asked for or found, the filter cannot be read, a multirun has no runs, or no run was
            logged by landslide.
        TrackingError: a name is of no run, or of several.
    """
    found: dict[str, Run] = {}
    named: set[str] = set()
    sweeps: dict[str, str] = {}
    of_sweeps: set[str] = set()
    for run in find_runs(client, names):
        if run.data.tags.get(_KIND) == "multirun":
            name = run.data.tags.get("landslide.sweep", run.info.run_name)
            chosen, sweeps[name] = _of_sweep(client, run, objective)
            of_sweeps |= {each.id for each in chosen}
        else:
            chosen = [read_run(run)]
            named.add(run.info.run_id)
        found |= {each.id: each for each in chosen}
    if where is not None:
        found |= {run.id: run for run in _filtered(client, where)}
    if not found:
        raise ComparisonError("No run to compare: name at least one run id, the id of a multirun, or a filter.")
    budgets = _budgets(client, found.values())
    left_out = [each for each in _chosen_beside_repeats(found.values(), budgets) if each.id not in of_sweeps]
    for each in left_out:
        del found[each.id]
    return Selection(
        objective=objective or objective_of(found.values()),
        runs=tuple(found.values()),
        named=frozenset(named),
        sweeps=tuple(sweeps),
        notes=(*filter(None, sweeps.values()), *([_told(left_out)] if left_out else [])),
        budgets=budgets,
    )


def _filtered(client: MlflowClient, where: str) -> list[Run]:
    try:
        found = search(client, where)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(INVALID_PARAMETER_VALUE):
            raise
        raise ComparisonError(
            f"--filter {where!r}: MLflow cannot read it ({error.message}). Write for example: "
            "\"params.`arch.name` = 'unet' and metrics.`best/f1` > 0.8\""
        ) from error
    runs = [read_run(run) for run in found if run.data.tags.get(_KIND) in ("run", "repeat")]
    if not found:
        raise ComparisonError(f"--filter {where!r}: finds no run. What there is to find: landslide ui")
    if not runs:
        raise ComparisonError(
            f"--filter {where!r}: finds {len(found)}, and no training of landslide is among them. A sweep is named "
            "without --filter: landslide compare NAME"
        )
    return runs


def _of_sweep(client: MlflowClient, parent: MlflowRun, objective: Objective | None) -> tuple[list[Run], str]:
    """The runs that stand for a sweep, and what must be said where they are not all."""
    name = parent.info.run_name
    children = _children(client, parent)
    if not children:
        raise ComparisonError(
            f"Multirun '{name}' ({parent.info.run_id}) has no runs yet: wait for its first one, or name other runs."
        )
    repeats = [run for run in children if _is_repeat(run)]
    searched = [run for run in children if not _is_repeat(run)]
    if repeats and _chose_nothing(searched, repeats):  # as of a reproduction, whose search trained the first seed
        trained = {_seed_of(run) for run in searched}
        return [*searched, *(run for run in repeats if _seed_of(run) not in trained)], ""
    settings = {setting_key(run) for run in searched}
    if not repeats and parent.data.tags.get("landslide.sampler", "grid") == "grid" and len(settings) <= MOST_SETTINGS:
        return children, ""
    best = set(_best_settings(client, searched, objective or objective_of(children)))
    standing = _repeats_of(best, searched, repeats)
    repeated = {run.tags.get(_STRATUM) for run in standing}
    alone = [run for run in searched if run.id in best and run.tags.get(_STRATUM) not in repeated]
    if not standing and not alone:
        return children[:MOST_SETTINGS], f"Of sweep '{name}' stand the first runs; none has finished."
    said = [_tuned(name, searched, standing, alone) if standing else best_alone(name, len(settings))]
    if beaten := len(repeats) - len(standing):
        said.append(f"Left out, as repeats of settings that were beaten since: {beaten}.")
    if going := sum(run.status in UNDER_WAY for run in searched):
        said.append(f"Still going, so the best setting may change: {going} of its runs.")
    return [*standing, *alone], " ".join(said)


def _tuned(sweep: str, searched: Sequence[Run], repeats: Sequence[Run], alone: Sequence[Run]) -> str:
    """What must be said of repeats, and of the strata that have none."""
    ran = {run.params[SEED] for run in searched if SEED in run.params}
    both = list(dict.fromkeys(run.params[SEED] for run in repeats if run.params.get(SEED) in ran))
    were = "was seed" if len(both) == 1 else "were seeds"
    seen = f"so {were} {listed(both)}, with which the search ran; the other seeds of the repeats were not."
    said = (
        f"Of sweep '{sweep}' stand the repeats of each tuned setting. The settings were selected on these tiles; "
        + (seen if both else "the seeds of the repeats were not.")
    )
    if not alone:
        return said
    strata = ", ".join(dict.fromkeys(run.tags.get(_STRATUM, "") for run in alone))
    return f"{said} Of {strata} stands the best setting as it was selected, so its numbers flatter: it has no repeats."


def _repeats_of(best: Collection[str], searched: Sequence[Run], repeats: Sequence[Run]) -> list[Run]:
    """Those that are of no other trial than the best: a search that went on may have beaten what it repeated first.

    Of which trial a repeat is says its tag, in older sweeps its setting. It stays where that trial is not stored, or
    where none of its stratum has a score.
    """
    scored = {run.tags.get(_STRATUM) for run in searched if run.id in best}
    others = [run for run in searched if run.finished and run.tags.get(_STRATUM) in scored and run.id not in best]
    beaten = _as_repeated(others) - _as_repeated([run for run in searched if run.id in best])
    return [
        run for run in repeats if (run.tags.get(_STRATUM), run.tags.get(_REPEAT_OF, setting_key(run))) not in beaten
    ]


def _as_repeated(trials: Sequence[Run]) -> set[Hashable]:
    """By what a repeat may know them: number and setting, within their strata."""
    return {(run.tags.get(_STRATUM), known) for run in trials for known in (run.tags.get(_TRIAL), setting_key(run))}


def _chosen_beside_repeats(runs: Collection[Run], budgets: Mapping[str, str]) -> list[Run]:
    """Trials that a search chose among others, of settings whose repeats have finished too."""

    def setting(run: Run) -> Hashable:
        return run.tags.get(PARENT), run.tags.get(_STRATUM), setting_key(run)

    repeated = {setting(run) for run in runs if _is_repeat(run) and run.finished}
    return [
        run
        for run in runs
        if not _is_repeat(run) and run.finished and setting(run) in repeated and budgets.get(run.id) != ONE_SETTING
    ]


def _told(left_out: Sequence[Run]) -> str:
    tags = [defaultdict(str, run.tags) for run in left_out]
    names = [f"trial {each[_TRIAL]} of {each[_STRATUM]} in sweep '{each['landslide.sweep']}'" for each in tags]
    return (
        f"Left out: {listed(names)}. The setting was chosen by its number on these tiles, which flatters, and repeats "
        "of it stand here."
    )


def best_alone(sweep: str, settings: int) -> str:
    """What must be said where the best setting of each stratum stands for a sweep of so many."""
    return (
        f"Of sweep '{sweep}' stands the best setting of each stratum, of {settings} in all: selected on these tiles, "
        "so its numbers flatter, and no test here knows of that. `sweep.repeats=5` would train it anew."
    )


def _budgets(client: MlflowClient, runs: Collection[Run]) -> dict[str, str]:
    """What the sweep of each run gave its stratum; who trains one setting chooses from one."""
    sweeps = runs_by_id(client, list({run.tags[PARENT] for run in runs if PARENT in run.tags}))
    found = {}
    for run in runs:
        sweep = sweeps.get(run.tags.get(PARENT, ""))
        tag = f"{BUDGET}{run.tags.get(_STRATUM, '')}"
        if PARENT not in run.tags:
            found[run.id] = ONE_SETTING
        elif sweep is not None and tag in sweep.data.tags:
            found[run.id] = sweep.data.tags[tag]
    return found


def _children(client: MlflowClient, parent: MlflowRun) -> list[Run]:
    where = f"tags.`{PARENT}` = '{parent.info.run_id}'"
    return sorted(map(read_run, search(client, where, [parent.info.experiment_id])), key=_place)


def _is_repeat(run: Run) -> bool:
    return run.tags.get(_KIND) == "repeat"


def _chose_nothing(trials: Sequence[Run], repeats: Sequence[Run]) -> bool:
    """Whether a search had one setting for each stratum, which its repeats train again."""
    settings = {(run.tags.get(_STRATUM), setting_key(run)) for run in trials}
    strata = {stratum for stratum, _ in settings}
    return (
        len(trials) <= MOST_SETTINGS
        and len(settings) == len(strata)
        and all((run.tags.get(_STRATUM), setting_key(run)) in settings for run in repeats if run.params)
    )


def _seed_of(run: Run) -> tuple[str | None, str | None]:
    """Within its sweep."""
    return run.tags.get(_STRATUM), run.params.get(SEED)


def _best_settings(client: MlflowClient, children: Sequence[Run], objective: Objective) -> list[str]:
    """Ids of all finished runs of the setting with the best mean, of each stratum of a sweep."""
    groups: dict[str, dict[object, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for run in children:
        score = read_score(client, run, objective) if "landslide.pruned" not in run.tags else None
        if score is not None:
            groups[run.tags.get(_STRATUM, "")][setting_key(run)][run.id] = score
    choose = max if objective.maximize else min
    return [
        run_id
        for settings in groups.values()
        for run_id in choose(settings.values(), key=lambda scores: mean(scores.values()))
    ]


def _place(run: Run) -> tuple[float, int]:
    number = run.tags.get(_TRIAL, "")
    return int(number) if number.isdigit() else math.inf, run.started
