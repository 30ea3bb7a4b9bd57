"""What is seen while a run trains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from landslide.tracking.run import TrackedRun
from landslide.training.history import History
from landslide.training.run import fit, prepare
from tests.conftest import compose_run

EPOCHS = 2


class NotTracked:
    def log_metrics(self, values: Mapping[str, float], step: int = 0, timestamp_ms: int | None = None) -> None:
        """Nowhere."""


def shown(tiny: list[str], folder: Path, *, terminal: bool) -> tuple[History, str]:
    """Train, and return what was measured and what was seen, without the codes that colour text and move the cursor."""
    seen = StringIO()
    console = Console(file=seen, force_terminal=terminal, width=120)
    parts = prepare(compose_run(*tiny, f"tracking.uri=sqlite:///{folder}/mlflow.db", "optimizer.lr=0.01"))
    history, _ = fit(parts, folder / "out", console, cast(TrackedRun, cast(Any, NotTracked())))
    return history, re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", seen.getvalue())


def test_the_bar_that_stays_on_a_terminal_shows_the_last_epochs_numbers(tiny: list[str], tmp_path: Path) -> None:
    # When
    history, text = shown(tiny, tmp_path, terminal=True)
    # Then: of the frames that were drawn over each other, the last one
    frame = re.split(r"[\r\n]", text.rstrip())[-1]
    objective, loss = (history.series[key] for key in ("val/f1", "train/loss"))
    assert history.best is not None
    best = dict(objective)[history.best.epoch]
    assert objective[-1][1] != objective[-2][1]
    assert frame.startswith(f"epoch {EPOCHS}/{EPOCHS} ")
    assert f"loss {loss[-1][1]:.3f}  val/f1 {objective[-1][1]:.4f} (best {best:.4f})" in frame


def test_elsewhere_each_epoch_is_a_line(tiny: list[str], tmp_path: Path) -> None:
    history, text = shown(tiny, tmp_path, terminal=False)
    lines = text.strip().splitlines()
    assert len(lines) == EPOCHS
    for line, (epoch, f1) in zip(lines, history.series["val/f1"], strict=True):
        assert line.startswith(f"epoch {epoch}/{EPOCHS}  train/loss ")
        assert f"val/f1 {f1:.4f} (best " in line
