"""A published comparison beside ours: its two tables with a verdict a cell, its rankings, its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from mlflow.tracking import MlflowClient
from rich.console import Console

from landslide.report import figures, page, paper, statistics
from landslide.report.comparison import write_files
from landslide.report.pairs import RECIPES
from landslide.report.pictures import Picture
from landslide.report.reproduction_models import Model, Shown, read_models
from landslide.report.reproduction_pictures import make_pictures
from landslide.report.reproduction_settings import Change, titled
from landslide.report.reproduction_tables import Table, make_tables, results_csv, two_digits
from landslide.report.reproduction_verdicts import BETTER, NOT, WITHIN, WORSE, rank, verdict_on
from landslide.report.runs import Objective, objective_of, read_run
from landslide.report.summary import unfair_between
from landslide.report.table import escape_markdown, print_table, to_latex, to_markdown
from landslide.tracking.store import search


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
    def title(self) -> str:
        """What is reproduced, and how it is scaled."""
        return titled(f"{paper.CITATION}, reproduced", self.changes)

    @property
    def sentence(self) -> str:
        """The result in words."""
        verdicts = [verdict_on(model, metric, self.changes) for model in self.models for metric in paper.METRICS]
        found = {kind: sum(verdict == kind for verdict in verdicts) for kind in (WITHIN, BETTER, WORSE)}
        said = ", ".join(f"{count} {kind}" for kind, count in found.items())
        left = len(verdicts) - sum(found.values())
        cells = f"Of {len(verdicts)} cells of Table II without times, ours at the last epoch are: {said}, {left} {NOT}."
        ranking = rank("f1", self.models)
        if ranking is None:
            return cells
        return (
            f"{cells} By F1 the paper ranks {', '.join(ranking.theirs)}; we {', '.join(ranking.ours)}: Kendall's tau "
            f"{two_digits(ranking.tau)}."
        )

    @property
    def unfair(self) -> list[str]:
        """What our runs do not share and makes comparing them unfair, a sentence each."""
        return unfair_between({model.name: model.runs for model in self.models})

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
            if (seeds := sorted(set(self.seeds) - set(model.seeds)))
        ]
        return [*([f"Not there, and left out: {'; '.join(lacks)}."] if lacks else []), *self.failures]

    @property
    def _our_share(self) -> str:
        for model in self.models:
            if model.runs:
                hits, _, misses, _ = model.counts[0].sum(axis=0)
                return f"In ours it is {100 * (hits + misses) / model.counts[0].sum():.2f} %."
        return ""

    @cached_property
    def tables(self) -> list[Table]:
        """Tables I and II, rankings and times."""
        return make_tables(self.models, self.shown, self.changes)

    @property
    def question(self) -> str:
        """Which of both questions of a comparison is asked of our models, and of what."""
        return titled(f"{RECIPES}: F1 of our models at the last epoch", self.changes)

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
        return make_pictures(self.models, self.shown, self.objective, self.changes)

    def markdown(self) -> str:
        """Result, notes and tables as Markdown."""
        blocks = [
            f"# {escape_markdown(self.title)}",
            escape_markdown(self.sentence),
            _bullets([*self.unfair, *self.notes]),
            *(
                f"## {escape_markdown(table.title)}\n\n{to_markdown(table.columns)}\n{escape_markdown(table.caption)}"
                for table in self.tables
            ),
            f"## {escape_markdown(self.question)}\n\n{_bullets(self.differences)}",
        ]
        return "\n\n".join(blocks) + "\n"

    def csv(self) -> str:
        """Table II with every number in full; an empty field where one is missing."""
        return results_csv(self.models, self.changes)

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
        for text in self.unfair:
            console.print(text, style="bold red", markup=False, highlight=False)
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
    models, shown = read_models(client, runs, seeds, objective)
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


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(text)}" for text in texts)
