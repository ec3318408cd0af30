"""The pool of connections to MySQL: what breaks is replaced unnoticed, nothing stays open, few round trips."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import aiomysql
import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from xinyu.storage import packets, sql_mysql
from xinyu.storage.errors import StorageUnavailable, UniqueViolation
from xinyu.storage.packets import Packet, Row, Statement, Writes, fetch_all
from xinyu.storage.prepared import PreparedByKey, PreparedIn, PreparedMany, PreparedRows
from xinyu.storage.sql import Database, open_database

pytestmark = pytest.mark.engine
POOL = 3
ROWS = sa.Table(
    "t",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kept", sa.BigInteger, nullable=False),
    sa.Column("value", sa.BigInteger, nullable=False),
)
FIND = PreparedIn(sa.select(ROWS).where(ROWS.c.id.in_(sa.bindparam("ids", expanding=True))).order_by(ROWS.c.id), "ids")
INSERT = PreparedMany(sa.insert(ROWS))
WRITE = PreparedRows(ROWS, ["value"])
REMOVE = PreparedMany(sa.delete(ROWS).where(ROWS.c.id == sa.bindparam("key")))
MARK = PreparedByKey(sa.update(ROWS).values(value=sa.bindparam("new")), {"key": ROWS.c.id, "also": ROWS.c.kept})


def ask(dsn: str, statement: str) -> list[tuple[object, ...]]:
    url = make_url(dsn)
    connection = pymysql.connect(
        host=url.host, port=url.port or 0, user=url.username, password=url.password or "", database=url.database
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def kill_connections(dsn: str) -> int:
    """Break all connections to the database but the one that asks."""
    mine = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ids = [row[0] for row in ask(dsn, mine)]
    for id_ in ids:
        ask(dsn, f"KILL {id_}")
    return len(ids)


@pytest.fixture
def dsn(new_mysql_database: Callable[[], str]) -> str:
    return new_mysql_database()


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    database = open_database(dsn, mysql_pool_size=POOL)
    await database.start()
    try:
        await database.write(lambda connection: ROWS.create(connection))
        await database.write(
            lambda connection: INSERT.run(connection, [{"id": n, "kept": 10 * n, "value": 0} for n in range(5)])
        )
        yield database
    finally:
        await database.stop()


def values(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in FIND.fetch(connection, list(range(10)))]


async def all_open(database: Database) -> None:
    """Have the whole pool connected."""
    await asyncio.gather(
        *(
            database.read(lambda connection: connection.execute(sa.text("SELECT SLEEP(0.05)")).all())
            for _ in range(POOL)
        )
    )


async def test_broken_connections_are_replaced_unnoticed(database: Database, dsn: str) -> None:
    def prepared(connection: Connection) -> None:
        WRITE.run(connection, [{"id": 1, "kept": 10, "value": 7}])

    def plain(connection: Connection) -> None:
        connection.execute(sa.update(ROWS).where(ROWS.c.id == 2).values(value=8))

    for write in (prepared, plain):
        await all_open(database)
        assert kill_connections(dsn) >= POOL
        await asyncio.gather(*(database.write(write) for _ in range(POOL)))
        await all_open(database)
        kill_connections(dsn)
        await asyncio.gather(*(database.read(values) for _ in range(POOL)))
    assert [row[2] for row in await database.read(values)] == [0, 7, 8, 0, 0]


async def test_a_transaction_whose_connection_breaks_begins_again(database: Database, dsn: str) -> None:
    begun = []

    def work(connection: Connection) -> None:
        connection.execute(sa.update(ROWS).values(value=ROWS.c.value + 1))
        if not begun:
            begun.append(1)
            kill_connections(dsn)
        MARK.run(connection, [{"key": 0, "also": 0, "new": 50}, {"key": 1, "also": 10, "new": 50}])

    await database.write(work)
    assert [row[2] for row in await database.read(values)] == [50, 50, 1, 1, 1]
    assert database.counts.repeated == 1


async def test_a_connection_that_breaks_each_time_is_reported(database: Database, dsn: str) -> None:
    def work(connection: Connection) -> None:
        kill_connections(dsn)
        connection.execute(sa.text("SELECT 1"))

    with pytest.raises(StorageUnavailable):
        await database.write(work)
    with pytest.raises(StorageUnavailable):
        await database.read(work)


async def test_nothing_stays_open_in_the_pool(database: Database, dsn: str) -> None:
    def failing(connection: Connection) -> None:
        connection.execute(sa.update(ROWS).values(value=99))
        raise KeyError

    for _ in range(POOL):
        await database.read(values)
        with pytest.raises(KeyError):
            await database.write(failing)
        await database.write(lambda connection: connection.execute(sa.update(ROWS).values(value=3)).close())
    assert ask(dsn, "SELECT * FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> 0") == []
    assert {row[2] for row in await database.read(values)} == {3}


async def test_many_rows_are_written_by_one_statement(database: Database) -> None:
    def statements(connection: Connection) -> int:
        return int(connection.execute(sa.text("SHOW SESSION STATUS LIKE 'Questions'")).one()[1])

    def work(connection: Connection) -> list[int]:
        counts = [statements(connection)]
        WRITE.run(connection, [{"id": n, "kept": 10 * n, "value": n} for n in range(5)])
        counts.append(statements(connection))
        MARK.run(connection, [{"key": n, "also": 10 * n, "new": 100} for n in range(3)])
        counts.append(statements(connection))
        MARK.run(connection, [{"key": 4, "also": 41, "new": 100}, {"key": 9, "also": 90, "new": 100}])
        return counts

    before, between, after = await database.write(work)
    assert (between - before, after - between) == (2, 2), "the question itself and one statement"
    assert [row[1:] for row in await database.read(values)] == [(0, 100), (10, 100), (20, 100), (30, 3), (40, 4)]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was sent to the server, each a round trip."""
    sent: list[str] = []
    execute = aiomysql.Connection._execute_command

    async def counted(self: aiomysql.Connection, command: int, sql: str | bytes) -> None:
        sent.append(sql.decode() if isinstance(sql, bytes) else sql)
        await execute(self, command, sql)

    monkeypatch.setattr(aiomysql.Connection, "_execute_command", counted)
    return sent


async def test_the_writes_of_a_packet_take_one_round_trip(database: Database, commands: list[str]) -> None:
    def work(connection: Connection) -> None:
        packet = Packet(connection)
        packet.add(WRITE, [{"id": n, "kept": 10 * n, "value": n} for n in range(3)])
        packet.add(MARK, [])
        packet.add(REMOVE, [{"key": 3}, {"key": 4}])
        packet.add(INSERT, [{"id": 5, "kept": 50, "value": 5}])
        packet.add(MARK, [{"key": 5, "also": 50, "new": 6}])
        assert len(commands) == 0
        packet.send()
        packet.send()

    await all_open(database)
    commands.clear()
    await database.write(work)
    assert len(commands) == 2, commands  # and the COMMIT
    assert await database.read(values) == [(0, 0, 0), (1, 10, 1), (2, 20, 2), (5, 50, 6)]


@pytest.mark.parametrize("last", [False, True])
async def test_a_statement_that_fails_in_a_packet_fails_its_transaction(database: Database, last: bool) -> None:
    def work(connection: Connection) -> None:
        packet = Packet(connection)
        packet.add(MARK, [{"key": 0, "also": 0, "new": 9}])
        packet.add(INSERT, [{"id": 6, "kept": 1, "value": 1}, {"id": 1, "kept": 1, "value": 1}])
        if not last:
            packet.add(REMOVE, [{"key": 2}])
        packet.send()

    for _ in range(POOL + 1):
        with pytest.raises(UniqueViolation):
            await database.write(work)
    assert [row[0] for row in await database.read(values)] == [0, 1, 2, 3, 4]
    assert {row[2] for row in await database.read(values)} == {0}


async def test_a_long_packet_is_sent_in_pieces(
    database: Database, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "PACKET_BYTES", 300)

    def work(connection: Connection) -> None:
        packet = Packet(connection)
        packet.add(REMOVE, [{"key": n} for n in range(5)])
        packet.add(INSERT, [{"id": n, "kept": n, "value": n} for n in range(500)])
        packet.send()

    await all_open(database)
    commands.clear()
    await database.write(work)
    assert len([text for text in commands if "INSERT" in text]) == 3
    assert all(len(text) < 20_000 for text in commands)
    [(count, total)] = await database.read(
        lambda connection: connection.execute(sa.select(sa.func.count(), sa.func.sum(ROWS.c.value))).all()
    )
    assert (count, total) == (500, sum(range(500)))


async def test_looks_of_one_packet_come_back_apart(database: Database, commands: list[str]) -> None:
    def work(connection: Connection, ids: tuple[list[int], ...]) -> list[list[object]]:
        found = fetch_all(connection, [FIND.statement(connection, wanted) for wanted in ids])
        return [[row[0] for row in rows] for rows in found]

    await all_open(database)
    commands.clear()
    assert await database.read(lambda connection: work(connection, ([1, 3], [77], [0]))) == [[1, 3], [], [0]]
    assert len([text for text in commands if "SELECT" in text]) == 1
    assert await database.read(lambda connection: work(connection, ([2],))) == [[2]]


class KillsItself(Writes):
    """Breaks the connection that runs it."""

    def run_each(self, connection: Connection, rows: Sequence[Row]) -> None:
        raise NotImplementedError("for MySQL only")

    def statements(self, connection: Connection, rows: Sequence[Row]) -> Iterable[Statement]:
        yield "KILL CONNECTION_ID()", []


async def test_a_connection_that_breaks_between_two_answers_of_a_packet_takes_all_of_it_along(
    database: Database,
) -> None:
    tries = []

    def work(connection: Connection) -> None:
        packet = Packet(connection)
        packet.add(INSERT, [{"id": 6, "kept": 6, "value": 6}])
        if not tries:
            packet.add(KillsItself(), [{}])
        packet.add(INSERT, [{"id": 7, "kept": 7, "value": 7}])
        tries.append(1)
        packet.send()

    before = [row[0] for row in await database.read(values)]
    await database.write(work)
    assert len(tries) == 2, "the second on a connection of its own, and from the beginning"
    assert [row[0] for row in await database.read(values)] == [*before, 6, 7]


async def test_looks_that_lose_their_connection_half_way_are_repeated_whole(database: Database) -> None:
    tries = []

    def work(connection: Connection) -> list[list[object]]:
        tries.append(1)
        broken: list[Statement] = [("KILL CONNECTION_ID()", [])] if len(tries) == 1 else []
        found = fetch_all(connection, [FIND.statement(connection, [1]), *broken, FIND.statement(connection, [2])])
        return [[row[0] for row in rows] for rows in found]

    assert await database.read(work) == [[1], [2]]
    assert len(tries) == 2


async def test_a_brief_transaction_does_not_wait_for_all_that_queued_for_a_connection(dsn: str) -> None:
    """A send, while a thousand clients connect."""
    database = open_database(dsn, mysql_pool_size=1)
    await database.start()
    order: list[str] = []
    try:
        looks = [database.read(lambda _, name=f"o{number}": order.append(name)) for number in range(5)]
        brief = database.write(lambda _: order.append("brief"), brief=True)
        await asyncio.gather(*looks, brief)
    finally:
        await database.stop()
    assert order == ["o0", "brief", "o1", "o2", "o3", "o4"]


async def test_who_waits_too_long_for_a_connection_is_told(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_mysql, "WAIT_SECONDS", 0.05)
    database = open_database(dsn, mysql_pool_size=1)
    await database.start()

    def sleep(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT SLEEP(0.5)")

    try:
        sleeping = asyncio.create_task(database.read(sleep))
        await asyncio.sleep(0)
        with pytest.raises(StorageUnavailable, match="in use"):
            await database.ping()
        await sleeping
        await database.ping()
    finally:
        await database.stop()
