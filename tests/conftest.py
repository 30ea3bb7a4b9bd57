"""What most tests need: a small dataset, and the smallest run there is."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from landslide.config import register
from landslide.data.synthetic import synthesize
from landslide.tracking.store import open_store
from tests.cli.typed import Ended, Running, copy_databases, share_fork_server

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait busily take the cores of other tests
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what it puts into the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or no command that is tested would hear Ctrl-C
TILES = {"count": 24, "non_landslide": 0, "size_px": 64, "seed": 0}


def pytest_configure(config: pytest.Config) -> None:
    """Processes of pytest-xdist fork their commands from one server."""
    if not hasattr(config, "workerinput") and config.getoption("numprocesses", None):
        share_fork_server()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sweeps first: their files take the longest, and should not be what two processes wait for in the end."""
    items.sort(key=lambda item: item.path.parent.name != "sweep")


def pytest_collection_finish() -> None:
    """What is imported by then stays; looking for garbage in it would cost each test a share of its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture(autouse=True)
def _forget_the_tracking_uri() -> Iterator[None]:
    """MLflow keeps the store of the last run in the environment; the next test stands in another folder."""
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)


@pytest.fixture(scope="session")
def tracking_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, which takes seconds to make."""
    with standing_in(tmp_path_factory.mktemp("tracking")) as folder:
        open_store(None)
        return folder / "mlruns" / "mlflow.db"


@pytest.fixture(scope="session", autouse=True)
def _new_databases_are_copies(tracking_database: Path) -> Iterator[None]:
    """Commands in fresh processes, and sweeps that begin from nothing, make theirs."""
    with copy_databases(tracking_database):
        yield


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 synthetic tiles of 64 px in the Bijie layout."""
    return synthesize(tmp_path_factory.mktemp("dataset") / "tiles", **TILES)


@pytest.fixture(scope="session")
def tiny(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides of a run that takes a second: two epochs of a network of 0.1 million parameters."""
    return [
        "encoder.name=tu-test_resnet",
        f"data.root={dataset}",
        f"data.generate={{count: {TILES['count']}, non_landslide: 0, size_px: {TILES['size_px']}, seed: 0}}",
        f"data.cache_dir={tmp_path_factory.getbasetemp() / 'cache'}",
        "data.image_size=64",
        "data.batch_size=8",
        "data.split={train: 16, val: 8, seed: 0}",
        "trainer.max_epochs=2",
        "trainer.threads=1",
        "tracking.panel_tiles=1",  # each is three pictures to draw
    ]


def compose_run(*overrides: str) -> DictConfig:
    """The config of a run, as the command line would compose it."""
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", list(overrides))


@contextmanager
def standing_in(folder: Path) -> Iterator[Path]:
    """Another working folder for a while, for session fixtures, which cannot use monkeypatch."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def begin(folder: Path, *arguments: str, before: Callable[[], None] | None = None) -> Running:
    """Start ``train.py`` in a folder, in a fork of a process that has imported what takes seconds."""
    return Running(["train.py", *arguments], folder, environment=os.environ, before=before)


def train(folder: Path, *arguments: str) -> Ended:
    """Run ``train.py`` likewise, to its end."""
    return begin(folder, *arguments).end()


def train_afresh(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``train.py`` as a shell does."""
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
