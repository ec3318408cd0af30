"""What the stores know of a database; its engines are in sqlite/ and sql_mysql.py."""

from __future__ import annotations

import abc
import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, RootTransaction, exc

from xinyu.storage.errors import CommitUnknown, StorageUnavailable, UniqueViolation
from xinyu.telemetry.readings import SECONDS, Histogram, Reading

T = TypeVar("T")
Work = Callable[[Connection], T]
DEADLOCK_CODES = frozenset({1205, 1213})
"""MySQL: the wait for a lock was too long, or it would have been for ever; the transaction was rolled back."""
ENDED = "xinyu.ended"
"""In `Connection.info` when the last transaction of a connection was committed: nothing is left to roll back."""


class DatabaseCounts:
    """What units of work cost, over all databases of a process."""

    def __init__(self) -> None:
        self.reads = Histogram(SECONDS)
        self.writes = Histogram(SECONDS)
        self.begun = 0
        """Reads and transactions that were asked for."""
        self.failures = 0
        self.repeated = 0

    def readings(self) -> list[Reading]:
        """For metrics."""
        pending = self.begun - sum(self.reads.counts) - sum(self.writes.counts)
        return [
            ("xinyu_db_pending", "Reads and transactions that run, or wait for a connection or their turn.", pending),
            ("xinyu_db_read_seconds", "Reads, the wait for a connection or thread included.", self.reads),
            ("xinyu_db_write_seconds", "Transactions, the wait for their turn included.", self.writes),
            ("xinyu_db_failures_total", "Reads and transactions that the database failed.", self.failures),
            (
                "xinyu_db_repeated_total",
                "Transactions run again after a deadlock or a lost connection.",
                self.repeated,
            ),
        ]


class Database(abc.ABC):
    """One schema on one engine."""

    dialect: str

    def __init__(self) -> None:
        self.counts = DatabaseCounts()

    @abc.abstractmethod
    async def start(self) -> None:
        """Open the engine. Raises StorageUnavailable naming the address."""

    @abc.abstractmethod
    async def stop(self) -> None:
        """Finish what runs, close all connections."""

    async def read(self, work: Work[T], *, brief: bool = False) -> T:
        """Run `work` on committed data. It must change nothing. Only one statement sees one moment on every engine (on
        SQLite the whole of `work` does), so what must fit together is read by one. `brief` says that it looks a few
        rows up by key, so that SQLite may do it without handing it to a thread. Raises StorageUnavailable."""
        begin = time.perf_counter()
        self.counts.begun += 1
        try:
            return await self.run_read(work, brief)
        except StorageUnavailable:
            self.counts.failures += 1
            raise
        finally:
            self.counts.reads.observe(time.perf_counter() - begin)

    async def write(self, work: Work[T], *, brief: bool = False) -> T:
        """Run `work` in one transaction: committed when this returns, rolled back when `work` raises. `brief` is as in
        `read`, for a few rows' changes; where transactions wait for the writer or a connection those go before others.
        Apart from that those of one database begin in the order of the calls.

        `work` may run again after a deadlock, so it must have no effect outside its connection.
        Raises StorageUnavailable (nothing was changed), CommitUnknown, UniqueViolation. Cancelling the caller does not
        stop a transaction that has begun."""
        begin = time.perf_counter()
        self.counts.begun += 1
        try:
            return await self.run_write(work, brief)
        except StorageUnavailable:
            self.counts.failures += 1
            raise
        finally:
            self.counts.writes.observe(time.perf_counter() - begin)

    async def write_lengthy(self, work: Work[T]) -> T:
        """The same for what may take minutes, as a migration does: no limit of time, nothing counted."""
        return await self.run_write(work, brief=False)

    @abc.abstractmethod
    async def run_read(self, work: Work[T], brief: bool) -> T:
        """The engine's part of `read`."""

    @abc.abstractmethod
    async def run_write(self, work: Work[T], brief: bool) -> T:
        """The engine's part of `write`."""

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


def is_deadlock(error: BaseException) -> bool:
    origin = getattr(error, "orig", None)
    arguments: tuple[object, ...] = getattr(origin, "args", ())
    return bool(arguments) and arguments[0] in DEADLOCK_CODES


def is_lost(error: BaseException) -> bool:
    """Whether the connection broke, and with it whatever it had begun."""
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


def in_transaction(connection: Connection, work: Work[T]) -> T:
    """Begin, run, commit; roll back on any error. A failing COMMIT is told apart from a failing statement."""
    connection.info.pop(ENDED, None)
    transaction = connection.begin()
    try:
        result = work(connection)
    except BaseException:
        transaction.rollback()
        raise
    commit(connection, transaction)
    return result


def commit(connection: Connection, transaction: RootTransaction) -> None:
    """Commit. Raises CommitUnknown when that failed; the connection is replaced before its next use."""
    try:
        transaction.commit()
    except exc.DBAPIError as error:
        with contextlib.suppress(exc.SQLAlchemyError):
            transaction.rollback()  # ends what is left of it, here and, where it can be reached, there
        connection.invalidate(error)
        raise CommitUnknown() from error
    connection.info[ENDED] = True
