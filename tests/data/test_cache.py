"""The cache of decoded tiles: keyed by content, built once, never half."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from landslide.data.bijie import list_bijie
from landslide.data.cache import TileCache, content_digest, open_cache
from landslide.errors import DataError
from tests.data.conftest import cut_short, files_in, random_tile, write_dataset, write_tile

RGB = ("red", "green", "blue")
SIZES = [(16, 16), (16, 16), (20, 30)]
PROCESSES = 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "tiles", SIZES)
    return tmp_path / "tiles"


def opened(root: Path, folder: Path, size: int = 16, bands: tuple[str, ...] = RGB) -> TileCache:
    return open_cache(list_bijie(root), size, bands, folder)


# ----------------------------------------------------------------------------------------------------------- content
def test_a_cache_holds_what_was_written(tmp_path: Path, root: Path) -> None:
    # When
    cache = opened(root, tmp_path / "cache")
    # Then
    assert len(cache) == 3
    assert cache.tile_id == ["tile000", "tile001", "tile002"]
    assert (cache.image.shape, cache.image.dtype) == ((3, 16, 16, 3), np.uint8)
    assert (cache.mask.shape, cache.mask.dtype) == ((3, 16, 16), np.uint8)
    assert list(zip(cache.height_px.tolist(), cache.width_px.tolist(), strict=True)) == SIZES
    for row in (0, 1):
        image, mask = random_tile(row, 16, 16)
        assert np.array_equal(cache.image[row], image)
        assert np.array_equal(cache.mask[row], mask // 255)


def test_a_cache_is_read_only(tmp_path: Path, root: Path) -> None:
    cache = opened(root, tmp_path / "cache")
    for array in (cache.image, cache.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_folder_is_made_with_those_above_it(tmp_path: Path, root: Path) -> None:
    opened(root, tmp_path / "a" / "b" / "cache")
    assert len(files_in(tmp_path / "a" / "b" / "cache")) == 1


# --------------------------------------------------------------------------------------------------------------- key
def test_the_same_content_in_another_place_finds_the_same_cache(tmp_path: Path, root: Path) -> None:
    # Given
    first = opened(root, tmp_path / "cache")
    (place,) = files_in(tmp_path / "cache")
    written = (place / "image.npy").stat()
    # When
    shutil.copytree(root, tmp_path / "moved")
    second = opened(tmp_path / "moved", tmp_path / "cache")
    # Then
    assert files_in(tmp_path / "cache") == [place]
    assert (place / "image.npy").stat().st_mtime_ns == written.st_mtime_ns
    assert (place / "image.npy").stat().st_ino == written.st_ino
    assert first.digest == second.digest


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_a_changed_pixel_makes_another_cache_with_another_digest(tmp_path: Path, root: Path, kind: str) -> None:
    # Given
    before = opened(root, tmp_path / "cache")
    # When
    image, mask = random_tile(0, 16, 16)
    (image if kind == "image" else mask)[3, 5] ^= 255
    write_tile(root, "tile000", image, mask)
    after = opened(root, tmp_path / "cache")
    # Then
    assert len(files_in(tmp_path / "cache")) == 2
    assert before.digest != after.digest
    assert (getattr(before, kind)[0] != getattr(after, kind)[0])[3, 5].all()


def test_a_changed_name_changes_the_digest(tmp_path: Path, root: Path) -> None:
    before = content_digest(list_bijie(root))
    for kind in ("image", "mask"):
        (root / "landslide" / kind / "tile002.png").rename(root / "landslide" / kind / "tile009.png")
    assert content_digest(list_bijie(root)) != before


def test_another_size_or_other_bands_make_another_cache_of_the_same_dataset(tmp_path: Path, root: Path) -> None:
    caches = [
        opened(root, tmp_path / "cache"),
        opened(root, tmp_path / "cache", size=8),
        opened(root, tmp_path / "cache", bands=("red",)),
        opened(root, tmp_path / "cache", bands=("blue", "green", "red")),
    ]
    assert len(files_in(tmp_path / "cache")) == 4
    assert len({cache.digest for cache in caches}) == 1
    assert [cache.image.shape[1:] for cache in caches] == [(16, 16, 3), (8, 8, 3), (16, 16, 1), (16, 16, 3)]
    assert np.array_equal(caches[3].image, caches[0].image[..., ::-1])


def test_a_digest_is_64_hexadecimal_digits_and_the_same_each_time(root: Path) -> None:
    digest = content_digest(list_bijie(root))
    assert len(bytes.fromhex(digest)) == 32
    assert content_digest(list_bijie(root)) == digest


# ------------------------------------------------------------------------------------------------ processes, failures
def open_32px(root: Path, folder: Path, barrier: Barrier) -> tuple[str, int, int]:
    """What each process does, all at the same moment."""
    barrier.wait(60)
    cache = opened(root, folder, size=32)
    return cache.digest, int(cache.image.astype(np.int64).sum()), int(cache.mask.astype(np.int64).sum())


def test_four_processes_that_ask_at_once_share_one_good_cache(tmp_path: Path) -> None:
    # Given
    written = write_dataset(tmp_path / "tiles", [(32, 32)] * 60)
    pixels = sum(int(image.astype(np.int64).sum()) for image, _ in written.values())
    landslides = sum(int((mask > 0).sum()) for _, mask in written.values())
    context = multiprocessing.get_context("spawn")
    # When
    with context.Manager() as manager, context.Pool(PROCESSES) as pool:
        barrier = manager.Barrier(PROCESSES)
        jobs = [(tmp_path / "tiles", tmp_path / "cache", barrier)] * PROCESSES
        found = pool.starmap(open_32px, jobs, chunksize=1)
    # Then
    assert {(image, mask) for _, image, mask in found} == {(pixels, landslides)}
    assert len({digest for digest, _, _ in found}) == 1
    assert len(files_in(tmp_path / "cache")) == 1


def test_a_failed_build_leaves_nothing_behind_and_the_next_one_succeeds(tmp_path: Path, root: Path) -> None:
    # Given
    broken = root / "landslide" / "image" / "tile001.png"
    whole = broken.read_bytes()
    cut_short(broken)
    # When
    with pytest.raises(DataError, match="cannot be read as an image") as caught:
        opened(root, tmp_path / "cache")
    # Then
    assert str(broken) in str(caught.value)
    assert files_in(tmp_path / "cache") == []
    broken.write_bytes(whole)
    assert len(opened(root, tmp_path / "cache")) == 3
    assert len(files_in(tmp_path / "cache")) == 1


def test_a_folder_that_cannot_be_written_is_refused_with_the_cure(tmp_path: Path, root: Path) -> None:
    # Given: a file where the folder should be, which stops root too
    (tmp_path / "file").write_text("")
    # When
    with pytest.raises(DataError) as caught:
        opened(root, tmp_path / "file" / "cache")
    # Then
    message = str(caught.value)
    assert message.startswith(f"data.cache_dir={tmp_path / 'file' / 'cache'}")
    assert "Choose another folder" in message


def test_a_cache_can_be_read_by_whom_the_umask_lets(tmp_path: Path, root: Path) -> None:
    # Given: a group that shares a folder
    before = os.umask(0o022)
    try:
        opened(root, tmp_path / "cache")
    finally:
        os.umask(before)
    # Then
    (place,) = files_in(tmp_path / "cache")
    assert oct(place.stat().st_mode & 0o777) == oct(0o755)
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in place.iterdir())


def test_a_cache_that_lost_a_file_is_refused_with_its_name(tmp_path: Path, root: Path) -> None:
    # Given: somebody cleaned up
    opened(root, tmp_path / "cache")
    (place,) = files_in(tmp_path / "cache")
    (place / "mask.npy").unlink()
    # When, then
    with pytest.raises(DataError, match=place.name):
        opened(root, tmp_path / "cache")


def test_what_a_killed_build_left_is_cleared_by_the_next_one(tmp_path: Path) -> None:
    # Given: a process that is killed while it decodes
    folder = tmp_path / "cache"
    write_dataset(tmp_path / "tiles", [(48, 48)] * 300)
    code = (
        "import sys; from pathlib import Path; from landslide.data.cache import open_cache\n"
        "from landslide.data.bijie import list_bijie\n"
        "open_cache(list_bijie(Path(sys.argv[1])), 256, ('red', 'green', 'blue'), Path(sys.argv[2]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "tiles", folder], stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not list(folder.glob("tiles-*/image.npy")):
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not list(folder.glob("tiles-*/tiles.json"))
    # When
    cache = opened(tmp_path / "tiles", folder, size=256)
    # Then
    assert len(cache) == 300
    assert len(files_in(folder)) == 1
