"""The comparison as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from landslide import __version__
from landslide.config import without_credentials
from landslide.report import pairs, table
from landslide.report.figures import to_png, to_svg
from landslide.report.pictures import Picture
from landslide.report.runs import Run
from landslide.report.table import MISSING, Column

if TYPE_CHECKING:
    from landslide.report.comparison import Comparison
    from landslide.report.reproduction import Reproduction
    from landslide.report.sweep import SweepReport

_UI = "http://127.0.0.1:5000"
"""Of ``landslide ui``."""

_MOST_PIXELS = 2_500_000
"""Of an embedded photographic figure: about 2 MB as PNG."""


def render(comparison: Comparison) -> str:
    """The page as text of an HTML file."""
    return fill(
        "page.html.j2",
        comparison,
        address=partial(_address, comparison.tracking_uri),
        runs_of_row=_runs_of_row,
        unfinished=[not stratum.finished for stratum in comparison.strata],
        strata_columns=_first(comparison.columns, "model", "f1", "f1_interval", "f1_last", "f1_last_interval"),
        run_columns=table.run_columns(comparison.rows, comparison.objective, one_device=comparison.one_device),
        questions=[(question, pairs.columns(question)) for question in comparison.shown_questions],
        bold=pairs.BOLD,
        calibration=table.CALIBRATION,
        shared=_shared_params(comparison),
        facts=_facts(comparison),
        environment=list(_flat(comparison.best_artifacts.environment or {})),
    )


def render_reproduction(reproduction: Reproduction) -> str:
    """The page of a published comparison beside ours."""
    return fill(
        "reproduction.html.j2",
        reproduction,
        address=partial(_address, reproduction.tracking_uri),
        runs_of_row=_runs_of_row,
    )


def _first(columns: Sequence[Column], *keys: str) -> list[Column]:
    """These before the others: a phone shows three columns at once."""
    return sorted(columns, key=lambda column: keys.index(column.key) if column.key in keys else len(keys))


def fill(template: str, report: Comparison | SweepReport | Reproduction, **values: Any) -> str:
    """A page from a template beside this file, which extends ``base.html.j2``.

    Args:
        template: name of the file.
        report: what the page is of: it has a title, a sentence, notes, pictures and the address of its store.
        values: what the template needs besides.
    """
    environment = Environment(
        loader=PackageLoader("landslide.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = [(picture, _embedded(picture)) for picture in report.pictures]
    return environment.get_template(template).render(
        report=report,
        pictures=pictures,
        served=_is_served(report.tracking_uri),
        missing=MISSING,
        version=__version__,
        **values,
    )


def _embedded(picture: Picture) -> Markup:
    if not picture.photographic:
        return Markup(to_svg(picture.figure, picture.name))  # noqa: S704  (matplotlib escapes text)
    width, height = picture.figure.get_size_inches()
    dpi = min(150.0, (_MOST_PIXELS / (width * height)) ** 0.5)
    data = base64.b64encode(to_png(picture.figure, dpi)).decode()
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, picture.description)


def _address(tracking_uri: str, runs: Sequence[Run]) -> str:
    """Of one run its page, of several MLflow's comparison of them."""
    if len(runs) == 1:
        return f"{server(tracking_uri)}/#/experiments/{runs[0].experiment_id}/runs/{runs[0].id}"
    asked = {"runs": [run.id for run in runs], "experiments": sorted({run.experiment_id for run in runs})}
    query = "&".join(f"{key}={quote(json.dumps(ids, separators=(',', ':')), safe='[],')}" for key, ids in asked.items())
    return f"{server(tracking_uri)}/#/compare-runs?{query}"


def _runs_of_row(columns: Sequence[Column], row: int) -> tuple[Run, ...]:
    """What the first linked number of a row is of, as most of its numbers are; its address is written once a row."""
    return next((runs for column in columns if (runs := column.cells[row].runs)), ())


def server(tracking_uri: str) -> str:
    """The address of an MLflow server; of a database, where ``landslide ui`` shows it."""
    return without_credentials(tracking_uri).rstrip("/") if _is_served(tracking_uri) else _UI


def _is_served(tracking_uri: str) -> bool:
    return tracking_uri.startswith(("http://", "https://"))


def _shared_params(comparison: Comparison) -> list[tuple[str, str]]:
    known = [row.run.params for row in comparison.rows if row.run.params]
    if not known:  # every run failed before it logged anything
        return []
    return [(key, value) for key, value in sorted(known[0].items()) if all(other.get(key) == value for other in known)]


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    """What the best run stored of its origin; what was not stored is left out."""
    tags = comparison.strata[0].rows[0].run.tags
    names = ("commit", "dirty", "device", "precision", "data_digest", "split_digest")
    facts = [(name.replace("_", " "), tags[f"landslide.{name}"]) for name in names if f"landslide.{name}" in tags]
    split = comparison.best_artifacts.split or {}
    sizes = [f"{len(split[part])} {part}" for part in ("train", "val") if isinstance(split.get(part), list)]
    kind = [f"{key} {split[key]}" for key in ("kind", "seed") if key in split]
    return [*facts, ("split", ", ".join([*kind, *sizes]))] if split else facts


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
