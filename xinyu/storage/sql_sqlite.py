"""SQLite: one writer thread for all stores, reader threads apart; or everything inline on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, event, exc
from sqlalchemy.pool import QueuePool, StaticPool

from xinyu.storage.database import Database, T, Work, commit, in_transaction, translated
from xinyu.storage.errors import StorageUnavailable
from xinyu.telemetry.logs import get_logger, in_ms

log = get_logger(__name__)
QUIET_SECONDS = 1.0
"""Nobody having written for so long, the write-ahead log is moved into the file."""
CHECKPOINT_SECONDS = 10.0
"""Under load it is moved this often: commits wait for the disk meanwhile, some 50 ms, so that must stay well below one
percent of the time."""
LONG_LOG_PAGES = 100_000
"""A write-ahead log of this many pages (400 MB) is begun anew on the writer's time."""
INLINE_CHECKPOINT_PAGES = 1000
BUSY_SECONDS = 10.0
"""How long a transaction waits for another process that writes (a backup, the sqlite3 shell)."""
BUSY_LOOK_SECONDS = 0.01


def _sqlite_engine(path: Path, readonly: bool, inline: bool) -> sa.Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS, "isolation_level": None},
        poolclass=StaticPool if inline or not readonly else QueuePool,
    )
    begin = "BEGIN" if readonly else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"wal_autocheckpoint={INLINE_CHECKPOINT_PAGES if inline else 0}",
            "temp_store=MEMORY",
            "cache_size=-65536" if not readonly else "cache_size=-16384",
            "mmap_size=268435456",
            "query_only=1" if readonly else "query_only=0",
            # the writer begins on the event loop, which must not wait: who is patient is _patiently
            f"busy_timeout={int(BUSY_SECONDS * 1000) if readonly or inline else 0}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _make_file(path: Path) -> None:
    """For its user alone; what belongs to it gets the same mode. A file that exists must not even be opened: closing it
    ends the locks that SQLite holds on it in this process, and the next other process that closes the database takes
    itself for the last and removes the write-ahead log (https://sqlite.org/howtocorrupt.html, 2.2)."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


class SqliteDatabase(Database):
    """One file, one writer."""

    dialect = "sqlite"

    def __init__(self, path: Path, readers: int = 2, slow_ms: int = 500) -> None:
        super().__init__()
        self.path = path
        self._slow_seconds = slow_ms / 1000
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="sqlite-reader")
        self._write_engine = _sqlite_engine(path, readonly=False, inline=False)
        self._read_engine = _sqlite_engine(path, readonly=True, inline=False)
        self._look_engine = _sqlite_engine(path, readonly=True, inline=True)
        self._write_connection: Connection | None = None
        self._checkpoints = ThreadPoolExecutor(1, thread_name_prefix="sqlite-checkpoint")
        self._checkpointing: asyncio.Task[None] | None = None
        self._written = False
        self._look_connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        def connect() -> Connection:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _make_file(self.path)
            return self._write_engine.connect()

        if self._write_connection is not None:  # started for another role
            return
        try:
            self._write_connection = await asyncio.get_running_loop().run_in_executor(self._writer, connect)
        except (exc.SQLAlchemyError, OSError) as error:
            raise StorageUnavailable(f"cannot open {self.path}: {getattr(error, 'orig', None) or error}") from error
        self._look_connection = self._look_engine.connect()
        self._checkpointing = asyncio.create_task(self._checkpoint())

    async def stop(self) -> None:
        if self._checkpointing is not None:
            self._checkpointing.cancel()
            await asyncio.wait([self._checkpointing])
            self._checkpointing = None

        def close() -> None:
            if self._write_connection is not None:
                self._write_connection.close()
                self._write_connection = None
            if self._look_connection is not None:
                self._look_connection.close()
                self._look_connection = None
            self._look_engine.dispose()
            self._read_engine.dispose()
            self._write_engine.dispose()

        await asyncio.get_running_loop().run_in_executor(self._writer, close)
        for executor in (self._writer, self._readers, self._checkpoints):
            executor.shutdown()

    async def run_read(self, work: Work[T], brief: bool) -> T:
        if brief:
            try:
                return self._look(work)
            except exc.SQLAlchemyError as error:
                raise translated(error) from error

        def run() -> T:
            with self._read_engine.connect() as connection:
                return work(connection)

        return await self._on(self._readers, run)

    def _look(self, work: Work[T]) -> T:
        """On the event loop: a look-up of cached pages is done sooner than handed to a thread."""
        if self._look_connection is None:
            raise StorageUnavailable("the database is not open")
        with self._look_connection.begin():
            return work(self._look_connection)

    async def run_write(self, work: Work[T], brief: bool) -> T:
        # in a task of its own, so that a caller's cancellation leaves the transaction alone
        return await asyncio.shield(asyncio.ensure_future(self._write(work, brief)))

    async def _write(self, work: Work[T], brief: bool) -> T:
        async with self._turn:
            connection = self._write_connection
            if connection is None:
                raise StorageUnavailable("the database is not open")
            self._written = True
            begin = time.perf_counter()
            result = await (self._write_briefly(connection, work) if brief else self._write_apart(connection, work))
            if (seconds := time.perf_counter() - begin) > self._slow_seconds:
                log.warning("slow transaction; is the disk busy?", duration_ms=in_ms(seconds))
            return result

    async def _write_apart(self, connection: Connection, work: Work[T]) -> T:
        return await self._on(self._writer, lambda: _patiently(connection, work))

    async def _write_briefly(self, connection: Connection, work: Work[T]) -> T:
        """Statements on the event loop, where each would otherwise wait for the interpreter lock twice; the COMMIT,
        which waits for the disk, on the writer's thread."""
        try:
            try:
                transaction = connection.begin()
            except exc.OperationalError as error:
                if not _is_busy(error):
                    raise
                return await self._write_apart(connection, work)
            try:
                result = work(connection)
            except BaseException:
                transaction.rollback()
                raise
        except exc.SQLAlchemyError as error:
            raise translated(error) from error
        await self._on(self._writer, lambda: commit(connection, transaction))
        return result

    async def _on(self, executor: ThreadPoolExecutor, run: Callable[[], T]) -> T:
        try:
            # the trace id goes along
            return await asyncio.get_running_loop().run_in_executor(executor, copy_context().run, run)
        except exc.SQLAlchemyError as error:
            raise translated(error) from error
        except RuntimeError as error:  # the executor was shut down
            raise StorageUnavailable("the database is closed") from error

    async def _checkpoint(self) -> None:
        """Move the write-ahead log into the file on a thread of its own, so that no commit waits for it."""
        loop = asyncio.get_running_loop()

        def passive() -> int:
            with contextlib.closing(sqlite3.connect(self.path, timeout=0.1)) as connection:
                return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])

        def restart() -> None:  # on the writer's thread, in its turn
            if self._write_connection is not None:
                driver = self._write_connection.connection.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                driver.execute("PRAGMA busy_timeout=500")  # readers are given this long to finish
                driver.execute("PRAGMA wal_checkpoint(RESTART)")
                driver.execute("PRAGMA busy_timeout=0")

        moved_at, unmoved = time.monotonic(), False
        while True:
            await asyncio.sleep(QUIET_SECONDS)
            busy, self._written = self._written, False
            unmoved = unmoved or busy
            if not unmoved or (busy and time.monotonic() - moved_at < CHECKPOINT_SECONDS):
                continue
            moved_at, unmoved = time.monotonic(), False
            try:
                if await loop.run_in_executor(self._checkpoints, passive) > LONG_LOG_PAGES:
                    async with self._turn:
                        await loop.run_in_executor(self._writer, restart)
            except (sqlite3.Error, exc.SQLAlchemyError) as error:
                log.warning("a checkpoint failed and is tried again; is the disk full?", reason=repr(error))


def _is_busy(error: exc.DBAPIError) -> bool:
    """Whether another process has the write lock."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _patiently(connection: Connection, work: Work[T]) -> T:
    """`in_transaction`, waiting for a write lock that another process has. Not on the event loop."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return in_transaction(connection, work)
        except exc.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= give_up:
                raise
        time.sleep(BUSY_LOOK_SECONDS)


class InlineSqliteDatabase(Database):
    """SQLite on the event loop: no threads, so every run of a simulation is the same."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._engine = _sqlite_engine(path, readonly=False, inline=True)
        self._connection: Connection | None = None

    async def start(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()

    def image(self) -> bytes:
        """All that is stored, to `restore` it later. The database must not be in use."""
        return self._driver().serialize()

    def restore(self, image: bytes) -> None:
        """Have stored what an `image` has, and nothing else; for a database in memory (":memory:")."""
        self._driver().deserialize(image)

    def _driver(self) -> sqlite3.Connection:
        driver = self._connected().connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        return driver

    async def run_read(self, work: Work[T], brief: bool) -> T:
        return self._run(work)

    async def run_write(self, work: Work[T], brief: bool) -> T:
        return self._run(work)

    def _run(self, work: Work[T]) -> T:
        try:
            return in_transaction(self._connected(), work)
        except exc.SQLAlchemyError as error:
            raise translated(error) from error

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection
