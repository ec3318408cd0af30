"""Where pushes wait for their fan-out: one suite over memory and Redis; then what is Redis's own: streams that change
hands, processes that die or sleep, Redis away and back without its memory."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from testkit.engines import OwnEngine, adapters
from testkit.waiting import eventually
from xinyu.delivery.port import DeliveryPort
from xinyu.delivery.queue import PushQueue, QueuedDelivery
from xinyu.delivery.queue_memory import MemoryPushQueue
from xinyu.delivery.queue_redis import RedisPushQueue
from xinyu.delivery.settings import DeliverySettings
from xinyu.delivery.types import CloseOrder, Push, Signal
from xinyu.kernel.clock import SystemClock
from xinyu.kernel.errors import Overloaded
from xinyu.kernel.ids import ConversationId, SessionId, UserId
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.redis import Call, RedisDatabase, call

LIMIT = 40
LEASE = 0.4


def push(seq: int, talk: int = 7, text: str = "hello") -> Push:
    payload = msgspec.Raw(msgspec.json.encode({"text": text}))
    return Push(ConversationId(talk), seq, [UserId(1), UserId(2)], payload, SessionId("s é"), "trace")


def settings_of(partitions: int = 4, limit: int = 1000, in_hand: int = 100) -> DeliverySettings:
    return DeliverySettings(
        queue="redis",
        stream_partitions=partitions,
        stream_pushes=limit,
        stream_in_hand=in_hand,
        stream_lease_seconds=LEASE,
    )


class Consumer:
    """A process that takes from a queue, until it is killed."""

    def __init__(self, queue: PushQueue) -> None:
        self.queue = queue
        self.taken: list[Push] = []
        self._runs: list[asyncio.Task[None]] = []

    def run(self) -> None:
        """The queue's own work, without taking."""
        self._runs.append(asyncio.create_task(self.queue.run()))

    def start(self, settles: bool = True) -> None:
        self.run()
        self._runs.append(asyncio.create_task(self._work(settles)))

    async def _work(self, settles: bool) -> None:
        while True:
            found = await self.queue.take(16)
            self.taken += found
            if settles:
                self.queue.settled([each.key for each in found])

    async def kill(self) -> None:
        """Nothing it owns is given back."""
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)
        self._runs.clear()

    def reading(self, name: str) -> object:
        return next(value for full, _, value in self.queue.readings() if full == f"xinyu_delivery_stream_{name}")

    def seqs(self, talk: int) -> list[int]:
        return [each.seq for each in self.taken if each.conversation_id == talk]


@pytest.fixture(params=adapters("memory", engine="redis"))
async def consumer(request: pytest.FixtureRequest) -> AsyncIterator[Consumer]:
    """The queue of one process, with room for LIMIT pushes; it works, and what it holds is taken by the test."""
    async with contextlib.AsyncExitStack() as stack:
        queue: PushQueue = MemoryPushQueue(LIMIT)
        if request.param == "redis":
            redis = RedisDatabase(request.getfixturevalue("redis_url"))
            stack.push_async_callback(redis.close)
            queue = RedisPushQueue(redis, f"t{secrets.token_hex(6)}:", settings_of(1, LIMIT), SystemClock())
        found = Consumer(queue)
        found.run()
        stack.push_async_callback(found.kill)
        yield found


async def taken(queue: PushQueue, count: int) -> list[Push]:
    found: list[Push] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found += await queue.take(count - len(found))
    return found


async def test_pushes_come_out_whole_and_in_order(consumer: Consumer) -> None:
    pushes = [push(seq, text=f"№ {seq}") for seq in range(1, 21)]
    await consumer.queue.put(pushes[:5])
    await consumer.queue.put([])
    await consumer.queue.put(pushes[5:])
    assert await taken(consumer.queue, 20) == pushes


async def test_who_takes_waits_for_what_is_put(consumer: Consumer) -> None:
    waiting = asyncio.create_task(taken(consumer.queue, 1))
    await asyncio.sleep(0)
    await consumer.queue.put([push(1)])
    assert await waiting == [push(1)]


async def test_it_is_bounded_and_what_does_not_fit_is_told(consumer: Consumer) -> None:
    await consumer.queue.put([push(seq) for seq in range(LIMIT - 1)])
    with pytest.raises(Overloaded) as refused:
        await consumer.queue.put([push(LIMIT), push(LIMIT + 1)])
    assert refused.value.details["retry_after_ms"] > 0
    found = await taken(consumer.queue, LIMIT - 1)
    assert [each.seq for each in found] == list(range(LIMIT - 1))


async def test_its_state_tells_how_much_waits_and_since_when(consumer: Consumer) -> None:
    queue = consumer.queue
    empty = await queue.backlog()
    assert (empty.depth, empty.taken, empty.age_ms) == (0, 0, 0)
    await queue.put([push(1), push(2)])
    await eventually(lambda: _older(queue, 20))
    assert (await queue.backlog()).depth == 2
    queue.settled([each.key for each in await taken(queue, 2)])
    await eventually(lambda: _empty(queue))
    assert (await queue.backlog()).incarnation == empty.incarnation


async def _older(queue: PushQueue, age_ms: int) -> bool:
    return (await queue.backlog()).age_ms >= age_ms


async def _empty(queue: PushQueue) -> bool:
    state = await queue.backlog()
    return (state.depth, state.taken, state.age_ms, queue.busy) == (0, 0, 0, False)


async def test_what_was_abandoned_does_not_come_again(consumer: Consumer) -> None:
    """The outbox counts attempts; a queue that repeated by itself would not."""
    queue = consumer.queue
    await queue.put([push(1)])
    await taken(queue, 1)
    queue.abandon()
    queue.settled([(ConversationId(99), 1)])
    await queue.put([push(2)])
    assert [each.seq for each in await taken(queue, 1)] == [2]


async def test_signals_and_orders_pass_it_by(consumer: Consumer) -> None:
    class Told(DeliveryPort):
        def __init__(self) -> None:
            self.signals: list[Signal] = []
            self.orders: list[CloseOrder] = []

        async def dispatch(self, pushes: list[Push]) -> None:
            raise AssertionError("pushes go through the queue")

        async def signal(self, signals: list[Signal]) -> None:
            self.signals += signals

        async def close_sessions(self, order: CloseOrder) -> None:
            self.orders.append(order)

    told = Told()
    outlet = QueuedDelivery(consumer.queue, told)
    signal, order = Signal("typing", [UserId(1)], msgspec.Raw(b"{}")), CloseOrder(UserId(1))
    await outlet.signal([signal])
    await outlet.close_sessions(order)
    await outlet.dispatch([push(1)])
    assert (told.signals, told.orders) == ([signal], [order])
    assert await taken(consumer.queue, 1) == [push(1)]


class Streams:
    """Several processes on the same streams."""

    def __init__(self, url: str, settings: DeliverySettings) -> None:
        self.redis = RedisDatabase(url)
        self._prefix = f"t{secrets.token_hex(6)}:"
        self._settings = settings
        self._consumers: list[Consumer] = []

    def process(self) -> Consumer:
        consumer = Consumer(RedisPushQueue(self.redis, self._prefix, self._settings, SystemClock()))
        self._consumers.append(consumer)
        return consumer

    async def owners(self) -> dict[str, str]:
        (owners,) = await self.redis.run([call("HGETALL", f"{self._prefix}{{queue}}:owners")])
        return dict(owners)

    async def shared_by(self, count: int) -> bool:
        """Whether so many processes own all streams, none more than its share."""
        owners = list((await self.owners()).values())
        sizes = [owners.count(owner) for owner in set(owners)]
        each = -(-self._settings.stream_partitions // count)
        return len(owners) == self._settings.stream_partitions and len(sizes) == count and max(sizes) <= each

    async def known_to_the_group(self, queue: PushQueue) -> int:
        """Consumers of the stream of conversation 7."""
        assert isinstance(queue, RedisPushQueue)
        stream = f"{self._prefix}{{queue}}:s:{queue.partition_of(ConversationId(7))}"
        (consumers,) = await self.redis.run([call("XINFO", "CONSUMERS", stream, "delivery")])
        return len(consumers)

    async def close(self) -> None:
        for consumer in self._consumers:
            await consumer.kill()
        await self.redis.close()


@pytest.fixture
async def streams(redis_url: str) -> AsyncIterator[Streams]:
    found = Streams(redis_url, settings_of())
    yield found
    await found.close()


@pytest.mark.engine
async def test_processes_share_the_streams_as_they_come_and_go(streams: Streams) -> None:
    first, second = streams.process(), streams.process()
    first.start()
    await eventually(lambda: streams.shared_by(1))
    second.start()
    await eventually(lambda: streams.shared_by(2))
    await first.queue.leave()
    await eventually(lambda: streams.shared_by(1))
    assert second.reading("partitions") == 4
    await first.queue.leave()


@pytest.mark.engine
async def test_a_conversation_keeps_its_order_while_processes_come_and_go(streams: Streams) -> None:
    """Puts go on while processes are killed, leave and join: nothing is lost, and each stream's next owner begins with
    what the last one had in hand, so nobody is given a push before one that is older and not through."""
    luck = random.Random(5)
    talks = range(1, 9)
    producer, living, everybody = streams.process(), [], []
    for _ in range(2):
        living.append(streams.process())
        living[-1].start()
    everybody += living
    for seq in range(1, 61):
        await producer.queue.put([push(seq, talk) for talk in talks])
        if seq % 12 == 0:
            fresh, old = streams.process(), living.pop(luck.randrange(2))
            fresh.start()
            living.append(fresh)
            everybody.append(fresh)
            if luck.random() < 0.5:
                await old.queue.leave()
            await old.kill()
    await eventually(lambda: _empty(living[0].queue), 10)
    for talk in talks:
        assert {seq for each in everybody for seq in each.seqs(talk)} == set(range(1, 61))
        for each in everybody:
            found = each.seqs(talk)
            assert found == sorted(set(found)), "one owner gives out each push once, in order"


@pytest.mark.engine
async def test_what_a_dead_process_had_in_hand_comes_first_at_its_heir(streams: Streams) -> None:
    dead, heir = streams.process(), streams.process()
    dead.start(settles=False)
    await dead.queue.put([push(1), push(2)])
    await eventually(lambda: len(dead.taken) == 2)
    await dead.kill()
    await heir.queue.put([push(3)])
    heir.start()
    await eventually(lambda: heir.seqs(7) == [1, 2, 3])
    assert heir.reading("claimed_total") == 2


@pytest.mark.engine
async def test_a_process_that_slept_takes_nothing_from_what_is_anothers_now(streams: Streams) -> None:
    sleeper, heir = streams.process(), streams.process()
    sleeper.start()
    await eventually(lambda: streams.shared_by(1))
    await sleeper.kill()  # its runs stand still; it still believes that it owns all
    heir.start()
    await eventually(lambda: streams.shared_by(1))
    await heir.queue.put([push(1)])
    await eventually(lambda: heir.seqs(7) == [1])
    await heir.kill()
    await heir.queue.put([push(2)])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await sleeper.queue.take(10)


@pytest.mark.engine
async def test_a_push_that_its_owners_die_of_is_left_to_the_outbox(streams: Streams) -> None:
    await streams.process().queue.put([push(1)])
    for _ in range(5):
        victim = streams.process()
        victim.start(settles=False)
        await eventually(lambda victim=victim: victim.seqs(7) == [1])  # type: ignore[misc]
        await victim.kill()
    survivor = streams.process()
    survivor.start()
    await eventually(lambda: _empty(survivor.queue))
    assert survivor.taken == []


class Deaf(RedisDatabase):
    """Loses the answer to the next script that gives out entries."""

    lost = 0

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        answers = await super().run(calls)
        if not self.lost and any(isinstance(answer, list) and answer[-1] and answer[0] == "" for answer in answers):
            self.lost += 1
            raise StorageUnavailable()
        return answers


@pytest.mark.engine
async def test_an_answer_that_was_lost_loses_no_push(redis_url: str) -> None:
    """They are this process's by then, and no other will ever claim them while it lives."""
    streams = Streams(redis_url, settings_of())
    streams.redis = deaf = Deaf(redis_url)
    try:
        consumer = streams.process()
        consumer.start()
        await consumer.queue.put([push(1), push(2)])
        await eventually(lambda: consumer.seqs(7) == [1, 2])
        assert deaf.lost == 1
        await eventually(lambda: _empty(consumer.queue))
    finally:
        await streams.close()


@pytest.mark.engine
async def test_former_owners_are_forgotten(streams: Streams) -> None:
    for _ in range(2):
        passing = streams.process()
        passing.start()
        await eventually(lambda: streams.shared_by(1))
        await passing.queue.put([push(1)])
        await eventually(lambda passing=passing: _empty(passing.queue))  # type: ignore[misc]
        await passing.queue.leave()
        await passing.kill()
    assert passing.seqs(7) == [1]
    assert await streams.known_to_the_group(passing.queue) == 1


@pytest.mark.engine
async def test_no_more_is_taken_than_a_process_may_have_in_hand(redis_url: str) -> None:
    streams = Streams(redis_url, settings_of(partitions=1, in_hand=10))
    try:
        consumer = streams.process()
        consumer.start(settles=False)
        await consumer.queue.put([push(seq) for seq in range(1, 26)])
        await eventually(lambda: len(consumer.taken) == 10)
        state = await consumer.queue.backlog()
        assert (state.depth, state.taken) == (25, 10)
        for begin in (0, 10):
            consumer.queue.settled([each.key for each in consumer.taken[begin : begin + 10]])
            await eventually(lambda begin=begin: len(consumer.taken) == min(25, begin + 20))  # type: ignore[misc]
        assert consumer.seqs(7) == list(range(1, 26))
    finally:
        await streams.close()


@pytest.mark.engine
async def test_the_same_push_put_twice_is_given_out_once_while_it_is_in_hand(streams: Streams) -> None:
    consumer = streams.process()
    consumer.start(settles=False)
    await consumer.queue.put([push(1)])
    await consumer.queue.put([push(1)])
    await consumer.queue.put([push(2)])
    await eventually(lambda: consumer.seqs(7) == [1, 2])
    consumer.queue.settled([each.key for each in consumer.taken])
    await eventually(lambda: _empty(consumer.queue))


@pytest.mark.engine
async def test_redis_away_is_told_to_who_puts_and_waited_for_by_who_takes(tmp_path: Path) -> None:
    engine = OwnEngine("redis", tmp_path / "redis")
    engine.start()
    streams = Streams(engine.address, settings_of())
    try:
        consumer = streams.process()
        consumer.start()
        await consumer.queue.put([push(1)])
        await eventually(lambda: consumer.seqs(7) == [1])
        before = (await consumer.queue.backlog()).incarnation
        engine.kill()
        with pytest.raises(StorageUnavailable):
            await consumer.queue.put([push(2)])
        with pytest.raises(StorageUnavailable):
            await consumer.queue.backlog()
        engine.start()
        await consumer.queue.put([push(3)])
        await eventually(lambda: consumer.seqs(7) == [1, 3])
        assert (await consumer.queue.backlog()).incarnation != before, "so the outbox knows that some may be lost"
    finally:
        await streams.close()
        engine.kill()
