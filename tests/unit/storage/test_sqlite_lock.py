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

from xinyu.storage.sql_sqlite import SqliteDatabase


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
