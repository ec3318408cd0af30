"""How requests are counted: by one gateway alone, and by several that tell each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable

import pytest
from starlette.requests import Request
from starlette.responses import Response

from testkit.clock import ManualClock
from testkit.rest import ports_of, rest_client
from xinyu.gateway import limits
from xinyu.gateway.auth import Caller
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.limits import Rate, RateLimits, SharedCounts
from xinyu.gateway.ports import Ports
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import Overloaded


class CountsInMemory(SharedCounts):
    """What Redis does, for gateways of one test."""

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self.asked = 0
        self.away = False

    async def add(self, window: str, amount: int, seconds: int) -> int | None:
        self.asked += 1
        if self.away:
            return None
        self.sums[window] += amount
        return self.sums[window]

    async def close(self) -> None:
        """Nothing to let go of."""


async def refused(hit: Awaitable[None]) -> int:
    """When it may be tried again, in ms."""
    with pytest.raises(Overloaded) as error:
        await hit
    assert error.value.retry_after_ms
    return error.value.retry_after_ms


async def accepted(rate: Rate, key: str, tries: int) -> int:
    """How many of so many hits are."""
    count = 0
    for _ in range(tries):
        try:
            await rate.hit(key)
        except Overloaded:
            continue
        count += 1
    return count


async def test_many_messages_at_once_are_paid_for_by_a_longer_window() -> None:
    clock = ManualClock()
    mine = RateLimits(GatewaySettings(sends_per_second_per_user=10), clock=clock)
    await mine.check_send(1)
    await mine.check_send(1, 99)
    assert await refused(mine.check_send(1)) == 10_000
    await mine.check_send(2)
    clock.jump(10)
    for _ in range(10):
        await mine.check_send(1)
    await refused(mine.check_send(1))


async def test_each_limit_counts_for_itself_and_zero_is_none() -> None:
    settings = GatewaySettings(
        requests_per_minute_per_user=2, requests_per_minute_per_ip=3, socket_requests_per_second_per_user=1,
        sends_per_second_per_user=0, handshakes_per_minute_per_ip=1,
    )  # fmt: skip
    clock = ManualClock()
    mine = RateLimits(settings, clock=clock)
    for _ in range(2):
        await mine.check_user(1)
    assert await refused(mine.check_user(1)) == 60_000
    for _ in range(3):
        await mine.check_address("192.0.2.1")
    await refused(mine.check_address("192.0.2.1"))
    await mine.check_address("")
    await mine.check_handshake("192.0.2.1")
    assert await refused(mine.check_handshake("192.0.2.1")) == 60_000
    await mine.check_handshake("")
    await mine.check_socket_request(1)
    assert await refused(mine.check_socket_request(1)) == 1000
    assert {name: n for name, _, n in mine.readings()} == {"xinyu_limited_total": 4, "xinyu_limit_windows": 4}
    for _ in range(1000):
        await mine.check_send(1)
    clock.jump(60)
    await mine.check_address("192.0.2.1")
    await mine.check_user(1)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("step", [-3600, 3600])
async def test_no_window_is_longer_because_the_time_of_day_was_set(shared: bool, step: float) -> None:
    clock = ManualClock()
    rate = Rate("x", 2, 1, clock, CountsInMemory() if shared else None)
    assert await accepted(rate, "ann", 3) == 2
    clock.step(step)
    assert await refused(rate.hit("ann")) <= 1000
    clock.jump(1)
    assert await accepted(rate, "ann", 3) == 2


async def test_requests_with_a_bad_token_count_for_their_address() -> None:
    async def never(_call: Call[NoBody]) -> object:
        raise AssertionError("nobody is let through")

    async def never_raw(_request: Request, _ports: Ports, _caller: Caller | None) -> Response:
        raise AssertionError("nobody is let through")

    routes = [Route("/api/v1/json", never), RawRoute("/api/v1/raw", never_raw)]
    settings = GatewaySettings(requests_per_minute_per_ip=4)
    async with rest_client(ports_of(), routes, {}, settings) as client:
        for path in ("json", "raw"):
            for user_id in (None, -1):
                await client.post(user_id, path, status=401)
        for path in ("json", "raw"):
            assert (await client.post(1, path, status=429))["error"] == "request.overloaded"


async def test_gateways_share_a_limit_and_ask_seldom_far_below_it() -> None:
    clock, counts = ManualClock(), CountsInMemory()
    left, right = (Rate("x", 100, 60, clock, counts) for _ in range(2))
    assert await accepted(left, "ann", 12) == 12
    assert counts.asked == 0
    together = sum([await accepted(rate, "ann", 3) for _ in range(40) for rate in (left, right)])
    assert 88 <= together <= 88 + 100 // limits.UNTOLD_SHARE
    asked = counts.asked
    assert await accepted(left, "ann", 50) + await accepted(right, "ann", 50) == 0
    assert counts.asked == asked, "who is over the limit is refused without asking"
    assert await accepted(left, "bob", 5) == 5


async def test_windows_of_several_gateways_begin_together() -> None:
    clock, counts = ManualClock(1_700_000_030_000), CountsInMemory()  # 50 s into a minute
    left, right = (Rate("x", 1, 60, clock, counts) for _ in range(2))
    await left.hit("ann")
    clock.jump(4)
    assert await refused(right.hit("ann")) == 6000
    clock.jump(6)
    await right.hit("ann")
    assert await refused(left.hit("ann")) == 60_000


async def test_while_nobody_can_tell_each_gateway_counts_alone() -> None:
    clock, counts = ManualClock(), CountsInMemory()
    left, right = (Rate("x", 10, 60, clock, counts) for _ in range(2))
    counts.away = True
    assert [await accepted(rate, "ann", 20) for rate in (left, right)] == [10, 10]
    counts.away = False
    clock.jump(60)
    assert await accepted(left, "ann", 20) + await accepted(right, "ann", 20) <= 11


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEYS", 3)
    rate = Rate("x", 1, 60, ManualClock(), None)
    for key in range(5):
        await rate.hit(key)
        assert rate.windows <= 4
    await rate.hit(0)
