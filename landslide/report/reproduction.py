"""A published comparison beside ours: its two tables with a verdict a cell, its rankings, its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from mlflow.tracking import MlflowClient
from rich.console import Console
from scipy.stats import kendalltau

from landslide.errors import ComparisonError
from landslide.metrics import ratios
from landslide.report import figures, page, paper, statistics
from landslide.report.comparison import write_files
from landslide.report.figures import Panel, Series
from landslide.report.labels import ARCHITECTURES
from landslide.report.pairs import RECIPES
from landslide.report.paper import TABLE_II, Reported
from landslide.report.pictures import Picture
from landslide.report.reproduction_settings import Change, settings_table
from landslide.report.runs import (
    Artifacts,
    Objective,
    Run,
    Validation,
    artifact_file,
    objective_of,
    read_artifacts,
    read_histories,
    read_run,
    read_validation,
)
from landslide.report.statistics import Estimate
from landslide.report.strata import RATIOS
from landslide.report.table import (
    MISSING,
    PLUS_MINUS,
    Cell,
    Column,
    csv_number,
    escape_markdown,
    estimate_text,
    interval_cell,
    print_table,
    to_csv,
    to_latex,
    to_markdown,
    words,
)
from landslide.tracking.store import search

WITHIN, BETTER, WORSE, NOT = "within our interval", "better", "worse", "not comparable"
TIME = "Time"
_OTHER_DATA = ("data.name", "data.layout", "data.generate")


@dataclass(frozen=True)
class Model:
    """What was trained of one model."""

    arch: str
    runs: tuple[Run, ...]
    """Those that finished, by seed."""
    counts: statistics.Counts
    """``(seeds, tiles, 4)`` at the last epoch: TP, FP, FN, TN pixels."""

    @property
    def name(self) -> str:
        """For people."""
        return ARCHITECTURES[self.arch]

    @property
    def minutes(self) -> float:
        """Of training, mean over seeds; NaN where nothing finished."""
        seconds = [run.metrics["time/fit_s"] for run in self.runs if "time/fit_s" in run.metrics]
        return sum(seconds) / len(seconds) / 60 if seconds else math.nan

    def estimate(self, metric: str) -> Estimate | None:
        """At the last epoch; None where nothing finished."""
        return statistics.estimate(self.counts, metric) if self.runs else None

    def mean(self, quantity: str) -> float:
        """Of a metric, or of :data:`TIME` in minutes; NaN where nothing finished."""
        found = None if quantity == TIME else self.estimate(quantity)
        return self.minutes if quantity == TIME else math.nan if found is None else found.mean


@dataclass(frozen=True)
class Shown:
    """What figures and Table I need of a model."""

    artifacts: Artifacts
    """Of its first seed. The pictured tiles have the probability of the last epoch; they are missing where that was
    not stored."""
    histories: tuple[Mapping[str, Series], ...]
    """Of each seed."""


@dataclass(frozen=True)
class Table:
    """A table with its words."""

    title: str
    columns: Sequence[Column]
    caption: str


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


@dataclass(frozen=True)
class Reproduction:
    """What is known of a reproduction, finished or not."""

    name: str
    """Of its sweep and its files; holds everything that is scaled."""
    changes: tuple[Change, ...]
    """What is not as the paper has it."""
    seeds: tuple[int, ...]
    """Asked for."""
    models: tuple[Model, ...]
    """In the order of Table II."""
    shown: Mapping[str, Shown]
    """By architecture, of those that finished with a seed."""
    failures: tuple[str, ...]
    """A sentence for each run that failed."""
    objective: Objective
    tracking_uri: str
    created: datetime
    """In UTC."""

    @property
    def scaled(self) -> str:
        """What is scaled, in words; empty where nothing is."""
        return ", ".join(map(str, self.changes))

    @property
    def title(self) -> str:
        """What is reproduced, and how it is scaled."""
        return self._titled(f"{paper.CITATION}, reproduced")

    def _titled(self, title: str) -> str:
        return f"{title} (scaled: {self.scaled})" if self.changes else title

    @property
    def sentence(self) -> str:
        """The result in words."""
        verdicts = [self.verdict(model, metric) for model in self.models for metric in paper.METRICS]
        found = {kind: sum(verdict == kind for verdict in verdicts) for kind in (WITHIN, BETTER, WORSE)}
        said = ", ".join(f"{count} {kind}" for kind, count in found.items())
        left = len(verdicts) - sum(found.values())
        ranking = next((ranking for ranking in self.rankings if ranking.quantity == "f1"), None)
        return (
            f"Of {len(verdicts)} cells of Table II without times, ours at the last epoch are: {said}, {left} {NOT}."
        ) + (
            f" By F1 the paper ranks {', '.join(ranking.theirs)}; we {', '.join(ranking.ours)}: Kendall's tau "
            f"{two_digits(ranking.tau)}."
            if ranking
            else ""
        )

    @property
    def notes(self) -> list[str]:
        """What a reader must know, a sentence or two each."""
        scaled = (
            f"Scaled, so this is not the paper's experiment: "
            f"{'; '.join(f'{change.label} {change.ours}, theirs {change.theirs}' for change in self.changes)}."
        )
        return [
            *([scaled] if self.changes else []),
            *self._missing,
            *paper.REMARKS,
            f"{paper.remark_on_shares()} {self._our_share}".rstrip(),
        ]

    @property
    def _missing(self) -> list[str]:
        lacks = [
            f"{model.name} seed {', '.join(map(str, seeds))}"
            for model in self.models
            if (seeds := sorted(set(self.seeds) - {seed_of(run) for run in model.runs}))
        ]
        return [*([f"Not there, and left out: {'; '.join(lacks)}."] if lacks else []), *self.failures]

    @property
    def _our_share(self) -> str:
        for model in self.models:
            if model.runs:
                hits, _, misses, _ = model.counts[0].sum(axis=0)
                return f"In ours it is {100 * (hits + misses) / model.counts[0].sum():.2f} %."
        return ""

    def verdict(self, model: Model, quantity: str) -> str:
        """What the paper's number is to ours."""
        if quantity == TIME:
            return f"{NOT}: another machine"
        if any(change.key in _OTHER_DATA for change in self.changes):
            return f"{NOT}: other data"
        return verdict(getattr(TABLE_II[model.arch], quantity), model.estimate(quantity))

    @cached_property
    def tables(self) -> list[Table]:
        """Tables I and II, rankings and times."""
        first = next((model for model in self.models if model.runs), None)
        settings = [] if first is None else [self._settings(first)]
        return [*settings, self._results, self._orders, self._times]

    def _settings(self, model: Model) -> Table:
        run, artifacts = model.runs[0], self.shown[model.arch].artifacts
        return Table(
            self._titled("Table I and section IV: hyperparameters"),
            settings_table(run, artifacts.split, artifacts.environment, self.changes),
            f"Ours as {model.name} of seed {seed_of(run)} recorded it; the models share them.",
        )

    @property
    def _results(self) -> Table:
        rows = [(model, quantity) for model in self.models for quantity in (*paper.METRICS, TIME)]
        found = [None if quantity == TIME else model.estimate(quantity) for model, quantity in rows]
        ours = [
            estimate_text(each) if quantity != TIME else minutes_text(model.minutes)
            for (model, quantity), each in zip(rows, found, strict=True)
        ]
        one_seed = any(each is not None and each.seeds == 1 for each in found)
        return Table(
            self._titled("Table II: performance"),
            [
                words("Model", [model.name for model, _ in rows]),
                words("Quantity", [RATIOS.get(quantity, "Time (min)") for _, quantity in rows]),
                _numbers(paper.CITATION, [theirs_text(TABLE_II[model.arch], quantity) for model, quantity in rows]),
                _numbers("Ours", ours, [model.mean(quantity) for model, quantity in rows]),
                Column("interval", "95 % interval", tuple(map(_interval, found))),
                words("Verdict on ours", [self.verdict(model, quantity) for model, quantity in rows]),
            ],
            f"Ours at the last epoch, mean {PLUS_MINUS} standard deviation over seeds, pixels of all validation tiles "
            "pooled; the 95 % interval is of the mean, over seeds and tiles"
            f"{' (of one seed: over tiles alone)' if one_seed else ''}. Better and worse: our interval lies above or "
            "below the paper's number. Scores of the landslide class.",
        )

    @cached_property
    def rankings(self) -> list[Ranking]:
        """By each metric and by time, of the models that have numbers; none of fewer than two."""
        found = [rank(quantity, self.models) for quantity in (*paper.METRICS, *([TIME] if self.one_device else []))]
        return [ranking for ranking in found if ranking is not None]

    @property
    def one_device(self) -> bool:
        """Whether all times are of one device."""
        return len({run.tags.get("landslide.device") for model in self.models for run in model.runs}) == 1

    @property
    def _orders(self) -> Table:
        found = self.rankings
        devices = "" if self.one_device else " Our runs were trained on several devices, so their times are not ranked."
        return Table(
            self._titled("Rankings"),
            [
                words("By", [RATIOS.get(ranking.quantity, "Training time") for ranking in found]),
                words(paper.CITATION, [", ".join(ranking.theirs) for ranking in found]),
                words("Ours", [", ".join(ranking.ours) for ranking in found]),
                _numbers("Kendall's tau", [two_digits(ranking.tau) for ranking in found]),
                _numbers("p", [two_digits(ranking.p) for ranking in found]),
            ],
            "Best first. Of four models even the same order (tau 1) has p = 0.08: two of the 24 orders are so far from "
            f"chance.{devices}",
        )

    @property
    def _times(self) -> Table:
        theirs = {model.arch: TABLE_II[model.arch].minutes for model in self.models}
        ours = {model.arch: model.minutes for model in self.models if self.one_device}
        return Table(
            self._titled("Training time as a ratio to the fastest"),
            [
                words("Model", [model.name for model in self.models]),
                _numbers(paper.CITATION, ratio_texts(theirs, list(theirs))),
                _numbers("Ours", ratio_texts(ours, list(theirs))),
            ],
            "Minutes are of two machines, and of two programs on them; ratios are what can be compared. Runs that "
            "trained side by side (sweep.slots) shared a machine, which moves ours.",
        )

    @property
    def question(self) -> str:
        """Which of both questions of a comparison is asked of our models, and of what."""
        return self._titled(f"{RECIPES}: F1 of our models at the last epoch")

    @property
    def differences(self) -> list[str]:
        """Which of our models can be told apart if they are trained again, a sentence a pair; none of single seeds."""
        repeated = [model for model in self.models if len(model.runs) > 1]
        if len(repeated) < 2:
            return ["Which of our models are better cannot be told from one seed each."]
        best_first = sorted(repeated, key=lambda model: -model.mean("f1"))
        strata = {model.name: model.counts for model in best_first}
        found = statistics.compare_recipes(strata, statistics.pair_up(list(strata)), "f1")
        return [statistics.sentence(pair, "F1") for pair in found]

    @cached_property
    def pictures(self) -> list[Picture]:
        """Our Figures 6, 7 and 8, of the models that finished."""
        there = [model for model in self.models if model.runs]
        found = [self._curves(there), self._matrices(there), self._tiles(there)] if there else []
        pictures = [picture for picture in found if picture is not None]
        for picture in pictures:
            picture.figure.suptitle(picture.title, fontsize="medium", wrap=True)
        return pictures

    def _curves(self, models: Sequence[Model]) -> Picture:
        curves = {
            model.name: [
                (history, int(run.metrics["best/epoch"]))
                for run, history in zip(model.runs, self.shown[model.arch].histories, strict=True)
            ]
            for model in models
        }
        return Picture(
            "figure_6",
            self._titled("Figure 6: loss"),
            "As the paper's Figure 6 (dashed: training loss), with the validation beside it, a line a seed.",
            f"Losses and {self.objective.metric} of {', '.join(curves)} by epoch.",
            figures.loss_curves_figure(curves, self.objective.metric),
        )

    def _matrices(self, models: Sequence[Model]) -> Picture:
        counts = {model.name: model.counts.sum(axis=(0, 1)) for model in models}
        recalls = [f"{name} finds {ratios(values)['recall']:.1%}" for name, values in counts.items()]
        return Picture(
            "figure_7",
            self._titled("Figure 7: confusion matrices"),
            "Pixels of all validation tiles at the last epoch, all seeds together, and their share of the true class "
            "(the row).",
            f"Confusion matrices. Of the landslide pixels, {', '.join(recalls)}.",
            figures.confusion_matrices_figure(counts),
        )

    def _tiles(self, models: Sequence[Model]) -> Picture | None:
        panels = {model.name: self.shown[model.arch].artifacts.panel for model in models}
        there = {name: panel for name, panel in panels.items() if panel is not None and len(panel.tile_id)}
        if not there:
            return None
        rule = next(iter(there.values())).rule
        return Picture(
            "figure_8",
            self._titled("Figure 8: the same tiles, seen by every model"),
            f"At the last epoch, {_first(models)}; F1 of each tile is under its prediction. The paper shows two.",
            f"Image, truth and prediction of {', '.join(there)}, with F1 of each tile. {rule}",
            figures.tiles_figure(there),
            photographic=True,
        )

    def markdown(self) -> str:
        """Result, notes and tables as Markdown."""
        blocks = [
            f"# {escape_markdown(self.title)}",
            escape_markdown(self.sentence),
            _bullets(self.notes),
            *(
                f"## {escape_markdown(table.title)}\n\n{to_markdown(table.columns)}\n{escape_markdown(table.caption)}"
                for table in self.tables
            ),
            f"## {escape_markdown(self.question)}\n\n{_bullets(self.differences)}",
        ]
        return "\n\n".join(blocks) + "\n"

    def csv(self) -> str:
        """Table II with every number in full; an empty field where one is missing."""
        lines = [["model", "quantity", "paper", "ours", "sd", "low", "high", "seeds", "tiles", "verdict", "scaled"]]
        for model in self.models:
            for quantity in (*paper.METRICS, TIME):
                found = None if quantity == TIME else model.estimate(quantity)
                spread = [found.sd, found.low, found.high] if found else [None] * 3
                numbers = [reported(TABLE_II[model.arch], quantity), model.mean(quantity), *spread]
                tiles = str(found.tiles) if found else ""
                name = "minutes" if quantity == TIME else quantity
                told = [str(len(model.runs)), tiles, self.verdict(model, quantity), self.scaled]
                lines.append([model.arch, name, *map(csv_number, numbers), *told])
        return to_csv(lines)

    def latex(self) -> str:
        """The tables for a paper; needs the package booktabs."""
        labels = ("settings", "results", "rankings", "times")[-len(self.tables) :]
        return "\n".join(
            to_latex(table.columns, above=table.title, below=table.caption, label=f"tab:reproduction-{label}")
            for table, label in zip(self.tables, labels, strict=True)
        )

    def html(self) -> str:
        """A page that stands alone."""
        return page.render_reproduction(self)

    def terminal(self, console: Console) -> None:
        """Print result, tables and notes."""
        console.print(self.title, style="bold", markup=False, highlight=False)
        console.print(self.sentence, markup=False, highlight=False)
        for table in self.tables:
            console.print()
            console.print(table.title, style="bold", markup=False, highlight=False)
            print_table(console, table.columns)
            console.print(table.caption, style="dim", markup=False, highlight=False)
        console.print()
        console.print(self.question, style="bold", markup=False, highlight=False)
        for text in self.differences:
            console.print(text, markup=False, highlight=False)
        console.print()
        for text in self.notes:
            console.print(text, style="yellow", markup=False, highlight=False)

    def write(self, folder: Path) -> list[Path]:
        """Write the page, the tables and the figures; those of the same name are replaced.

        Args:
            folder: made where it is missing.

        Returns:
            The files written.
        """
        texts = {"html": self.html(), "md": self.markdown(), "csv": self.csv(), "tex": self.latex()}
        files = {f"{self.name}.{ending}": text.encode() for ending, text in texts.items()}
        files |= {f"figures/{self.name}-{each.name}.png": figures.to_png(each.figure) for each in self.pictures}
        return write_files(folder, files)


def read_reproduction(
    client: MlflowClient, parent_id: str, *, name: str, changes: Sequence[Change], seeds: Sequence[int]
) -> Reproduction:
    """Read the runs of a sweep of the paper's models.

    Args:
        client: of the store that holds them.
        parent_id: of the sweep's run.
        name: of the sweep.
        changes: what is not as the paper has it.
        seeds: those that are asked for; runs with others are left out.

    Raises:
        ComparisonError: the sweep has no run, a run has stored no validation, or two were validated on different tiles.
    """
    experiment = client.get_run(parent_id).info.experiment_id
    children = search(client, f"tags.`mlflow.parentRunId` = '{parent_id}'", [experiment])
    runs = [read_run(child) for child in children]
    objective = objective_of(runs)
    models, shown = [], {}
    tiles: dict[tuple[str, ...], Run] = {}
    for arch in TABLE_II:
        own = [run for run in runs if run.finished and run.params.get("arch.name") == arch]
        chosen = sorted((run for run in own if seed_of(run) in seeds), key=seed_of)
        last = [_read_last(client, run) for run in chosen]
        for run, validation in zip(chosen, last, strict=True):
            tiles.setdefault(validation.tile_id, run)
        _require_same_tiles(tiles)
        counts = np.stack([each.counts for each in last]) if last else np.zeros((0, 0, 4), dtype=np.int64)
        models.append(Model(arch, tuple(chosen), counts))
        if chosen:
            shown[arch] = _read_shown(client, chosen, objective)
    return Reproduction(
        name=name,
        changes=tuple(changes),
        seeds=tuple(seeds),
        models=tuple(models),
        shown=shown,
        failures=tuple(f"{run.name} failed: {run.reason}" for run in runs if run.status == "FAILED"),
        objective=objective,
        tracking_uri=client.tracking_uri,
        created=datetime.now(UTC),
    )


def _require_same_tiles(tiles: Mapping[tuple[str, ...], Run]) -> None:
    if len(tiles) > 1:
        named = " and ".join(f"'{run.name}'" for run in tiles.values())
        raise ComparisonError(f"{named} were validated on different tiles; one table cannot hold both.")


def _read_last(client: MlflowClient, run: Run) -> Validation:
    found = read_validation(client, run, "last")
    if found is None:
        raise ComparisonError(f"Run '{run.id}': validation/last.npz is missing, so its last epoch cannot be compared.")
    return found


def _read_shown(client: MlflowClient, runs: Sequence[Run], objective: Objective) -> Shown:
    artifacts = read_artifacts(client, runs[0])
    panel = None if artifacts.panel is None else _at_last_epoch(client, runs[0], artifacts.panel)
    histories = tuple(read_histories(client, run, objective) for run in runs)
    return Shown(replace(artifacts, panel=panel), histories)


def _at_last_epoch(client: MlflowClient, run: Run, panel: Panel) -> Panel | None:
    """The pictured tiles with what the last epoch predicts for them, as the tables have it; None without that."""
    with artifact_file(client, run, "validation/last.npz") as file:
        if file is None:
            return None
        with np.load(file, allow_pickle=False) as stored:
            if "probability" not in stored:
                return None
            names = [str(name) for name in stored["tile_id"]]
            return replace(panel, probability=stored["probability"][[names.index(tile) for tile in panel.tile_id]])


def seed_of(run: Run) -> int:
    """That it was trained with."""
    return int(run.params["seed"])


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
    if math.isnan(ours.low) or math.isnan(ours.high):
        return f"{NOT}: undefined in a run"
    return WITHIN if ours.low <= theirs <= ours.high else BETTER if theirs < ours.low else WORSE


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


def theirs_text(row: Reported, quantity: str) -> str:
    """A number of Table II with the digits that it is printed with."""
    return f"{row.minutes:.0f}" if quantity == TIME else f"{reported(row, quantity):.5f}"


def two_digits(number: float) -> str:
    """``0.67``."""
    return MISSING if math.isnan(number) else f"{number:.2f}"


def minutes_text(minutes: float) -> str:
    """``12.4``."""
    return MISSING if math.isnan(minutes) else f"{minutes:.1f}"


def ratio_texts(minutes: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """Each as a multiple of the least; a dash where it is missing.

    Examples:
        >>> ratio_texts({"unet": 3.0, "fpn": 2.0}, ["unet", "fpn"])
        ['1.50', '1.00']
    """
    known = [value for value in minutes.values() if not math.isnan(value)]
    values = {name: value / min(known) for name, value in minutes.items() if not math.isnan(value)}
    return [f"{values[name]:.2f}" if name in values else MISSING for name in names]


def _first(models: Sequence[Model]) -> str:
    seeds = sorted({seed_of(model.runs[0]) for model in models})
    return f"seed {', '.join(map(str, seeds))}, the first that finished"


def _numbers(heading: str, texts: Sequence[str], values: Sequence[float] = ()) -> Column:
    known = [None if math.isnan(value) else value for value in values] or [None] * len(texts)
    return Column(heading, heading, tuple(map(Cell, texts, known)))


def _interval(found: Estimate | None) -> Cell:
    return Cell(MISSING) if found is None else interval_cell(found.low, found.high)


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(text)}" for text in texts)
