"""Who gets in, and what the others are told (CONTRACT.md sections 2.1 and 2.6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
import structlog

from testkit.clock import ManualClock
from testkit.sockets import SocketWorld, socket_world
from testkit.waiting import eventually
from xinyu.delivery.types import CloseOrder
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import LoginId

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]
UNAUTHORIZED = {"error_code": 401, "error_message": "unauthorized"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketWorld]:
    async with socket_world(tmp_path_factory.mktemp("doors"), max_sessions_per_user=3) as made:
        yield made


def reading(world: SocketWorld, name: str) -> float:
    return next(float(value) for found, _, value in world.hub.readings() if found == name)


async def test_the_first_frame_is_connect(world: SocketWorld) -> None:
    ann = await world.user("ann")
    page = await world.page(await world.token(ann, "app"))
    assert {"uid": ann, "platform": "web"}.items() <= page.frames[0]["payload"].items()
    assert isinstance(page.frames[0]["payload"]["ts"], int)
    [online] = await world.ports.presence.list_online([ann])
    assert online.platforms == ["web"]


@pytest.mark.parametrize("platform", ["", "w b", "x" * 21, "%F0", "../.."])
async def test_a_platform_that_cannot_be_one_is_that_of_the_login(world: SocketWorld, platform: str) -> None:
    socket = world.dial(await world.token(await world.user("ann"), "android"), platform=quote(platform))
    assert (await socket.opened()).frames[0]["payload"]["platform"] == "android"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "%00", "é", "x" * 5000])
async def test_a_bad_token_is_told_so_and_does_not_come_back(world: SocketWorld, token: str) -> None:
    page, device = world.dial(token), world.dial(token, sync="1")
    assert (await page.closed(), await device.closed()) == (CloseCode.NORMAL, CloseCode.LOGIN_ENDED)
    assert page.events("event_error") == device.events("event_error") == [UNAUTHORIZED]
    assert len(page.frames) == 1


async def test_no_token_at_all(world: SocketWorld) -> None:
    socket = world.dial("", path="/wss/")
    assert await socket.closed() == CloseCode.NORMAL


async def test_the_token_is_taken_as_it_comes(world: SocketWorld) -> None:
    token = await world.token(await world.user("ann"))
    assert await world.dial(token.replace(".", "%2E")).closed() == CloseCode.NORMAL
    await world.dial(token, path="/wss/anything").opened()


async def test_other_paths_are_closed_unread(world: SocketWorld) -> None:
    socket = world.dial(await world.token(await world.user("ann")), path="/elsewhere")
    assert await socket.closed() == 1000
    assert socket.frames == []


@pytest.mark.parametrize(
    "rest", ["&&&==&=&a", "&sync=0", "&sync=1%00", "&" + "&".join(["x=1"] * 5000), "&%zz=%zz", "&\xff=\xff"]
)
async def test_a_hostile_query_changes_nothing(world: SocketWorld, rest: str) -> None:
    token = await world.token(await world.user("ann"))
    await world.dial(f"{token}{rest}").opened()


@pytest.mark.parametrize(
    ("device_id", "taken"), [("phone-1", True), ("a b", True), ("é", False), ("x" * 101, False), ("\n", False)]
)
async def test_a_device_may_have_a_name(world: SocketWorld, device_id: str, taken: bool) -> None:
    token = await world.token(await world.user("ann"))
    socket = await world.device(token, device_id=quote(device_id))
    assert socket.frames[0]["payload"]["device_id"] == (device_id if taken else await world.login_of(token))


async def test_the_token_stays_nowhere(world: SocketWorld) -> None:
    token = await world.token(await world.user("ann"))
    with structlog.testing.capture_logs() as logs:
        good, bad = await world.page(token), world.dial("secret" + token)
        await bad.closed()
        await good.leave()
    assert token not in repr((good.scope, bad.scope, logs, good.frames, bad.frames))


async def test_a_user_over_his_limit_loses_his_oldest_sessions(world: SocketWorld) -> None:
    ann = await world.user("ann")
    token = await world.token(ann)
    first, second, third = await world.page(token), await world.device(token), await world.page(token)
    first.reads.clear()  # it will not even notice
    await world.page(token)
    first.reads.set()
    assert await first.closed() == CloseCode.NORMAL, "a page comes back on any other code"
    before = reading(world, "xinyu_ws_replaced_total")
    await world.page(token)
    assert await second.closed() == CloseCode.REPLACED
    assert reading(world, "xinyu_ws_replaced_total") == before + 1
    assert third.close_code is None
    await eventually(lambda: len(world.hub.of_user(ann)) == 3)


async def test_a_user_at_his_limit_is_kept_there_while_old_sessions_linger(world: SocketWorld) -> None:
    ann = await world.user("ann")
    token = await world.token(ann)
    stuck = [await world.page(token) for _ in range(3)]
    for socket in stuck:
        socket.reads.clear()
    newer = [await world.page(token) for _ in range(4)]
    alive = [c for c in world.hub.of_user(ann) if c.session.state.name != "CLOSED"]
    assert len(alive) == 3
    assert await newer[0].closed() == CloseCode.NORMAL
    for socket in stuck:
        socket.reads.set()
        assert await socket.closed() == CloseCode.NORMAL


async def test_a_session_that_lingers_after_its_close_takes_nobodys_place(world: SocketWorld) -> None:
    token = await world.token(await world.user("ann"))
    first, second, stuck = await world.page(token), await world.page(token), await world.page(token)
    stuck.reads.clear()
    connection = world.hub.find(stuck.frames[0]["payload"]["session_id"])
    assert connection is not None
    connection.close(CloseCode.SLOW, "stuck")
    await (await world.page(token)).settled()
    await first.settled()
    await second.settled()
    assert (first.close_code, second.close_code) == (None, None)


async def test_a_login_that_ends_takes_its_sockets_along(world: SocketWorld) -> None:
    """G11, the quick way: a CloseOrder."""
    ann = await world.user("ann")
    one, other = await world.token(ann), await world.token(ann)
    page, device, kept = await world.page(one), await world.device(one), await world.device(other)
    await world.ports.delivery.close_sessions(CloseOrder(ann, login_id=await world.login_of(one)))
    assert (await page.closed(), await device.closed()) == (CloseCode.NORMAL, CloseCode.LOGIN_ENDED)
    again = await world.device(one)
    await world.ports.delivery.close_sessions(CloseOrder(ann, except_login_id=await world.login_of(other)))
    assert await again.closed() == CloseCode.LOGIN_ENDED
    assert kept.close_code is None


async def test_the_sweep_finds_logins_that_ended_elsewhere(world: SocketWorld) -> None:
    """G11, the sure way: nobody sent an order."""
    ann, bob = await world.user("ann"), await world.user("bob")
    tokens = [await world.token(ann), await world.token(ann)]
    page, device, kept = await world.page(tokens[0]), await world.device(tokens[0]), await world.device(tokens[1])
    disabled = await world.device(await world.token(bob))
    await world.ports.logins.end_login(ann, await world.login_of(tokens[0]))
    await world.ports.accounts.set_disabled(bob, True)
    await world.housekeeping.close_ended_logins()
    assert (await page.closed(), await device.closed()) == (CloseCode.NORMAL, CloseCode.LOGIN_ENDED)
    assert await disabled.closed() == CloseCode.LOGIN_ENDED
    assert kept.close_code is None


async def test_an_order_for_nobody(world: SocketWorld) -> None:
    ann = await world.user("ann")
    kept = await world.device(await world.token(ann))
    await world.ports.delivery.close_sessions(CloseOrder(ann, login_id=LoginId("f" * 32)))
    await kept.settled()


async def test_an_expired_token_ends_its_sockets(tmp_path: Path) -> None:
    async with socket_world(tmp_path) as world:
        device = await world.device(await world.token(await world.user("ann")))
        clock = ManualClock(2**42)
        world.housekeeping._clock = clock
        await world.housekeeping.close_ended_logins()
        assert await device.closed() == CloseCode.LOGIN_ENDED


async def test_a_full_node_says_when_to_come_back(tmp_path: Path) -> None:
    """G8: overload answers with a retry time."""
    async with socket_world(tmp_path, max_sessions=1) as world:
        token = await world.token(await world.user("ann"))
        first = await world.page(token)
        page, device = world.dial(token), world.dial(token, sync="1")
        assert (await page.closed(), await device.closed()) == (CloseCode.OVERLOADED, CloseCode.OVERLOADED)
        assert page.frames == []
        [told] = device.events("event_error")
        assert told["error_code"] == 429 and told["retry_after_ms"] > 0
        assert (world.hub.refused, world.hub.turned_away) == (2, 2)
        await first.leave()
        await world.page(token)


async def test_sockets_of_an_address_are_counted_whatever_their_token(tmp_path: Path) -> None:
    """G8, and nobody tries tokens without end."""
    async with socket_world(tmp_path, handshakes_per_minute_per_ip=2) as world:
        token, here = await world.token(await world.user("ann")), "192.0.2.1"
        assert await world.dial("forged", ip=here, sync="1").closed() == CloseCode.LOGIN_ENDED
        await world.dial(token, ip=here).opened()
        page, device = world.dial("forged", ip=here), world.dial(token, ip=here, sync="1")
        assert (await page.closed(), await device.closed()) == (CloseCode.OVERLOADED, CloseCode.OVERLOADED)
        assert page.frames == []
        [told] = device.events("event_error")
        assert told["error_code"] == 429 and 0 < told["retry_after_ms"] <= 60_000
        await world.dial(token, ip="192.0.2.2").opened()


async def test_a_user_domain_that_is_away_is_no_bad_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with socket_world(tmp_path) as world:
        token = await world.token(await world.user("ann"))

        async def away(*_: object) -> None:
            raise Unavailable()

        monkeypatch.setattr(world.process.container.login_store(), "list_states", away)
        socket = world.dial(token)
        assert await socket.closed() == CloseCode.UNAVAILABLE
        assert socket.frames == []


async def test_a_log_that_is_away_while_a_session_opens_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with socket_world(tmp_path) as world:
        ann = await world.user("ann")
        token = await world.token(ann)

        async def away(*_: object) -> None:
            raise Unavailable()

        monkeypatch.setattr(world.process.container.device_store(), "open_device", away)
        assert await world.dial(token).closed() == CloseCode.UNAVAILABLE
        assert len(world.hub) == 0
        assert await world.ports.presence.list_online([ann]) == []


async def test_a_node_that_leaves_opens_no_door(tmp_path: Path) -> None:
    async with socket_world(tmp_path, drain_seconds=0.05) as world:
        token = await world.token(await world.user("ann"))
        page = await world.page(token)
        draining = asyncio.ensure_future(world.housekeeping.drain(0.05))
        await asyncio.sleep(0)
        assert await world.dial(token).closed() == CloseCode.DRAIN
        await draining
        assert await page.closed() == CloseCode.DRAIN
