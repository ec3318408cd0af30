"""The effect log and its relay: nothing recorded is lost, nothing newer is undone, nobody waits for a poisoned row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from testkit.clock import ManualClock
from testkit.waiting import eventually
from xinyu.kernel.errors import DeadlineExceeded, InvalidInput, Unavailable
from xinyu.kernel.ids import new_hex_id
from xinyu.storage.effects import ALARM_ATTEMPTS, KEEP_DONE_MS, EffectLog, EffectRelay, effect_table
from xinyu.storage.errors import EffectPending, UniqueViolation
from xinyu.storage.sql import Database, SqliteDatabase

METADATA = sa.MetaData()
TABLE = effect_table(METADATA, "thing_effect")


class Body(msgspec.Struct):
    """A change as the other service understands it."""

    key: str
    version: int
    value: str


class OtherService:
    """Honours versions, fails when told to, remembers every call."""

    def __init__(self) -> None:
        self.state: dict[str, Body] = {}
        self.calls: list[str] = []
        self.failures: dict[str, list[Exception]] = {}

    async def apply(self, body: str) -> None:
        change = msgspec.json.decode(body, type=Body)
        self.calls.append(change.value)
        if self.failures.get(change.value):
            raise self.failures[change.value].pop(0)
        known = self.state.get(change.key)
        if known is None or change.version > known.version:
            self.state[change.key] = change


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = SqliteDatabase(tmp_path / "effects.db")
    await database.start()
    await database.write(METADATA.create_all)
    yield database
    await database.stop()


class World:
    """One process: a log and a relay over the database."""

    def __init__(self, database: Database, other: OtherService, clock: ManualClock) -> None:
        self.log = EffectLog(database, TABLE, clock)
        self.relay = EffectRelay(self.log, other.apply, clock, "thing")
        self.database, self.other, self.clock = database, other, clock

    async def change(self, value: str, version: int, key: str = "c") -> str:
        effect_id = new_hex_id()
        body = msgspec.json.encode(Body(key, version, value)).decode()
        await self.database.write(lambda connection: self.log.record(connection, effect_id, key, body))
        return effect_id


@pytest.fixture
def world(database: Database) -> World:
    return World(database, OtherService(), ManualClock())


async def test_an_effect_takes_before_its_caller_goes_on(world: World) -> None:
    await world.relay.carry_out(await world.change("a", 1))
    assert world.other.state["c"].value == "a"
    assert await world.log.count_pending() == 0


async def test_carrying_out_again_or_an_unknown_one_does_nothing(world: World) -> None:
    effect_id = await world.change("a", 1)
    await world.relay.carry_out(effect_id)
    await world.relay.carry_out(effect_id)
    await world.relay.carry_out(new_hex_id())
    assert world.other.calls == ["a"]


async def test_a_change_that_is_rolled_back_leaves_no_effect(world: World) -> None:
    def work(connection: sa.Connection) -> None:
        world.log.record(connection, new_hex_id(), "c", "{}")
        raise InvalidInput()

    with pytest.raises(InvalidInput):
        await world.database.write(work)
    assert await world.log.count_pending() == 0


async def test_an_effect_id_is_recorded_once(world: World) -> None:
    effect_id = new_hex_id()
    for repetition in (False, True):
        record: Callable[[sa.Connection], None] = lambda connection: world.log.record(connection, effect_id, "c", "{}")  # noqa: E731
        if repetition:
            with pytest.raises(UniqueViolation):
                await world.database.write(record)
        else:
            await world.database.write(record)


@pytest.mark.parametrize("error", [Unavailable(), DeadlineExceeded(), RuntimeError("a bug over there")])
async def test_what_cannot_take_now_is_told_to_the_caller_and_repeated_until_it_takes(
    world: World, error: Exception
) -> None:
    world.other.failures["a"] = [error, Unavailable()]
    with pytest.raises(EffectPending):
        await world.relay.carry_out(await world.change("a", 1))
    running = asyncio.create_task(world.relay.run())
    try:
        await world.clock.advance(0)

        async def took() -> bool:
            await world.clock.advance(0.5)
            return "c" in world.other.state and await world.log.count_pending() == 0

        await eventually(took)
    finally:
        running.cancel()
    assert world.other.calls == ["a", "a", "a"]


async def test_attempts_of_one_effect_come_ever_more_slowly(world: World) -> None:
    world.other.failures["a"] = [Unavailable() for _ in range(100)]
    await world.change("a", 1)
    world.clock.jump(1)
    for _ in range(300):
        await world.relay.sweep()
        world.clock.jump(1)
    assert 9 <= len(world.other.calls) <= 12


async def test_a_restart_carries_out_what_was_left_pending(world: World, database: Database) -> None:
    effect_id = await world.change("a", 1)  # and the process dies before it could be carried out
    clock = ManualClock(world.clock.now_ms() + 60_000)
    reborn = World(database, world.other, clock)
    assert await reborn.relay.sweep() == 1
    assert world.other.state["c"].value == "a"
    await reborn.relay.carry_out(effect_id)
    assert world.other.calls == ["a"]


async def test_a_sweep_leaves_a_fresh_effect_to_its_caller(world: World) -> None:
    await world.change("a", 1)
    assert await world.relay.sweep() == 0
    world.clock.jump(1)
    assert await world.relay.sweep() == 1


async def test_an_older_pending_effect_of_the_conversation_goes_first(world: World) -> None:
    await world.change("old", 1)
    await world.change("elsewhere", 1, key="d")
    await world.relay.carry_out(await world.change("new", 2))
    assert world.other.calls == ["old", "new"]
    assert await world.log.count_pending() == 1


async def test_an_older_effect_out_of_reach_holds_the_newer_one_back(world: World) -> None:
    await world.change("old", 1)
    newer = await world.change("new", 2)
    world.other.failures["old"] = [Unavailable()]
    with pytest.raises(EffectPending):
        await world.relay.carry_out(newer)
    world.clock.jump(5)
    assert await world.relay.sweep() == 2
    assert world.other.calls == ["old", "old", "new"]


async def test_an_older_effect_that_is_refused_holds_nobody_back_and_undoes_nothing_later(world: World) -> None:
    await world.change("old", 1)
    newer = await world.change("new", 2)
    world.other.failures["old"] = [InvalidInput()]
    await world.relay.carry_out(newer)
    assert world.other.state["c"].value == "new"
    world.clock.jump(5)
    assert await world.relay.sweep() == 1
    assert world.other.calls == ["old", "new", "old"]
    assert world.other.state["c"].value == "new"


async def test_the_sweep_keeps_the_order_of_each_conversation_while_the_head_waits(world: World) -> None:
    world.other.failures["c1"] = [Unavailable()]
    for value in ("c1", "c2", "c3"):
        await world.change(value, int(value[1]))
    await world.change("d1", 1, key="d")
    world.clock.jump(1)
    assert await world.relay.sweep() == 1
    assert world.other.calls == ["c1", "d1"]
    world.clock.jump(1)
    assert await world.relay.sweep() == 3
    assert world.other.calls == ["c1", "d1", "c1", "c2", "c3"]


async def test_a_poisoned_effect_is_reported_once_and_stops_nobody(world: World) -> None:
    world.other.failures["bad"] = [InvalidInput() for _ in range(1000)]
    await world.change("bad", 1)
    await world.change("good", 2)
    with capture_logs() as lines:
        for _ in range(ALARM_ATTEMPTS + 5):
            world.clock.jump(61)
            await world.relay.sweep()
    assert world.other.state["c"].value == "good"
    assert world.other.calls.count("bad") == ALARM_ATTEMPTS + 5
    assert [line["log_level"] for line in lines] == ["warning", "error"]
    await world.relay.carry_out(await world.change("better", 3))
    assert world.other.state["c"].value == "better"


async def test_a_cancelled_caller_leaves_its_effect_to_the_relay(world: World) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang(_body: str) -> None:
        reached.set()
        await never.wait()

    effect_id = await world.change("a", 1)
    caller = asyncio.create_task(EffectRelay(world.log, hang, world.clock, "thing").carry_out(effect_id))
    await reached.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    world.clock.jump(1)
    assert await world.relay.sweep() == 1


async def test_two_relays_on_one_schema_do_no_harm(world: World, database: Database) -> None:
    twin = World(database, world.other, world.clock)
    for version in range(1, 21):
        await world.change(f"v{version}", version)
    world.clock.jump(1)
    await asyncio.gather(world.relay.sweep(), twin.relay.sweep())
    assert world.other.state["c"].value == "v20"
    assert await world.log.count_pending() == 0


async def test_effects_that_took_are_removed_after_a_day(world: World) -> None:
    await world.relay.carry_out(await world.change("a", 1))
    await world.relay.sweep()
    query = sa.select(sa.func.count()).select_from(TABLE)
    assert await world.database.read(lambda connection: connection.execute(query).scalar()) == 1
    world.clock.jump(KEEP_DONE_MS / 1000 + 1)
    pending = await world.change("b", 2)
    await world.relay.sweep()
    assert await world.database.read(lambda connection: connection.execute(query).scalar()) == 1
    assert [effect.effect_id for effect in await world.log.list_up_to(pending)] == [pending]
