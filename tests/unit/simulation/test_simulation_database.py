"""The made-up database server: what is committed stays, and who hears of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.simulation.world.database import Engine, SimulatedDatabase
from xinyu.simulation.world.loop import Place, SimulationLoop
from xinyu.simulation.world.paths import Paths
from xinyu.storage.errors import CommitUnknown, StorageUnavailable
from xinyu.storage.sql import InlineSqliteDatabase


@pytest.fixture
def engine() -> Iterator[Engine]:
    loop, inner = SimulationLoop(random.Random(1).random), InlineSqliteDatabase(Path(":memory:"))
    made = Engine(inner, loop, Paths(loop, random.Random(2)), random.Random(3))
    play(made, lambda: inner.write(lambda connection: connection.execute(sa.text("CREATE TABLE t (n)")) and None))
    yield made
    loop.run_until_complete(loop.world.spawn(_stopped(inner)))
    loop.dispose()


async def _stopped(inner: InlineSqliteDatabase) -> None:
    await inner.stop()


def play(engine: Engine, work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await work()

    engine.loop.run_until_complete(engine.loop.world.spawn(run()))


def insert(connection: Connection) -> None:
    connection.execute(sa.text("INSERT INTO t VALUES (1)"))


async def count(engine: Engine) -> int:
    statement = sa.text("SELECT count(*) FROM t")
    return await engine.inner.read(lambda connection: int(connection.execute(statement).scalar_one()))


def test_a_process_may_end_between_a_commit_and_its_news(engine: Engine) -> None:
    node, heard = Place(engine.loop, "node"), list[str]()

    async def write() -> None:
        await SimulatedDatabase(engine).write(insert)
        heard.append("committed")

    async def work() -> None:
        engine.committed = lambda *_: node.kill()
        node.spawn(write())
        await asyncio.sleep(10)
        assert (await count(engine), heard) == (1, [])

    play(engine, work)


def test_doubtful_commits_are_made_or_not_and_nobody_knows(engine: Engine) -> None:
    async def work() -> None:
        engine.doubtful = 1.0
        for _ in range(40):
            with pytest.raises(CommitUnknown):
                await SimulatedDatabase(engine).write(insert)
        assert 10 < await count(engine) < 30

    play(engine, work)


def test_while_it_is_away_nothing_is_changed(engine: Engine) -> None:
    async def work() -> None:
        engine.away = True
        with pytest.raises(StorageUnavailable):
            await SimulatedDatabase(engine).write(insert)
        assert await count(engine) == 0

    play(engine, work)


def test_an_image_brings_back_what_was_stored(engine: Engine) -> None:
    async def work() -> None:
        await engine.inner.write(insert)
        image = engine.inner.image()
        await engine.inner.write(insert)
        engine.inner.restore(image)
        assert await count(engine) == 1

    play(engine, work)
