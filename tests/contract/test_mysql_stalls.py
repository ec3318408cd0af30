"""MySQL that does not answer, though its connections stand: what waits for it is told in time (G10)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from drills.proxy import Mode, Proxy
from xinyu.storage import stalls
from xinyu.storage.errors import CommitUnknown, StorageUnavailable
from xinyu.storage.sql import Database, open_database

pytestmark = pytest.mark.engine
LIMIT = 1.0
GUARD_SECONDS = 30.0
"""Far beyond the limit, far below what a connection stands."""


@pytest.fixture
async def link(new_mysql_database: Callable[[], str]) -> AsyncIterator[tuple[Proxy, str]]:
    """A way to a MySQL that a test can cut, and the DSN that goes there."""
    url = make_url(new_mysql_database())
    proxy = Proxy(lambda: [(str(url.host), int(url.port or 3306))], random.Random(0))
    await proxy.start()
    try:
        yield proxy, url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    finally:
        await proxy.close()


@pytest.fixture
async def database(link: tuple[Proxy, str]) -> AsyncIterator[Database]:
    database = open_database(link[1], mysql_pool_size=2, mysql_timeout_seconds=LIMIT)
    await database.start()
    await database.write(lambda connection: connection.execute(sa.text("CREATE TABLE t (id INT PRIMARY KEY)")))
    try:
        yield database
    finally:
        await database.stop()


def insert(connection: Connection, id_: int) -> None:
    connection.execute(sa.text("INSERT INTO t VALUES (:id)"), {"id": id_})


def count(connection: Connection) -> int:
    return int(connection.execute(sa.text("SELECT COUNT(*) FROM t")).scalar_one())


async def test_a_unit_of_work_without_an_answer_ends(link: tuple[Proxy, str], database: Database) -> None:
    link[0].set_mode(Mode.SWALLOW)
    async with asyncio.timeout(GUARD_SECONDS):
        with pytest.raises(StorageUnavailable):
            await database.read(count)
        with pytest.raises(StorageUnavailable):
            await database.write(lambda connection: insert(connection, 1))
    link[0].set_mode(Mode.PASS)
    await database.write(lambda connection: insert(connection, 2))
    assert await database.read(count) == 1


async def test_a_read_whose_end_has_no_answer_ends(link: tuple[Proxy, str], database: Database) -> None:
    """What was looked at is let go of by a statement too."""

    def work(connection: Connection) -> int:
        found = count(connection)
        link[0].set_mode(Mode.SWALLOW)
        return found

    async with asyncio.timeout(GUARD_SECONDS):
        with pytest.raises(StorageUnavailable):
            await database.read(work)


async def test_what_fails_by_itself_is_rolled_back_in_time_too(link: tuple[Proxy, str], database: Database) -> None:
    def work(connection: Connection) -> None:
        insert(connection, 1)
        link[0].set_mode(Mode.SWALLOW)
        raise KeyError

    async with asyncio.timeout(GUARD_SECONDS):
        with pytest.raises((StorageUnavailable, KeyError)):
            await database.write(work)
    link[0].set_mode(Mode.PASS)
    assert await database.read(count) == 0


async def test_a_commit_without_an_answer_is_in_doubt(link: tuple[Proxy, str], database: Database) -> None:
    def work(connection: Connection) -> None:
        insert(connection, 1)
        link[0].set_mode(Mode.SWALLOW)

    async with asyncio.timeout(GUARD_SECONDS):
        with pytest.raises(CommitUnknown):
            await database.write(work)


async def test_a_server_that_says_nothing_to_new_connections_is_unavailable(
    link: tuple[Proxy, str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "HANDSHAKE_SECONDS", 0.5)
    link[0].drop(link[0].connections)
    link[0].set_mode(Mode.SWALLOW)
    async with asyncio.timeout(GUARD_SECONDS):
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                await database.read(count)


async def test_what_may_take_long_has_its_time(database: Database) -> None:
    def slowly(connection: Connection) -> float:
        begin = time.monotonic()
        connection.execute(sa.text("SELECT SLEEP(:seconds)"), {"seconds": 2.5 * LIMIT})
        return time.monotonic() - begin

    assert await database.write_lengthy(slowly) > 2 * LIMIT
    with pytest.raises(StorageUnavailable):
        await database.write(slowly)
