"""What can be wrong with weights and checkpoints."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


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


def checkpoint(content: bytes) -> Callable[[Path], None]:
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


def checkpoint_elsewhere(folder: Path) -> None:
    (folder / "last.ckpt").symlink_to(folder / "left" / "checkpoints" / "last.ckpt")
