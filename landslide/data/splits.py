"""Which tiles train, which validate, and which are locked away for a test."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from landslide.data.tiles import PARTS, Tile
from landslide.errors import DataError, nearest


@dataclass(frozen=True)
class Split:
    """Rows of the tile list by part; a row in none of them is left out."""

    seed: int
    train: list[int]
    val: list[int]
    test: list[int] = field(default_factory=list)
    """Locked: recorded by name, and read by nothing that trains or chooses."""
    kind: str = "random"

    def describe(self, tile_id: Sequence[str]) -> dict[str, Any]:
        """What a run stores: tile names by part, and a digest of them that tells two splits apart."""
        parts = {"train": [tile_id[row] for row in self.train], "val": [tile_id[row] for row in self.val]}
        if self.test:
            parts["test"] = [tile_id[row] for row in self.test]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return {"kind": self.kind, "seed": self.seed, "digest": digest, **parts}


def divide(tiles: Sequence[Tile], split: DictConfig, negatives: DictConfig) -> Split:
    """Divide the tiles of a dataset.

    Tiles with a mask are divided first, as if there were no others. Tiles without one follow their group where groups
    are divided, or their row of the CSV; all others are divided by the same seed in the proportions that the parts
    have by then. Of these, each part keeps what ``negatives`` asks for.

    Args:
        tiles: of the dataset.
        split: the ``data.split`` group.
        negatives: the ``data.negatives`` group; a ratio is of non-landslide tiles to those with a mask. The test part
            takes what the validation part takes.

    Raises:
        DataError: where a part would be empty, or something is asked for that is not there.
    """
    with_mask = [row for row, tile in enumerate(tiles) if tile.mask is not None]
    if split.csv is not None:
        kind, part_of = "csv", _by_csv(tiles, Path(split.csv).expanduser())
    elif split.hold_out is not None:
        kind, part_of = "hold_out", _by_group(tiles, _held_out(tiles, split.hold_out))
    elif split.by == "group":
        kind, part_of = "group", _by_group(tiles, _divided_groups(tiles, split))
    elif split.by == "folder":
        kind, part_of = "folder", {row: tile.part for row, tile in enumerate(tiles) if tile.part is not None}
    else:
        drawn = random_split(len(with_mask), train=split.train, val=split.val, test=split.test, seed=split.seed)
        kind = "random"
        part_of = {with_mask[row]: part for part in PARTS for row in getattr(drawn, part)}
    waiting = [row for row, tile in enumerate(tiles) if tile.mask is None and row not in part_of]
    part_of |= _in_proportion(waiting, Counter(part_of[row] for row in with_mask if row in part_of), split.seed)
    rows = {part: sorted(row for row in part_of if part_of[row] == part) for part in PARTS}
    kept = {part: _thinned(tiles, rows[part], part, negatives, split.seed) for part in PARTS}
    for part in ("train", "val"):
        if not kept[part]:
            raise DataError(f"data.split: the {part} part is empty ({kind} split of {len(tiles)} tiles).")
    return Split(seed=split.seed, kind=kind, **kept)


def random_split(tiles: int, *, train: float, val: float, seed: int, test: float = 0) -> Split:
    """Divide tiles at random; the same seed divides the same number of tiles the same way on every machine.

    The test part depends on its own size and the seed alone, so it stays locked whatever the other two are.

    Args:
        tiles: how many there are.
        train: a count from 1 up, or a share below 1.
        val: likewise.
        seed: of the permutation (NumPy's PCG64).
        test: likewise, or 0 for none.

    Raises:
        DataError: where the parts ask for more tiles than there are, or one would be empty.
    """
    for name, part in (("train", train), ("val", val), ("test", test)):
        if not (0 < part < 1 or float(part).is_integer()):
            raise DataError(f"data.split.{name}={part:g}: must be a count from 1 up, or a share below 1.")
    train_count, val_count, test_count = _count(tiles, train), _count(tiles, val), _count(tiles, test)
    asked = f"data.split.train={train:g} data.split.val={val:g}" + (f" data.split.test={test:g}" if test else "")
    if min(train_count, val_count) < 1 or test_count < bool(test):
        raise DataError(f"{asked}: of {tiles} tiles this leaves a part empty. Give a count, or a share below 1.")
    exact = sum(tiles * part if 0 < part < 1 else part for part in (train, val, test))
    if train < 1 and exact <= tiles + 1e-6:  # shares that add up to 1 may round up to a tile too many
        train_count = min(train_count, tiles - val_count - test_count)
    if train_count + val_count + test_count > tiles:
        locked = f" + {test_count}" if test else ""
        raise DataError(f"{asked}: {train_count} + {val_count}{locked} tiles are asked for, {tiles} are there.")
    order = np.random.default_rng(seed).permutation(tiles)
    val_rows, train_rows = order[:val_count], order[val_count : val_count + train_count]
    return Split(
        seed=seed,
        train=sorted(train_rows.tolist()),
        val=sorted(val_rows.tolist()),
        test=sorted(order[tiles - test_count :].tolist()),
    )


def _count(tiles: int, part: float) -> int:
    return round(tiles * part) if 0 < part < 1 else int(part)


# ------------------------------------------------------------------------------------------------------------ groups
def _by_group(tiles: Sequence[Tile], part_of_group: dict[str, str]) -> dict[int, str]:
    return {row: part_of_group[tile.group] for row, tile in enumerate(tiles) if tile.group in part_of_group}


def _groups(tiles: Sequence[Tile]) -> Counter[str]:
    """Tiles with a mask in each group.

    Raises:
        DataError: where there are not two.
    """
    groups = Counter(tile.group for tile in tiles if tile.mask is not None)
    if len(groups) < 2:
        raise DataError(
            f"data.split: all {groups.total()} tiles are of one group, {next(iter(groups), '')!r} (their names up to "
            "the first digit). Divide them tile by tile: data.split.by=tile"
        )
    return groups


def _held_out(tiles: Sequence[Tile], group: str) -> dict[str, str]:
    groups = _groups(tiles)
    if group not in groups:
        known = ", ".join(f"{name} ({count})" for name, count in sorted(groups.items()))
        raise DataError(f"data.split.hold_out={group}: there is no such group. Known: {known}.{nearest(group, groups)}")
    return {name: "val" if name == group else "train" for name in groups}


def _divided_groups(tiles: Sequence[Tile], split: DictConfig) -> dict[str, str]:
    """Whole groups for validation and test, in an order drawn by the seed, as near to their sizes as that comes.

    All the other groups train.
    """
    groups = _groups(tiles)
    names = sorted(groups)
    waiting = [names[place] for place in np.random.default_rng(split.seed).permutation(len(names))]
    part_of: dict[str, str] = {}
    for part in ("val", "test"):
        wanted, have = _count(groups.total(), split[part]), 0
        if wanted == 0:
            continue
        chosen = []
        for name in waiting:
            if abs(have + groups[name] - wanted) < wanted - have:
                chosen.append(name)
                have += groups[name]
        chosen = chosen or [min(waiting, key=lambda name: groups[name])]
        waiting = [name for name in waiting if name not in chosen]
        part_of |= dict.fromkeys(chosen, part)
        if not waiting:
            raise DataError(
                f"data.split.by=group: {len(groups)} groups cannot be divided so that each part has one. Ask for less "
                "in data.split.val or data.split.test."
            )
    return part_of | dict.fromkeys(waiting, "train")


# --------------------------------------------------------------------------------------------------------------- CSV
def _by_csv(tiles: Sequence[Tile], path: Path) -> dict[int, str]:
    """Parts by a file with the columns ``tile`` and ``part``, in which every tile has its row."""
    rows = {tile.tile_id: row for row, tile in enumerate(tiles)}
    part_of: dict[int, str] = {}
    for line, entry in enumerate(_read_csv(path), start=2):
        tile_id, part = entry["tile"], entry["part"]
        if tile_id not in rows:
            raise DataError(f"{path}: row {line}: there is no tile {tile_id!r}.{nearest(str(tile_id), rows)}")
        if part not in PARTS:
            raise DataError(f"{path}: row {line}: part {part!r} of tile {tile_id!r} is not one of {', '.join(PARTS)}.")
        if rows[tile_id] in part_of:
            raise DataError(f"{path}: row {line}: tile {tile_id!r} has a row already.")
        part_of[rows[tile_id]] = part
    missing = [tile_id for tile_id, row in rows.items() if row not in part_of]
    if missing:
        raise DataError(f"{path}: {len(missing)} of {len(rows)} tiles have no row, the first is {missing[0]!r}.")
    return part_of


def _read_csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            entries = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data.split.csv={path}: cannot be read ({error}).") from error
    if not {"tile", "part"} <= set(columns):
        raise DataError(f"{path}: its columns are {', '.join(columns) or 'none'}; tile and part are needed.")
    return entries


# --------------------------------------------------------------------------------------------------------- negatives
def _in_proportion(rows: list[int], sizes: Counter[str], seed: int) -> dict[int, str]:
    """Divide rows as the parts are sized, by a stream of their own."""
    order = [rows[place] for place in np.random.default_rng([seed, 1]).permutation(len(rows))]
    val, test = (round(len(rows) * sizes[part] / max(1, sizes.total())) for part in ("val", "test"))
    parts = ["val"] * val + ["test"] * test + ["train"] * (len(rows) - val - test)
    return dict(zip(order, parts, strict=True))


def _thinned(tiles: Sequence[Tile], rows: list[int], part: str, negatives: DictConfig, seed: int) -> list[int]:
    key = "train" if part == "train" else "val"
    asked = negatives[key]
    without = [row for row in rows if tiles[row].mask is None]
    if asked == "all":
        return rows
    wanted = 0 if asked == "none" else round(asked * (len(rows) - len(without)))
    if wanted > len(without):
        raise DataError(
            f"data.negatives.{key}={asked:g}: {wanted} non-landslide tiles are asked for in the {part} part, "
            f"{len(without)} are there. all takes these."
        )
    drawn = np.random.default_rng([seed, 2]).permutation(len(without))[:wanted]
    dropped = set(without) - {without[place] for place in drawn}
    return [row for row in rows if row not in dropped]
