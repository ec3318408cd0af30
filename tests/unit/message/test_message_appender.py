"""Group commit: what waits shares a transaction, and trouble reaches only whom it concerns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from testkit.clock import ManualClock
from testkit.contacts import port_of
from testkit.logs import followed, named
from testkit.messages import ANN, BOB, CID, MessageStores, message, message_database
from testkit.waiting import eventually
from xinyu.delivery.port import DeliveryPort
from xinyu.delivery.types import Completion, Push
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import ConversationId
from xinyu.message.appender import BUSY_SECONDS, OVERDUE_SECONDS, Appender, Settled
from xinyu.message.errors import AppenderStopped, ConversationBusy, MsgIdConflict, NotAMember, QueueFull
from xinyu.message.pusher import Pusher
from xinyu.message.settings import MessageSettings
from xinyu.message.store import Append, Appended, BatchResult, Busy, Membership, NotAccepted, OutboxKey, Repeated
from xinyu.message.store_sql.log import LogStoreSql
from xinyu.storage.errors import CommitUnknown, StorageUnavailable, UniqueViolation
from xinyu.storage.sql import Database

Trouble = Callable[[Sequence[Append]], Exception | None]


class WatchedLog(LogStoreSql):
    """The real store, whose batches a test can see, hold back and make fail."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, keep_outbox=False)
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.before: Trouble = lambda _items: None
        """Fails instead of storing."""
        self.after: Trouble = lambda _items: None
        """Fails although it stored."""
        self.busy: set[ConversationId] = set()

    async def append(
        self,
        items: Sequence[Append],
        known: Mapping[ConversationId, Membership],
        delivered: Sequence[OutboxKey],
        now_ms: int,
    ) -> BatchResult:
        self.batches.append(len(items))
        await self.gate.wait()
        if error := self.before(items):
            raise error
        free = [item for item in items if item.conversation_id not in self.busy]
        result = await super().append(free, known, delivered, now_ms)
        if error := self.after(items):
            raise error
        outcomes = iter(result.outcomes)
        return BatchResult([next(outcomes) if item in free else Busy() for item in items], result.memberships)


class AppendWorld:
    """An appender over a real store."""

    def __init__(self, database: Database, settings: MessageSettings, lanes: int = 1) -> None:
        self.stores = MessageStores(database)
        self.log = WatchedLog(database)
        self.clock = ManualClock()
        self.pushes: list[Push] = []
        self.pusher = Pusher(port_of(DeliveryPort, dispatch=self._dispatch), self.stores.outbox, self.clock)
        self.appender = Appender(self.log, self.pusher, self.clock, settings, lanes)
        self.pair = ConversationId(0)
        self.crowd = ConversationId(0)

    async def _dispatch(self, pushes: list[Push]) -> None:
        self.pushes += pushes

    def send(self, *items: Append) -> list[asyncio.Task[Settled]]:
        return [asyncio.create_task(self.appender.append(item)) for item in items]

    async def at_once(self, *items: Append) -> list[Settled | BaseException]:
        """What each came to when all were sent while one transaction ran."""
        self.log.gate.clear()
        first = self.send(message(ANN, self.pair, "first"))
        await eventually(lambda: self.log.batches)
        tasks = self.send(*items)
        await asyncio.sleep(0)
        self.log.batches.clear()
        self.log.gate.set()
        await asyncio.gather(*first)
        return await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def append_world(folder: Path, lanes: int = 1, **settings: int) -> AsyncIterator[AppendWorld]:
    async with message_database(f"sqlite:///{folder / 'message.db'}") as database:
        world = AppendWorld(database, MessageSettings(**settings), lanes)
        world.pair = await world.stores.befriend(ANN, BOB)
        world.crowd = await world.stores.gather(ANN, CID)
        runs = [asyncio.create_task(world.appender.run()), asyncio.create_task(world.pusher.run())]
        try:
            yield world
        finally:
            for run in runs:
                run.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await run


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AppendWorld]:
    async with append_world(tmp_path) as world:
        yield world


def seqs(results: Sequence[object]) -> list[int]:
    assert all(isinstance(result, Appended) for result in results), results
    return [result.entry.seq for result in results if isinstance(result, Appended)]


async def test_what_waits_shares_the_next_transaction_in_order(world: AppendWorld) -> None:
    results = await world.at_once(*(message(ANN, world.pair, f"t{n}") for n in range(20)))
    assert seqs(results) == list(range(2, 22))
    assert world.log.batches == [20]
    await eventually(lambda: len(world.pushes) == 21)
    assert [push.seq for push in world.pushes] == list(range(1, 22))
    assert world.appender.counts.stored == 21


async def test_an_idle_server_adds_no_delay(world: AppendWorld) -> None:
    assert seqs([await world.appender.append(message(ANN, world.pair))]) == [1]
    assert world.log.batches == [1]
    assert world.clock.monotonic() == 0, "nothing waited for the clock"


async def test_a_batch_has_a_bound(tmp_path: Path) -> None:
    async with append_world(tmp_path, batch_size=4) as world:
        await world.at_once(*(message(ANN, world.pair) for _ in range(10)))
        assert world.log.batches == [4, 4, 2]


async def test_conversations_are_remembered_within_bounds(tmp_path: Path) -> None:
    async with append_world(tmp_path, conversation_cache=1) as world:
        pairs = [world.pair, await world.stores.befriend(ANN, CID)]
        for _ in range(2):
            for pair in pairs:
                await world.appender.append(message(ANN, pair))
        readings = {name: value for name, _, value in world.appender.readings()}
        assert readings["xinyu_message_known_conversations"] == len(world.appender._known) == 1


async def test_each_item_gets_its_own_answer(world: AppendWorld) -> None:
    twice = message(ANN, world.pair)
    results = await world.at_once(
        twice,
        message(BOB, world.crowd),
        twice,
        message(CID, world.pair, msg_id=twice.msg_id),
        message(CID, world.crowd),
    )
    assert [type(result) for result in results] == [Appended, NotAMember, Repeated, MsgIdConflict, Appended]
    counts = world.appender.counts
    assert (counts.stored, counts.repeated, counts.refused, counts.failed) == (3, 1, 2, 0)


async def test_not_accepted_is_an_answer(world: AppendWorld) -> None:
    await world.stores.befriend(ANN, BOB, accepts=False)
    assert await world.appender.append(message(ANN, world.pair)) == NotAccepted()
    assert world.pushes == []


async def test_a_caller_that_leaves_takes_nothing_out_of_a_batch(world: AppendWorld) -> None:
    world.log.gate.clear()
    items = [message(ANN, world.pair, f"t{n}") for n in range(3)]
    tasks = world.send(*items)
    await eventually(lambda: world.log.batches)
    tasks[1].cancel()
    await asyncio.sleep(0)
    world.log.gate.set()
    assert seqs(await asyncio.gather(tasks[0], tasks[2])) == [1, 3]
    assert tasks[1].cancelled()
    again = await world.appender.append(items[1])
    assert isinstance(again, Repeated) and again.entry.seq == 2, "its retry gets the receipt"
    await eventually(lambda: len(world.pushes) == 3)


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    async with append_world(tmp_path, queue_size=2) as world:
        world.log.gate.clear()
        tasks = world.send(message(ANN, world.pair))
        await eventually(lambda: world.log.batches)
        tasks += world.send(message(ANN, world.pair), message(ANN, world.pair))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as refused:
            await world.appender.append(message(ANN, world.pair))
        assert refused.value.retry_after_ms
        world.log.gate.set()
        assert seqs(await asyncio.gather(*tasks)) == [1, 2, 3]
        await world.appender.drained()


async def test_a_queue_full_of_bytes_refuses_too(tmp_path: Path) -> None:
    async with append_world(tmp_path, queue_bytes=1) as world:
        world.log.gate.clear()
        tasks = world.send(message(ANN, world.pair))
        await eventually(lambda: world.log.batches)
        tasks += world.send(message(ANN, world.pair))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await world.appender.append(message(ANN, world.pair))
        tasks[-1].cancel()  # it is stored no more, and its bytes are free
        world.log.gate.set()
        await world.appender.drained()
        assert seqs([await tasks[0], await world.appender.append(message(ANN, world.pair))]) == [1, 2]


async def test_while_the_database_is_away_everybody_is_told_after_one_try(world: AppendWorld) -> None:
    world.log.before = lambda items: StorageUnavailable() if len(items) > 1 else None
    results = await world.at_once(*(message(ANN, world.pair) for _ in range(10)))
    assert [type(result) for result in results] == [StorageUnavailable] * 10
    assert world.log.batches == [10]
    world.log.before = lambda _items: None
    assert seqs([await world.appender.append(message(ANN, world.pair))]) == [2], "later sends work"
    assert world.appender.counts.failed == 10


async def test_one_poisoned_item_answers_alone(world: AppendWorld) -> None:
    items = [message(ANN, world.pair, f"t{n}") for n in range(9)]
    poison = items[5].msg_id
    world.log.before = lambda batch: ValueError("poison") if any(i.msg_id == poison for i in batch) else None
    results = await world.at_once(*items)
    assert isinstance(results.pop(5), ValueError)
    assert seqs(results) == list(range(2, 10))
    assert world.appender.counts.bisected > 0


async def test_a_clash_of_ids_with_another_node_is_looked_at_again(world: AppendWorld) -> None:
    items = [message(ANN, world.pair, f"t{n}") for n in range(3)]
    clashes = [UniqueViolation()]
    world.log.before = lambda batch: clashes.pop() if clashes and len(batch) > 1 else None
    assert seqs(await world.at_once(*items)) == [2, 3, 4]
    clashes += [UniqueViolation(), UniqueViolation()]
    assert seqs(await world.at_once(*(message(ANN, world.pair) for _ in range(4)))) == [6, 7, 8, 9]


async def test_after_an_ambiguous_commit_nothing_is_stored_twice(world: AppendWorld) -> None:
    losses = [CommitUnknown()]
    world.log.after = lambda batch: losses.pop() if losses and len(batch) > 1 else None
    results = await world.at_once(*(message(ANN, world.pair) for _ in range(5)))
    assert [type(result) for result in results] == [Repeated] * 5
    assert await world.stores.seqs(BOB, world.pair) == [1, 2, 3, 4, 5, 6]
    # their pushes were never handed over: the outbox has them
    assert len(await world.stores.outbox.claim("me", world.clock.now_ms() + 1, 1, world.clock.now_ms(), 99, 9)) >= 5


async def test_a_commit_that_stays_ambiguous_is_unavailable(world: AppendWorld) -> None:
    world.log.after = lambda batch: CommitUnknown() if len(batch) > 1 else None
    results = await world.at_once(*(message(ANN, world.pair) for _ in range(3)))
    assert [type(result) for result in results] == [CommitUnknown] * 3
    assert world.log.batches == [3, 3]


async def test_a_locked_conversation_waits_and_its_neighbours_do_not(world: AppendWorld) -> None:
    world.log.busy.add(world.crowd)
    stuck, free = world.send(message(ANN, world.crowd), message(ANN, world.pair))
    assert seqs([await free]) == [1]
    for _ in range(5):
        await world.clock.advance(0.01)
    assert not stuck.done()
    world.log.busy.clear()
    await eventually(lambda: _tick(world, stuck))
    assert seqs([await stuck]) == [2]


async def test_a_conversation_that_stays_locked_is_given_up(world: AppendWorld) -> None:
    world.log.busy.add(world.crowd)
    (stuck,) = world.send(message(ANN, world.crowd))
    await eventually(lambda: len(world.log.batches) > 1 or _tick(world, stuck))
    world.clock.jump(BUSY_SECONDS)
    await eventually(lambda: _tick(world, stuck))
    with pytest.raises(ConversationBusy):
        await stuck


async def _tick(world: AppendWorld, task: asyncio.Task[Settled]) -> bool:
    world.clock.jump(0.01)
    return task.done()


async def test_who_is_in_flight_when_the_server_stops_is_told(tmp_path: Path) -> None:
    async with append_world(tmp_path) as world:
        world.log.gate.clear()
        (task,) = world.send(message(ANN, world.pair))
        await eventually(lambda: world.log.batches)
    with pytest.raises(AppenderStopped):
        await task


async def test_a_further_lane_opens_when_a_whole_batch_waits(tmp_path: Path) -> None:
    async with append_world(tmp_path, lanes=2, batch_size=2) as world:
        world.log.gate.clear()
        tasks = world.send(message(ANN, world.pair))
        await eventually(lambda: world.log.batches == [1])
        tasks += world.send(message(ANN, world.crowd))
        await _settle_down()
        assert world.log.batches == [1], "what does not fill a batch waits for the transaction in flight"
        tasks += world.send(message(ANN, world.crowd))
        await eventually(lambda: world.log.batches == [1, 2])
        world.log.gate.set()
        assert seqs(await asyncio.gather(*tasks)) == [1, 2, 3]


async def test_a_further_lane_opens_when_a_transaction_takes_long(tmp_path: Path) -> None:
    async with append_world(tmp_path, lanes=2) as world:
        world.log.gate.clear()
        tasks = world.send(message(ANN, world.pair))
        await eventually(lambda: world.log.batches == [1])
        world.clock.jump(2 * OVERDUE_SECONDS)
        tasks += world.send(message(ANN, world.crowd))
        await eventually(lambda: world.log.batches == [1, 1])
        world.log.gate.set()
        assert seqs(await asyncio.gather(*tasks)) == [1, 2]


async def test_what_waits_already_opens_a_lane_when_a_transaction_takes_long(tmp_path: Path) -> None:
    async with append_world(tmp_path, lanes=2) as world:
        world.log.gate.clear()
        tasks = world.send(message(ANN, world.pair))
        await eventually(lambda: world.log.batches == [1])
        tasks += world.send(message(ANN, world.crowd))
        await _settle_down()
        assert world.log.batches == [1]
        world.clock.jump(OVERDUE_SECONDS)
        await eventually(lambda: world.log.batches == [1, 1])
        world.log.gate.set()
        assert seqs(await asyncio.gather(*tasks)) == [1, 2]


async def test_a_conversation_is_in_one_transaction_at_a_time(tmp_path: Path) -> None:
    async with append_world(tmp_path, lanes=3, batch_size=2) as world:
        world.log.gate.clear()
        tasks = world.send(message(ANN, world.pair, "0"))
        await eventually(lambda: world.log.batches == [1])
        tasks += world.send(*(message(ANN, world.pair, str(n)) for n in range(1, 5)), message(ANN, world.crowd))
        await eventually(lambda: world.log.batches == [1, 1])
        world.log.gate.set()
        await asyncio.gather(*tasks)
        page = await world.log.history(ANN, world.pair, before=0, after=0, limit=10, types=None, tombstones=False)
        assert [msgspec.json.decode(entry.content)["content"] for entry in page.entries] == ["0", "1", "2", "3", "4"]
        assert world.log.batches == [1, 1, 2, 2]


async def _settle_down() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_delivered_entries_are_settled_with_the_next_batch_and_given_back_when_it_fails(
    world: AppendWorld,
) -> None:
    await world.appender.append(message(ANN, world.pair))
    await world.pusher.complete([Completion(world.pair, 1)])
    world.log.before = lambda _items: StorageUnavailable()
    with pytest.raises(XinyuError):
        await world.appender.append(message(ANN, world.pair))
    world.log.before = lambda _items: None
    await world.appender.append(message(ANN, world.pair))
    rows = await world.stores.outbox.claim("me", world.clock.now_ms() + 1, 1, world.clock.now_ms(), 99, 9)
    assert (world.pair, 1) not in {(row.entry.conversation_id, row.entry.seq) for row in rows}
    assert (world.pair, 2) in {(row.entry.conversation_id, row.entry.seq) for row in rows}


async def test_batches_and_retries_are_counted(world: AppendWorld) -> None:
    await world.at_once(*(message(ANN, world.pair, f"t{n}") for n in range(7)))
    counts = world.appender.counts
    assert (counts.sizes.counts[0], counts.sizes.counts[3], counts.sizes.total) == (1, 1, 8)
    assert sum(counts.seconds.counts) == counts.batches == 2
    world.log.busy.add(world.crowd)
    (waiting,) = world.send(message(ANN, world.crowd))
    await eventually(lambda: counts.busy)
    world.log.busy.clear()
    world.clock.jump(BUSY_SECONDS / 2)
    await waiting
    readings = {name: value for name, _, value in world.appender.readings()}
    assert readings["xinyu_message_busy_total"] == 1
    assert readings["xinyu_message_stored_total"] == 9


async def test_a_message_that_cannot_be_stored_is_told_with_its_senders_trace(world: AppendWorld) -> None:
    def defect(_items: Sequence[Append]) -> Exception:
        return KeyError("a defect")

    world.log.before = defect
    item = msgspec.structs.replace(message(ANN, world.pair), trace_id="aa")
    with followed() as lines, pytest.raises(KeyError):
        await world.appender.append(item)
    (line,) = named(lines, "a message could not be stored")
    assert (line["trace_id"], line["uid"], line["msg_id"], line["error"]) == ("aa", ANN, item.msg_id, "internal.error")
