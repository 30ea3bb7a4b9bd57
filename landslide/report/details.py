"""What stands under the main table: landslide by landslide, the error atlas, and the sheets of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from mlflow.tracking import MlflowClient

from landslide.report import atlas as error_atlas
from landslide.report import landslides, sheet
from landslide.report.atlas import Atlas
from landslide.report.figures import Panel
from landslide.report.landslides import Landslides
from landslide.report.pictures import Picture, shown
from landslide.report.runs import BROKEN, Run, artifact_file
from landslide.report.section import Section
from landslide.report.sheet import Choice
from landslide.report.strata import Stratum, same_tiles

_VALIDATION, _PICTURES = "validation/best.npz", "validation/tiles.zip"


@dataclass(frozen=True, eq=False)
class Details:
    """What runs have stored of their tiles beside counts; empty where they have stored nothing."""

    landslides: Mapping[str, Mapping[str, Landslides]]
    """By stratum and run id."""
    runs: Mapping[str, Sequence[Run]]
    """By stratum, the same runs."""
    drawn: Sequence[str]
    """The strata that figures show."""
    atlas: Atlas | None
    """Of the strata that figures show; None where they saw different tiles, or none with a landslide."""
    choices: Sequence[Choice]
    """The sheets to draw."""
    panels: Mapping[str, Panel]
    """By stratum that has kept maps and pictures: the tiles of all sheets, as its first run saw them."""
    broken: Sequence[str]
    """A sentence for each file that cannot be read."""

    @property
    def sections(self) -> list[Section]:
        """The tables."""
        found = landslides.make_sections(self._by_stratum, self.runs) if self.landslides else []
        return found + (error_atlas.make_sections(self.atlas) if self.atlas and len(self.atlas.models) > 1 else [])

    @cached_property
    def pictures(self) -> list[Picture]:
        """The figures."""
        found = [sheet.make_picture(choice, self.panels) for choice in self.choices]
        if by_size := landslides.make_picture({name: self._by_stratum.get(name, []) for name in self.drawn}):
            found.append(by_size)
        if self.atlas and len(self.atlas.models) > 1:
            found.append(error_atlas.make_picture(self.atlas))
        return found

    @property
    def files(self) -> dict[str, str]:
        """Every number in full, as CSV by the name of a file."""
        files = {"landslides.csv": landslides.to_csv(self.landslides)} if self.landslides else {}
        return files | ({"tiles.csv": error_atlas.to_csv(self.atlas)} if self.atlas else {})

    @property
    def _by_stratum(self) -> dict[str, list[Landslides]]:
        return {name: list(runs.values()) for name, runs in self.landslides.items()}


def read_details(client: MlflowClient, strata: Sequence[Stratum]) -> Details:
    """Read what the finished runs of some strata have stored of their tiles at the best epoch.

    Args:
        client: of the store that holds them.
        strata: best first.
    """
    found: dict[str, dict[str, Landslides]] = {}
    runs: dict[str, list[Run]] = {}
    broken: list[str] = []
    for stratum in strata:
        for row in stratum.finished:
            try:
                measured = _read_landslides(client, row.run) if "best" in row.tallies else None
            except BROKEN as error:
                broken.append(f"{row.label.text}: {_VALIDATION} cannot be read ({error}).")
                continue
            if measured is not None:
                found.setdefault(stratum.name, {})[row.run.id] = measured
                runs.setdefault(stratum.name, []).append(row.run)
    atlas = _read_atlas(strata)
    choices = sheet.choose_tiles(atlas) if atlas else []
    panels: dict[str, Panel] = {}
    for stratum in shown(strata) if choices else ():
        first = stratum.finished[0]
        try:
            panel = _read_panel(client, first.run, [tile for choice in choices for tile in choice.tiles])
        except BROKEN as error:
            broken.append(f"{first.label.text}: {_PICTURES} cannot be read and is left out ({error}).")
            continue
        if panel is not None:
            panels[stratum.name] = panel
    drawn = [stratum.name for stratum in shown(strata)]
    return Details(found, runs, drawn, atlas, choices if panels else [], panels, broken)


def _read_landslides(client: MlflowClient, run: Run) -> Landslides | None:
    with artifact_file(client, run, _VALIDATION) as file:
        if file is None:
            return None
        with np.load(file, allow_pickle=False) as stored:
            return landslides.read_landslides(stored)


def _read_atlas(strata: Sequence[Stratum]) -> Atlas | None:
    counted = {stratum: counts for stratum in shown(strata) if (counts := stratum.counts("best")) is not None}
    if not counted or not same_tiles(list(counted)):
        return None
    tile_id = next(iter(counted)).tallies("best")[0].tile_id
    return error_atlas.make_atlas(
        tile_id,
        {stratum.name: counts for stratum, counts in counted.items()},
        {stratum.name: tuple(row.run for row in stratum.rows if "best" in row.tallies) for stratum in counted},
    )


def _read_panel(client: MlflowClient, run: Run, tiles: Sequence[str]) -> Panel | None:
    with artifact_file(client, run, _VALIDATION) as validation, artifact_file(client, run, _PICTURES) as pictures:
        if validation is None or pictures is None:
            return None
        return sheet.read_panel(validation, pictures, list(dict.fromkeys(tiles)))
