"""A store, a run and tiles, all well; each test gets a copy to spoil."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from landslide.data.synthetic import synthesize
from tests.cli.bad_input.row import SMALL, clean_environment
from tests.cli.bad_input.spoiled_store import database
from tests.cli.typed import run_typed


@pytest.fixture(scope="session")
def before_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve tiles and a store with one finished run; beside it, as ``left``, what that run left."""
    folder = tmp_path_factory.mktemp("before")
    synthesize(folder / "tiles", count=12, non_landslide=0, size_px=64, seed=0)
    done = run_typed(f"train.py {SMALL} data.cache_dir=made", folder, environment=clean_environment())
    assert done.status == 0, done.stderr
    (left,) = (folder / "mlruns" / "outputs").glob("*/*")
    left.rename(folder.with_name("left"))
    shutil.rmtree(folder / "mlruns" / "outputs")
    artifacts = folder / "mlruns" / "artifacts"
    for number, made in enumerate([*artifacts.glob("*/artifacts"), *artifacts.glob("models/*")]):
        aside = made.rename(folder.with_name(f"artifacts{number}"))
        made.symlink_to(aside)  # no test spoils them, so they need not be copied for each
    return folder


class NoMlflow(BaseHTTPRequestHandler):
    """A website that knows nothing of MLflow."""

    def do_GET(self) -> None:
        self.send_error(404)

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        """Be silent."""


@pytest.fixture(scope="session")
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


@pytest.fixture
def folder(before_all: Path, tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "here"
    shutil.copytree(before_all, place, symlinks=True)
    (place / "left").symlink_to(before_all.with_name("left"))
    yield place
    place.chmod(0o755)
