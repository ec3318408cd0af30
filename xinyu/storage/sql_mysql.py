"""MySQL and MariaDB: READ COMMITTED on every pool, lock waits bounded, ROLLBACK explicit."""

from __future__ import annotations

import asyncio
import time

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from xinyu.storage.database import Database, T, Work, in_transaction, is_deadlock, translated
from xinyu.storage.errors import StorageUnavailable
from xinyu.telemetry.logs import get_logger, in_ms

log = get_logger(__name__)
ATTEMPTS_ON_DEADLOCK = 4


class MySqlDatabase(Database):
    """A schema on a MySQL or MariaDB server."""

    dialect = "mysql"

    def __init__(self, dsn: str, pool_size: int = 10, lock_wait_seconds: int = 2, slow_ms: int = 500) -> None:
        super().__init__()
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

    async def run_read(self, work: Work[T], brief: bool) -> T:
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)
        except exc.SQLAlchemyError as error:
            raise translated(error) from error

    async def run_write(self, work: Work[T], brief: bool) -> T:
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
                    result = await connection.run_sync(in_transaction, work)
                if (seconds := time.perf_counter() - begin) > self._slow_seconds:
                    log.warning(
                        "slow transaction; see the database's process list",
                        address=self.address,
                        duration_ms=in_ms(seconds),
                    )
                return result
            except exc.SQLAlchemyError as error:
                if not is_deadlock(error) or attempt == ATTEMPTS_ON_DEADLOCK - 1:
                    raise translated(error) from error
                self.counts.repeated += 1
        raise AssertionError("unreachable")
