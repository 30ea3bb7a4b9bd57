"""``landslide data check`` and ``show``, as they are typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landslide.cli.main import main
from landslide.data.synthetic import synthesize


@pytest.fixture
def dataset_of_six(tmp_path: Path) -> Path:
    return synthesize(tmp_path / "my tiles", count=4, non_landslide=2, size_px=32, seed=0)


def test_check_says_what_there_is_and_how_to_train_on_it(
    dataset_of_six: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # When
    status = main(["data", "check", str(dataset_of_six)])
    # Then
    told = capsys.readouterr().out
    assert status == 0
    assert "4 with a mask, 2 without" in told
    assert "elevation models   6" in told
    assert f"'data.root={dataset_of_six}' data.split.train=0.8" in told


def test_check_ends_with_1_where_something_would_break_training(
    dataset_of_six: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    broken = sorted((dataset_of_six / "landslide" / "mask").iterdir())[0]
    broken.write_bytes(b"")
    # When, then
    assert main(["data", "check", str(dataset_of_six)]) == 1
    assert f"would break training: {broken}" in capsys.readouterr().out
    broken.unlink()
    assert main(["data", "check", str(dataset_of_six)]) == 1
    assert "1 of 4 masks are missing" in capsys.readouterr().out


def test_check_of_what_is_no_dataset_is_a_mistake_of_the_typist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(tmp_path / "nowhere")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path), "data=folder", "data.chanels=[red]"]) == 2
    assert "chanels" in capsys.readouterr().err


def test_show_draws_the_sheet(dataset_of_six: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # When
    status = main(["data", "show", str(dataset_of_six), "--output", str(tmp_path / "sheet.png"), "--count", "5"])
    # Then: a picture with the colour of the outlines in it
    assert status == 0
    assert "5 of 6 tiles" in capsys.readouterr().out
    drawn = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert (np.abs(drawn.astype(int) - [0xE6, 0x61, 0x00]).sum(-1) < 30).sum() > 100
