"""The gateways' limits, counted in memory and in a real Redis."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from testkit.clock import ManualClock
from testkit.engines import OwnEngine, adapters
from xinyu.gateway.limits import UNTOLD_SHARE, Rate
from xinyu.gateway.limits_redis import REST_SECONDS, RedisCounts
from xinyu.kernel.errors import Overloaded

NewRate = Callable[[int, int], Rate]
"""One more gateway's rate of so many in so many seconds."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=adapters("memory", engine="redis"))
async def new_rate(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[NewRate]:
    async with AsyncExitStack() as stack:
        name = secrets.token_hex(6)

        def new(limit: int, seconds: int) -> Rate:
            if request.param == "memory":
                return Rate(name, limit, seconds, clock, None)
            counts = RedisCounts(request.getfixturevalue("redis_url"), "test:limits:", clock)
            stack.push_async_callback(counts.close)
            return Rate(name, limit, seconds, clock, counts)

        yield new


async def accepted(rate: Rate, key: str, tries: int) -> int:
    """How many of so many hits at once are."""
    results = await asyncio.gather(*(rate.hit(key) for _ in range(tries)), return_exceptions=True)
    assert all(result is None or isinstance(result, Overloaded) for result in results), results
    return results.count(None)


async def test_one_gateway_takes_its_limit_and_no_more(new_rate: NewRate, clock: ManualClock) -> None:
    rate = new_rate(20, 60)
    for _ in range(20):
        await rate.hit("ann")
    assert await accepted(rate, "ann", 50) == 0
    assert await accepted(rate, "bob", 5) == 5
    clock.jump(60)
    assert await accepted(rate, "ann", 50) == 20


@pytest.mark.engine
async def test_several_gateways_share_a_limit_through_redis(redis_url: str, clock: ManualClock) -> None:
    name = secrets.token_hex(6)
    async with AsyncExitStack() as stack:
        counts = [RedisCounts(redis_url, "test:limits:", clock) for _ in range(3)]
        for each in counts:
            stack.push_async_callback(each.close)
        rates = [Rate(name, 40, 60, clock, each) for each in counts]
        taken = sum([await accepted(rate, "ann", 1) for _ in range(60) for rate in rates])
        assert 40 <= taken <= 40 + 2 * (40 // UNTOLD_SHARE)
        late = Rate(name, 40, 60, clock, counts[0])  # a gateway that was started again
        assert await accepted(late, "ann", 50) <= 40 // UNTOLD_SHARE
        client = Redis.from_url(redis_url)
        stack.push_async_callback(client.aclose)
        keys = [key async for key in client.scan_iter(f"test:limits:*{name}*")]
        assert len(keys) == 1
        assert 0 < await client.ttl(keys[0]) <= 60


@pytest.mark.engine
async def test_nothing_is_refused_because_redis_is_away(
    own_redis: OwnEngine, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = RedisCounts(own_redis.address, "test:limits:", clock)
    rate = Rate("x", 1000, 1, clock, counts)
    assert await counts.add("w", 1, 60) == 1
    own_redis.kill()
    for _ in range(3):
        assert await counts.add("w", 1, 60) is None
        clock.jump(REST_SECONDS)
    assert await accepted(rate, "ann", 1000) == 1000
    own_redis.start()
    clock.jump(REST_SECONDS)
    assert await counts.add("after", 1, 60) == 1
    await counts.close()
    told = capsys.readouterr()
    assert (told.out + told.err).count("Redis is away") == 1
