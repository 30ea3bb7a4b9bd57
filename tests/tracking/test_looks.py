"""The log of looks at a test part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from landslide.errors import CustodyError, TrackingError
from landslide.tracking.looks import (
    LOG,
    LOOKS,
    SHOWN,
    TAG_LENGTH,
    Look,
    alone,
    count,
    count_of,
    looks_of,
    looks_of_others,
    new_look,
    unfinished_look,
)
from landslide.tracking.run import create_run
from landslide.tracking.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return open_store(None)


@pytest.fixture
def run_id(store: Store) -> str:
    return create_run(store, "test", "a sweep", {})


def test_a_look_that_is_counted_twice_is_one(store: Store, run_id: str) -> None:
    look = new_look("landslide test lr", ["a", "b"])
    assert [count(store, run_id, look), count(store, run_id, look)] == [1, 1]
    assert count(store, run_id, Look("later", "landslide test lr --again", look.runs)) == 2
    assert [each.time for each in looks_of(store.client.get_run(run_id))] == [look.time, "later"]


def test_a_look_that_was_not_shown_is_unfinished_for_the_same_runs_alone(store: Store, run_id: str) -> None:
    look = new_look("landslide test lr", ["a", "b"])
    assert unfinished_look(store.client.get_run(run_id), ["a", "b"]) is None
    count(store, run_id, look)
    counted = store.client.get_run(run_id)
    assert unfinished_look(counted, ["b", "a"]) == look
    assert unfinished_look(counted, ["a", "c"]) is None
    store.client.set_tag(run_id, SHOWN, look.time)
    assert unfinished_look(store.client.get_run(run_id), ["a", "b"]) is None


def trained(store: Store, data: str, test: str, train: str = "xyz") -> str:
    """A run whose tiles have one letter each."""
    split = {"train": list(train), "test": list(test)}
    digest = {"landslide.data_digest": data, "landslide.split_digest": f"{train}|{test}"}
    run_id = create_run(store, "test", "a run", digest)
    store.client.log_dict(run_id, split, "split.json")
    return run_id


def test_looks_of_other_sweeps_at_a_tile_of_this_test_part_are_found_however_the_rest_is_divided(
    store: Store, run_id: str
) -> None:
    # Given: runs of the same data that lock away the same tiles, all but one of them, and none; and one of other data
    ours, same, less, none, elsewhere = (
        trained(store, *run) for run in (("d", "abc"), ("d", "abc", "xy"), ("d", "bc"), ("d", "ef"), ("other", "abc"))
    )
    first, second, third, fourth = (Look(time, f"landslide test {time}", "0" * 16) for time in "1234")
    for run, look in ((same, third), (less, second), (less, third), (none, fourth), (elsewhere, fourth)):
        count(store, run, look)
    for run in (run_id, ours):
        count(store, run, first)
    counter, run = store.client.get_run(run_id), store.client.get_run(ours)
    # When, then
    assert looks_of_others(store, counter, [run]) == ([second, third], {"a", "b", "c"})
    store.client.delete_run(same)
    assert looks_of_others(store, counter, [run]) == ([second, third], {"b", "c"})
    store.client.delete_run(less)
    assert looks_of_others(store, counter, [run]) == ([], set())


def test_a_look_at_tiles_that_nobody_knows_any_more_is_told_and_not_given_away(store: Store, run_id: str) -> None:
    ours, lost = trained(store, "d", "abc"), create_run(store, "test", "lost", {"landslide.data_digest": "d"})
    count(store, lost, Look("1", "landslide test lost", "0" * 16))
    with pytest.raises(TrackingError, match=rf"{lost} \(lost\): its split.json cannot be read"):
        looks_of_others(store, store.client.get_run(run_id), [store.client.get_run(ours)])


def test_a_log_that_grows_too_long_loses_its_middle_but_no_count(store: Store, run_id: str) -> None:
    # Given: a log that is nearly full
    looks = [Look(str(number), "landslide test lr", "0" * 16) for number in range(100)]
    log = [vars(look) for look in looks]
    store.client.set_tag(run_id, LOG, json.dumps(log))
    store.client.set_tag(run_id, LOOKS, "100")
    # When
    for number in range(100, 110):
        count(store, run_id, Look(str(number), "landslide test lr", "0" * 16))
    # Then
    run = store.client.get_run(run_id)
    assert count_of(run) == 110
    assert len(run.data.tags[LOG]) <= TAG_LENGTH
    assert [looks_of(run)[place].time for place in (0, -1)] == ["0", "109"]


@pytest.mark.parametrize("text", ["none", '[{"time": 1}]', "[3]", '{"time": 1}'])
def test_a_log_that_was_edited_gives_no_look_away(store: Store, run_id: str, text: str) -> None:
    store.client.set_tag(run_id, LOG, text)
    with pytest.raises(CustodyError, match=LOG):
        looks_of(store.client.get_run(run_id))


def test_a_count_that_was_edited_gives_no_look_away(store: Store, run_id: str) -> None:
    store.client.set_tag(run_id, LOOKS, "-1")
    with pytest.raises(CustodyError, match=f"{LOOKS} is no number"):
        count_of(store.client.get_run(run_id))


def test_two_processes_do_not_look_at_once(store: Store) -> None:
    with alone(store), pytest.raises(CustodyError, match="another process is looking"), alone(store):
        pass
    with alone(store):
        pass
