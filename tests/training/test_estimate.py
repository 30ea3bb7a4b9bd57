"""How long a run will train, from a few of its batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from landslide.training import estimate
from landslide.training.module import SegmentationModule
from tests.conftest import compose_run

MARKS = (0.0, 10.0, 12.0, 20.0, 24.0, 25.0)
"""Begin, end of training and end of validation, of two epochs: 12 s, then 4 s and 1 s."""


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A clock that goes by MARKS, and the number of batches that were really trained."""
    trained: list[int] = []
    marks = iter(MARKS)
    step = SegmentationModule.training_step

    def counted(module: SegmentationModule, batch: dict[str, object], batch_idx: int) -> object:
        trained.append(batch_idx)
        return step(module, batch, batch_idx)  # type: ignore[arg-type]

    monkeypatch.setattr(SegmentationModule, "training_step", counted)
    monkeypatch.setattr(estimate.Stopwatch, "_mark", lambda self, _: self.marks.append(next(marks)))
    return trained


@pytest.mark.parametrize(
    ("batch_size", "expected_s"),
    [
        # 8 training batches of which 4 are timed, 4 validation batches of which 2 are: 2 x (8 s + 2 s), 7 s to warm up
        (2, 27.0),
        # 2 training batches and 1 of validation, all of them timed: 2 x (4 s + 1 s), 7 s to warm up
        (8, 17.0),
    ],
)
def test_the_second_epoch_of_a_few_batches_stands_for_all(
    batch_size: int, expected_s: float, tiny: list[str], batches: list[int], tmp_path: Path
) -> None:
    cfg = compose_run(*tiny, f"data.batch_size={batch_size}")
    assert estimate.estimate_fit_s(cfg, tmp_path) == expected_s
    assert len(batches) == 2 * min(16 // batch_size, estimate.TRAIN_BATCHES)


def test_nothing_is_left_but_a_store_in_the_scratch_folder_and_the_config_stays(
    tiny: list[str], batches: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = compose_run(*tiny, "regularization.freeze_encoder=1")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    estimate.estimate_fit_s(cfg, scratch)
    assert {path.name.partition(".db")[0] for path in scratch.iterdir()} <= {"mlflow", ".mlflow.lock"}
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    assert cfg.regularization.freeze_encoder == 1
    assert cfg.tracking.uri is None
