"""Which tiles train and which validate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landslide.errors import DataError


@dataclass(frozen=True)
class Split:
    """Rows of the tile list by part."""

    seed: int
    train: list[int]
    val: list[int]

    def describe(self, tile_id: Sequence[str]) -> dict[str, Any]:
        """What a run stores: tile names by part, and a digest of them that tells two splits apart."""
        parts = {"train": [tile_id[row] for row in self.train], "val": [tile_id[row] for row in self.val]}
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return {"kind": "random", "seed": self.seed, "digest": digest, **parts}


def random_split(tiles: int, *, train: float, val: float, seed: int) -> Split:
    """Divide tiles at random; the same seed divides the same number of tiles the same way on every machine.

    Args:
        tiles: how many there are.
        train: a count from 1 up, or a share below 1.
        val: likewise.
        seed: of the permutation (NumPy's PCG64).

    Raises:
        DataError: where the parts ask for more tiles than there are, or one would be empty.
    """
    for name, part in (("train", train), ("val", val)):
        if not (0 < part < 1 or float(part).is_integer()):
            raise DataError(f"data.split.{name}={part:g}: must be a count from 1 up, or a share below 1.")
    train_count, val_count = _count(tiles, train), _count(tiles, val)
    asked = f"data.split.train={train:g} data.split.val={val:g}"
    if min(train_count, val_count) < 1:
        raise DataError(f"{asked}: of {tiles} tiles this leaves a part empty. Give a count, or a share below 1.")
    if train_count + val_count > tiles:
        raise DataError(f"{asked}: {train_count} + {val_count} tiles are asked for, {tiles} are there.")
    order = np.random.default_rng(seed).permutation(tiles)
    val_rows, train_rows = order[:val_count], order[val_count : val_count + train_count]
    return Split(seed=seed, train=sorted(train_rows.tolist()), val=sorted(val_rows.tolist()))


def _count(tiles: int, part: float) -> int:
    return round(tiles * part) if 0 < part < 1 else int(part)
