"""Where trials are remembered: Optuna's database, and who may write to it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from sqlalchemy import URL, Connection, NullPool, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    NoSuchModuleError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from landslide.config import without_credentials
from landslide.errors import SweepError

FOLDER = Path("mlruns")

STORAGE = "LANDSLIDE_SWEEP_STORAGE"
"""Environment variable that names the database; `conf/config.yaml` reads it."""

DATABASE_ERRORS = (StorageInternalError, SQLAlchemyError)
"""What Optuna raises where its database does not answer."""

LOCK_S = 60
"""How long SQLite waits for another writer."""

OUTAGE_S = 600
"""How long a sweep waits for a database that does not answer."""

ASK_AGAIN_S = 2

CONTROLLER, CONTROLLER_LOCK = "controller", ".controller.lock"
"""In a sweep's folder: who trains it, and the lock that is held meanwhile."""

LOOKED_AT_S = 1
"""A command that looks whether a sweep is under way holds its lock for an instant."""

SERVER: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""How PostgreSQL is connected to: a server that is gone is noticed within a minute."""

KEEP_S = 5
"""Between looks at whether the connection that holds our locks is still there."""

LEAVE_S = 5
"""How long a server may take to notice that a controller before this one is gone."""

Answer = TypeVar("Answer")


def resolve_url(given: str | None) -> str:
    """The database that is meant: the one named, else ``mlruns/sweeps.db`` in the folder we stand in."""
    return given or f"sqlite:///{(FOLDER / 'sweeps.db').resolve().as_posix()}"


@contextmanager
def known_to_jobs(url: str) -> Iterator[None]:
    """Name the database in the environment meanwhile: jobs and slots find it there, and no file holds a password."""
    before = os.environ.get(STORAGE)
    os.environ[STORAGE] = url
    try:
        yield
    finally:
        if before is None:
            del os.environ[STORAGE]
        else:
            os.environ[STORAGE] = before


def is_sqlite(url: str) -> bool:
    """Whether one controller at a time may ask; SQLite cannot lock a row."""
    return url.startswith("sqlite")  # also with its driver, `sqlite+pysqlite:`


def open_storage(url: str) -> BaseStorage:
    """Open Optuna's database to write to it, making it first where there is none.

    Raises:
        SweepError: where it cannot be made, reached or written, or belongs to another program.
    """
    with _told_in_a_sentence(url) as parsed, _alone_in_making(parsed):
        storage = attach_storage(url)
        _require_writable(parsed)
        return storage


def open_existing(url: str) -> BaseStorage | None:
    """Open Optuna's database to read from it; None where there is none, and none is made.

    Raises:
        SweepError: where it cannot be reached, or belongs to another program.
    """
    with _told_in_a_sentence(url) as parsed:
        if not _has_studies(parsed):
            return None
        with _alone_in_making(parsed):
            return attach_storage(url)


@contextmanager
def _told_in_a_sentence(url: str) -> Iterator[URL]:
    for name in ("optuna", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield _address(url)
    except (*DATABASE_ERRORS, OSError, ImportError, RuntimeError, Timeout) as error:
        raise SweepError(without_credentials(f"sweep.storage={url}: {reason_of(error)}")) from error


class _Storage(_CachedStorage):
    """Optuna's, which asks the database for a whole trial where only its number is wanted."""

    def get_trial_number_from_id(self, trial_id: int) -> int:
        """The number, which never changes."""
        known = self._trial_id_to_study_id_and_number.get(trial_id)
        return super().get_trial_number_from_id(trial_id) if known is None else known[1]


@cache
def attach_storage(url: str) -> BaseStorage:
    """A process opens a database once; finished trials are read once, and shared by all that run in it."""
    parsed = _address(url)
    if is_sqlite(url):
        engine: dict[str, Any] = {"connect_args": {"timeout": LOCK_S}}
    else:
        engine = {"connect_args": SERVER, "pool_pre_ping": True}  # a server may have closed the connection since
    storage = RDBStorage(parsed.render_as_string(hide_password=False), engine_kwargs=engine)
    if is_sqlite(url):
        event.listen(storage.engine, "connect", _write_ahead)
        storage.engine.dispose()  # of the connections that were made before
    return _Storage(storage)


def _write_ahead(connection: Any, _: Any) -> None:
    """Readers do not wait for writers, and a commit costs no wait for the disk; a killed process loses none."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _address(url: str) -> URL:
    """Of a database; ``postgresql://`` means another driver in each SQLAlchemy, and here it is psycopg 3.

    Raises:
        ArgumentError: for none, for one of another kind, and for one in memory, which no other process can open.
    """
    try:
        parsed = make_url(url)
    except ValueError as error:  # of a port
        raise ArgumentError(url) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database and not parsed.database.startswith((":", "file:")):
        return parsed.set(drivername="sqlite")
    if parsed.get_backend_name() not in ("postgres", "postgresql"):
        raise ArgumentError(url)
    return parsed.set(drivername="postgresql+psycopg") if "+" not in parsed.drivername else parsed


@contextmanager
def _alone_in_making(url: URL) -> Iterator[None]:
    """Several processes that make the tables at once break them."""
    if url.drivername == "sqlite":
        database = Path(url.database or "")
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(database.with_name(f".{database.name}.lock"), timeout=LOCK_S):
            _require_optuna_tables(url)
            yield
        return
    with _connect_once(url) as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _key("landslide", "make")})
        yield


def _require_writable(url: URL) -> None:
    """Ask SQLite before anything is written elsewhere; a transaction that is not committed tells of no right to."""
    if url.drivername == "sqlite":
        with _connect_once(url) as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar()
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql(f"PRAGMA user_version = {version}")


def _connect_once(url: URL) -> Connection:
    arguments = {"timeout": LOCK_S} if url.drivername == "sqlite" else {"connect_timeout": 10}
    return create_engine(url, poolclass=NullPool, connect_args=arguments).connect()


def _has_studies(url: URL) -> bool:
    if url.drivername == "sqlite" and not Path(url.database or "").is_file():
        return False
    _require_optuna_tables(url)
    with _connect_once(url) as connection:
        return inspect(connection).has_table("studies")


def _require_optuna_tables(url: URL) -> None:
    if url.drivername == "sqlite" and not Path(url.database or "").is_file():
        return
    with _connect_once(url) as connection:
        tables = inspect(connection).get_table_names()
    if url.drivername == "sqlite" and tables and "studies" not in tables:  # a PostgreSQL database may hold several
        raise RuntimeError(f"this database belongs to another program (its tables: {', '.join(tables[:3])}, ...).")


def reason_of(error: Exception) -> str:
    """Why a database cannot be used, and what to do."""
    cause = getattr(error, "orig", None) or error.__cause__ or error
    told = str(cause).strip() or type(error).__name__
    if isinstance(error, ArgumentError | NoSuchModuleError):
        right = "sqlite:////path/to/sweeps.db and postgresql://user@host/name"
        return f"is no address of a database that sweeps can use. Right are {right}"
    if isinstance(error, ImportError):
        return f"needs a driver ({told}): pip install 'landslide[postgres]'"
    if "locked" in told or isinstance(error, Timeout):
        return f"is locked by another program for more than {LOCK_S} s. End that program, or name another database."
    first = told.splitlines()[0].rstrip(".")
    return f"cannot be used ({first}). Name another database, or null for mlruns/sweeps.db"


def patiently(ask: Callable[[], Answer], tell: Callable[[str], None], wait_s: float = OUTAGE_S) -> Answer:
    """What ``ask`` returns, asking again while the database does not answer.

    Args:
        ask: may be called again after it failed.
        tell: says once that we wait.
        wait_s: in all.

    Raises:
        SweepError: where it does not answer for so long.
    """
    start, told = time.monotonic(), False
    while True:
        try:
            return ask()
        except DATABASE_ERRORS as error:
            if not _is_outage(error):
                raise
            if time.monotonic() - start > wait_s:
                raise SweepError(f"sweep.storage: {without_credentials(reason_of(error))}") from error
            if not told:
                told = True
                tell(f"The database of the sweep does not answer; waiting up to {wait_s / 60:.0f} minutes for it.")
        time.sleep(ASK_AGAIN_S)


def _is_outage(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OperationalError):
            return True
        error = error.__cause__
    return False


def _key(*parts: str) -> int:
    """A number for PostgreSQL's advisory locks."""
    return zlib.crc32("\0".join(parts).encode())


class Claims(Protocol):
    """Who may ask for trials of a sweep, and who trains which."""

    def alone(self) -> AbstractContextManager[None]:
        """Hold the sweep against other processes while trials are read and one is asked for."""

    def take(self, study: str, number: int) -> bool:
        """Whether this process may train the trial; nobody else may until it lets go, or ends in whatever way."""

    def let_go(self, study: str, number: int) -> None:
        """The trial is told, or given back."""


class OneController:
    """Of a database that cannot lock rows: one controller, by a file in the sweep's folder, trains everything.

    Raises:
        SweepError: naming the other one.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / CONTROLLER_LOCK, timeout=LOOKED_AT_S)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise SweepError(_under_way(str(folder), _recorded_controller(folder))) from error
        (folder / CONTROLLER).write_text(_this_process(), encoding="utf-8")

    def alone(self) -> AbstractContextManager[None]:
        """See :class:`Claims`."""
        return nullcontext()

    def take(self, study: str, number: int) -> bool:
        """See :class:`Claims`."""
        return True

    def let_go(self, study: str, number: int) -> None:
        """See :class:`Claims`."""


def controller_of(folder: Path) -> str | None:
    """Who holds a sweep's folder, such as ``process 12 on gpu1``; None where nobody does."""
    lock = folder / CONTROLLER_LOCK
    if not lock.is_file():
        return None
    try:
        with FileLock(lock, timeout=0):
            return None
    except Timeout:
        return _recorded_controller(folder)


def _recorded_controller(folder: Path) -> str:
    who = folder / CONTROLLER
    return who.read_text(encoding="utf-8") if who.is_file() else "another process"


class AdvisoryLocks:
    """Of PostgreSQL: locks that the server drops when this process or its machine is gone.

    A server that was restarted has dropped all of them. Whoever trains takes its own again within :data:`KEEP_S`
    seconds, and nobody takes one of others before.

    Args:
        url: of the database.
        sweep: its name.
        leads: this is the controller, of which a sweep has one, and not a worker.

    Raises:
        SweepError: naming the other controller.
    """

    def __init__(self, url: str, sweep: str, *, leads: bool) -> None:
        arguments = {**SERVER, "application_name": _this_process()}
        self._engine = create_engine(_address(url), poolclass=NullPool, connect_args=arguments)
        self._sweep = sweep
        self._held: set[tuple[int, int]] = set()
        self._guard = threading.RLock()
        self._not_before = 0.0
        self._connection = self._connect()
        if leads:
            self._lead()
        threading.Thread(target=self._keep, daemon=True).start()

    def _lead(self) -> None:
        key, end = (_signed(self._sweep), -2), time.monotonic() + LEAVE_S
        while not self._ask("pg_try_advisory_lock", *key):
            if time.monotonic() > end:
                raise SweepError(_under_way(f"sweep '{self._sweep}'", self._holder(*key)))
            time.sleep(0.1)
        self._held.add(key)

    def _holder(self, first: int, second: int) -> str | None:
        asked = text(
            "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND classid = :first AND objid = :second AND granted"
        )
        unsigned = {"first": first % 2**32, "second": second % 2**32}  # as that table has them
        return self._connection.execute(asked, unsigned).scalar()  # type: ignore[no-any-return]

    def _keep(self) -> None:
        while True:
            time.sleep(KEEP_S)
            with suppress(SQLAlchemyError):  # told where somebody waits for an answer
                self._execute("SELECT 1", {})

    def _connect(self) -> Any:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        for setting, value in (("idle", 15), ("interval", 5), ("count", 3)):  # the server notices a machine that died
            connection.execute(text(f"SET tcp_keepalives_{setting} = {value}"))
        return connection

    def _ask(self, function: str, first: int, second: int) -> Any:
        return self._execute(f"SELECT {function}(:first, :second)", {"first": first, "second": second})

    def _execute(self, statement: str, values: Mapping[str, int]) -> Any:
        """One call; after the server was gone the locks are taken anew."""
        with self._guard:
            try:
                return self._connection.execute(text(statement), values).scalar()
            except (OperationalError, PendingRollbackError):
                self._connection = self._connect()
                self._not_before = time.monotonic() + 2 * KEEP_S
                for first, second in self._held:
                    self._ask("pg_try_advisory_lock", first, second)
                return self._connection.execute(text(statement), values).scalar()

    def _release(self, key: tuple[int, int]) -> None:
        with suppress(OperationalError, PendingRollbackError):  # a server that is gone holds nothing any more
            self._ask("pg_advisory_unlock", *key)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See :class:`Claims`."""
        key = _signed(self._sweep), -1
        self._ask("pg_advisory_lock", *key)
        time.sleep(max(0.0, self._not_before - time.monotonic()))
        try:
            yield
        finally:
            self._release(key)

    def take(self, study: str, number: int) -> bool:
        """See :class:`Claims`."""
        key = _signed(study), number
        taken = bool(self._ask("pg_try_advisory_lock", *key))
        if taken:
            self._held.add(key)
        return taken

    def let_go(self, study: str, number: int) -> None:
        """See :class:`Claims`."""
        key = _signed(study), number
        if key in self._held:
            self._held.discard(key)
            self._release(key)


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _under_way(what: str, other: str | None) -> str:
    return (
        f"{what}: is under way, by {other or 'another process'}. Wait for it, or end it; the same command then goes on."
    )


def _signed(name: str) -> int:
    """32 bits with a sign, as a pair of keys needs."""
    return _key(name) - 2**31
