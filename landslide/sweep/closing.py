"""The end of a sweep: what is sent, compared, shown and kept on its MLflow run."""

from __future__ import annotations

import optuna
from mlflow.entities import Metric
from mlflow.utils.time import get_current_time_millis

from landslide.config import without_credentials
from landslide.errors import TrackingError
from landslide.report import Comparison, compare
from landslide.report.comparison import with_searches
from landslide.report.runs import Objective
from landslide.report.selection import best_alone
from landslide.report.strata import Row
from landslide.report.sweep import SweepReport, report_sweep
from landslide.sweep.opening import Sweep
from landslide.sweep.plan import is_run
from landslide.sweep.study import REPEATS, SEARCH
from landslide.tracking.run import TrackedRun, send_rest
from landslide.tracking.spool import Spool
from landslide.tracking.store import wait_for
from landslide.training.result import RUN, write_json

OF_A_SEARCH = ("best_*.yaml", "groups.csv", "sweep.html", "sweep.md", "trials.csv")
"""Files of ours that an end of the sweep may write and a later one, of other strata, may not."""

NOTE_LENGTH = 8000
"""MLflow cuts what is longer."""


def finish(state: Sweep) -> None:
    """Send what is left, compare, and end the sweep's MLflow run.

    Raises:
        TrackingError: where the tracking server is lost; see :func:`end_without_store`.
    """
    _hand_on_finalists(state)
    wait_for(state.store, state.tell, 0 if state.interrupted else None)  # after a signal nobody waits
    _send_rest(state)
    try:
        _report(state)
    finally:
        end_parent(state, _status(state), "finished" if state.interrupted is None else "paused")


def end_parent(state: Sweep, status: str, sweep_state: str) -> None:
    """End the sweep's MLflow run.

    Args:
        state: the sweep.
        status: of MLflow.
        sweep_state: ``finished`` or ``paused``.
    """
    state.store.client.set_tag(state.parent_id, "landslide.sweep_state", sweep_state)
    state.store.client.set_terminated(state.parent_id, status)


def end_without_store(state: Sweep, error: TrackingError) -> None:
    """Leave what a lost server would have been told, so that ``landslide sync`` tells it; what was trained is kept."""
    facts = {"run_id": state.parent_id, "tracking_uri": without_credentials(state.store.uri)}
    write_json(state.folder / RUN, {**facts, "environment": {}})
    TrackedRun(Spool(state.folder)).set_status("KILLED" if state.interrupted else "FAILED")
    finished = sum(record.finished for record in state.records)
    state.tell(
        f"{error}\nThe sweep ends here, with {finished} runs finished. Their results are in {state.folder}. "
        f"{state.way_on}. Once they are sent, compare them: landslide compare {state.parent_id}"
    )


def _status(state: Sweep) -> str:
    if state.interrupted:
        return "KILLED"
    return "FAILED" if all(record.outcome.get("failed") for record in state.records) else "FINISHED"


def _hand_on_finalists(state: Sweep) -> None:
    """Log the weights of the best settings, which wait in the folders of their trials."""
    if state.cfg.tracking.get("keep_models") != "finalists":
        return
    for branch in state.branches:
        for record in branch.study.records:
            folder = branch.folder / str(record.number)
            if (folder / "model").is_dir() and branch.keeps_model(record):  # else it was handed on before
                TrackedRun(Spool(folder)).log_model()


def _send_rest(state: Sweep) -> None:
    """The finalists' models, and what was kept while the server was away."""
    for branch in state.branches:
        for record in branch.study.records:
            place = branch.folder / str(record.number)
            if record.finished and (place / "unsent").is_dir():
                try:
                    send_rest(state.store, record.launch["run_id"], place)
                except TrackingError as error:  # told again at the end, with the cure
                    state.tell(str(error))


def _report(state: Sweep) -> None:
    """Show what the sweep came to, and keep it on its MLflow run; nothing where no trial was launched."""
    if not any(record.launch for record in state.records):
        return
    objective = Objective(state.cfg.objective.metric, maximize=state.cfg.objective.direction == "maximize")
    client, place = state.store.client, state.folder / "comparison"
    compared = _compared(state)
    tried = sum(len(branch.study.records) for branch in state.branches if branch.kind == SEARCH)
    notes = [] if compared == [state.parent_id] else [best_alone(state.name, tried)]
    comparison = compare(client, compared, objective, notes=notes)
    search = _search_report(state) if state.space.parameters else None
    if search is not None:
        comparison = with_searches(comparison, {state.name: search.pictures})
    pages = {"comparison": comparison.write(place)}
    if search is not None:
        pages["search"] = search.write(place)
    written = {file for files in pages.values() for file in files}
    for old in (file for pattern in OF_A_SEARCH for file in place.glob(pattern)):
        if old not in written:  # it would look as if it were of today
            old.unlink()
    note = _show(state, comparison, search)
    for what, files in pages.items():
        page = next(file for file in files if file.suffix == ".html")
        state.console.print(f"The whole {what}: {page}", markup=False, soft_wrap=True)
    state.console.print("Every run: landslide ui")
    client.log_artifacts(state.parent_id, str(place))
    client.set_tag(state.parent_id, "mlflow.note.content", _within_note(note))
    if not _is_folds(search):
        _show_winner(state, comparison.rows[0])


def _show(state: Sweep, comparison: Comparison, search: SweepReport | None) -> str:
    """Print both; returns their words for the sweep's MLflow run. Where seeds alone vary, nothing was tuned."""
    note = comparison.markdown()
    if search is not None and not search.seeds_alone:
        note = f"{search.markdown()}\n{note}"
        state.console.print()
        search.terminal(state.console)
    if not _is_folds(search):
        state.console.print()
        comparison.terminal(state.console)
    state.console.print()
    return note


def _is_folds(search: SweepReport | None) -> bool:
    """Whether its trials are measured on different tiles, which no comparison can hold."""
    return search is not None and search.folds is not None


def _search_report(state: Sweep) -> SweepReport:
    studies = [optuna.load_study(study_name=branch.study.name, storage=state.storage) for branch in state.branches]
    compose_one = state.request.compose if is_run(state.cfg) else None
    uri = state.store.client.tracking_uri
    return report_sweep(studies, tracking_uri=uri, command=state.command, compose=compose_one)


def _compared(state: Sweep) -> list[str]:
    """What is compared: of a search without repeats its best trials, which the studies know without asking MLflow."""
    found = [branch.study.best for branch in state.branches if branch.kind == SEARCH]
    best = [record.launch["run_id"] for record in found if record is not None]
    repeated = any(
        record.launch for branch in state.branches if branch.kind == REPEATS for record in branch.study.records
    )
    return best if best and state.space.sampler != "grid" and not repeated else [state.parent_id]


def _show_winner(state: Sweep, winner: Row) -> None:
    """Put the best run's figures on the parent, so that a list of multiruns shows what each came to."""
    if winner.score is None:
        return
    client, now = state.store.client, get_current_time_millis()
    client.set_tag(state.parent_id, "landslide.best_run", f"{winner.run.name} {winner.run.id}")
    best = [Metric(key, value, now, 0) for key, value in winner.run.metrics.items() if key.startswith("best/")]
    client.log_batch(state.parent_id, metrics=best)


def _within_note(text: str) -> str:
    rest = "\n\nThe rest is in the artifact comparison.html."
    return text if len(text) <= NOTE_LENGTH else text[: NOTE_LENGTH - len(rest)].rpartition("\n")[0] + rest
