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


@pytest.fixture
def split_ground(tmp_path: Path) -> Path:
    """Five tiles of which two show the same ground, and a file that puts these into different parts."""
    root = synthesize(tmp_path / "tiles", count=5, non_landslide=0, size_px=96, seed=0)
    first, *others = sorted((root / "landslide" / "image").iterdir())
    pixels = np.asarray(Image.open(first))
    whole = np.concatenate([pixels, np.asarray(Image.open(others[0]))], axis=1)
    Image.fromarray(np.ascontiguousarray(whole[:, 32:128])).save(others[0])
    parts = {first: "val", others[3]: "val"}
    rows = [f"{path.stem},{parts.get(path, 'train')}" for path in (first, *others)]
    (tmp_path / "parts.csv").write_text("\n".join(["tile,part", *rows]))
    return root


def test_audit_names_the_tiles_that_share_ground_and_the_cure(
    split_ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # When
    told = [f"data.split.csv={tmp_path / 'parts.csv'}", "--csv", str(tmp_path / "new" / "pairs.csv")]
    status = main(["data", "audit", str(split_ground), *told, "-o", str(tmp_path / "sheet")])
    # Then
    said = capsys.readouterr().out
    assert status == 0
    assert "3 train, 2 val (csv split" in said
    assert "1 of 2 validation tiles show ground that a training tile shows: 0 as a near-duplicate, 1 in an over" in said
    assert "data.split.by=group (0 of 1 pairs are of one group)" in said
    header, row = (tmp_path / "new" / "pairs.csv").read_text().splitlines()
    assert header.startswith("tile,part,other,other_part,kind,turn,share")
    assert "overlap,,0.6667," in row
    assert row.endswith(",0,32")
    assert Image.open(tmp_path / "sheet" / "pairs.png").width > 500


def test_audit_does_not_advise_groups_where_all_tiles_are_of_one(
    split_ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: names that are the same up to their number
    listed = (tmp_path / "parts.csv").read_text()
    for number, path in enumerate(sorted((split_ground / "landslide" / "image").iterdir())):
        for same in list(split_ground.rglob(f"{path.stem}.*")):
            same.rename(same.with_stem(f"tile{number}"))
        listed = listed.replace(f"{path.stem},", f"tile{number},")
    (tmp_path / "parts.csv").write_text(listed)
    # When
    assert main(["data", "audit", str(split_ground), f"data.split.csv={tmp_path / 'parts.csv'}"]) == 0
    # Then
    said = " ".join(capsys.readouterr().out.split())
    assert "into one part: a file of your own with the columns tile and part: data.split.csv=FILE" in said


def test_audit_without_a_find_says_so_and_takes_what_train_takes(
    split_ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: synthetic tiles as train.py names them, the pair in one part
    words = [f"data.root={split_ground}", "data.generate=null", "data.split={train: 4, val: 1, seed: 0}"]
    # When
    found = {main(["data", "audit", *words[:2], words[2].replace("seed: 0", f"seed: {seed}")]) for seed in range(2)}
    # Then
    assert found == {0}
    assert "of 1 validation tiles show ground that a training tile shows" in capsys.readouterr().out


def test_an_audit_that_cannot_begin_says_why(
    split_ground: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "audit", "data=bijie", f"data.root={tmp_path / 'nowhere'}"]) == 2
    assert "no Bijie dataset there" in capsys.readouterr().err
    assert main(["data", "audit", "data=bijie", "data.splitt.seed=1"]) == 2
    assert "splitt" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["data", "audit", str(split_ground), "--csv", str(tmp_path / "file" / "pairs.csv")]) == 2
    assert "no folder can be made there" in capsys.readouterr().err
