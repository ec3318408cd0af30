"""What is Redis's own: keys that end and can be sharded, orphans, batches, Redis being away or coming back empty."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from testkit.engines import OwnEngine, needs_engine
from testkit.presence import ANN, BOB, CID, LEASE, Presence, at, entry
from xinyu.kernel.ids import DeviceId, NodeId, SessionId, UserId
from xinyu.presence.store_redis import NODES_REMEMBERED, RedisPresenceStore
from xinyu.presence.types import NodeRef, PresenceEntry
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.redis import Call, RedisDatabase, call

pytestmark = [needs_engine("redis"), pytest.mark.engine]
NOW, LATER = 1_700_000_000_000, 1_700_000_030_000


class Recorder(RedisDatabase):
    """Remembers what was sent, and can stop before a call."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.prefix = f"t{secrets.token_hex(6)}:"
        self.runs: list[Sequence[Call]] = []
        self.hold_before_run = 0
        self.held = asyncio.Event()
        self.go_on = asyncio.Event()

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        self.runs.append(calls)
        if len(self.runs) == self.hold_before_run:
            self.held.set()
            await self.go_on.wait()
        return await super().run(calls)

    def store(self) -> RedisPresenceStore:
        return RedisPresenceStore(self, LEASE, self.prefix)

    async def keys(self) -> list[str]:
        (keys,) = await super().run([call("KEYS", f"{self.prefix}*")])
        return sorted(keys)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Recorder]:
    redis = Recorder(redis_url)
    yield redis
    await redis.close()


async def test_an_entry_comes_back_as_it_was_in_the_order_of_arrival(redis: Recorder) -> None:
    odd = NodeRef(NodeId("a node %20 ü"), 2**60, "[::1]:9 0")
    entries = [
        PresenceEntry(ANN, SessionId("z"), DeviceId('d " \n '), "app", odd),
        PresenceEntry(ANN, SessionId("a"), DeviceId(""), "", at("left", 2**60 + 1)),
        PresenceEntry(ANN, SessionId("m"), DeviceId("ü"), "web", at("left", 2**60 + 1)),
    ]
    for one in entries:
        await redis.store().put([one], LATER)
    await redis.store().put(reversed(entries), LATER + 1)
    assert await redis.store().find([ANN, BOB, ANN], NOW) == entries


@pytest.mark.parametrize(("older", "newer"), [(9, 10), (2**60, 2**60 + 1)])
async def test_epochs_are_compared_exactly(redis: Recorder, older: int, newer: int) -> None:
    store = redis.store()
    await store.put([entry(ANN, "a1", at("left", older)), entry(ANN, "a2", at("left", older))], LATER)
    await store.put([entry(ANN, "a1", at("left", newer))], LATER)
    await store.put([entry(ANN, "a1", at("left", older)), entry(ANN, "a3", at("left", older))], LATER)
    assert await store.find([ANN], NOW) == [entry(ANN, "a1", at("left", newer))]


async def test_every_script_touches_one_key_and_every_key_ends(redis: Recorder) -> None:
    store = redis.store()
    entries = [entry(UserId(n), f"s{n}", at(f"n{n % 3}")) for n in range(20)]
    await store.put(entries, LATER)
    await store.remove(entries[0].at, entries[0].user_id, entries[0].session_id)
    await store.remove_sessions(entries[1].at, [entries[1].session_id])
    await store.remove_node(NodeId("n2"), 1)
    await store.find([UserId(n) for n in range(20)], NOW)
    await store.count_users()
    sent = [words for calls in redis.runs for words, _ in calls]
    assert {words[2] for words in sent if words[0] == "EVALSHA"} == {1}
    assert {words[0] for words in sent} == {"EVALSHA", "SET", "GET", "HGETALL", "PFADD", "PFCOUNT", "PEXPIRE"}
    (counting,) = [words for words in sent if words[0] == "PFCOUNT"]
    assert all("{users}" in str(key) for key in counting[1:])
    keys = await redis.keys()
    assert len(keys) > 30
    ends = await redis.run([call("PTTL", key) for key in keys])
    assert all(LEASE * 1000 < left <= 3 * LEASE * 1000 for left in ends)


async def test_no_key_ends_before_a_long_lease(redis: Recorder) -> None:
    store, lease_ms = redis.store(), int(8 * LEASE * 1000)
    await store.put([entry(ANN, "long", at("left"))], NOW + lease_ms, lease_ms)
    await store.put([entry(ANN, "usual", at("right"))], LATER)
    names = ("u:1", "s:long", "n:left")
    ends = await redis.run([call("PTTL", redis.prefix + name) for name in names])
    assert all(left > lease_ms for left in ends), dict(zip(names, ends, strict=True))


async def test_a_lookup_of_many_is_one_pipeline(redis: Recorder) -> None:
    store = redis.store()
    entries = [entry(UserId(n), f"s{n}", at(f"n{n % 5}")) for n in range(300)]
    await store.put(entries, LATER)
    users = [UserId(n) for n in range(400)]
    assert len(await store.find(users, NOW)) == 300
    redis.runs.clear()
    assert len(await store.find(users, NOW)) == 300
    assert [len(calls) for calls in redis.runs if calls] == [405]


async def test_a_renewal_of_thousands_is_two_steps(redis: Recorder) -> None:
    store = redis.store()
    entries = [entry(UserId(n // 2), f"s{n}", at("left")) for n in range(2500)]
    await store.put(entries, LATER)
    assert [len(calls) for calls in redis.runs] == [1, 2500 + 1250 + 3]
    found = await store.find([UserId(n) for n in range(1250)], NOW)
    assert found == entries
    assert abs(await store.count_users() - 1250) < 60
    assert await RedisPresenceStore(redis, LEASE, redis.prefix + "other").count_users() == 0


async def test_readers_remove_what_is_dead(redis: Recorder) -> None:
    store = redis.store()
    await store.put([entry(ANN, "over", at("gone"))], NOW)
    await store.put([entry(ANN, "old", at("left", 1)), entry(ANN, "dropped", at("right"))], LATER)
    await store.put([entry(ANN, "new", at("left", 2))], LATER)
    await store.remove_node(NodeId("right"), 1)
    held = call("HKEYS", f"{redis.prefix}u:{ANN}")
    assert set((await redis.run([held]))[0]) == {"over", "old", "dropped", "new"}
    assert [e.session_id for e in await store.find([ANN], NOW)] == ["new"]
    assert await redis.run([held]) == [["new"]]


async def test_a_reader_does_not_remove_what_was_renewed_meanwhile(redis: Recorder, redis_url: str) -> None:
    reader, writer = redis.store(), RedisDatabase(redis_url)
    try:
        await reader.put([entry(ANN, "a1", at("left"))], NOW)
        await reader.find([BOB], NOW)
        redis.hold_before_run = len(redis.runs) + 3  # after the sessions and the unknown node: the removal
        finding = asyncio.ensure_future(reader.find([ANN], NOW))
        await asyncio.wait_for(redis.held.wait(), 5)
        other = RedisPresenceStore(writer, LEASE, redis.prefix)
        await other.put([entry(ANN, "a1", at("left"))], LATER)
        redis.go_on.set()
        assert await finding == []
        assert [e.session_id for e in await other.find([ANN], NOW)] == ["a1"]
    finally:
        await writer.close()


@pytest.mark.parametrize("what", ["reborn", "dropped", "dropped and renewed"])
async def test_a_registration_that_was_overtaken_counts_for_nothing(redis: Recorder, redis_url: str, what: str) -> None:
    """It asked for its node's life, and then that life ended before the entry was written."""
    fast = RedisDatabase(redis_url)
    try:
        other = RedisPresenceStore(fast, LEASE, redis.prefix)
        redis.hold_before_run = 2
        late = asyncio.ensure_future(redis.store().put([entry(ANN, "a1", at("left", 1))], LATER))
        await asyncio.wait_for(redis.held.wait(), 5)
        if what == "reborn":
            await other.put([entry(ANN, "a2", at("left", 2)), entry(ANN, "a1", at("left", 2))], LATER)
        else:
            await other.remove_node(NodeId("left"), 1)
        if what == "dropped and renewed":
            await other.put([entry(ANN, "a1", at("left", 1))], LATER)
        redis.go_on.set()
        await late
        found = [(e.session_id, e.at.epoch) for e in await other.find([ANN], NOW)]
        ends = {"reborn": [("a2", 2), ("a1", 2)], "dropped": [], "dropped and renewed": [("a1", 1)]}
        assert found == ends[what]
    finally:
        await fast.close()


async def test_a_late_renewal_shortens_no_lease(redis: Recorder) -> None:
    store = redis.store()
    await store.put([entry(ANN, "a1", at("left"))], LATER)
    await store.put([entry(ANN, "a1", at("left"))], LATER - 1000)
    assert len(await store.find([ANN], LATER - 1)) == 1


async def test_nodes_that_nobody_hears_of_are_asked_for_no_more(redis: Recorder) -> None:
    store = redis.store()
    for start in (0, NODES_REMEMBERED - 5):
        users = [UserId(start + n) for n in range(NODES_REMEMBERED - 5)]
        await store.put([entry(user, f"s{user}", at(f"n{user}")) for user in users], LATER)
        assert len(await store.find(users, NOW)) == len(users)
    redis.runs.clear()
    await store.find([BOB], NOW)
    assert len(redis.runs[0]) <= 1 + NODES_REMEMBERED
    await redis.run([call("DEL", *await redis.keys())])
    await store.find([BOB], NOW)
    redis.runs.clear()
    await store.find([BOB], NOW)
    assert len(redis.runs[0]) == 1


async def test_redis_that_comes_back_empty_is_filled_by_the_next_renewal(own_redis: OwnEngine) -> None:
    redis = RedisDatabase(own_redis.address, timeout_seconds=1)
    try:
        presence, left = Presence(RedisPresenceStore(redis, LEASE)), at("left")
        entries = [entry(ANN, "a1", left), entry(BOB, "b1", left)]
        for one in entries:
            await presence.port.register(one)
        assert await presence.sessions() == {("left", 1, "a1"), ("left", 1, "b1")}
        own_redis.kill()
        for attempt in (presence.port.register(entries[0]), presence.port.renew(left, entries), presence.sessions()):
            with pytest.raises(StorageUnavailable):
                await attempt
        own_redis.start()
        assert await presence.sessions() == set()
        await presence.port.renew(left, entries)
        assert await presence.sessions() == {("left", 1, "a1"), ("left", 1, "b1")}
        await redis.run([call("FLUSHALL"), call("SCRIPT", "FLUSH")])
        await presence.port.register(entry(CID, "c1", left))
        await presence.port.unregister(entry(CID, "c1", left))
        await presence.port.forget(left, [SessionId("a1")])
        await presence.port.drop_node(NodeId("left"), 1)
        assert await presence.sessions() == set()
    finally:
        await redis.close()


async def test_connections_that_a_restart_broke_are_not_used_again(own_redis: OwnEngine) -> None:
    """As many as a burst had opened, used one by one long after the restart."""
    redis = RedisDatabase(own_redis.address, pool_size=5)
    try:
        await asyncio.gather(*(redis.run([call("PING")] * 100) for _ in range(5)))
        own_redis.kill()
        await asyncio.to_thread(own_redis.start)  # meanwhile the loop hears of the broken connections
        for _ in range(5):
            await asyncio.gather(*(redis.ping() for _ in range(5)))
    finally:
        await redis.close()


async def test_away_and_refusing_are_one_error_that_tells_no_secret(own_redis: OwnEngine) -> None:
    secret = own_redis.address.split(":")[2].split("@")[0]
    wrong = RedisDatabase(own_redis.address.replace(secret, "wrong"))
    right = RedisDatabase(own_redis.address, timeout_seconds=0.5)
    try:
        with pytest.raises(StorageUnavailable) as refused:
            await wrong.ping()
        await right.ping()
        await right.run([call("CONFIG", "SET", "maxmemory", 1)])
        with pytest.raises(StorageUnavailable):
            await right.run([call("SET", "a", "b")])
        own_redis.kill()
        with pytest.raises(StorageUnavailable) as away:
            await right.ping()
        assert all(word not in str(error.value) for error in (refused, away) for word in (secret, "wrong"))
    finally:
        await wrong.close()
        await right.close()


async def test_a_mistake_of_ours_is_not_called_an_outage(redis_url: str) -> None:
    redis = RedisDatabase(redis_url)
    try:
        with pytest.raises(Exception, match="wrong number of arguments") as mistake:
            await redis.run([call("PING"), call("GET")])
        assert not isinstance(mistake.value, StorageUnavailable)
    finally:
        await redis.close()


async def test_a_pool_in_use_makes_callers_wait_and_a_cancelled_one_does_not_mix_up_answers(redis_url: str) -> None:
    redis = RedisDatabase(redis_url, pool_size=1, timeout_seconds=1)
    key = f"t{secrets.token_hex(6)}"
    try:
        blocked = asyncio.ensure_future(redis.run([call("BLPOP", key, 0.4), call("ECHO", "first")]))
        await asyncio.sleep(0)
        assert await redis.run([call("ECHO", "second")]) == ["second"]
        assert await blocked == [None, "first"]
        cancelled = asyncio.ensure_future(redis.run([call("BLPOP", key, 0.4), call("ECHO", "third")]))
        done, _ = await asyncio.wait([cancelled], timeout=0.05)
        assert not done
        cancelled.cancel()
        assert await redis.run([call("ECHO", "fourth")]) == ["fourth"]
        with pytest.raises(StorageUnavailable):
            await redis.run([call("BLPOP", key, 3)])
        assert await redis.run([call("ECHO", "fifth")]) == ["fifth"]
    finally:
        await redis.close()
