"""Open the MLflow store."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy import Dialect, Engine, NullPool, create_engine, event, inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from landslide.config import without_credentials
from landslide.errors import TrackingError, UserError

FOLDER = Path("mlruns")

Answer = TypeVar("Answer")

PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "4", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""Seconds, and attempts after the first, while the store is opened; what the environment says goes before it."""

SENDING = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""Likewise while a run is sent, which is tried again by the sender; a server may take its time over a model."""

OUTAGE_S = 600
"""How long a multirun waits for its server."""

ASK_AGAIN_S = 5

BUSY_S = 30
"""How long a call waits while another process writes to the SQLite database; sqlite3's own 5 are too few for slots on
a busy machine."""

LEAST_DIGITS = 6
"""Of an id's beginning that stands for it."""

_AT_ONCE = 200
"""Ids in one question: a server's address line is finite."""


@event.listens_for(Engine, "do_connect")
def _be_patient(dialect: Dialect, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
    """MLflow makes its engine itself, and lets nobody say how it connects."""
    if dialect.name == "sqlite":
        named.setdefault("timeout", BUSY_S)


@dataclass(frozen=True)
class Store:
    """An MLflow tracking store that answers."""

    uri: str
    client: MlflowClient


def default_uri() -> str:
    """``sqlite:///.../mlruns/mlflow.db`` in the folder we stand in; absolute, since a job may change folder."""
    return f"sqlite:///{(FOLDER / 'mlflow.db').resolve().as_posix()}"


def resolve_uri(uri: str | None) -> str:
    """The store that is meant: the one named, else ``MLFLOW_TRACKING_URI``, else :func:`default_uri`."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri()


def open_store(uri: str | None) -> Store:
    """Open the store to write to it, making the database first where there is none.

    Raises:
        TrackingError: where the store cannot be made, written or reached.
    """
    return _open(uri, writes=True)


def open_existing(uri: str | None) -> Store:
    """Open a store to read from it; makes none.

    Raises:
        TrackingError: where there is none, or it cannot be read or reached.
    """
    found = resolve_uri(uri)
    if found == default_uri() and not (FOLDER / "mlflow.db").is_file():
        raise TrackingError(
            f"{FOLDER / 'mlflow.db'}: there is none in {Path.cwd()}. Train first, stand in the folder where you "
            "trained, or name the store: --uri sqlite:////path/to/mlflow.db"
        )
    return _open(uri, writes=False)


def _open(uri: str | None, *, writes: bool) -> Store:
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # logs with a traceback what it then raises
    found = resolve_uri(uri)
    try:
        database = _sqlite_file(found)
        if database is None:
            _require_server(found)
            return _connect(found)
        if writes:
            database.parent.mkdir(parents=True, exist_ok=True)
        elif not database.is_file():  # MLflow would make it, and its folder
            raise TrackingError(
                f"{found}: there is no such file. Name the store where you trained; see landslide ui --help"
            )
        with _alone(database):
            _require_mlflow_database(found, database, writes=writes)
            if writes and not database.exists():
                _make(database)
            return _connect(found)
    except (MlflowException, SQLAlchemyError, CommandError, OSError, ImportError) as error:
        place = "MLFLOW_TRACKING_URI" if uri is None and found != default_uri() else "tracking.uri"
        raise TrackingError(without_credentials(f"{place}={found}: {_reason(found, error)}")) from error


def _require_server(uri: str) -> None:
    """Ask a database server once: MLflow would ask for minutes one that does not answer."""
    if uri.startswith(("postgresql", "mysql")):
        create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": 5}).connect().close()


def _sqlite_file(uri: str) -> Path | None:
    if not uri.startswith("sqlite:"):
        return None
    name = make_url(uri).database
    return Path(name) if name and name != ":memory:" else None


def folder_of(store: Store) -> Path:
    """Where a local database lies; of a server ``mlruns`` here."""
    database = _sqlite_file(store.uri)
    return FOLDER if database is None else database.parent


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Several processes that make one SQLite database at once break it."""
    folder = database.parent
    with FileLock(folder / ".mlflow.lock") if os.access(folder, os.W_OK) else nullcontext():  # read-only: nobody makes
        yield


def _make(database: Path) -> None:
    """Make it aside, then rename it: one that a kill or a full disk cut short could never be opened again."""
    aside = database.with_name(f".{database.name}.part")
    try:
        for left in database.parent.glob(f"{aside.name}*"):
            left.unlink()
        _connect(f"sqlite:///{aside.as_posix()}")
        aside.replace(database)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _connect(uri: str) -> Store:
    with patience(PATIENCE):
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)  # asks once, so that a store that is not there is told now
    return Store(uri, client)


def _require_mlflow_database(uri: str, database: Path, *, writes: bool) -> None:
    """Look once, before MLflow does.

    It tries for two minutes to open what cannot be opened, and adds its tables to whatever database it is given.

    Raises:
        TrackingError: for a database of another program.
    """
    if not database.is_file():
        return  # MLflow makes it
    with create_engine(uri, poolclass=NullPool).connect() as connection:
        if writes:  # one that is never committed tells of no right to
            version = connection.exec_driver_sql("PRAGMA user_version").scalar()
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql(f"PRAGMA user_version = {version}")
        tables = inspect(connection).get_table_names()
    if tables and "experiments" not in tables:
        raise TrackingError(
            f"tracking.uri={uri}: this database belongs to another program (its tables: {', '.join(tables[:3])}, ...). "
            "Name another one."
        )


@contextmanager
def patience(settings: Mapping[str, str]) -> Iterator[None]:
    """MLflow's own retries block one call for minutes without a server; what the environment says goes before ours."""
    given = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]


def is_refusal(error: Exception) -> bool:
    """Whether the store answered and said no, which it will say again; else it is away, busy or broken."""
    if isinstance(error, MlflowException):
        return 400 <= error.get_http_status_code() < 500 and error.get_http_status_code() not in (408, 429)
    return isinstance(error, UserError)


@contextmanager
def answering(store: Store) -> Iterator[None]:
    """Turn the loss of the server within into a sentence.

    Raises:
        TrackingError: where it does not answer.
    """
    try:
        with patience(SENDING):
            yield
    except MlflowException as error:
        if is_refusal(error):
            raise
        place = without_credentials(store.uri)
        raise TrackingError(f"{place}: {without_credentials(_reason(store.uri, error))}") from error


def reopen_store(uri: str | None, tell: Callable[[str], None]) -> Store:
    """Open a store that was open a moment ago, as a trial's is: one that is locked or away is waited for.

    Raises:
        TrackingError: where it does not answer for :data:`OUTAGE_S`.
    """
    return _patiently(lambda: open_store(uri), tell, OUTAGE_S)


def wait_for(store: Store, tell: Callable[[str], None], patience_s: float | None = None) -> None:
    """Return once the store answers.

    Args:
        store: that was open before.
        tell: says once that it is waited for.
        patience_s: how long; None is :data:`OUTAGE_S`.

    Raises:
        TrackingError: where it does not answer for so long.
    """

    def ask() -> None:
        with patience(PATIENCE), answering(store):
            store.client.search_experiments(max_results=1)

    _patiently(ask, tell, OUTAGE_S if patience_s is None else patience_s)


def _patiently(ask: Callable[[], Answer], tell: Callable[[str], None], limit: float) -> Answer:
    start = time.monotonic()
    told = False
    while True:
        try:
            return ask()
        except TrackingError:
            if time.monotonic() - start >= limit:
                raise
        if not told:
            told = True
            tell(f"The tracking store does not answer; waiting up to {limit / 60:.0f} minutes for it.")
        time.sleep(min(ASK_AGAIN_S, limit))


def _reason(uri: str, error: Exception) -> str:
    text = str(error)
    schema = re.search(r"found version (\w+)|revision identified by '(\w+)'", text)
    if schema and not _knows_revision(schema[1] or schema[2]):
        return f"was made by a newer MLflow than {mlflow.__version__}, which is installed here. Install that one."
    if schema:
        return f"was made by an older MLflow. Make a copy of it, then: mlflow db upgrade {uri}"
    refused = re.search(r"\[Errno -?\d+\] ([^\"')]+)", text)
    if uri.startswith("http") and (refused or "timed out" in text):
        return (
            f"the MLflow server does not answer ({refused[1] if refused else 'timed out'}). Start it, or correct the "
            "address; tracking.uri=null writes to mlruns/mlflow.db. For a slow server: MLFLOW_HTTP_REQUEST_TIMEOUT=60"
        )
    return f"the MLflow store does not open ({text.splitlines()[0] if text else type(error).__name__})."


def _knows_revision(revision: str) -> bool:
    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return revision in {script.revision for script in scripts.walk_revisions()}


def search(client: MlflowClient, where: str = "", experiments: Sequence[str] | None = None) -> list[Run]:
    """All runs that MLflow's filter finds, newest first; without experiments, in all of them."""
    if experiments is None:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(experiments, where, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def find_run(store: Store, name: str) -> Run:
    """The run that is meant by an id, by the beginning of one (six digits or more), or by a name.

    Raises:
        TrackingError: where none or several are meant.
    """
    (found,) = find_runs(store.client, [name])
    return found


def find_runs(client: MlflowClient, names: Sequence[str]) -> list[Run]:
    """The run that each name means, as :func:`find_run`; the whole store is read only for what is no id.

    Raises:
        TrackingError: where none or several are meant.
    """
    found = runs_by_id(client, names)
    others = [name for name in dict.fromkeys(names) if name not in found]
    everything = search(client) if others else []
    found |= {name: _only([run for run in everything if _is_meant(run, name)], name, client) for name in others}
    return [found[name] for name in names]


def runs_by_id(client: MlflowClient, names: Sequence[str]) -> dict[str, Run]:
    """Runs by their ids; without what is no id, or of no run, or of one that was deleted."""
    ids = [name for name in names if re.fullmatch(r"[0-9a-f]{32}", name)]
    found: dict[str, Run] = {}
    for at in range(0, len(ids), _AT_ONCE):
        asked = ", ".join(f"'{each}'" for each in ids[at : at + _AT_ONCE])
        found |= {run.info.run_id: run for run in search(client, f"attributes.run_id IN ({asked})")}
    return found


def _only(found: Sequence[Run], name: str, client: MlflowClient) -> Run:
    if len(found) == 1:
        return found[0]
    shown = "".join(f"\n  {run.info.run_id}  {run.info.run_name}  {run.info.status}" for run in found[:10])
    place = f"'{name}', in {without_credentials(client.tracking_uri)}"
    if found:
        raise TrackingError(f"{place}: {len(found)} runs are called so; give an id.{shown}")
    raise TrackingError(
        f"{place}: there is no such run. Give an id, the beginning of one, or a name; see landslide ui."
    )


def _is_meant(run: Run, name: str) -> bool:
    beginning = len(name) >= LEAST_DIGITS and str(run.info.run_id).startswith(name)
    return beginning or bool(run.info.run_name == name)


def experiment_id(store: Store, name: str) -> str:
    """The experiment's id; made where there is none, with artifacts beside a local database.

    Raises:
        TrackingError: where an experiment of this name was deleted, or cannot be made.
    """
    found: Any = store.client.get_experiment_by_name(name)
    if found is None:
        beside = (FOLDER / "artifacts").resolve().as_uri() if store.uri == default_uri() else None
        try:
            return str(store.client.create_experiment(name, artifact_location=beside))
        except MlflowException as error:  # another process was faster, or MLflow refuses the name
            found = store.client.get_experiment_by_name(name)
            if found is None:
                raise TrackingError(f"tracking.experiment={name}: cannot be made ({error.message}).") from error
    if found.lifecycle_stage != "active":
        raise TrackingError(f"tracking.experiment={name}: was deleted. Restore it in MLflow, or use another name.")
    return str(found.experiment_id)
