"""SQLite while another process has its write lock."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from xinyu.storage.database import DatabaseCounts
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.sqlite.database import SqliteDatabase
from xinyu.telemetry.trace import adopt_trace, begin_trace, current_trace_id


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    made = SqliteDatabase(tmp_path / "t.db")
    await made.start()
    await made.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (a INTEGER)"))
    yield made
    await made.stop()


def insert(connection: Connection) -> None:
    connection.exec_driver_sql("INSERT INTO t VALUES (1)")


def count(connection: Connection) -> object:
    return connection.exec_driver_sql("SELECT count(*) FROM t").scalar()


@contextmanager
def held_by_another(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_the_loop_goes_on_while_another_process_writes(database: SqliteDatabase) -> None:
    with held_by_another(database.path) as other:
        begin = time.perf_counter()
        write = asyncio.create_task(database.write(insert, brief=True))
        for _ in range(5):
            await asyncio.sleep(0)
        assert time.perf_counter() - begin < 1.0
        assert not write.done()
        other.execute("ROLLBACK")
        await write
    assert await database.read(count) == 1


async def test_units_of_work_are_timed_and_failures_counted(database: SqliteDatabase) -> None:
    counts = DatabaseCounts()
    database.counts = counts
    await database.read(count)
    await database.read(count, brief=True)
    await database.write(insert)
    with pytest.raises(StorageUnavailable):
        await database.read(lambda connection: connection.exec_driver_sql("SELECT * FROM nothing"))
    assert (sum(counts.reads.counts), sum(counts.writes.counts), counts.failures) == (3, 1, 1)


async def test_the_trace_goes_along_to_the_thread(database: SqliteDatabase) -> None:
    trace_id = begin_trace()
    assert await database.read(lambda _connection: current_trace_id()) == trace_id
    assert await database.write(lambda _connection: current_trace_id()) == trace_id
    adopt_trace("")
