"""MySQL and MariaDB: READ COMMITTED on every pool, lock waits bounded, ROLLBACK explicit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, PoolResetState

from xinyu.storage.database import ENDED, Database, T, Work, in_transaction, is_deadlock, is_lost, translated
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.stalls import Stalls, open_connection
from xinyu.storage.turns import Turns
from xinyu.telemetry.logs import get_logger, in_ms

log = get_logger(__name__)
_SINCE = "xinyu.since"
WAIT_SECONDS = 5.0
"""For a connection, while all are in use."""
ATTEMPTS = 4
"""Of a transaction that deadlocks, or whose connection broke before its COMMIT."""


class MySqlDatabase(Database):
    """A schema on a MySQL or MariaDB server."""

    dialect = "mysql"

    def __init__(
        self, dsn: str, pool_size: int = 10, lock_wait_seconds: int = 2, slow_ms: int = 500, timeout_seconds: float = 0
    ) -> None:
        """`timeout_seconds`: what a unit of work may take on one connection, reads included; 0 for ever."""
        super().__init__()
        url = sa.make_url(dsn).set(drivername="mysql+aiomysql")
        self.address = url.render_as_string(hide_password=True)
        self._slow_seconds = slow_ms / 1000
        self._stalls = Stalls(timeout_seconds, self.address)
        self._engine: AsyncEngine = create_async_engine(
            url.update_query_dict({"charset": "utf8mb4"}),
            pool_size=pool_size,
            max_overflow=0,
            pool_recycle=1800,
            pool_reset_on_return=None,  # see _reset
            connect_args={
                "async_creator_fn": open_connection,
                "connect_timeout": 3,
                "init_command": f"SET SESSION innodb_lock_wait_timeout={lock_wait_seconds}, time_zone='+00:00'",
            },
        )
        self._turns = Turns(pool_size, WAIT_SECONDS, f"all connections to {self.address} are in use")
        self._broken_at = 0.0
        event.listen(self._engine.sync_engine, "connect", _date)
        event.listen(self._engine.sync_engine, "checkout", self._refuse_the_old)
        event.listen(self._engine.sync_engine, "reset", self._reset)
        self._in_flight: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        try:
            await self.ping()
        except StorageUnavailable as error:
            raise StorageUnavailable(f"cannot reach {self.address}: {error.details.get('details')}") from error

    async def stop(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=5)
        self._stalls.stop()
        await self._engine.dispose()

    async def run_read(self, work: Work[T], brief: bool) -> T:
        def limited(connection: Connection) -> T:
            with self._stalls.limited(connection.connection.driver_connection):
                return _reading(connection, work)

        begin = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                async with self._connection(is_urgent=False) as connection:
                    return await connection.run_sync(limited)
            except exc.SQLAlchemyError as error:
                if is_lost(error):
                    self._broken_at = time.monotonic()
                if not is_lost(error) or attempt == ATTEMPTS - 1 or self._is_over(begin):
                    raise translated(error) from error
        raise AssertionError("unreachable")

    async def run_write(self, work: Work[T], brief: bool) -> T:
        def limited(connection: Connection) -> T:
            with self._stalls.limited(connection.connection.driver_connection):
                return in_transaction(connection, work)

        return await self._finish(self._write(limited, brief))

    async def write_lengthy(self, work: Work[T]) -> T:
        return await self._finish(self._write(lambda connection: in_transaction(connection, work)))

    async def _finish(self, writing: Coroutine[Any, Any, T]) -> T:
        # in a task of its own, so that a caller's cancellation leaves the transaction alone
        task = asyncio.ensure_future(writing)
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return await asyncio.shield(task)

    def _is_over(self, begin: float) -> bool:
        """Whether a unit of work has had its time."""
        return 0 < self._stalls.seconds <= time.monotonic() - begin

    @asynccontextmanager
    async def _connection(self, is_urgent: bool) -> AsyncIterator[AsyncConnection]:
        """One of the pool, where nobody waits any more who has waited for his turn."""
        async with self._turns.urgent if is_urgent else self._turns.other, self._engine.connect() as connection:
            yield connection

    async def _write(self, transaction: Work[T], is_urgent: bool = False) -> T:
        begin = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                async with self._connection(is_urgent) as connection:
                    result = await connection.run_sync(transaction)
                if (seconds := time.monotonic() - begin) > self._slow_seconds:
                    log.warning(
                        "slow transaction; see the database's process list",
                        address=self.address,
                        duration_ms=in_ms(seconds),
                    )
                return result
            except exc.SQLAlchemyError as error:
                lost = is_lost(error)
                if lost:
                    self._broken_at = time.monotonic()
                if not (lost or is_deadlock(error)) or attempt == ATTEMPTS - 1 or self._is_over(begin):
                    raise translated(error) from error
                self.counts.repeated += 1
        raise AssertionError("unreachable")

    def _refuse_the_old(self, _: DBAPIConnection, entry: ConnectionPoolEntry, __: PoolProxiedConnection) -> None:
        """Where one connection broke, the others of its age are taken for broken too, as when the server was started
        anew. Asking each before its use would cost every unit of work a round trip."""
        if entry.info[_SINCE] <= self._broken_at:
            raise exc.DisconnectionError("made before another one broke")

    def _reset(self, connection: DBAPIConnection, entry: ConnectionPoolEntry, state: PoolResetState) -> None:
        """Back in the pool nothing may be left open. After a COMMIT nothing is, nor after a read: a round trip less."""
        if not entry.info.pop(ENDED, False) and not state.terminate_only:
            with self._stalls.limited(entry.driver_connection):
                connection.rollback()


def _reading(connection: Connection, work: Work[T]) -> T:
    """Run, and let go of what was looked at, however it ends."""
    transaction = connection.begin()
    try:
        return work(connection)
    finally:
        transaction.rollback()
        if not connection.invalidated:
            connection.info[ENDED] = True


def _date(_: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    entry.info[_SINCE] = time.monotonic()
