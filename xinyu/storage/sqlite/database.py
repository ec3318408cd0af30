"""One writer thread for all stores, reader threads apart (ADR 0004)."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

from sqlalchemy import Connection, exc

from xinyu.storage.database import Database, T, Work, commit, in_transaction, translated
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.sqlite.engine import BUSY_SECONDS, make_file, sqlite_engine
from xinyu.storage.turns import Turns
from xinyu.telemetry.logs import get_logger, in_ms

log = get_logger(__name__)
QUIET_SECONDS = 1.0
"""Nobody having written for so long, the write-ahead log is moved into the file."""
CHECKPOINT_SECONDS = 10.0
"""Under load it is moved this often: commits wait for the disk meanwhile, some 50 ms, so that must stay well below one
percent of the time."""
LONG_LOG_PAGES = 100_000
"""A write-ahead log of this many pages (400 MB) is begun anew on the writer's time."""
BUSY_LOOK_SECONDS = 0.01


class SqliteDatabase(Database):
    """One file, one writer."""

    dialect = "sqlite"

    def __init__(self, path: Path, readers: int = 2, slow_ms: int = 500) -> None:
        super().__init__()
        self.path = path
        self._slow_seconds = slow_ms / 1000
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="sqlite-reader")
        self._write_engine = sqlite_engine(path, readonly=False, inline=False)
        self._read_engine = sqlite_engine(path, readonly=True, inline=False)
        self._look_engine = sqlite_engine(path, readonly=True, inline=True)
        self._write_connection: Connection | None = None
        self._checkpoints = ThreadPoolExecutor(1, thread_name_prefix="sqlite-checkpoint")
        self._checkpointing: asyncio.Task[None] | None = None
        self._written = False
        self._look_connection: Connection | None = None
        self._turns = Turns()

    async def start(self) -> None:
        def connect() -> Connection:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            make_file(self.path)
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
        async with self._turns.urgent if brief else self._turns.other:
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
                    async with self._turns.other:
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
