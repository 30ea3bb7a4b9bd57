"""Random splits: sizes, no overlap, the same on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from landslide.config import NegativesConfig, SplitConfig
from landslide.data.splits import Split, divide, random_split
from landslide.data.tiles import Tile
from landslide.errors import DataError


def refusal(tiles: int, train: float, val: float) -> str:
    with pytest.raises(DataError) as caught:
        random_split(tiles, train=train, val=val, seed=0)
    return str(caught.value)


@pytest.mark.parametrize(("tiles", "train", "val"), [(770, 690, 80), (10, 7, 3), (10, 2, 3), (2, 1, 1)])
def test_parts_have_the_sizes_asked_for_and_share_no_tile(tiles: int, train: int, val: int) -> None:
    split = random_split(tiles, train=train, val=val, seed=3)
    assert (len(split.train), len(split.val)) == (train, val)
    assert len({*split.train, *split.val}) == train + val
    assert {*split.train, *split.val} <= set(range(tiles))
    assert split.train == sorted(split.train)


@pytest.mark.parametrize(
    ("train", "val", "sizes"),
    [(0.9, 0.1, (693, 77)), (0.5, 0.25, (385, 192)), (690, 0.1, (690, 77)), (0.8, 80, (616, 80))],
)
def test_a_number_below_one_is_a_share_of_all_tiles(train: float, val: float, sizes: tuple[int, int]) -> None:
    split = random_split(770, train=train, val=val, seed=0)
    assert (len(split.train), len(split.val)) == sizes


def test_a_seed_divides_as_it_always_did() -> None:
    # Given: the permutation 4 6 2 7 3 5 9 0 8 1, which PCG64 gives for seed 0; validation comes first
    split = random_split(10, train=6, val=3, seed=0)
    # Then: a change here would silently compare new runs with old ones on other tiles
    assert split.val == [2, 4, 6]
    assert split.train == [0, 3, 5, 7, 8, 9]


def test_more_training_tiles_leave_the_validation_part_alone() -> None:
    small, large = (random_split(100, train=train, val=20, seed=5) for train in (10, 80))
    assert small.val == large.val
    assert set(small.train) < set(large.train)


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, again, other = (random_split(100, train=80, val=20, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.val != other.val


def test_a_split_is_described_by_names_and_a_digest() -> None:
    names = [f"tile{row}" for row in range(10)]
    split = random_split(10, train=6, val=3, seed=0)
    described = split.describe(names)
    assert described["val"] == ["tile2", "tile4", "tile6"]
    assert described["train"] == ["tile0", "tile3", "tile5", "tile7", "tile8", "tile9"]
    assert (described["kind"], described["seed"]) == ("random", 0)
    assert len(bytes.fromhex(described["digest"])) == 32


def test_the_digest_tells_splits_apart_and_only_splits() -> None:
    # Given
    names = [f"tile{row}" for row in range(10)]
    digest = random_split(10, train=6, val=3, seed=0).describe(names)["digest"]
    # Then
    assert random_split(10, train=6, val=3, seed=0).describe(names)["digest"] == digest
    others = [
        random_split(10, train=6, val=3, seed=1).describe(names),
        random_split(10, train=7, val=3, seed=0).describe(names),
        random_split(10, train=6, val=3, seed=0).describe([f"other{row}" for row in range(10)]),
    ]
    assert len({digest, *(other["digest"] for other in others)}) == 4


def test_the_digest_tells_which_part_is_which() -> None:
    names = [f"tile{row}" for row in range(4)]
    split = random_split(4, train=2, val=2, seed=0)
    swapped = type(split)(seed=0, train=split.val, val=split.train)
    assert swapped.describe(names)["digest"] != split.describe(names)["digest"]


@pytest.mark.parametrize(("train", "val"), [(9, 2), (0.9, 0.2), (100, 1)])
def test_more_tiles_than_there_are_are_refused_with_the_sum(train: float, val: float) -> None:
    message = refusal(10, train, val)
    assert f"data.split.train={train:g} data.split.val={val:g}" in message
    assert "10 are there" in message
    assert "+" in message


@pytest.mark.parametrize(("train", "val"), [(0, 3), (3, 0), (-3, 3), (0.01, 0.5), (5, 0.001)])
def test_an_empty_part_is_refused(train: float, val: float) -> None:
    message = refusal(10, train, val)
    assert "leaves a part empty" in message
    assert "a count, or a share below 1" in message


@pytest.mark.parametrize("part", [float("nan"), float("inf"), 6.7])
def test_a_part_that_is_no_count_and_no_share_is_refused(part: float) -> None:
    assert "data.split.train=" in refusal(10, part, 3)


# ------------------------------------------------------------------------------------------------------- locked tests
def test_a_test_part_takes_nothing_from_the_others_and_does_not_move_with_them() -> None:
    # When
    plain = random_split(100, train=60, val=20, seed=5)
    locked = random_split(100, train=60, val=20, test=15, seed=5)
    larger = random_split(100, train=70, val=10, test=15, seed=5)
    # Then
    assert (locked.train, locked.val) == (plain.train, plain.val)
    assert len(locked.test) == 15
    assert not {*locked.train, *locked.val} & {*locked.test}
    assert larger.test == locked.test


def test_a_test_part_is_recorded_by_name_and_changes_the_digest() -> None:
    names = [f"tile{row}" for row in range(10)]
    locked = random_split(10, train=5, val=3, test=2, seed=0).describe(names)
    plain = random_split(10, train=5, val=3, seed=0).describe(names)
    assert locked["test"] == ["tile1", "tile8"]  # the end of the permutation above
    assert "test" not in plain
    assert locked["digest"] != plain["digest"]


@pytest.mark.parametrize("tiles", [7, 10, 30, 770, 771])
@pytest.mark.parametrize(("train", "val", "test"), [(0.7, 0.15, 0.15), (0.5, 0.5, 0), (0.5, 0.25, 0.25)])
def test_shares_that_add_up_to_one_divide_any_number_of_tiles(
    tiles: int, train: float, val: float, test: float
) -> None:
    split = random_split(tiles, train=train, val=val, test=test, seed=0)
    assert len({*split.train, *split.val, *split.test}) <= tiles
    assert len(split.train) == pytest.approx(tiles * train, abs=1.01)


def test_a_test_part_that_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.split\.test=3: 6 \+ 3 \+ 3 tiles are asked for, 10 are there"):
        random_split(10, train=6, val=3, test=3, seed=0)


def test_the_split_of_the_bijie_dataset_is_the_one_of_the_results() -> None:
    # Given: 770 rows by name alone, as seed 0 divided them when docs/results.md was written
    described = random_split(770, train=690, val=80, seed=0).describe([str(row) for row in range(770)])
    assert described["digest"] == "33624f22882c302fa13bb3fe8c1eff77fca043bca04101570258485c958eecde"


# ------------------------------------------------------------------------------------------- groups, negatives and CSV
SIZES = {"df": 36, "hz": 102, "js": 75, "ny": 72, "qx": 168, "qxg": 123, "wn": 70, "zdf": 1, "zj": 123}


def tiles(negatives: int = 0, sizes: dict[str, int] = SIZES) -> list[Tile]:
    """Tiles as of Bijie, by county; and non-landslide ones, each in a group of its own name."""
    found = [
        Tile(f"{group}{number:03d}", Path("image"), Path("mask"), group=group)
        for group, count in sizes.items()
        for number in range(count)
    ]
    return found + [Tile(f"non-landslide/n{number:04d}", Path("image"), None, group="n") for number in range(negatives)]


def divided(tiles: list[Tile], in_train: Any = "none", in_val: Any = "none", **split: Any) -> Split:
    given = SplitConfig(**({"train": 690, "val": 80} | split))
    negatives = NegativesConfig(train=in_train, val=in_val)
    return divide(tiles, OmegaConf.structured(given), OmegaConf.structured(negatives))


def groups_of(tiles: list[Tile], rows: list[int]) -> set[str]:
    return {tiles[row].group for row in rows}


def test_one_county_is_left_out_by_one_word() -> None:
    split = divided(tiles(), hold_out="js")
    assert [tiles()[row].group for row in split.val] == ["js"] * 75
    assert len(split.train) == 770 - 75
    assert split.kind == "hold_out"


def test_a_county_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(DataError, match=r"hold_out=jss: there is no such group\. Known: df \(36\).*Did you mean 'js'"):
        divided(tiles(), hold_out="jss")


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("val", "test"), [(80, 0), (0.2, 0.2), (1, 0)])
def test_whole_groups_go_to_one_part_and_sizes_come_near(seed: int, val: float, test: float) -> None:
    # When
    split = divided(tiles(), by="group", val=val, test=test, seed=seed)
    # Then
    parts = [groups_of(tiles(), rows) for rows in (split.train, split.val, split.test)]
    assert set.union(*parts) == set(SIZES)
    assert sum(len(part) for part in parts) == len(SIZES)
    wanted = val if val >= 1 else 770 * val
    assert 0 < len(split.val) <= 2 * wanted
    assert len(split.train) + len(split.val) + len(split.test) == 770
    assert bool(split.test) == bool(test)
    assert split == divided(tiles(), by="group", val=val, test=test, seed=seed)


def test_another_seed_chooses_other_groups() -> None:
    chosen = {frozenset(groups_of(tiles(), divided(tiles(), by="group", seed=seed).val)) for seed in range(10)}
    assert len(chosen) > 3


def test_tiles_of_one_group_cannot_be_divided_by_group() -> None:
    with pytest.raises(DataError, match=r"all 9 tiles are of one group, 'a'.*data\.split\.by=tile"):
        divided(tiles(sizes={"a": 9}), by="group")
    with pytest.raises(DataError, match="2 groups cannot be divided so that each part has one"):
        divided(tiles(sizes={"a": 9, "b": 9}), by="group", val=0.4, test=0.4)


def test_negatives_do_not_move_the_split_of_landslide_tiles_and_are_divided_as_they_are() -> None:
    # Given
    plain, many = divided(tiles(), test=0, train=500, val=100), tiles(270)
    # When
    split = divided(many, "all", "all", train=500, val=100, test=170)
    # Then
    assert [row for row in split.train if row < 770] == plain.train
    assert [row for row in split.val if row < 770] == plain.val
    # in the proportions 500 : 100 : 170 of 770
    assert sum(row >= 770 for row in split.val) == round(270 * 100 / 770)
    assert sum(row >= 770 for row in split.test) == round(270 * 170 / 770)
    assert sorted([*split.train, *split.val, *split.test]) == list(range(770 + 270))


def test_each_part_takes_none_all_or_a_ratio_of_its_own_negatives() -> None:
    # Given
    many = tiles(150)
    every = divided(many, "all", "all")
    # When
    measured, some = divided(many, "none", "all"), divided(many, 0.1, 0.05)
    # Then: training on them or not, the same ones are validated on
    assert measured.val == every.val
    assert max(measured.train) < 770
    assert sum(row >= 770 for row in some.train) == 69
    assert sum(row >= 770 for row in some.val) == 4
    assert set(some.train) < set(every.train)
    assert set(some.val) < set(every.val)
    assert (
        divided(many).describe([tile.tile_id for tile in many])["train"]
        == divided(tiles()).describe([tile.tile_id for tile in tiles()])["train"]
    )


def test_more_negatives_than_there_are_are_refused_with_the_number() -> None:
    with pytest.raises(DataError, match=r"negatives\.train=1: 690 non-landslide tiles are asked for.*134 are there"):
        divided(tiles(150), 1, "all")


def write_csv(path: Path, rows: list[tuple[str, str]], header: str = "tile,part") -> Path:
    path.write_text("\n".join([header, *(f'"{tile}",{part}' for tile, part in rows)]) + "\n", encoding="utf-8-sig")
    return path


def test_a_csv_says_where_each_tile_goes(tmp_path: Path) -> None:
    few = tiles(sizes={"a": 4, "b, c": 2})
    parts = ["train", "val", "test", "train", "val", "train"]
    rows = [(tile.tile_id, part) for tile, part in zip(few, parts, strict=True)]
    split = divided(few, csv=str(write_csv(tmp_path / "a.csv", rows[::-1])))
    assert (split.train, split.val, split.test, split.kind) == ([0, 3, 5], [1, 4], [2], "csv")


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        ([("a000", "train"), ("a01", "val")], "tile,part", r"row 3: there is no tile 'a01'\. Did you mean 'a001'"),
        (
            [("a000", "train"), ("a001", "dev")],
            "tile,part",
            "row 3: part 'dev' of tile 'a001' is not one of train, val",
        ),
        ([("a000", "train"), ("a000", "val")], "tile,part", "row 3: tile 'a000' has a row already"),
        ([("a000", "train")], "tile,part", "1 of 2 tiles have no row, the first is 'a001'"),
        ([("a000", "train")], "name,split", "its columns are name, split; tile and part are needed"),
        ([("a000", "train"), ("a001", "train")], "tile,part", "the val part is empty"),
    ],
)
def test_a_csv_that_does_not_fit_the_tiles_is_refused_by_row(
    tmp_path: Path, rows: list[tuple[str, str]], header: str, said: str
) -> None:
    path = write_csv(tmp_path / "a.csv", rows, header)
    with pytest.raises(DataError, match=said):
        divided(tiles(sizes={"a": 2}), csv=str(path))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_csv_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"data\.split\.csv=.*a\.csv: cannot be read"):
        divided(tiles(sizes={"a": 2}), csv=str(tmp_path / "a.csv"))
