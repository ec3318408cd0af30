"""Tables from engine to engine: any rows that both can hold, in batches, with the counters of their ids."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.storage.copying import tables
from xinyu.storage.copying.counters import read_counter
from xinyu.storage.copying.places import count_others, identity_of
from xinyu.storage.copying.tables import checksum_of, copy_table, count_rows, has_rows, list_present
from xinyu.storage.schema import TABLE_OPTIONS, Ascii, BigId, HexId, LongText
from xinyu.storage.sql import Database, open_database

METADATA = sa.MetaData()
THING = sa.Table(
    "thing",
    METADATA,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("flag", sa.SmallInteger, nullable=False),
    sa.Column("maybe", sa.BigInteger, nullable=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("text", LongText, nullable=False),
    sqlite_autoincrement=True,
    **TABLE_OPTIONS,
)
PLACE = sa.Table(
    "place",
    METADATA,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("device_id", Ascii, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", HexId, nullable=False),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)
TEXTS = ["", " ", "a\0b", "'\"\\%_", "é", "e\u0301", "你好", "😀👩‍👩‍👧", "x" * 5000, "\r\n\t", '{"a": "\\u00e9"}']
PAIRS = [
    ("sqlite", "sqlite"),
    pytest.param(("sqlite", "mysql"), marks=pytest.mark.engine),
    pytest.param(("mysql", "sqlite"), marks=pytest.mark.engine),
    pytest.param(("mysql", "mysql"), marks=pytest.mark.engine),
]


@pytest.fixture(params=PAIRS, ids="-".join)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Database, Database]]:
    """Two databases with the tables."""
    made = []
    for number, engine in enumerate(request.param):
        new: Callable[[], str] | None = request.getfixturevalue("new_mysql_database") if engine == "mysql" else None
        database = open_database(new() if new else f"sqlite:///{tmp_path}/{number}.db")
        await database.start()
        await database.write(METADATA.create_all)
        made.append(database)
    yield made[0], made[1]
    for database in made:
        await database.stop()


def fill(connection: Connection) -> None:
    chance = random.Random(7)
    ids = [*range(1, 40), 2**40, 2**62]
    things = [
        {"id": number, "flag": number % 2, "maybe": chance.choice((None, 0, -(2**63), 2**63 - 1)),
         "name": chance.choice(TEXTS)[:64], "text": chance.choice(TEXTS)}
        for number in chance.sample(ids, len(ids))
    ]  # fmt: skip
    connection.execute(sa.insert(THING), things)
    devices = ["phone", "Phone", "desk-1", "desk.1", "desk_1", "~", "A" * 190, "a"]
    places = [
        {"user_id": user, "device_id": device, "seq": seq, "key": f"{chance.getrandbits(128):032x}"}
        for user in (-5, 1, 2)
        for device in devices
        for seq in (0, 1, 10, 2)
    ]
    connection.execute(sa.insert(PLACE), places)
    connection.execute(sa.delete(THING).where(THING.c.id == 2**62))


@pytest.mark.parametrize("batch", [1, 4, 1000])
async def test_what_arrives_is_what_was_there(
    pair: tuple[Database, Database], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", batch)
    source, target = pair
    await source.write(fill)
    for table, rows in ((THING, 40), (PLACE, 96)):
        done: list[int] = []
        await copy_table(source, target, table, done.append)
        assert sum(done) == rows == await count_rows(target, table)
        assert max(done) <= batch
        assert await checksum_of(source, table, done.append) == await checksum_of(target, table, done.append)
        query = sa.select(table).order_by(*table.primary_key.columns)
        before, after = [
            await database.read(lambda connection, query=query: connection.execute(query).all())  # type: ignore[misc]
            for database in pair
        ]
        assert sorted(before) == sorted(after) if table is PLACE else before == after


async def test_ids_go_on_above_the_last_one_that_was_given(pair: tuple[Database, Database]) -> None:
    """Although its row is gone."""
    source, target = pair
    await source.write(fill)
    await copy_table(source, target, THING, lambda _: None)
    assert await target.read(lambda connection: read_counter(connection, THING)) == 2**62
    assert await new_id(target) == 2**62 + 1 == await new_id(source)


async def test_an_empty_table_takes_its_counter_along(pair: tuple[Database, Database]) -> None:
    source, target = pair
    assert [await new_id(source) for _ in range(3)] == [1, 2, 3]
    await source.write(lambda connection: connection.execute(sa.delete(THING)) and None)
    assert not await has_rows(source, THING)
    await copy_table(source, target, THING, lambda _: None)
    assert not await has_rows(target, THING)
    assert await new_id(target) == 4


async def new_id(database: Database) -> int:
    row = {"flag": 0, "maybe": None, "name": "new", "text": ""}
    return await database.write(lambda connection: int(connection.execute(sa.insert(THING), row).lastrowid))


async def test_one_changed_value_changes_the_checksum(pair: tuple[Database, Database]) -> None:
    source, target = pair
    await source.write(fill)
    await copy_table(source, target, THING, lambda _: None)
    before = await checksum_of(source, THING, lambda _: None)
    for column, value in (("flag", 7), ("maybe", 5), ("name", "E"), ("text", "changed")):
        change = sa.update(THING).where(THING.c.id == 3).values({column: value})
        await target.write(lambda connection, change=change: connection.execute(change) and None)  # type: ignore[misc]
        after = await checksum_of(target, THING, lambda _: None)
        assert after.rows == before.rows and after != before, column
        before = after


async def test_databases_are_told_apart(pair: tuple[Database, Database]) -> None:
    source, target = pair
    assert await identity_of(source) == await identity_of(source) != await identity_of(target)
    assert await count_others(source) == 0
    assert await list_present(source, [PLACE, sa.Table("absent", sa.MetaData())]) == [PLACE]
