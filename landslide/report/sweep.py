"""A sweep as its Optuna studies hold it: what tuning gained, every trial, figures, and the best settings as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna import Study
from rich.console import Console

from landslide.config import HOLD_OUT
from landslide.report import sweep_page, sweep_summary, sweep_table
from landslide.report.comparison import write_files
from landslide.report.figures import to_png
from landslide.report.folds import Folds, read_folds
from landslide.report.pictures import Picture
from landslide.report.runs import Objective
from landslide.report.sweep_overlay import Compose, file_name, overlay
from landslide.report.sweep_pictures import make_pictures
from landslide.report.sweep_trials import Parameter, Stratum, objective_of, read_parameters, read_strata, seeds_alone
from landslide.report.table import escape_markdown


@dataclass(frozen=True)
class SweepReport:
    """What is known of a sweep, finished or not."""

    name: str
    objective: Objective
    against: tuple[str, ...]
    """Metrics that are minimised beside the objective; where there are any, there is a Pareto front and no best."""
    strata: tuple[Stratum, ...]
    """Best objective first; those without a finished trial come last."""
    parameters: tuple[Parameter, ...]
    overlays: Mapping[str, str]
    """By name of an experiment, the text of its file."""
    tracking_uri: str
    command: str
    """That goes on with the sweep."""
    created: datetime
    """In UTC."""

    @property
    def title(self) -> str:
        """What is reported, in a few words."""
        return f"Sweep {self.name}"

    @cached_property
    def folds(self) -> Folds | None:
        """What a sweep over groups that are held out says; None of any other sweep."""
        return read_folds(self.strata, self.parameters, self.objective)

    @cached_property
    def seeds_alone(self) -> bool:
        """Whether nothing but the seed varies, so that there is no setting to choose."""
        return seeds_alone(self.strata)

    @property
    def sentence(self) -> str:
        """The result in words."""
        if self.folds:
            return self.folds.sentence
        return sweep_summary.sentence(self.strata, self.objective, self.against)

    @property
    def notes(self) -> list[str]:
        """Why trials failed, and what makes the result unfair or incomplete, a sentence each."""
        return sweep_summary.missing(self.strata) if self.folds else sweep_summary.notes(self.strata)

    @property
    def caption(self) -> str:
        """What the numbers of the table are."""
        return self.folds.caption if self.folds else sweep_summary.caption(self.strata, self.objective, self.against)

    @property
    def columns(self) -> list[sweep_table.Column]:
        """Of the table of strata, or of models where groups are held out."""
        if self.folds:
            return self.folds.columns
        return sweep_table.strata_table(self.strata, self.parameters)

    @property
    def trial_columns(self) -> list[sweep_table.Column]:
        """Of the table of all trials."""
        return sweep_table.trials_table(self.strata, self.parameters, self.objective, self.against)

    @property
    def front_columns(self) -> list[sweep_table.Column]:
        """Of the table of the Pareto front; without rows where one number is searched for."""
        return sweep_table.front_table(self.strata, self.parameters, self.objective, self.against)

    @property
    def more_tables(self) -> dict[str, list[sweep_table.Column]]:
        """By their titles: the Pareto front where there is one, the groups where they are held out."""
        if self.folds:
            return {"Each group that was held out": self.folds.group_columns}
        return {"On the Pareto front": self.front_columns} if self.against else {}

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the first study says of itself."""
        return self.strata[0].settings

    @cached_property
    def pictures(self) -> list[Picture]:
        """The figures that the trials allow; none where no trial has finished."""
        if self.folds:
            return [self.folds.picture] if self.folds.picture else []
        return make_pictures(self.strata, self.parameters, self.objective, self.against)

    def markdown(self) -> str:
        """The result in words, the table and the notes, as Markdown."""
        notes = [f"- {escape_markdown(text)}" for text in self.notes]
        tables = [self.columns, *self.more_tables.values()]
        blocks = [
            escape_markdown(self.sentence),
            "\n".join(notes),
            *(sweep_table.to_markdown(columns).rstrip() for columns in tables),
            escape_markdown(self.caption),
        ]
        return "\n\n".join(block for block in blocks if block) + "\n"

    def csv(self) -> str:
        """Every trial with its numbers in full, one line each."""
        return sweep_table.to_csv(self.strata, self.parameters, self.against)

    def html(self) -> str:
        """A page that stands alone."""
        return sweep_page.render(self)

    def terminal(self, console: Console) -> None:
        """Print the result in words, the tables and the notes."""
        console.print(self.sentence, markup=False, highlight=False)
        console.print()
        sweep_table.print_table(console, [each for each in self.columns if each.heading != sweep_table.SETTING])
        for columns in self.more_tables.values():
            console.print()
            sweep_table.print_table(console, columns)
        console.print()
        for stratum in self.strata:
            if stratum.best and not self.against and not self.folds and not self.seeds_alone:
                setting = sweep_table.setting_text(stratum.best.params, self.parameters)
                console.print(f"{stratum.label}, tuned: {setting}", markup=False, highlight=False)
        for text in self.notes:
            console.print(text, style="yellow", markup=False, highlight=False)
        console.print(self.caption, style="dim", markup=False, highlight=False)

    def write(self, folder: Path) -> list[Path]:
        """Write the page, the tables, the figures and the best settings; those of the same name are replaced.

        Args:
            folder: made where it is missing.

        Returns:
            The files written.
        """
        texts = {"sweep.html": self.html(), "sweep.md": self.markdown(), "trials.csv": self.csv()}
        if self.folds:
            texts["groups.csv"] = self.folds.csv()
        texts |= {f"{name}.yaml": text for name, text in self.overlays.items()}
        files = {name: text.encode() for name, text in texts.items()}
        files |= {f"figures/{picture.name}.png": to_png(picture.figure) for picture in self.pictures}
        return write_files(folder, files)


def report_sweep(
    studies: Sequence[Study], *, tracking_uri: str, command: str, compose: Compose | None = None
) -> SweepReport:
    """Read the studies of one sweep.

    Args:
        studies: at least one search, and the repeats that there are; what each is stands in its attributes ``kind``,
            ``stratum``, ``sweep``, ``objective``, ``against``, ``overrides``, ``settings`` and, of repeats,
            ``of_trial``, the number of the trial whose setting they train.
        tracking_uri: of the MLflow store that holds the runs.
        command: that goes on with the sweep.
        compose: from overrides to a config, for the best settings as files; None writes none.
    """
    first = studies[0]
    name, objective = first.user_attrs["sweep"], objective_of(first)
    against = tuple(first.user_attrs.get("against", ()))
    strata, parameters = read_strata(studies), read_parameters(studies)
    chosen = not against and not seeds_alone(strata) and HOLD_OUT not in (axis.key for axis in parameters)
    tuned = [stratum for stratum in strata if stratum.best and chosen]
    overlays = {file_name(each): overlay(each, name, objective, compose) for each in tuned} if compose else {}
    return SweepReport(
        name=name,
        objective=objective,
        against=against,
        strata=strata,
        parameters=parameters,
        overlays=overlays,
        tracking_uri=tracking_uri,
        command=command,
        created=datetime.now(UTC),
    )
