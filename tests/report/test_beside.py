"""Work that a copy of this process does: done once the block has ended, and told where it failed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from landslide.report.beside import done_beside


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux copies a process")
def test_a_copy_does_it_while_the_block_goes_on(tmp_path: Path) -> None:
    # Given: work that waits for the block
    os.mkfifo(tmp_path / "begun")

    def work() -> None:
        (tmp_path / "begun").read_text()
        (tmp_path / "done").write_text(str(os.getpid()))

    # When
    with done_beside(work):
        (tmp_path / "begun").write_text("now")
    # Then
    assert int((tmp_path / "done").read_text()) != os.getpid()


def test_what_the_copy_could_not_do_fails_here(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FileNotFoundError), done_beside((tmp_path / "gone" / "file").touch):
        pass
    assert capfd.readouterr().err == ""


def test_where_a_process_is_not_copied_it_is_done_after_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with done_beside((tmp_path / "done").touch):
        assert not (tmp_path / "done").exists()
    assert (tmp_path / "done").exists()


def test_an_error_of_the_block_is_the_one_that_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), done_beside((tmp_path / "gone" / "file").touch):
        _ = 1 / 0
