"""Datasets, and the commands that look at them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.cli.bad_input.row import Row, a_file, assert_told_in_a_sentence, clean_environment, each, row, run_states
from tests.cli.bad_input.spoiled_tiles import (
    as_folder,
    as_landslide4sense,
    as_parts,
    bomb,
    cache_is_a_file,
    damaged_cache,
    dangling_link,
    empty_root,
    folder_named_png,
    h5_without_img,
    image_without_mask,
    link_to_itself,
    link_to_nothing,
    no_folder_of_images,
    no_folder_of_masks,
    no_images,
    no_landslide,
    no_mask,
    no_picture,
    non_landslide,
    other_layout,
    other_size,
    root_links_to_itself,
    table,
    tiff,
    truncated,
    two_of_one_name,
    unreadable,
    zero_bytes,
)
from tests.cli.typed import ROOT, as_an_ordinary_user, no_file_above, run_typed

small_files = partial(no_file_above, 100_000)

DATA = [
    row("train.py data.root=nowhere", "data.root=nowhere: no Bijie dataset there", "data.root=PATH"),
    row("train.py data.root=tiles", "data.root=tiles: this folder is empty", "data.root=PATH", given=empty_root),
    row("train.py data.root=tiles", "looked for landslide/image and landslide/mask", given=other_layout),
    row("train.py data.root=letter.txt", "data.root=letter.txt: no Bijie dataset there", given=a_file("letter.txt")),
    row("train.py data.root=tiles", "tiles/landslide/image: holds no PNG image", given=no_images),
    row("train.py data.root=tiles", "1 of 12 masks are missing, the first is 'gorge001.png'", given=no_mask),
    row("train.py data.root=tiles", "32 x 64 px, but its image is 64 x 64 px", given=other_size),
    row("train.py data.root=tiles", "cannot be read as an image", "truncated", given=truncated),
    row("train.py data.root=tiles", "cannot be read as an image", given=zero_bytes),
    row("train.py data.root=tiles", "cannot be read as an image", given=no_picture),
    row(
        "train.py data.root=tiles",
        "gorge001.png: cannot be opened (No such file or directory; it is a symbolic link to",
        given=dangling_link,
    ),
    row("train.py data.root=tiles", "aaa.png: cannot be opened (Is a directory)", given=folder_named_png),
    row(
        "train.py data.root=tiles",
        "gorge001.png: cannot be opened (Permission denied)",
        given=unreadable,
        before=as_an_ordinary_user,
    ),
    row("train.py data.root=tiles", "cannot be read as an image", "decompression bomb", given=bomb),
    row("train.py data.root=tiles", "data.root=tiles: no landslide pixel in the training part", given=no_landslide),
    row("train.py data.cache_dir=cache", "data.cache_dir=cache: cannot be written", given=cache_is_a_file),
    row("train.py data.cache_dir=made", "this cache is damaged", "Delete the folder", given=damaged_cache),
    row(
        "train.py data.cache_dir=cache", "data.cache_dir=cache: cannot be written", "File too large", before=small_files
    ),
    row("train.py data=folder", "data.root: not given. Type data.root=PATH", small=False),
    row("train.py data=folder data.root=nowhere", "data.root=nowhere: there is no such folder", small=False),
    row("train.py data=folder", "data.root=tiles: this is not a folder of images", "looks like the Bijie dataset"),
    row("train.py data=landslide4sense", "this is not Landslide4Sense, it looks like the Bijie dataset"),
    row(
        "train.py data=bijie",
        "data.root=tiles: this is not the Bijie dataset, it looks like a folder of images and masks. Read it so: "
        "data=folder data.root=tiles",
        given=as_folder,
    ),
    row(
        "train.py data=bijie", "this is not the Bijie dataset, it looks like Landslide4Sense", given=as_landslide4sense
    ),
    row("train.py data=folder", "tiles/images: there is no such folder", given=(as_folder, no_folder_of_images)),
    row("train.py data=folder", "tiles/masks: there is no such folder", given=(as_folder, no_folder_of_masks)),
    row("train.py data=folder", "1 of 12 masks are missing, the first is that", given=(as_folder, image_without_mask)),
    row("train.py data=folder", "'gorge001.jpg' and 'gorge001.png' are two", given=(as_folder, two_of_one_name)),
    row("train.py data=folder data.masks=../masks", "tiles/../masks: there is no such folder", given=as_folder),
    row("train.py data=folder data.mask_suffix=_mask", "12 of 12 masks are missing", given=as_folder),
    row("train.py data=folder data.split.by=folder", "divide them with data.split.by=tile", given=as_folder),
    row("train.py data=folder", "take them so with data.split.by=folder", given=as_parts),
    row("train.py data=folder data.negatives.val=all", "data.negatives.val=all: must be none: only", given=as_folder),
    row(
        "train.py data=folder data.channels=[red,green,blue,nir]",
        "gorge001.png: has 3 bands, 4 are expected (red, green, blue, nir)",
        given=as_folder,
    ),
    row("train.py data=folder data.bands=[nir]", "data.bands: 'nir' is not one of red, green, blue", given=as_folder),
    row("train.py data=folder data.channels=[]", "data.channels=[]: name at least one band", given=as_folder),
    row(
        "train.py data=folder",
        "gorge001.tif: has 5 bands, 3 are expected",
        given=(as_folder, tiff(np.zeros((64, 64, 5), np.uint8))),
    ),
    row(
        "train.py data=folder",
        "gorge002.png: its bands are uint8, uint8, uint8, those of tiles/images/gorge001.tif are uint16, uint16",
        given=(as_folder, tiff(np.zeros((64, 64, 3), np.uint16))),
    ),
    row(
        "train.py data=folder",
        "gorge001.tif: holds pixels without a value (NaN",
        given=(as_folder, tiff(np.full((64, 64, 3), np.nan, np.float32))),
    ),
    row(
        "train.py data=folder",
        "gorge001.png: cannot be opened (No such file or directory; it is a symbolic link to",
        given=(as_folder, link_to_nothing),
    ),
    row(
        "train.py data=folder",
        "gorge001.png: cannot be opened (Too many levels of symbolic links",
        given=(as_folder, link_to_itself),
    ),
    row("train.py", "data.root=tiles: ", given=root_links_to_itself),
    row(
        "train.py data=landslide4sense data.split.by=tile",
        "image_3.h5: cannot be read as an image (it holds image, not img or mask)",
        given=(as_landslide4sense, h5_without_img),
    ),
    row(
        "train.py data=landslide4sense",
        "ValidData/img: there is no such folder. Divide TrainData instead: data.split.by=tile",
        given=as_landslide4sense,
    ),
    row(
        "train.py data=landslide4sense data.split.by=tile data.channels=[red,green,blue]",
        "has 14 bands, 3 are expected",
        given=as_landslide4sense,
    ),
    row("train.py data.split.csv=gone.csv", "data.split.csv=gone.csv: cannot be read"),
    row(
        "train.py data.split.csv=parts.csv",
        "parts.csv: row 14: there is no tile 'gorgeous1'. Did you mean 'gorge001'?",
        given=table("tile,part\nROWS\ngorgeous1,val"),
    ),
    row(
        "train.py data.split.csv=parts.csv",
        "parts.csv: its columns are tile, split; tile and part are needed",
        given=table("tile,split\nROWS"),
    ),
    row(
        "train.py data.split.csv=parts.csv",
        "parts.csv: row 2: part 'valid' of tile 'gorge001' is not one of train, val, test",
        given=table("tile,part\ngorge001,valid\nROWS"),
    ),
    row(
        "train.py data.split.csv=parts.csv",
        "parts.csv: row 14: tile 'gorge001' has a row already",
        given=table("tile,part\nROWS\nFIRST"),
    ),
    row("train.py data.split.csv=parts.csv", "11 of 12 tiles have no row", given=table("tile,part\nFIRST")),
    row("train.py data.split.csv=parts.csv", "parts.csv: its columns are none", given=table("")),
    row("train.py data.split.csv=tiles/landslide/image/gorge001.png", "gorge001.png: cannot be read"),
    row("train.py data.split.csv=tiles", "data.split.csv=tiles: cannot be read"),
    row("train.py data.negatives.train=all", "tiles/non-landslide/image: holds no PNG image, which data.negatives"),
    row(
        "train.py data.negatives.train=1",
        "data.negatives.train=1: 8 non-landslide tiles are asked for in the train part",
        "are there. all takes these",
        given=non_landslide,
    ),
    row(
        "train.py data=bijie 'data.generate={count: 12, size_px: 64}' data.root=tiles",
        "these arguments do not compose (",
        "full_key: data.generate",
        status=1,
        small=False,
    ),
    row("train.py data.root=tiles data.generate.count=9", "tiles: found a synthetic dataset of other", small=False),
    row("train.py data.root=new data.generate.count=0", "count is 0; it must be at least 1", small=False),
    row("train.py data.root=new data.generate.size_px=1", "size_px is 1; it must be at least 32", small=False),
]

COMMANDS = [
    row("landslide data check nowhere", "data.root=nowhere: there is no such folder"),
    row("landslide data check letter.txt", "data.root=letter.txt", given=a_file("letter.txt")),
    row("landslide data check tiles", "data.root=tiles: this folder is empty", given=empty_root),
    row("landslide data check tiles data=folder", "it looks like the Bijie dataset", on="stdout", status=1),
    row(
        "landslide data check tiles", "would break training: ", "cannot be read", given=truncated, on="stdout", status=1
    ),
    row("landslide data check tiles data.chanels=[red]", "data.chanels", lines=4),
    row("landslide data check tiles image_size", "image_size", lines=4),
    row("landslide data audit data=3", "data=3: does not compose ("),
    row("landslide data audit experiment=null", "experiment=null: does not compose ("),
    row("landslide data audit tiles -o /proc/x", "/proc/x: no folder can be made there"),
    row("landslide data check", "the following arguments are required: PATH", lines=9),
    row("landslide data show nowhere", "data.root=nowhere: there is no such folder"),
    row("landslide data show tiles --count 0", "argument --count: '0': give a number from 1", lines=9),
    row("landslide data show tiles -o nowhere/sheet.png", "--output nowhere/sheet.png: cannot be written"),
    row("landslide data show tiles -o sheet.xyz", "--output sheet.xyz: cannot be written"),
    row("landslide data show tiles", "gorge001.png: cannot be read as an image", given=truncated),
    row("landslide data", "the following arguments are required: COMMAND", lines=9),
    row(
        "landslide data synthesize tiles", "tiles: found a synthetic dataset of other settings", "Choose another folder"
    ),
    row("landslide data synthesize letter.txt", "letter.txt: found something that is not", given=a_file("letter.txt")),
    row("landslide data synthesize letter.txt/new", "letter.txt", "Choose another place", given=a_file("letter.txt")),
    row("landslide data synthesize new --count 0", "count is 0; it must be at least 1"),
    row("landslide data synthesize new --count -1", "count is -1; it must be at least 1"),
    row("landslide data synthesize new --non-landslide -1", "non_landslide is -1; it must be at least 0"),
    row("landslide data synthesize new --size 1", "size_px is 1; it must be at least 32"),
    row("landslide data synthesize new --seed -1", "seed is -1; it must be at least 0"),
    row("landslide data synthesize new --count many", "argument --count: invalid int value: 'many'", lines=9),
    row("landslide data synthesize new --count 3 --size 256", "cannot be written: File too large", before=small_files),
]

ROWS = [*DATA, *COMMANDS]


@each(ROWS)
def test_tiles_that_cannot_be_read_are_told_in_a_sentence_and_leave_nothing_half_written(
    row: Row, folder: Path, places: dict[str, str]
) -> None:
    assert_told_in_a_sentence(row, folder, places)


def test_a_fork_shows_what_a_fresh_process_shows(folder: Path) -> None:
    command = Row("train.py data.root=nowhere", ()).command()
    forked = run_typed(command, folder, environment=clean_environment())
    words = shlex.split(command)
    fresh = subprocess.run(
        [sys.executable, str(ROOT / words[0]), *words[1:]],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert forked.status != 0
    assert forked == (fresh.returncode, fresh.stdout, fresh.stderr)


NAMES = ["two 'words'", "a=b #1, {2} 100%", '"Erdrutsch_Überblick"_滑坡', "line\nbreak"]


@pytest.mark.parametrize("odd", NAMES)
def test_odd_names_of_folders_and_images_work(odd: str, folder: Path) -> None:
    # Given: the root has such a name, and so has an image
    root = folder / odd
    (folder / "tiles").rename(root)
    for kind in ("image", "mask"):
        path = root / "landslide" / kind / "gorge001.png"
        path.rename(path.with_name(f"{odd}.png"))
    # When: as Hydra's grammar quotes
    quoted = "'" + odd.replace("'", "\\'") + "'"
    roots = shlex.join([f"data.root={quoted}", f"data.cache_dir={quoted[:-1]}/cache'"])
    ended = run_typed(Row(f"train.py {roots}", ()).command(), folder, environment=clean_environment())
    # Then
    assert ended.status == 0, ended.stderr
    assert run_states(folder) == ["FINISHED"] * 2


def test_links_for_the_root_for_images_and_for_the_folder_of_results_work(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("tiles", "mlruns"):
        (folder / name).rename(elsewhere / name)
        (folder / name).symlink_to(elsewhere / name)
    image = min((elsewhere / "tiles" / "landslide" / "image").iterdir())
    image.rename(elsewhere / image.name)
    image.symlink_to(elsewhere / image.name)
    ended = run_typed(Row("train.py", ()).command(), folder, environment=clean_environment())
    assert ended.status == 0, ended.stderr
    assert run_states(folder) == ["FINISHED"] * 2
