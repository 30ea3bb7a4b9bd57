"""The test part: what tuned settings came to on tiles that nothing had read before, from what was stored of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from rich.console import Console
from rich.table import Table
from rich.text import Text

from landslide.metrics import COUNTS, ratios
from landslide.report.statistics import (
    Difference,
    Estimate,
    compare_networks,
    compare_recipes,
    estimate,
    pair_up,
    sentence,
)
from landslide.report.strata import RATIOS, ground_of
from landslide.report.table import MISSING, escape_markdown

ALL_PAIRS = 6
"""Strata up to which all pairs are compared; beyond, each with the best."""


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
        return float(np.mean([run.data.metrics.get("best/f1", math.nan) for run in self.runs]))


@dataclass(frozen=True)
class CustodyReport:
    """The settings of one subject, best F1 first."""

    name: str
    """Of the sweep, or of the run."""
    strata: Sequence[Scored]
    looks: int
    """How often the test part was looked at, this look included."""
    notes: Sequence[str]
    """What a reader must know of where the networks come from."""

    @property
    def sentence(self) -> str:
        """The figures in one line."""
        figures = "; ".join(f"{each.label} {_spread(each.estimates['f1'])}" for each in self.strata)
        tiles = {len(each.tile_id) for each in self.strata}
        return f"F1 on {' and '.join(map(str, sorted(tiles)))} test tiles: {figures}."

    @cached_property
    def differences(self) -> list[Difference]:
        """Over seeds where every setting has two or more, else of these networks; none where tiles are not shared."""
        counts = {each.label: each.counts for each in self.strata}
        pairs = pair_up(list(counts), ALL_PAIRS)
        if not pairs or not self._shared:
            return []
        return compare_recipes(counts, pairs) if self._repeated else compare_networks(counts, pairs)

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

    def rows(self) -> list[list[str]]:
        """Cells of the table, the heading first."""
        heading = ["Model", "Seeds", "F1", "95 %", *(RATIOS[key] for key in RATIOS if key != "f1"), "F1, validation"]
        return [heading, *(_cells(each) for each in self.strata)]

    def markdown(self) -> str:
        """Table, verdict and notes, as Markdown."""
        heading, *rows = self.rows()
        lines = [
            heading,
            ["---", *["---:"] * (len(heading) - 1)],
            *([escape_markdown(cell) for cell in row] for row in rows),
        ]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        said = "\n".join(f"- {escape_markdown(text)}" for text in (*self.verdict, *self.notes))
        blocks = [f"# Test part: {escape_markdown(self.name)}", table, said, escape_markdown(self.caption)]
        return "\n\n".join(block for block in blocks if block) + "\n"

    def csv(self) -> str:
        """Every network with its numbers in full, an undefined one empty."""
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        writer.writerow(["model", "seed", "run_id", "run_name", "tiles", *COUNTS, *RATIOS])
        for each in self.strata:
            for run, counts in zip(each.runs, each.counts.sum(1), strict=True):
                found = ratios(counts)
                known = ["" if math.isnan(found[key]) else repr(found[key]) for key in RATIOS]
                info = run.info
                names = [each.label, run.data.params.get("seed", ""), info.run_id, info.run_name, len(each.tile_id)]
                writer.writerow([*names, *counts.tolist(), *known])
        return buffer.getvalue()

    def terminal(self, console: Console) -> None:
        """Print the table, what may be concluded, and the notes."""
        heading, *rows = self.rows()
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for place, name in enumerate(heading):
            table.add_column(Text(name), justify="right" if place else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
        console.print()
        for text in self.verdict:
            console.print(text, markup=False, highlight=False)
        for text in self.notes:
            console.print(text, style="yellow", markup=False, highlight=False)
        console.print(self.caption, style="dim", markup=False, highlight=False)

    def write(self, folder: Path) -> list[Path]:
        """Write ``test.md`` and ``test.csv``; the folder is made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"test.md": self.markdown(), "test.csv": self.csv()}
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="")
        return [folder / name for name in texts]


def _spread(found: Estimate) -> str:
    if math.isnan(found.mean):
        return MISSING
    return f"{found.mean:.4f}" + ("" if math.isnan(found.sd) else f" \N{PLUS-MINUS SIGN} {found.sd:.4f}")


def _cells(each: Scored) -> list[str]:
    f1 = each.estimates["f1"]
    interval = MISSING if math.isnan(f1.low) else f"{f1.low:.4f} to {f1.high:.4f}"
    others = [_spread(each.estimates[key]) for key in RATIOS if key != "f1"]
    validation = MISSING if math.isnan(each.validation) else f"{each.validation:.4f}"
    return [each.label, str(len(each.runs)), _spread(f1), interval, *others, validation]


def report_test(
    client: MlflowClient, name: str, strata: Mapping[str, Sequence[Run]], *, looks: int, notes: Sequence[str]
) -> CustodyReport:
    """Read what was stored of scored runs.

    Args:
        client: of their store.
        name: of the sweep, or of the run.
        strata: by label, runs that differ in their seed and have ``test/best.npz``.
        looks: how often the test part was looked at.
        notes: on where the networks come from.
    """
    tested = [_read(client, label, runs) for label, runs in strata.items()]
    known = {each.label: each.estimates["f1"].mean for each in tested}
    order = sorted(tested, key=lambda each: math.inf if math.isnan(known[each.label]) else -known[each.label])
    return CustodyReport(name, order, looks, notes)


def _read(client: MlflowClient, label: str, runs: Sequence[Run]) -> Scored:
    counts = []
    with TemporaryDirectory() as scratch:
        for run in runs:
            path = client.download_artifacts(run.info.run_id, "test/best.npz", scratch)
            with np.load(path, allow_pickle=False) as stored:
                counts.append(stored["counts"])
                tile_id = [str(each) for each in stored["tile_id"]]
    return Scored(label, runs, np.stack(counts), tile_id)
