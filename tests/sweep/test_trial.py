"""What a job reports of its trial, and to whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from landslide.errors import SweepError
from landslide.sweep.storage import open_storage
from landslide.sweep.trial import TrialJudge


def test_a_job_that_was_given_another_database_says_what_its_launcher_should_hand_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sweeps.db"
    open_storage(url)
    judge = TrialJudge(url, "lr/unet", 1, "none", max_epochs=3)
    with pytest.raises(SweepError, match=r"does not know the study 'lr/unet'.*LANDSLIDE_SWEEP_STORAGE"):
        judge(1, 0.5)
