"""The report of a sweep as one HTML file that needs nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from landslide.config import without_credentials
from landslide.report.page import fill, server
from landslide.report.sweep_table import SETTING

if TYPE_CHECKING:
    from landslide.report.sweep import SweepReport


def render(report: SweepReport) -> str:
    """The page as text of an HTML file."""
    return fill(
        "sweep.html.j2",
        report,
        address=lambda run_id: f"{server(report.tracking_uri)}/#/runs/{run_id}",
        setting=SETTING,
        facts=_facts(report),
    )


def _facts(report: SweepReport) -> list[tuple[str, str]]:
    """How was searched, where, and on what; what a study does not say is left out."""
    stored = report.settings
    named = {"settings": stored.get("settings") or {}, "identity": stored.get("identity") or {}}
    facts = [(key.replace("_", " "), _text(value)) for part in named.values() for key, value in part.items()]
    return [("command", without_credentials(report.command)), *facts]


def _text(value: Any) -> str:
    return without_credentials(value if isinstance(value, str) else json.dumps(value))
