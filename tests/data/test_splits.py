"""Random splits: sizes, no overlap, the same on every machine."""

from __future__ import annotations

import pytest

from landslide.data.splits import random_split
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
