"""Pushes in Redis Streams, between the processes that commit them and those that fan them out.

Keys, all in one slot of a Redis Cluster, for scripts compare them:

- `{queue}:s:<n>`       stream of partition n: the pushes of the conversations that fall to it, in order
- `{queue}:owners`      hash, partition → the one process that takes from it
- `{queue}:consumers`   sorted set, process → until when it lives unless it says so again
- `{queue}:incarnation` a name that is lost with the rest

An entry is removed when its push is through or left to the outbox, and never for lack of room: who finds no room is
told so. The group of each stream remembers what its owner has in hand; whoever takes over a stream claims that first.
Times are Redis's.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Iterable, Sequence

import msgspec

from xinyu.delivery.hand_redis import Hand, Partition
from xinyu.delivery.queue import PushQueue
from xinyu.delivery.scripts_redis import BEAT, CLAIM, PUT, RELEASE, STATE, TAKE
from xinyu.delivery.settings import DeliverySettings
from xinyu.delivery.types import Push, PushKey, QueueState
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Overloaded
from xinyu.kernel.ids import ConversationId, new_hex_id
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.redis import Call, RedisDatabase, call
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import Reading

log = get_logger(__name__)
GROUP = "delivery"
RETRY_MS = 1000
PUSHES_PER_SCRIPT = 200
"""Others get their turn at Redis between scripts."""
BLOCK_MS = 250
"""How long to wait for news in one call: what was newly taken over is looked at after it."""
PAUSE_SECONDS = 0.25
IDLE_SECONDS = 0.05
BEATS_PER_LEASE = 4
DEADLY = 5
"""A push that so many owners of its stream had in hand when they died is left to the outbox."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Push).decode


class RedisPushQueue(PushQueue):
    """One process's end of it, for putting, taking, or both."""

    def __init__(self, redis: RedisDatabase, prefix: str, settings: DeliverySettings, clock: Clock) -> None:
        """Nothing is taken until `run` runs."""
        self._redis = redis
        self._prefix = f"{prefix}{{queue}}:"
        self._settings = settings
        self._clock = clock
        self._me = new_hex_id()
        self._room = max(1, settings.stream_pushes // settings.stream_partitions)
        self._hand = Hand(settings.stream_in_hand, clock)
        self._mine: dict[int, Partition] = {}
        self._state = QueueState("", 0, 0, 0)
        self._leaving = False
        self._away = False
        self._refused = 0
        self._claimed = 0

    async def put(self, pushes: list[Push]) -> None:
        by_partition: dict[int, list[str]] = {}
        for push in pushes:
            by_partition.setdefault(self.partition_of(push.conversation_id), []).append(_encode(push).decode())
        calls, sizes = [], []
        for number, texts in by_partition.items():
            for start in range(0, len(texts), PUSHES_PER_SCRIPT):
                part = texts[start : start + PUSHES_PER_SCRIPT]
                calls.append(PUT.on(self._stream(number), self._room, *part))
                sizes.append(len(part))
        refused = sum(sizes) - sum(await self._redis.run(calls))
        if refused:
            self._refused += refused
            raise Overloaded("the delivery streams are full", retry_after_ms=RETRY_MS)

    async def take(self, limit: int) -> list[Push]:
        while True:
            await self._hand.room_in()
            partitions = [] if self._leaving else [p for p in self._mine.values() if not p.leaving]
            try:
                if not partitions:
                    await self._clock.sleep(IDLE_SECONDS)
                elif pushes := await self._take_from(partitions, min(limit, self._hand.room)):
                    return pushes
                else:
                    await self._news(partitions)
            except StorageUnavailable as error:
                if not self._away:  # once, not at each look
                    log.warning("the delivery streams cannot be read", error=error.code)
                self._away = True
                self._claim_again()
                await self._clock.sleep(PAUSE_SECONDS)

    def settled(self, keys: Iterable[PushKey]) -> None:
        self._hand.drop(keys)

    def abandon(self) -> None:
        self._hand.drop(self._hand.keys())
        self._claim_again()

    async def leave(self) -> None:
        self._leaving = True
        while self._hand.busy:
            await self._clock.sleep(0.01)
        numbers, self._mine = list(self._mine), {}
        with contextlib.suppress(StorageUnavailable):  # then the lease ends by itself
            await self._redis.run([RELEASE.on_all(self._members, self._me, "leave", *numbers)])

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._remove_settled())
            while True:
                with contextlib.suppress(StorageUnavailable):  # what is put and taken meanwhile says so
                    if not self._leaving:
                        await self._beat()
                    self._state = await self.backlog()
                await self._clock.sleep(self._settings.stream_lease_seconds / BEATS_PER_LEASE)

    async def backlog(self) -> QueueState:
        key = f"{self._prefix}incarnation"
        streams = [self._stream(number) for number in range(self._settings.stream_partitions)]
        calls = [call("SET", key, new_hex_id(), "NX"), call("GET", key), STATE.on_all(streams, GROUP)]
        _, name, (depth, taken, age_ms) = await self._redis.run(calls)
        return QueueState(str(name), depth, taken, age_ms)

    @property
    def busy(self) -> bool:
        return self._hand.busy

    def readings(self) -> list[Reading]:
        state = self._state
        return [
            ("xinyu_delivery_stream_depth", "Pushes in the streams of all processes.", state.depth),
            ("xinyu_delivery_stream_lag", "Of them, those that nobody has in hand.", state.depth - state.taken),
            ("xinyu_delivery_stream_age_seconds", "Age of the oldest of them.", state.age_ms / 1000),
            ("xinyu_delivery_stream_in_hand", "Of them, those that this process has in hand.", self._hand.size),
            ("xinyu_delivery_stream_partitions", "Streams that this process takes from.", len(self._mine)),
            ("xinyu_delivery_stream_claimed_total", "Pushes that were in hand of nobody living.", self._claimed),
            ("xinyu_delivery_stream_refused_total", "Pushes for which the streams had no room.", self._refused),
            ("xinyu_delivery_stream_overdue_total", "Pushes that no fan-out answered for.", self._hand.overdue),
        ]

    def partition_of(self, conversation_id: ConversationId) -> int:
        """The stream of a conversation; all processes agree on it."""
        return zlib.crc32(str(conversation_id).encode()) % self._settings.stream_partitions

    async def _take_from(self, partitions: Sequence[Partition], room: int) -> list[Push]:
        """What is left of former owners first: nothing newer leaves its stream before it."""
        count = max(1, room // len(partitions))
        calls = [self._look_at(partition, count) for partition in partitions]
        pushes: list[Push] = []
        answers = await self._redis.run(calls)
        self._away = False
        for partition, (trouble, at, entries) in zip(partitions, answers, strict=True):
            if trouble:
                log.info("a delivery stream is another's now")
                self._mine.pop(partition.number, None)
                continue
            claiming = bool(partition.claim_from)
            if claiming:
                partition.claim_from = "" if at == "0-0" else at
                partition.seen = ""
            else:
                partition.seen = at if len(entries) < count else ""
            for entry_id, fields in entries:
                push = _decode(fields[1])
                if self._hand.take(push.key, partition.number, entry_id):
                    pushes.append(push)
                    self._claimed += claiming
        return pushes

    def _claim_again(self) -> None:
        """An answer that never came may have held entries: they are ours, and in nobody's hand."""
        for partition in self._mine.values():
            partition.claim_from = "0-0"

    def _look_at(self, partition: Partition, count: int) -> Call:
        keys = (f"{self._prefix}owners", self._stream(partition.number))
        if partition.claim_from:
            return CLAIM.on_all(keys, self._me, partition.number, GROUP, count, partition.claim_from, DEADLY)
        return TAKE.on_all(keys, self._me, partition.number, GROUP, count)

    async def _news(self, partitions: Sequence[Partition]) -> None:
        """Wait for entries above those seen; not where there is more to be had at once."""
        if all(partition.seen for partition in partitions):
            streams = [self._stream(partition.number) for partition in partitions]
            seen = [partition.seen for partition in partitions]
            await self._redis.run([call("XREAD", "COUNT", 1, "BLOCK", BLOCK_MS, "STREAMS", *streams, *seen)])

    async def _beat(self) -> None:
        lease_ms = int(self._settings.stream_lease_seconds * 1000)
        beat = BEAT.on_all(self._members, self._me, lease_ms, self._settings.stream_partitions)
        ((share, mine),) = await self._redis.run([beat])
        if self._leaving:
            return
        self._mine = {number: self._mine.get(number) or Partition(number) for number in mine}
        free = [p.number for p in self._mine.values() if p.leaving and not self._hand.holds_of(p.number)]
        for place, partition in enumerate(self._mine.values()):
            partition.leaving = place >= share  # to be free at the next beat: a look at it may be under way
        if free:
            await self._redis.run([RELEASE.on_all(self._members, self._me, "stay", *free)])
            for number in free:
                self._mine.pop(number, None)
        if overdue := self._hand.give_up_overdue():
            log.warning("pushes were in hand for too long; they are left to the outbox", count=overdue)

    async def _remove_settled(self) -> None:
        while True:
            removed = await self._hand.done()
            calls = []
            for number, ids in removed.items():
                stream = self._stream(number)
                calls += [call("XACK", stream, GROUP, *ids), call("XDEL", stream, *ids)]
            try:
                await self._redis.run(calls)
            except StorageUnavailable:
                await self._clock.sleep(PAUSE_SECONDS)
            else:
                self._hand.removed(removed)

    @property
    def _members(self) -> tuple[str, str]:
        return f"{self._prefix}consumers", f"{self._prefix}owners"

    def _stream(self, number: int) -> str:
        return f"{self._prefix}s:{number}"
