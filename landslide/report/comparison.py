"""Runs beside each other: read from MLflow, ordered by their objective, written as tables, figures and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from mlflow.tracking import MlflowClient
from rich.console import Console

from landslide.config import HOLD_OUT
from landslide.errors import ComparisonError, make_folder
from landslide.report import page, pairs, summary, table
from landslide.report.beside import done_beside
from landslide.report.details import Details, read_details
from landslide.report.figures import Series, lay_out, to_png
from landslide.report.pairs import Question
from landslide.report.pictures import Picture, make_pictures, shown
from landslide.report.runs import AT, UNDER_WAY, Artifacts, Objective, read_artifacts, read_histories
from landslide.report.selection import Selection, select
from landslide.report.strata import RATIOS, Row, Stratum, make_strata, read_rows, same_tiles
from landslide.report.table import Column

_MOST_PAIRS = 28
"""In Markdown and LaTeX; differences.csv has all."""
_MOST_PAIRS_PRINTED = 10
_MOST_SENTENCES_PRINTED = 3


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is known of some runs, in the order of their result."""

    selection: Selection
    rows: tuple[Row, ...]
    """Best objective first; what has not finished comes last."""
    strata: tuple[Stratum, ...]
    """Best mean of the objective first; those without a finished run come last."""
    artifacts: Mapping[str, Artifacts]
    """By run id, of the first run of each stratum that figures show."""
    histories: Mapping[str, Mapping[str, Series]]
    """By run id and metric, of the runs that figures show."""
    broken: tuple[str, ...]
    """A sentence for each stored file that cannot be read."""
    tracking_uri: str
    created: datetime
    """In UTC."""
    details: Details
    """What the runs stored of their tiles beside counts."""
    of_sweep: Sequence[Picture] = field(default=())
    """Figures of the searches that the runs are from."""

    @property
    def objective(self) -> Objective:
        """By which epochs were selected."""
        return self.selection.objective

    @property
    def metric(self) -> str:
        """The ratio that is tested: the objective, F1 where that is none."""
        name = self.objective.metric.removeprefix("val/")
        return name if name in RATIOS else "f1"

    @property
    def title(self) -> str:
        """What is compared, in a few words."""
        if len(self.rows) == 1:
            return "One run"
        runs = f"{len(self.rows)} runs"
        return f"Comparison of {runs if len(self.strata) == len(self.rows) else f'{len(self.strata)} strata, {runs}'}"

    @property
    def sentence(self) -> str:
        """The result in words."""
        return summary.sentence(self.strata, self.objective, self.questions)

    @property
    def unfair(self) -> list[str]:
        """What makes the comparison unfair, a sentence each."""
        return summary.unfair(self.rows, self.selection.budgets)

    @property
    def notes(self) -> list[str]:
        """What stands for a sweep, why runs failed, and what is missing, a sentence each."""
        panels = [
            f"{row.label.text}: {path} cannot be read and is left out."
            for row in self.rows
            for path in self.artifacts.get(row.run.id, Artifacts()).unreadable
        ]
        uncounted = [row.label.text for row in self.rows if row.run.finished and "best" not in row.tallies]
        counts = f"Without counts of their tiles, so not in the tests: {table.listed(uncounted)}."
        why = "Nothing is tested: a test needs two strata, and one run or one stratum says nothing of another."
        return [
            *([why] if self.alone and any(stratum.finished for stratum in self.strata) else []),
            *self.selection.notes,
            *table.reasons(self.rows),
            *self.broken,
            *self.details.broken,
            *panels,
            *([counts] if uncounted else []),
        ]

    @property
    def one_device(self) -> bool:
        """Whether times may be put in order."""
        return summary.one_device(self.rows)

    @cached_property
    def questions(self) -> list[Question]:
        """First of the trained networks, then of the recipes."""
        return pairs.ask(self.strata, self.metric)

    @property
    def alone(self) -> bool:
        """Whether there is nothing to compare with."""
        return sum(bool(stratum.finished) for stratum in self.strata) < 2

    @property
    def shown_questions(self) -> list[Question]:
        """Those that are worth asking."""
        return [] if self.alone else self.questions

    @property
    def caption(self) -> str:
        """What the numbers of the table are."""
        return table.caption(self.objective, self.strata)

    @property
    def caption_of_intervals(self) -> str:
        """What 95 % intervals are of."""
        return table.of_intervals(self.strata)

    @cached_property
    def columns(self) -> list[Column]:
        """Of the table of strata."""
        return table.strata_columns(self.strata, self.objective, one_device=self.one_device)

    @cached_property
    def second_columns(self) -> list[Column]:
        """Of the second table on paper: calibration, and what training took besides; empty where nothing is known."""
        return table.second_columns(self.columns)

    @property
    def caption_of_second(self) -> str:
        """What the numbers of the second table are; empty where there is none."""
        return f"{table.MARK} {AT['best']}. {table.CALIBRATION}" if self.second_columns else ""

    @property
    def best_artifacts(self) -> Artifacts:
        """Of the first run of the first stratum."""
        return self.artifacts.get(self.strata[0].rows[0].run.id, Artifacts())

    @cached_property
    def pictures(self) -> list[Picture]:
        """The figures that the stored data allow; none where no run has finished."""
        return [*make_pictures(self), *self.details.pictures, *self.of_sweep]

    def markdown(self) -> str:
        """The result in words, the tables and the notes, as Markdown."""
        escape = table.escape_markdown
        notes = [f"- {escape(text)}" for text in (*self.unfair, *self.notes)]
        blocks = [
            escape(self.sentence),
            "\n".join(notes),
            table.to_markdown(self.columns).rstrip(),
            escape(self.caption),
            table.to_markdown(self.second_columns).rstrip() if self.second_columns else "",
            escape(self.caption_of_second),
        ]
        for question in self.shown_questions:
            blocks += [f"**{question.title}**: {escape(question.asked)}", escape(question.refused)]
            if question.pairs:
                blocks += [table.to_markdown(pairs.columns(question, most=_MOST_PAIRS)).rstrip(), question.summary]
            blocks.append("\n".join(f"- {escape(text)}" for text in question.sentences))
        blocks += [section.markdown() for section in self.details.sections]
        return "\n\n".join(block for block in blocks if block) + "\n"

    def csv(self) -> str:
        """Every stored number in full, one line a run."""
        return table.runs_csv(self.rows)

    def latex(self) -> str:
        """The tables for a paper."""
        below = " ".join([self.sentence, *self.unfair, *self.notes])
        tables = [table.to_latex(self.columns, above=self.caption, below=below)]
        if self.second_columns:
            above, label = self.caption_of_second, "tab:landslide-calibration"
            tables.append(table.to_latex(self.second_columns, above=above, below="", label=label))
        for question in self.shown_questions:
            if question.pairs:
                tables.append(pairs.to_latex(question, most=_MOST_PAIRS))
        return "\n".join(tables)

    def html(self) -> str:
        """A page that stands alone."""
        return page.render(self)

    def terminal(self, console: Console) -> None:
        """Print the result in words, the tables and the notes."""

        def say(text: str, style: str | None = None) -> None:
            console.print(text, style=style, markup=False, highlight=False)

        for text in self.unfair:
            say(text, "bold red")
        say(self.sentence)
        console.print()
        table.print_table(console, self.columns, [not stratum.finished for stratum in self.strata])
        console.print()
        say(self.caption, "dim")
        for question in self.shown_questions:
            console.print()
            say(f"{question.title}: {RATIOS[question.metric]}", "bold")
            if 0 < len(question.pairs) <= _MOST_PAIRS_PRINTED:
                table.print_table(console, pairs.columns(question, short=True))
            for text in (question.summary if question.pairs else "", question.refused):
                if text:
                    say(text)
            for text in question.sentences[:_MOST_SENTENCES_PRINTED]:
                say(f"- {text}")
            if (more := len(question.pairs) - _MOST_SENTENCES_PRINTED) > 0:
                say(f"- {more} more in differences.csv, which -o FOLDER writes.")
        for text in self.notes:
            say(text, "yellow")

    def write(self, folder: Path) -> list[Path]:
        """Write the page, the tables and the figures; those of the same name are replaced.

        Args:
            folder: made where it is missing.

        Returns:
            The files written.
        """
        return [*self._write_texts(folder), *self._write_figures(folder, self.pictures)]

    def print_and_write(self, folder: Path, console: Console) -> list[Path]:
        """Print and write by two processes: one draws figures for paper while the other does all else."""
        for picture in self.pictures:
            lay_out(picture.figure)  # once for both
        here = len(self.pictures) // 3  # so that both take about as long
        with done_beside(lambda: self._write_figures(folder, self.pictures[here:])):
            self.terminal(console)
            texts = self._write_texts(folder)
            self._write_figures(folder, self.pictures[:here])
        return [*texts, *(folder / _figure_file(picture) for picture in self.pictures)]

    def _write_texts(self, folder: Path) -> list[Path]:
        return write_files(folder, {name: text.encode() for name, text in self.texts().items()})

    def _write_figures(self, folder: Path, pictures: Sequence[Picture]) -> list[Path]:
        return write_files(folder, {_figure_file(picture): to_png(picture.figure) for picture in pictures})

    def texts(self) -> dict[str, str]:
        """By name, every file but the figures."""
        return {
            "comparison.html": self.html(),
            "comparison.md": self.markdown(),
            "comparison.csv": self.csv(),
            "comparison.tex": self.latex(),
            "strata.csv": table.strata_csv(self.strata),
            "differences.csv": pairs.to_rows(self.questions),
            **self.details.files,
        }


def _figure_file(picture: Picture) -> str:
    return f"figures/{picture.name}.png"


def with_searches(comparison: Comparison, searches: Mapping[str, Sequence[Picture]]) -> Comparison:
    """The same with what mattered in its sweeps, and how the objective responded to each parameter.

    Args:
        comparison: of runs of the sweeps.
        searches: by name of the sweep, the figures of its report.
    """
    chosen = [
        replace(
            picture,
            name=f"{picture.name}_{number}",
            title=f"{picture.title}, in {name}",
            caption=f"{picture.caption} A trial counts by its best epoch, selected on these tiles.",
        )
        for number, (name, pictures) in enumerate(searches.items(), start=1)
        for picture in pictures
        if picture.name in ("importances", "slices")
    ]
    return replace(comparison, of_sweep=tuple(chosen))


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files by their names in a folder, which is made where it is missing; each whole or not at all."""
    for name, content in files.items():
        make_folder((folder / name).parent)
        _write_whole(folder / name, content)
    return [folder / name for name in files]


def _write_whole(path: Path, content: bytes) -> None:
    aside = path.with_name(f"{path.name}.part")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)  # of a full disk; already renamed when all went well


def compare(
    client: MlflowClient,
    names: Sequence[str],
    objective: Objective | None = None,
    *,
    where: str | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Put runs beside each other, stratum by stratum.

    Args:
        client: of the store that holds them.
        names: of runs, or their ids; that of a multirun stands for its runs. Runs that failed, were killed or still run
            have a row without numbers.
        objective: where the caller knows it; else that of the first run that stored one.
        where: MLflow's filter, for runs besides.
        notes: what the caller has to say of its choice of runs, a sentence each.

    Raises:
        ComparisonError: nothing is asked for or found, or a multirun has no runs.
        TrackingError: a name is of no run, or of several.
    """
    selection = select(client, names, where, objective)
    selection = replace(selection, notes=(*notes, *selection.notes))
    rows, broken = read_rows(client, selection.runs, selection.objective)
    strata = make_strata(rows, selection.objective)
    drawn = [stratum.finished for stratum in shown(strata)]
    return Comparison(
        selection=selection,
        rows=rows,
        strata=strata,
        artifacts={found[0].run.id: read_artifacts(client, found[0].run) for found in drawn},
        histories={
            row.run.id: read_histories(client, row.run, selection.objective) for found in drawn for row in found
        },
        broken=tuple(broken),
        details=read_details(client, strata),
        tracking_uri=client.tracking_uri,
        created=datetime.now(UTC),
    )


def require_comparable(comparison: Comparison, *, unpaired: bool = False) -> None:
    """Refuse what cannot be tested, of runs that a person has chosen one by one.

    Args:
        comparison: of them.
        unpaired: other tiles are allowed.

    Raises:
        ComparisonError: a run that was named by itself still goes or has stored no counts, no run at all has stored
            any, or runs were validated on other tiles.
    """
    named = [row for row in comparison.rows if row.run.id in comparison.selection.named]
    for row in named:
        if row.run.status in UNDER_WAY:
            raise ComparisonError(
                f"{_who(row)} is still going, so its numbers are not final. Wait for its end, or leave it out; where "
                "its process was killed, go on with it by ckpt_path=FOLDER/checkpoints/last.ckpt."
            )
    finished = [row for row in comparison.rows if row.run.finished]
    uncounted = [row for row in finished if "best" not in row.tallies]
    for row in uncounted if uncounted == finished else [row for row in uncounted if row in named]:
        raise ComparisonError(
            f"{_who(row)} has no counts of its tiles (validation/best.npz), which the tests are made of. Train it "
            f"again: landslide rerun {row.run.id[:8]}; or leave it out."
        )
    if not unpaired and not same_tiles(comparison.strata):
        raise ComparisonError(
            "The runs were validated on different tiles, or on other landslides in them, so they cannot be paired tile "
            f"by tile: {_tiles_by_stratum(comparison.strata)}. {_cure_of_other_tiles(comparison.rows)}"
        )


def _who(row: Row) -> str:
    return f"Run '{row.run.id}' ({row.run.name})"


def _cure_of_other_tiles(rows: Sequence[Row]) -> str:
    """Folds have their own table; anything else is chosen anew."""
    groups = {row.run.params.get(HOLD_OUT, "None") for row in rows}
    if len(groups) < 2:
        return "Name runs of one split, or compare them all the same: --unpaired"
    group = min(groups - {"None"})
    return (
        "They are folds, and those have a table of their own, group by group: the command that trained them prints it "
        "again and trains nothing twice, and the sweep's run in MLflow has it as sweep.html. Models on one group: "
        f"landslide compare --filter \"params.`{HOLD_OUT}` = '{group}'\""
    )


def _tiles_by_stratum(strata: Sequence[Stratum]) -> str:
    groups: dict[object, list[Stratum]] = {}
    for stratum in strata:
        for tally in stratum.tallies("best")[:1]:
            groups.setdefault(tally.ground, []).append(stratum)
    said = []
    for group in groups.values():
        tile_id = group[0].tallies("best")[0].tile_id
        said.append(f"{table.listed([each.name for each in group])} on {len(tile_id)} tiles ({tile_id[0]}, ...)")
    return "; ".join(said)
