"""What tests of sweeps need: a loader of configs, a fork server, and a PostgreSQL of our own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path

import psutil
import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra

from landslide.config import register
from tests.cli.typed import start_fork_server
from tests.conftest import ROOT
from tests.sweep.harness import Sweep


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoader]:
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture(scope="session")
def fork_server() -> ForkServerContext:
    return start_fork_server()


@pytest.fixture
def begin(
    fork_server: ForkServerContext, tracking_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Sweep]:
    """Makes a sweep of the tiny task in a folder of its own."""

    def make(*typed: str, storage: str | None = None, from_nothing: bool = False) -> Sweep:
        folder = tmp_path_factory.mktemp("sweep")
        if not from_nothing:
            (folder / "mlruns").mkdir()
            shutil.copyfile(tracking_database, folder / "mlruns" / "mlflow.db")
        return Sweep(fork_server, folder, typed, storage)

    return make


@dataclass
class Postgres:
    """A server that can be stopped and started; each test takes a database of its own."""

    folder: Path
    port: int
    names: list[str] = field(default_factory=list)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c fsync=off"
        self._as_postgres(
            "pg_ctl", "-D", f"{self.folder}/data", "-w", "-o", options, "-l", f"{self.folder}/log", "start"
        )

    def stop(self) -> None:
        self._as_postgres("pg_ctl", "-D", f"{self.folder}/data", "-m", "fast", "-w", "stop")

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        first = psutil.Process(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]))
        first.send_signal(number)  # before the others, so that it starts no more of them
        for process in first.children():
            process.send_signal(number)

    def database(self) -> str:
        """The address of a new one."""
        self.names.append(f"sweeps{len(self.names)}")
        self._as_postgres("createdb", "-h", str(self.folder), "-p", str(self.port), self.names[-1])
        return f"postgresql://postgres@127.0.0.1:{self.port}/{self.names[-1]}"

    def _as_postgres(self, *command: str) -> None:
        done = subprocess.run(
            ["runuser", "-u", "postgres", "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    for program in ("initdb", "pg_ctl", "runuser"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.geteuid() != 0:
        pytest.skip("PostgreSQL's server is run as the user postgres, which only root can become")
    pytest.importorskip("psycopg")
    with tempfile.TemporaryDirectory(prefix="landslide-postgres-") as name:
        folder = Path(name)  # pytest's own folders are closed to the user postgres
        shutil.chown(folder, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            server = Postgres(folder, free.getsockname()[1])
        server._as_postgres("initdb", "--no-sync", "-A", "trust", "-D", f"{folder}/data")
        server.start()
        try:
            yield server
        finally:
            server.stop()
