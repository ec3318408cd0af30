"""A database as the stores see it: whole units of work, each a plain function over a SQLAlchemy connection.

The same function runs on every engine, and a store never learns which one:

- SQLite: on one writer thread for all stores (`BEGIN IMMEDIATE`), reads apart on reader threads. A unit of work costs
  one thread hop, however many statements it has (ADR 0004).
- MySQL: in a greenlet over aiomysql, READ COMMITTED on every pool, lock waits bounded, ROLLBACK explicit.
- SQLite inline: on the event loop, so that a simulation stays deterministic.
"""

from __future__ import annotations

import abc
import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool, StaticPool

from xinyu.storage.errors import CommitUnknown, StorageUnavailable, UniqueViolation
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")
Work = Callable[[Connection], T]
DEADLOCK_CODES = frozenset({1205, 1213})
ATTEMPTS_ON_DEADLOCK = 4


class Database(abc.ABC):
    """One schema on one engine."""

    dialect: str

    @abc.abstractmethod
    async def start(self) -> None:
        """Open the engine. Raises StorageUnavailable naming the address."""

    @abc.abstractmethod
    async def stop(self) -> None:
        """Finish what runs, close all connections."""

    @abc.abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Run `work` on a consistent view of committed data. It must change nothing.

        Raises StorageUnavailable."""

    @abc.abstractmethod
    async def write(self, work: Work[T]) -> T:
        """Run `work` in one transaction: committed when this returns, rolled back when `work` raises.

        `work` may run again after a deadlock, so it must have no effect outside its connection.
        Raises StorageUnavailable (nothing was changed), CommitUnknown, UniqueViolation. Cancelling the caller does not
        stop a transaction that has begun."""

    async def ping(self) -> None:
        """Raise StorageUnavailable unless a trivial query works."""
        await self.read(lambda connection: connection.execute(sa.text("SELECT 1")).scalar())


def translated(error: exc.SQLAlchemyError) -> Exception:
    """The storage error for a driver's error."""
    if isinstance(error, exc.IntegrityError):
        return UniqueViolation()
    if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError):
        return StorageUnavailable(details=str(getattr(error, "orig", None) or error)[:200])
    return error


def _is_deadlock(error: BaseException) -> bool:
    origin = getattr(error, "orig", None)
    arguments: tuple[object, ...] = getattr(origin, "args", ())
    return bool(arguments) and arguments[0] in DEADLOCK_CODES


def _in_transaction(connection: Connection, work: Work[T]) -> T:
    """Begin, run, commit; roll back on any error. A failing COMMIT is told apart from a failing statement."""
    transaction = connection.begin()
    try:
        result = work(connection)
    except BaseException:
        transaction.rollback()
        raise
    try:
        transaction.commit()
    except exc.DBAPIError as error:
        connection.invalidate(error)
        raise CommitUnknown() from error
    return result


def _sqlite_engine(path: Path, readonly: bool, inline: bool) -> sa.Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"check_same_thread": False, "timeout": 10, "isolation_level": None},
        poolclass=StaticPool if inline or not readonly else QueuePool,
    )
    begin = "BEGIN" if readonly else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-65536" if not readonly else "cache_size=-16384",
            "mmap_size=268435456",
            "query_only=1" if readonly else "query_only=0",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


class SqliteDatabase(Database):
    """One file, one writer."""

    dialect = "sqlite"

    def __init__(self, path: Path, readers: int = 2, slow_ms: int = 500) -> None:
        self.path = path
        self._slow_seconds = slow_ms / 1000
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="sqlite-reader")
        self._write_engine = _sqlite_engine(path, readonly=False, inline=False)
        self._read_engine = _sqlite_engine(path, readonly=True, inline=False)
        self._write_connection: Connection | None = None

    async def start(self) -> None:
        def connect() -> Connection:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self._write_engine.connect()

        try:
            self._write_connection = await asyncio.get_running_loop().run_in_executor(self._writer, connect)
        except (exc.SQLAlchemyError, OSError) as error:
            raise StorageUnavailable(f"cannot open {self.path}: {error}") from error

    async def stop(self) -> None:
        def close() -> None:
            if self._write_connection is not None:
                self._write_connection.close()
                self._write_connection = None
            self._read_engine.dispose()
            self._write_engine.dispose()

        await asyncio.get_running_loop().run_in_executor(self._writer, close)
        self._writer.shutdown()
        self._readers.shutdown()

    async def read(self, work: Work[T]) -> T:
        def run() -> T:
            with self._read_engine.connect() as connection:
                return work(connection)

        return await self._on(self._readers, run)

    async def write(self, work: Work[T]) -> T:
        def run() -> T:
            if self._write_connection is None:
                raise StorageUnavailable("the database is not open")
            begin = time.perf_counter()
            result = _in_transaction(self._write_connection, work)
            if time.perf_counter() - begin > self._slow_seconds:
                log.warning("slow transaction; is the disk busy?", seconds=round(time.perf_counter() - begin, 3))
            return result

        return await self._on(self._writer, run)

    async def _on(self, executor: ThreadPoolExecutor, run: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, run)
        except exc.SQLAlchemyError as error:
            raise translated(error) from error
        except RuntimeError as error:  # the executor was shut down
            raise StorageUnavailable("the database is closed") from error


class InlineSqliteDatabase(Database):
    """SQLite on the event loop: no threads, so every run of a simulation is the same."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _sqlite_engine(path, readonly=False, inline=True)

    async def start(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None:
        self._engine.dispose()

    async def read(self, work: Work[T]) -> T:
        return self._run(work)

    async def write(self, work: Work[T]) -> T:
        return self._run(work)

    def _run(self, work: Work[T]) -> T:
        try:
            with self._engine.connect() as connection:
                return _in_transaction(connection, work)
        except exc.SQLAlchemyError as error:
            raise translated(error) from error


class MySqlDatabase(Database):
    """A schema on a MySQL or MariaDB server."""

    dialect = "mysql"

    def __init__(self, dsn: str, pool_size: int = 10, lock_wait_seconds: int = 2, slow_ms: int = 500) -> None:
        url = sa.make_url(dsn).set(drivername="mysql+aiomysql")
        self.address = url.render_as_string(hide_password=True)
        self._slow_seconds = slow_ms / 1000
        self._engine: AsyncEngine = create_async_engine(
            url.update_query_dict({"charset": "utf8mb4"}),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_recycle=1800,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args={
                "connect_timeout": 3,
                "init_command": f"SET SESSION innodb_lock_wait_timeout={lock_wait_seconds}, time_zone='+00:00'",
            },
        )
        self._in_flight: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        try:
            await self.ping()
        except StorageUnavailable as error:
            raise StorageUnavailable(f"cannot reach {self.address}: {error.details.get('details')}") from error

    async def stop(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=5)
        await self._engine.dispose()

    async def read(self, work: Work[T]) -> T:
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)
        except exc.SQLAlchemyError as error:
            raise translated(error) from error

    async def write(self, work: Work[T]) -> T:
        # in a task of its own, so that a caller's cancellation leaves the transaction alone
        task = asyncio.ensure_future(self._write(work))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return await asyncio.shield(task)

    async def _write(self, work: Work[T]) -> T:
        begin = time.perf_counter()
        for attempt in range(ATTEMPTS_ON_DEADLOCK):
            try:
                async with self._engine.connect() as connection:
                    result = await connection.run_sync(_in_transaction, work)
                if time.perf_counter() - begin > self._slow_seconds:
                    log.warning("slow transaction; see the database's process list", address=self.address)
                return result
            except exc.SQLAlchemyError as error:
                if not _is_deadlock(error) or attempt == ATTEMPTS_ON_DEADLOCK - 1:
                    raise translated(error) from error
        raise AssertionError("unreachable")


def open_database(
    dsn: str,
    *,
    sqlite_readers: int = 2,
    sqlite_inline: bool = False,
    mysql_pool_size: int = 10,
    mysql_lock_wait_seconds: int = 2,
    slow_ms: int = 500,
) -> Database:
    """The database of a DSN, not yet started. Raises ValueError for a DSN of another kind."""
    url = sa.make_url(dsn)
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("an sqlite DSN must name a file: sqlite:///path/to/file")
        path = Path(url.database)
        return InlineSqliteDatabase(path) if sqlite_inline else SqliteDatabase(path, sqlite_readers, slow_ms)
    if backend in ("mysql", "mariadb"):
        return MySqlDatabase(dsn, mysql_pool_size, mysql_lock_wait_seconds, slow_ms)
    raise ValueError(f"storage.dsn: {backend!r} is no engine of xinyu; use sqlite:///… or mysql://…")
