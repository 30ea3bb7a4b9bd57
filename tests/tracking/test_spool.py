"""Nothing that a run logs is lost, whatever moment it is killed at and whenever its server is away."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from landslide.errors import TrackingError
from landslide.tracking import spool as spooling
from landslide.tracking.spool import UNSENT, Sender, Spool, discard_unsent, has_unsent, send_all, unsent_folders


class Server:
    """Takes lines; while ``away`` it raises, and then it may refuse."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.away = False
        self.asked = threading.Event()

    def send(self, line: dict[str, Any]) -> None:
        self.asked.set()
        if self.away:
            raise ConnectionError("nobody there")
        if line.get("bad"):
            raise TrackingError("not this one")
        self.taken.append(line)

    @property
    def numbers(self) -> list[int]:
        return [line["n"] for line in self.taken]


def is_refusal(error: Exception) -> bool:
    return isinstance(error, TrackingError)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "PAUSES_S", (0.01,))


def test_lines_are_sent_in_order_counted_and_then_deleted(tmp_path: Path) -> None:
    spool, server = Spool(tmp_path), Server()
    for number in range(3):
        spool.put("metrics", n=number)
    spool.put("status", n=3)
    assert send_all(spool, server.send) == {"metrics": 3, "status": 1}
    assert server.numbers == [0, 1, 2, 3]
    assert not has_unsent(tmp_path)


def test_a_process_that_ended_between_two_lines_is_followed_by_one_that_sends_the_rest(tmp_path: Path) -> None:
    # Given: two of three lines sent
    spool, server = Spool(tmp_path), Server()
    for number in range(3):
        spool.put("metrics", n=number, bad=number == 2)
    with pytest.raises(TrackingError, match="not this one"):
        send_all(spool, server.send)
    # When: another process opens the folder and adds a line
    later = Spool(tmp_path)
    later.put("metrics", n=3)
    send_all(later, server.taken.append)
    # Then
    assert server.numbers == [0, 1, 2, 3]


def test_a_line_that_a_kill_cut_is_dropped_and_what_follows_is_whole(tmp_path: Path) -> None:
    spool, server = Spool(tmp_path), Server()
    spool.put("metrics", n=0)
    with (tmp_path / UNSENT / "lines.jsonl").open("a") as file:
        file.write('{"what": "metrics", "n"')
    assert spool.next_line() is not None  # a reader waits for the end of a line
    again = Spool(tmp_path)
    again.put("metrics", n=1)
    send_all(again, server.send)
    assert server.numbers == [0, 1]


def test_a_sender_goes_on_when_the_server_comes_back(tmp_path: Path) -> None:
    # Given: a server that is lost after the first line
    spool, server, told = Spool(tmp_path), Server(), list[str]()
    sender = Sender(spool, server.send, is_refusal, told.append)
    sender.start()
    spool.put("metrics", n=0)
    assert server.asked.wait(5)
    server.asked.clear()
    server.away = True
    # When: more is logged, and it comes back
    for number in range(1, 5):
        spool.put("metrics", n=number)
    assert server.asked.wait(5)
    server.away = False
    # Then
    assert sender.finish(patience_s=5)
    assert server.numbers == [0, 1, 2, 3, 4]
    assert [sentence.split(";")[0] for sentence in told] in (
        ["The tracking store does not answer", "The tracking store answers again."],
        [],  # it was back before anything was sent
    )
    assert not has_unsent(tmp_path)


def test_a_server_that_stays_away_is_not_waited_for_longer_than_asked_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    spool, server, told = Spool(folder), Server(), list[str]()
    server.away = True
    sender = Sender(spool, server.send, is_refusal, told.append)
    sender.start()
    for number in range(3):
        spool.put("metrics", n=number)
    assert not sender.finish(patience_s=0.2)
    assert told == [f"The tracking store does not answer; the run goes on, and what it logs is kept in {UNSENT}/."]
    assert unsent_folders(tmp_path) == [folder]
    sender.join(5)
    server.away = False
    send_all(Spool(folder), server.send)
    assert server.numbers == [0, 1, 2]


def test_a_refusal_is_told_at_once_and_not_tried_again(tmp_path: Path) -> None:
    spool, server, told = Spool(tmp_path), Server(), list[str]()
    spool.put("metrics", n=0, bad=True)
    sender = Sender(spool, server.send, is_refusal, told.append)
    sender.start()
    assert not sender.finish(patience_s=60)
    assert told == ["The tracking store refuses what the run logs (not this one). The run goes on."]
    assert has_unsent(tmp_path)


def test_an_artifact_lies_whole_in_the_folder_until_it_is_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put_artifact("a/b.txt", lambda path: path.write_text("first"))
    spool.put_artifact("a/b.txt", lambda path: path.write_text("second"))
    found = spool.next_line()
    assert found is not None
    assert spool.artifact(found[0]["name"]).read_text() == "second"


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "missing"])
def test_a_line_that_names_a_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("")
    with pytest.raises(TrackingError, match="which is not in"):
        Spool(tmp_path).artifact(name)


@pytest.mark.parametrize("raw", ["no json", "[]", "{}", "3"])
def test_a_damaged_line_is_told_with_its_place_and_ends_the_sending(tmp_path: Path, raw: str) -> None:
    spool, told = Spool(tmp_path), list[str]()
    spool.put("metrics", n=0)
    with (tmp_path / UNSENT / "lines.jsonl").open("a") as file:
        file.write(f"{raw}\n")
    place = len(json.dumps({"what": "metrics", "n": 0})) + 1
    sender = Sender(spool, Server().send, is_refusal, told.append)
    sender.start()
    assert not sender.finish(patience_s=60)
    assert f"is damaged at byte {place}" in told[0]


def test_a_damaged_mark_is_told_with_the_cure(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / UNSENT / "sent").write_text("-1")
    with pytest.raises(TrackingError, match="Delete it: sending twice does no harm"):
        spool.next_line()


def test_what_another_run_left_can_be_forgotten(tmp_path: Path) -> None:
    Spool(tmp_path).put("metrics", n=0)
    discard_unsent(tmp_path)
    discard_unsent(tmp_path)
    assert not has_unsent(tmp_path)


def test_what_a_full_disk_does_not_take_is_sent_from_memory_in_order(tmp_path: Path) -> None:
    # Given: room for two lines and a half
    spool, server = Spool(tmp_path), Server()
    lines = tmp_path / UNSENT / "lines.jsonl"
    spool.put("metrics", n=0)
    room = int(2.5 * lines.stat().st_size)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # When
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        for number in range(1, 5):
            spool.put("metrics", n=number)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.put("status", n=5)
    # Then: no half a line on disk, and every line at the server
    assert len(lines.read_text().splitlines()) == 2
    assert spool.unwritten == 4
    assert send_all(spool, server.send) == {"metrics": 5, "status": 1}
    assert server.numbers == [0, 1, 2, 3, 4, 5]
