"""Disks that are full, or become so."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from landslide.training.checkpoint import open_checkpoint
from tests.cli.bad_input.row import Row, clean_environment, filled_in, run_states
from tests.cli.typed import make_databases, run_typed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    with mounted(tmp_path / "disk", "2m") as place:
        yield place


@contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def fill(disk: Path, leave: int) -> None:
    (disk / "ballast").write_bytes(b"\0" * (shutil.disk_usage(disk).free - leave))


@pytest.mark.parametrize(
    ("typed", "sees"),
    [
        (
            "train.py data.cache_dir=disk/cache",
            "data.cache_dir=disk/cache: 0 MB are free, 12 tiles at data.image_size=64",
        ),
        ("train.py tracking.uri=sqlite:///disk/mlflow.db", "the MLflow store does not open"),
        ("train.py hydra.run.dir=disk/out", "No space left on device"),
        ("train.py -m hydra.sweep.dir=disk/out arch=unet,fpn", "MB are needed for checkpoints and models"),
        ("landslide data synthesize disk/new --count 3 --size 64", "No space left on device"),
        ("landslide compare STORED -o disk/out", "No space left on device"),
    ],
)
def test_a_full_disk_is_told_in_a_sentence_and_leaves_nothing_half_written(
    typed: str, sees: str, small_disk: Path, folder: Path, places: dict[str, str]
) -> None:
    (folder / "disk").symlink_to(small_disk)
    fill(small_disk, leave=8192)
    command = filled_in(Row(typed, ()).command(), places)
    ended = run_typed(command, folder, environment=clean_environment(), before=make_databases)
    assert ended.status == 2, ended
    assert "Traceback" not in ended.stdout + ended.stderr, ended
    assert sees in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    left = [path.relative_to(small_disk).as_posix() for path in small_disk.rglob("*") if path.is_file()]
    assert [name for name in left if name != "ballast" and ".hydra" not in name and not name.endswith(".lock")] == []


def others_fill_the_disk() -> None:
    """From the first whole checkpoint on, whatever becomes free is taken by somebody else."""
    checkpoint, ballast = Path("disk/out/checkpoints/last.ckpt"), Path("disk/ballast")

    def work() -> None:
        while not checkpoint.exists():
            time.sleep(0.01)
        with ballast.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(b"\0" * 4096)
                except OSError:  # full
                    time.sleep(0.001)

    Thread(target=work, daemon=True).start()


def test_a_disk_that_fills_while_a_run_trains_fails_it_and_keeps_the_checkpoint_before(
    folder: Path, tmp_path: Path
) -> None:
    # Given: a disk on which there is room, until a checkpoint is written
    with mounted(tmp_path / "large", "200m") as disk:
        (folder / "disk").symlink_to(disk)
        # When
        command = Row("train.py hydra.run.dir=disk/out trainer.max_epochs=30", ()).command()
        ended = run_typed(command, folder, environment=clean_environment(), before=others_fill_the_disk)
        # Then
        assert ended.status == 2, ended
        assert "Traceback" not in ended.stdout + ended.stderr, ended
        assert re.search(
            r"out/checkpoints/(best|last)\.ckpt: cannot be written: No space left on device\. Free", ended.stderr
        ), ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
        assert run_states(folder) == ["FINISHED", "FAILED"]
        assert open_checkpoint(disk / "out" / "checkpoints" / "last.ckpt").epochs >= 1
        assert not list(disk.rglob("*.part"))
