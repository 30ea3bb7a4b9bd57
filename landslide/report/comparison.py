"""Runs beside each other: read from MLflow, ordered by their objective, written as tables, figures and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from mlflow.tracking import MlflowClient
from rich.console import Console

from landslide.report import page, summary, table
from landslide.report.figures import to_png
from landslide.report.pictures import Picture, make_pictures, shown
from landslide.report.runs import Artifacts, Objective, read_artifacts, read_runs
from landslide.report.table import Column, Row


@dataclass(frozen=True)
class Comparison:
    """What is known of some runs, in the order of their result."""

    objective: Objective
    rows: tuple[Row, ...]
    """Best objective first; what has not finished comes last."""
    artifacts: Mapping[str, Artifacts]
    """By run id, of the runs that figures show."""
    tracking_uri: str
    created: datetime
    """In UTC."""

    @property
    def title(self) -> str:
        """What is compared, in a few words."""
        return f"Comparison of {len(self.rows)} runs" if len(self.rows) > 1 else "One run"

    @property
    def sentence(self) -> str:
        """The result in words."""
        return summary.sentence(self.rows, self.objective)

    @property
    def notes(self) -> list[str]:
        """Why runs failed, and what makes the comparison unfair or incomplete, a sentence each."""
        broken = [
            f"{row.label.text}: {path} cannot be read and is left out."
            for row in self.rows
            for path in self.artifacts.get(row.run.id, Artifacts()).unreadable
        ]
        return [*table.reasons(self.rows), *summary.warnings(self.rows), *broken]

    @property
    def caption(self) -> str:
        """What the numbers of the table are."""
        return table.caption(self.objective)

    @property
    def columns(self) -> list[Column]:
        """Of the table."""
        return table.make_columns(self.rows, self.objective)

    @property
    def best_artifacts(self) -> Artifacts:
        """Of the first row."""
        return self.artifacts.get(self.rows[0].run.id, Artifacts())

    @cached_property
    def pictures(self) -> list[Picture]:
        """The figures that the stored data allow; none where no run has finished."""
        return make_pictures(self.rows, self.artifacts, self.objective)

    def markdown(self) -> str:
        """The result in words, the table and the notes, as Markdown."""
        escape = table.escape_markdown
        notes = [f"- {escape(text)}" for text in self.notes]
        blocks = [escape(self.sentence), "\n".join(notes), table.to_markdown(self.rows, self.columns).rstrip()]
        return "\n\n".join(block for block in (*blocks, escape(self.caption)) if block) + "\n"

    def csv(self) -> str:
        """Every stored number of the table in full, one line a run."""
        return table.to_csv(self.rows)

    def latex(self) -> str:
        """The table for a paper."""
        below = " ".join([self.sentence, *self.notes])
        return table.to_latex(self.rows, self.columns, above=self.caption, below=below)

    def html(self) -> str:
        """A page that stands alone."""
        return page.render(self)

    def terminal(self, console: Console) -> None:
        """Print the result in words, the table and the notes."""
        console.print(self.sentence, markup=False, highlight=False)
        console.print()
        table.print_table(console, self.rows, self.columns)
        console.print()
        for text in self.notes:
            console.print(text, style="yellow", markup=False, highlight=False)
        console.print(self.caption, style="dim", markup=False, highlight=False)

    def write(self, folder: Path) -> list[Path]:
        """Write the page, the tables and the figures; those of the same name are replaced.

        Args:
            folder: made where it is missing.

        Returns:
            The files written.
        """
        texts = {"html": self.html(), "md": self.markdown(), "csv": self.csv(), "tex": self.latex()}
        files = {f"comparison.{ending}": text.encode() for ending, text in texts.items()}
        files |= {f"figures/{picture.name}.png": to_png(picture.figure) for picture in self.pictures}
        return write_files(folder, files)


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files by their names in a folder, each whole or not at all."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _write_whole(folder / name, content)
    return [folder / name for name in files]


def _write_whole(path: Path, content: bytes) -> None:
    aside = path.with_name(f"{path.name}.part")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)  # of a full disk; already renamed when all went well


def compare(client: MlflowClient, run_ids: Sequence[str], objective: Objective | None = None) -> Comparison:
    """Put runs beside each other.

    Args:
        client: of the store that holds them.
        run_ids: ids of runs; the id of a multirun stands for its children. Runs that failed, were killed or still
            run have a row without numbers.
        objective: where the caller knows it; else that of the first run that stored one.

    Raises:
        ComparisonError: no id is given, one is unknown, or a multirun has no children.
    """
    objective, runs = read_runs(client, run_ids, objective)
    rows = table.make_rows(runs, objective)
    artifacts = {row.run.id: read_artifacts(client, row.run.id) for row in shown(rows)}
    return Comparison(objective, rows, artifacts, client.tracking_uri, datetime.now(UTC))
