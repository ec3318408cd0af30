"""From the commit to delivery: what was not delivered is found again, whoever crashed or was overloaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from testkit.clock import ManualClock
from testkit.contacts import port_of
from testkit.logs import followed, named
from testkit.messages import ANN, BOB, MessageStores, message, message_database
from testkit.waiting import eventually
from xinyu.app.lifecycle import Runs
from xinyu.delivery.port import Backlog, DeliveryPort
from xinyu.delivery.types import Completion, Push, QueueState
from xinyu.kernel.errors import Overloaded, Unavailable
from xinyu.kernel.ids import ConversationId, SessionId
from xinyu.message.outbox import OutboxRun
from xinyu.message.pusher import Pusher
from xinyu.message.settings import MessageSettings
from xinyu.message.store import Appended
from xinyu.message.types import Entry
from xinyu.presence.port import PresencePort
from xinyu.storage.errors import StorageUnavailable

SETTINGS = MessageSettings(outbox_attempts=3, outbox_rest_seconds=30.0)


class Process:
    """The part of a message process that dispatches, with a delivery that a test can make refuse."""

    def __init__(
        self,
        stores: MessageStores,
        clock: ManualClock,
        limit: int = 1000,
        backlog: Backlog | None = None,
        limit_bytes: int = 1_000_000,
    ) -> None:
        self.clock = clock
        self.dispatched: list[Push] = []
        self.refusing = False
        self.pusher = Pusher(port_of(DeliveryPort, dispatch=self._dispatch), stores.outbox, clock, limit, limit_bytes)
        self.incarnation = "first"
        self.presence_is_away = False
        self.asked = 0
        presence = port_of(PresencePort, incarnation=self._incarnation)
        self.outbox = OutboxRun(stores.outbox, self.pusher, presence, clock, SETTINGS, backlog)
        self._runs = Runs(clock)

    async def _dispatch(self, pushes: list[Push]) -> None:
        if self.refusing:
            raise Overloaded()
        self.dispatched += pushes

    async def _incarnation(self) -> str:
        self.asked += 1
        if self.presence_is_away:
            raise Unavailable()
        return self.incarnation

    def start(self) -> None:
        self._runs.start("pusher", self.pusher)
        self._runs.start("outbox", self.outbox)

    async def kill(self) -> None:
        await self._runs.stop()

    @property
    def seqs(self) -> list[int]:
        return [push.seq for push in self.dispatched]

    def reading(self, name: str) -> float:
        readings = [*self.outbox.readings(), *self.pusher.readings()]
        return next(value for found, _, value in readings if found == name)

    async def swept(self) -> None:
        """The first sweep is through."""
        await eventually(lambda: self.clock.sleepers >= 2)

    async def later(self, predicate: Callable[[], bool]) -> None:
        """Time passes, some seconds at a look, until it is so."""

        def look() -> bool:
            self.clock.jump(5.0)
            return predicate()

        await eventually(look)


class World:
    """One database, and processes that come and go."""

    def __init__(self, stores: MessageStores, pair: ConversationId) -> None:
        self.stores, self.pair = stores, pair
        self.clock = ManualClock()

    def process(self, limit: int = 1000, backlog: Backlog | None = None, limit_bytes: int = 1_000_000) -> Process:
        return Process(self.stores, self.clock, limit, backlog, limit_bytes)

    async def commit(self, count: int = 1, session: str | None = None) -> list[Appended]:
        """Messages that are in the log and of which nobody was told."""
        self.stores.now_ms = self.clock.now_ms()
        items = [message(ANN, self.pair, origin_session=session and SessionId(session)) for _ in range(count)]
        return [outcome for outcome in await self.stores.append(*items) if isinstance(outcome, Appended)]

    async def left(self) -> int:
        return (await self.stores.outbox.counts()).pending


async def _away(done_before_ms: int, limit: int) -> int:
    raise StorageUnavailable()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with message_database(f"sqlite:///{tmp_path / 'message.db'}") as database:
        stores = MessageStores(database)
        yield World(stores, await stores.befriend(ANN, BOB))


async def test_a_push_carries_the_entry_as_it_was_committed(world: World) -> None:
    process = world.process()
    process.start()
    await process.swept()
    (told,) = await world.commit(session="s1")
    process.pusher.push([told])
    await eventually(lambda: process.dispatched)
    (push,) = process.dispatched
    assert msgspec.json.decode(push.payload, type=Entry) == told.entry
    assert (push.conversation_id, push.seq, sorted(push.recipients)) == (world.pair, 1, [ANN, BOB])
    assert push.origin_session == "s1"
    await process.kill()


async def test_what_a_crash_left_keeps_the_trace_of_its_sender(world: World) -> None:
    item = msgspec.structs.replace(message(ANN, world.pair), trace_id="aa-11")
    await world.stores.append(item)  # and the process died before it dispatched
    process = world.process()
    with followed() as lines:
        process.start()
        await eventually(lambda: process.dispatched)
    (push,) = process.dispatched
    assert push.trace_id == "aa-11"
    (left,), (handed,) = named(lines, "left-over push dispatched"), named(lines, "push handed to delivery")
    assert (left["trace_id"], left["msg_id"], left["seq"]) == ("aa-11", item.msg_id, 1)
    assert handed["trace_id"] == "aa-11"
    assert process.reading("xinyu_outbox_dispatched_total") == 1
    await process.kill()


async def test_a_fresh_process_adopts_what_a_crash_left(world: World) -> None:
    await world.commit(3, session="s1")  # and the process died before it dispatched
    process = world.process()
    process.start()
    await eventually(lambda: process.seqs == [1, 2, 3])
    assert {push.origin_session for push in process.dispatched} == {"s1"}
    await process.pusher.complete([Completion(world.pair, seq) for seq in (1, 2, 3)])
    await process.later(lambda: process.reading("xinyu_push_unsettled") == 0)
    await eventually(lambda: _nothing_left(world))
    await process.kill()
    other = world.process()
    other.start()
    await other.swept()
    assert other.seqs == []
    await other.kill()


async def test_what_was_not_completed_comes_again_after_its_lease_and_then_is_put_aside(world: World) -> None:
    process = world.process()
    process.start()
    await process.swept()
    (told,) = await world.commit()
    process.pusher.push([told])
    await eventually(lambda: process.seqs == [1])
    await process.later(lambda: process.reading("xinyu_outbox_quarantined") == 1)
    assert process.seqs == [1] * 4, "once from memory, three times from the outbox"
    (second,) = await world.commit()
    process.pusher.push([second])
    await eventually(lambda: process.seqs[-1] == 2)
    await process.kill()


async def test_what_could_not_arrive_for_however_long_arrives_when_it_can(world: World) -> None:
    """G4: nothing is given up, though it is tried seldom."""
    process = world.process()
    process.start()
    await process.swept()
    process.pusher.push(await world.commit())
    await process.later(lambda: process.reading("xinyu_outbox_quarantined") == 1)
    tried = len(process.seqs)
    await process.later(lambda: len(process.seqs) > tried + 2)
    await process.pusher.complete([Completion(world.pair, 1)])
    await process.later(lambda: process.reading("xinyu_outbox_quarantined") == 0)
    await eventually(lambda: _nothing_left(world))
    await process.kill()


async def test_left_over_pushes_are_adopted_soon_after_an_outage_of_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it was away, the sweep goes on."""
    process = world.process()
    process.start()
    await process.swept()
    with monkeypatch.context() as outage:
        outage.setattr(world.stores.outbox, "remove_done", _away)
        asked = process.asked
        await process.later(lambda: process.asked >= asked + 20)
    await world.commit()

    def brought() -> bool:
        world.clock.jump(0.5)
        return process.seqs == [1]

    await eventually(brought)
    await process.kill()


async def test_no_attempt_is_used_up_while_presence_is_away_however_long_that_lasts(world: World) -> None:
    """G10: whom a push is for cannot be found then; it goes out at the first sweep when presence is back."""
    process = world.process()
    process.start()
    await process.swept()
    process.presence_is_away = process.refusing = True
    process.pusher.push(await world.commit())
    await eventually(lambda: process.reading("xinyu_push_left_total") == 1)
    asked = process.asked
    await process.later(lambda: process.asked >= asked + 20)
    assert process.reading("xinyu_outbox_dispatched_total") == 0
    process.presence_is_away = process.refusing = False
    await process.swept()
    world.clock.jump(2.0)
    await eventually(lambda: process.seqs == [1])
    await process.kill()


class Streams(Backlog):
    """A queue between the processes, as it shows itself."""

    def __init__(self, clock: ManualClock) -> None:
        self.incarnation = "first"
        self.oldest_ms: int | None = None
        self.is_away = False
        self._clock = clock

    async def backlog(self) -> QueueState:
        if self.is_away:
            raise StorageUnavailable()
        if self.oldest_ms is None:
            return QueueState(self.incarnation, 0, 0, 0)
        return QueueState(self.incarnation, 1, 0, self._clock.now_ms() - self.oldest_ms)


async def test_what_waits_in_deliverys_queue_is_not_left_over_however_long_that_lasts(world: World) -> None:
    """Nobody delivers: no row is quarantined for it, and the queue gets nothing twice."""
    streams = Streams(world.clock)
    process = world.process(backlog=streams)
    process.start()
    await process.swept()
    await world.commit()  # and another process died before it handed it over
    world.clock.jump(1.0)
    streams.oldest_ms = world.clock.now_ms()
    process.pusher.push(await world.commit())
    await process.later(lambda: 1 in process.seqs)
    await process.pusher.complete([Completion(world.pair, 1)])
    asked = process.asked
    await process.later(lambda: process.asked >= asked + 20)
    assert process.seqs == [2, 1], "1 is older than all that waits there, 2 waits there"
    assert process.reading("xinyu_outbox_quarantined") == 0
    assert process.reading("xinyu_outbox_queue_depth") == 1
    assert process.reading("xinyu_outbox_queue_age_seconds") >= 40
    await process.kill()


async def test_what_deliverys_queue_lost_comes_at_once_though_it_is_claimed(world: World) -> None:
    streams = Streams(world.clock)
    await world.commit()  # left by a crash
    process = world.process(backlog=streams)
    process.start()
    await eventually(lambda: process.seqs == [1])  # claimed, in the queue
    await process.swept()
    streams.is_away = True
    asked = process.asked
    world.clock.jump(2.0)
    await eventually(lambda: process.asked > asked)
    await process.swept()
    streams.is_away, streams.incarnation = False, "second"
    world.clock.jump(2.0)
    await eventually(lambda: process.asked > asked + 1)
    await process.swept()
    world.clock.jump(2.5)  # the gateways' time to register
    await eventually(lambda: process.seqs == [1, 1])
    await process.kill()


async def _nothing_left(world: World) -> bool:
    return await world.left() == 0


async def test_what_delivery_refuses_stays_and_comes_later(world: World) -> None:
    process = world.process()
    process.start()
    await process.swept()
    process.refusing = True
    process.pusher.push(await world.commit(3))
    await eventually(lambda: process.reading("xinyu_push_left_total") == 3)
    assert await world.left() == 3
    process.refusing = False
    process.pusher.push(await world.commit())
    await eventually(lambda: process.seqs == [4], within=2)
    await process.later(lambda: set(process.seqs) == {1, 2, 3, 4})
    await process.kill()


async def test_no_more_waits_in_memory_than_there_is_room_for(world: World) -> None:
    process = world.process(limit=2)
    committed = await world.commit(5)
    process.pusher.push(committed[:2])
    process.pusher.push(committed[2:])
    assert process.reading("xinyu_push_queue") == 2
    assert process.reading("xinyu_push_left_total") == 3
    process.start()
    await eventually(lambda: process.seqs[:2] == [1, 2])
    await process.kill()


async def test_no_more_waits_in_memory_once_it_has_so_many_bytes(world: World) -> None:
    process = world.process(limit_bytes=1)
    committed = await world.commit(3)
    process.pusher.push(committed[:1])
    assert (process.pusher.room, process.reading("xinyu_push_queue_bytes") > 1) == (0, True)
    process.pusher.push(committed[1:])
    assert process.reading("xinyu_push_left_total") == 2
    process.start()
    await process.later(lambda: set(process.seqs) == {1, 2, 3})
    assert process.reading("xinyu_push_queue_bytes") == 0
    await process.kill()


async def test_no_more_is_taken_up_than_there_is_room_for(world: World) -> None:
    """A claim in vain uses up an attempt, and holds its row."""
    process = world.process(limit=2)
    await world.commit(5)
    process.start()
    await process.later(lambda: set(process.seqs) == {1, 2, 3, 4, 5})
    assert process.reading("xinyu_push_left_total") == 0
    await process.kill()


async def test_no_more_delivered_entries_wait_to_be_settled_than_there_is_room_for(world: World) -> None:
    process = world.process(limit=2)
    committed = await world.commit(3)
    await process.pusher.complete([Completion(a.entry.conversation_id, a.entry.seq) for a in committed])
    assert (process.reading("xinyu_push_unsettled"), process.reading("xinyu_push_forgotten_total")) == (2, 1)
    with process.pusher.settling() as keys:
        assert keys == [(world.pair, 1), (world.pair, 2)]
    assert await world.left() == 3, "the outbox has them all until it was told"


async def test_an_outbox_that_is_away_is_told_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.process()
    await world.commit(2)
    process.start()
    await eventually(lambda: process.seqs == [1, 2])
    settle, away, tried = world.stores.outbox.settle, [True], []

    async def shaky(keys: list[tuple[ConversationId, int]], now_ms: int) -> None:
        tried.append(len(keys))
        if away:
            raise StorageUnavailable()
        await settle(keys, now_ms)

    monkeypatch.setattr(world.stores.outbox, "settle", shaky)
    await process.pusher.complete([Completion(world.pair, seq) for seq in (1, 2)])
    await process.later(lambda: len(tried) >= 3)  # a try may come between two looks
    assert process.reading("xinyu_push_unsettled") == 2
    away.clear()
    await process.later(lambda: process.reading("xinyu_push_unsettled") == 0)
    await eventually(lambda: _nothing_left(world))
    await process.kill()


async def test_the_age_of_the_oldest_is_measured(world: World) -> None:
    process = world.process()
    process.refusing = True
    await world.commit()
    process.start()
    await eventually(lambda: process.reading("xinyu_outbox_pending") == 1)
    world.clock.jump(1.0)
    assert process.reading("xinyu_outbox_oldest_seconds") >= 1.0
    await process.kill()


async def test_what_was_delivered_while_presence_had_lost_its_memory_is_delivered_again(tmp_path: Path) -> None:
    async with message_database(f"sqlite:///{tmp_path / 'message.db'}") as database:
        stores = MessageStores(database, keep_outbox=True)  # as with presence in Redis
        await lose_presence(World(stores, await stores.befriend(ANN, BOB)))


async def lose_presence(world: World) -> None:
    process = world.process()
    process.start()
    await process.swept()
    (told,) = await world.commit()
    process.pusher.push([told])
    await eventually(lambda: process.seqs == [1])
    await process.pusher.complete([Completion(world.pair, 1)])  # to nobody: presence knew no session
    await process.later(lambda: process.reading("xinyu_push_unsettled") == 0)
    seen = len(process.seqs)
    process.incarnation = "second"
    await process.later(lambda: len(process.seqs) > seen)
    assert set(process.seqs) == {1}
    await process.kill()


async def test_what_was_delivered_to_nobody_is_not_settled_after_it_was_reopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Presence had lost its memory, the database was slow to hear what was delivered meanwhile: the report is void."""
    async with message_database(f"sqlite:///{tmp_path / 'message.db'}") as database:
        stores = MessageStores(database, keep_outbox=True)  # as with presence in Redis
        await settle_late(World(stores, await stores.befriend(ANN, BOB)), monkeypatch)


async def settle_late(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.process()
    process.start()
    await process.swept()

    async def away(*_: object) -> None:
        raise StorageUnavailable()

    with monkeypatch.context() as patch:
        patch.setattr(world.stores.outbox, "settle", away)
        process.incarnation = "second"
        asked = process.asked
        world.clock.jump(2.0)
        await eventually(lambda: process.asked > asked)  # and now the gateways have their time to register
        world.clock.jump(0.5)
        process.pusher.push(await world.commit())
        await eventually(lambda: process.seqs == [1])
        await process.pusher.complete([Completion(world.pair, 1)])  # to nobody
        reopen, reopened = world.stores.outbox.reopen, []

        async def counted(done_after_ms: int) -> int:
            reopened.append(await reopen(done_after_ms))
            return reopened[-1]

        patch.setattr(world.stores.outbox, "reopen", counted)
        world.clock.jump(2.0)
        await eventually(lambda: reopened)
    await process.swept()
    world.clock.jump(1.0)
    await eventually(lambda: process.reading("xinyu_push_unsettled") == 0)
    await process.later(lambda: process.seqs == [1, 1])
    await process.kill()


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_being_settled_when_presence_has_lost_its_memory_is_delivered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Its transaction waits, for locks perhaps: what it tells, or gives back, must not come behind the replay."""
    async with message_database(f"sqlite:///{tmp_path / 'message.db'}") as database:
        stores = MessageStores(database, keep_outbox=True)  # as with presence in Redis
        await settle_slowly(World(stores, await stores.befriend(ANN, BOB)), monkeypatch, fails)


async def settle_slowly(world: World, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    process = world.process()
    process.start()
    await process.swept()
    settle, reopen, go_on, done = world.stores.outbox.settle, world.stores.outbox.reopen, asyncio.Event(), list[str]()

    async def slowly(keys: list[tuple[ConversationId, int]], now_ms: int) -> None:
        done.append("settling")
        await go_on.wait()
        done.append("settled")
        if fails:
            raise StorageUnavailable()
        await settle(keys, now_ms)

    async def noted(done_after_ms: int) -> int:
        done.append("reopened")
        return await reopen(done_after_ms)

    monkeypatch.setattr(world.stores.outbox, "settle", slowly)
    monkeypatch.setattr(world.stores.outbox, "reopen", noted)
    process.pusher.push(await world.commit())
    await eventually(lambda: process.seqs == [1])
    await process.pusher.complete([Completion(world.pair, 1)])  # to nobody
    await process.later(lambda: done == ["settling"])
    process.incarnation = "second"
    await process.later(lambda: process.pusher._forgetting)
    go_on.set()
    await eventually(lambda: "reopened" in done)
    assert done[:3] == ["settling", "settled", "reopened"]
    monkeypatch.setattr(world.stores.outbox, "settle", settle)
    await process.later(lambda: process.seqs[1:2] == [1])
    await process.kill()


async def test_what_was_claimed_in_vain_is_taken_up_again_in_time(world: World) -> None:
    """G4: within 5 s of the end of a fault, also when the last attempt fell into it."""
    await world.commit()
    process = world.process()
    process.refusing = True
    process.start()
    await eventually(lambda: process.reading("xinyu_push_left_total"))
    process.refusing = False
    for _ in range(2):
        await process.swept()
        process.clock.jump(2.0)
    await eventually(lambda: process.dispatched)
    await process.kill()


async def test_what_was_delivered_around_the_beginning_is_delivered_again_once(tmp_path: Path) -> None:
    """G4: presence may have lost its memory while no message process was there to notice it."""
    async with message_database(f"sqlite:///{tmp_path / 'message.db'}") as database:
        stores = MessageStores(database, keep_outbox=True)  # as with presence in Redis
        world = World(stores, await stores.befriend(ANN, BOB))
        await world.commit()
        process = world.process()
        process.start()
        await eventually(lambda: process.seqs == [1])
        await process.pusher.complete([Completion(world.pair, 1)])  # to nobody, as yet
        await process.later(lambda: process.seqs == [1, 1])
        await process.pusher.complete([Completion(world.pair, 1)])
        await process.later(lambda: process.reading("xinyu_push_unsettled") == 0)
        for _ in range(3):
            await process.swept()
            process.clock.jump(5.0)
        assert process.seqs == [1, 1]
        await process.kill()
