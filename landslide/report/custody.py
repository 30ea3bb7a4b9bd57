"""The test part: what tuned settings came to on tiles that nothing had read before, from what was stored of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mlflow.entities import Run as MlflowRun
from mlflow.tracking import MlflowClient
from rich.console import Console

from landslide.errors import ComparisonError
from landslide.metrics import COUNTS, ratios
from landslide.report.comparison import write_files
from landslide.report.labels import SEED
from landslide.report.runs import BROKEN, Run, artifact_file, read_run
from landslide.report.statistics import (
    Difference,
    Estimate,
    compare_networks,
    compare_recipes,
    estimate,
    pair_up,
    pairs_among,
    sentence,
)
from landslide.report.strata import RATIOS, ground_of
from landslide.report.summary import unfair_between
from landslide.report.table import (
    MISSING,
    Cell,
    Column,
    csv_number,
    escape_markdown,
    estimate_text,
    interval_cell,
    print_table,
    to_csv,
    to_markdown,
    words,
)

_SCORES = "test/best.npz"
_CURE = "Score it anew: landslide test ... --again"


@dataclass(frozen=True)
class Scored:
    """One setting on the test part, and the networks that were trained with it."""

    label: str
    runs: Sequence[Run]
    """Which differ in their seed."""
    counts: npt.NDArray[np.int64]
    """``(seeds, tiles, 4)`` in the order of :data:`~landslide.metrics.COUNTS`, at p >= 0.5."""
    tile_id: Sequence[str]

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """By metric, on the test part."""
        return {metric: estimate(self.counts, metric) for metric in RATIOS}

    @property
    def validation(self) -> float:
        """Mean F1 of the same networks on the validation tiles, by which they were chosen; NaN where undefined."""
        return float(np.mean([run.metrics.get("best/f1", math.nan) for run in self.runs]))


@dataclass(frozen=True)
class CustodyReport:
    """The settings of one subject, best F1 first."""

    name: str
    """Of the sweep, or of the run."""
    strata: Sequence[Scored]
    looks: int
    """How often the test part was looked at, this look included."""
    notes: Sequence[str]
    """What makes comparing them unfair, and what a reader must know of where the networks come from."""

    @property
    def sentence(self) -> str:
        """The figures in one line."""
        figures = "; ".join(f"{each.label} {estimate_text(each.estimates['f1'])}" for each in self.strata)
        tiles = {len(each.tile_id) for each in self.strata}
        return f"F1 on {' and '.join(map(str, sorted(tiles)))} test tiles: {figures}."

    @cached_property
    def differences(self) -> list[Difference]:
        """Over seeds where every setting has two or more, else of these networks; none where tiles are not shared."""
        counts = {each.label: each.counts for each in self.strata}
        pairs = pair_up(list(counts))
        if not pairs or not self._shared:
            return []
        compare = compare_recipes if self._repeated else compare_networks
        return compare(counts, pairs, among=pairs_among(counts))

    @property
    def _shared(self) -> bool:
        return len({ground_of(each.tile_id, each.counts[0]) for each in self.strata}) <= 1

    @property
    def _repeated(self) -> bool:
        return all(len(each.runs) > 1 for each in self.strata)

    @property
    def verdict(self) -> list[str]:
        """What may be concluded, a sentence each; the first one says what is compared."""
        if len(self.strata) < 2:
            return []
        if not self._shared:
            return ["Not compared: the settings were scored on different tiles."]
        told = [sentence(difference) for difference in self.differences]
        if self._repeated:
            return ["These settings, trained again with any seed and tested on tiles like these:", *told]
        once = ", ".join(each.label for each in self.strata if len(each.runs) == 1)
        return [
            "These trained networks, on tiles like these. Of the settings themselves nothing can be said: trained with "
            f"one seed: {once}.",
            *told,
        ]

    @property
    def caption(self) -> str:
        """What the numbers are."""
        often = "has been one look" if self.looks == 1 else f"have been {self.looks} looks"
        return (
            "Mean and standard deviation over seeds of the ratio pooled over tiles, landslide class, at p >= 0.5; no "
            "threshold was chosen on these tiles. Weights are of the best epoch by validation. The 95 % interval is "
            "over seeds and tiles, of one seed over tiles. Validation: F1 of the same networks on the tiles by which "
            f"they were chosen. There {often} at this test part."
        )

    @property
    def columns(self) -> list[Column]:
        """The table, a row a setting."""
        f1 = [each.estimates["f1"] for each in self.strata]
        return [
            words("Model", [each.label for each in self.strata]),
            Column("seeds", "Seeds", tuple(Cell(str(len(each.runs))) for each in self.strata)),
            self._ratio("f1"),
            Column("interval", "95 %", tuple(interval_cell(each.low, each.high) for each in f1)),
            *(self._ratio(key) for key in RATIOS if key != "f1"),
            Column("validation", "F1, validation", tuple(_number(each.validation) for each in self.strata)),
        ]

    def _ratio(self, key: str) -> Column:
        return Column(key, RATIOS[key], tuple(Cell(estimate_text(each.estimates[key])) for each in self.strata))

    def markdown(self) -> str:
        """Table, verdict and notes, as Markdown."""
        said = "\n".join(f"- {escape_markdown(text)}" for text in (*self.verdict, *self.notes))
        blocks = [
            f"# Test part: {escape_markdown(self.name)}",
            to_markdown(self.columns).rstrip(),
            said,
            escape_markdown(self.caption),
        ]
        return "\n\n".join(block for block in blocks if block) + "\n"

    def csv(self) -> str:
        """Every network with its numbers in full, an undefined one empty."""
        lines = [["model", "seed", "run_id", "run_name", "tiles", *COUNTS, *RATIOS]]
        for each in self.strata:
            for run, counts in zip(each.runs, each.counts.sum(1), strict=True):
                found = ratios(counts)
                names = [each.label, run.params.get(SEED, ""), run.id, run.name, str(len(each.tile_id))]
                lines.append([*names, *map(str, counts.tolist()), *(csv_number(found[key]) for key in RATIOS)])
        return to_csv(lines)

    def terminal(self, console: Console) -> None:
        """Print the table, what may be concluded, and the notes."""
        print_table(console, self.columns)
        console.print()
        for text in self.verdict:
            console.print(text, markup=False, highlight=False)
        for text in self.notes:
            console.print(text, style="yellow", markup=False, highlight=False)
        console.print(self.caption, style="dim", markup=False, highlight=False)

    def write(self, folder: Path) -> list[Path]:
        """Write ``test.md`` and ``test.csv``; the folder is made where it is missing."""
        return write_files(folder, {"test.md": self.markdown().encode(), "test.csv": self.csv().encode()})


def _number(value: float) -> Cell:
    return Cell(MISSING) if math.isnan(value) else Cell(f"{value:.4f}", value)


def report_test(
    client: MlflowClient, name: str, strata: Mapping[str, Sequence[MlflowRun]], *, looks: int, notes: Sequence[str]
) -> CustodyReport:
    """Read what was stored of scored runs.

    Args:
        client: of their store.
        name: of the sweep, or of the run.
        strata: by label, runs that differ in their seed and have ``test/best.npz``.
        looks: how often the test part was looked at.
        notes: on where the networks come from.

    Raises:
        ComparisonError: where what was stored of a run cannot be read.
    """
    tested = [_read(client, label, [read_run(run) for run in runs]) for label, runs in strata.items()]
    known = {each.label: each.estimates["f1"].mean for each in tested}
    order = sorted(tested, key=lambda each: math.inf if math.isnan(known[each.label]) else -known[each.label])
    told = unfair_between({each.label: each.runs for each in order})
    return CustodyReport(name, order, looks, [*told, *notes])


def _read(client: MlflowClient, label: str, runs: Sequence[Run]) -> Scored:
    counts = []
    for run in runs:
        with artifact_file(client, run, _SCORES) as file:
            if file is None:
                raise ComparisonError(f"Run '{run.id}': {_SCORES} is missing. {_CURE}")
            try:
                with np.load(file, allow_pickle=False) as stored:
                    counts.append(stored["counts"])
                    tile_id = [str(each) for each in stored["tile_id"]]
            except BROKEN as error:
                raise ComparisonError(f"Run '{run.id}': {_SCORES} cannot be read ({error}). {_CURE}") from error
    return Scored(label, runs, np.stack(counts), tile_id)
