"""A COMMIT that fails ends one transaction, not the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection

from xinyu.storage.errors import CommitUnknown
from xinyu.storage.sql import SqliteDatabase

TABLES = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
    "CREATE TABLE child (parent_id INTEGER REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)",
)


def make_tables(connection: Connection) -> None:
    for table in TABLES:
        connection.exec_driver_sql(table)


def orphan(connection: Connection) -> None:
    """Fine as a statement, refused by the COMMIT."""
    connection.exec_driver_sql("INSERT INTO child VALUES (7)")


def count(connection: Connection) -> object:
    return connection.exec_driver_sql("SELECT count(*) FROM child").scalar()


@pytest.mark.parametrize("brief", [True, False])
async def test_the_next_transaction_works(tmp_path: Path, brief: bool) -> None:
    database = SqliteDatabase(tmp_path / "x.db")
    await database.start()
    try:
        await database.write(make_tables)
        for _ in range(2):
            with pytest.raises(CommitUnknown):
                await database.write(orphan, brief=brief)
            assert await database.write(count, brief=not brief) == 0
    finally:
        await database.stop()


async def test_a_brief_transaction_does_not_wait_for_all_that_queued_before(tmp_path: Path) -> None:
    """A send, while a thousand clients connect."""
    database = SqliteDatabase(tmp_path / "x.db")
    await database.start()
    order: list[str] = []
    try:
        others = [database.write(lambda _, name=f"o{number}": order.append(name)) for number in range(5)]
        brief = database.write(lambda _: order.append("brief"), brief=True)
        await asyncio.gather(*others, brief)
    finally:
        await database.stop()
    assert order == ["o0", "brief", "o1", "o2", "o3", "o4"]
