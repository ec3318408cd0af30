"""Platforms that are for one device at a time: the newest session stays, the one before is told why and closed for good
(G7); several devices elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from testkit.sockets import MemorySocket, SocketWorld, socket_world
from testkit.waiting import eventually
from xinyu.delivery.types import CloseOrder
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.sessions.places import OTHER_DEVICE
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import NodeId, SessionId, UserId
from xinyu.presence.port import PresencePort
from xinyu.presence.settings import PresenceSettings
from xinyu.presence.types import NodeRef, PresenceEntry

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]
TOLD = [{"error_code": 409, "error_message": OTHER_DEVICE}]
ELSEWHERE = NodeRef(NodeId("elsewhere"), 1, "127.0.0.1:1")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketWorld]:
    presence = PresenceSettings(platforms={"app": "one", "web": "several", "*": "one"})
    async with socket_world(tmp_path_factory.mktemp("platforms"), presence=presence) as made:
        yield made


async def connected(world: SocketWorld, user_id: UserId, platform: str, **query: str) -> MemorySocket:
    """With a log-in of its own."""
    return await world.dial(await world.token(user_id), platform=platform, **query).opened()


async def online(world: SocketWorld, user_id: UserId) -> set[str]:
    located = await world.ports.presence.locate([user_id])
    return {target.session_id for node in located for target in node.sessions}


def session_of(socket: MemorySocket) -> SessionId:
    return SessionId(socket.frames[0]["payload"]["session_id"])


async def test_another_device_of_the_platform_takes_its_place(world: SocketWorld) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    others = [await connected(world, ann, "web"), await connected(world, ann, "pc"), await connected(world, bob, "app")]
    phone = await connected(world, ann, "app", sync="1")
    page = await connected(world, ann, "app")
    assert await phone.closed() == CloseCode.REPLACED
    assert phone.events("event_error") == TOLD
    tablet = await connected(world, ann, "app", sync="1")
    assert await page.closed() == CloseCode.NORMAL, "a page comes back on any other code"
    assert page.events("event_error") == TOLD
    assert await online(world, ann) == {session_of(socket) for socket in (*others[:2], tablet)}
    assert all(socket.close_code is None for socket in (*others, tablet))


async def test_several_are_several_and_the_rest_has_the_rule_of_the_rest(world: SocketWorld) -> None:
    ann = await world.user("ann")
    pages = [await connected(world, ann, "web") for _ in range(3)]
    watch = await connected(world, ann, "watch", sync="1")
    await connected(world, ann, "watch", sync="1")
    assert await watch.closed() == CloseCode.REPLACED
    assert all(page.close_code is None for page in pages)


async def test_a_device_that_comes_back_replaces_itself_and_is_told_of_no_other(world: SocketWorld) -> None:
    ann = await world.user("ann")
    token = await world.token(ann)
    dead = await world.device(token, platform="app", device_id="phone")
    dead.reads.clear()  # its network is gone, and nobody knows
    back = await world.device(token, platform="app", device_id="phone")
    assert await online(world, ann) == {session_of(back)}
    dead.reads.set()
    assert await dead.closed() == CloseCode.REPLACED
    assert dead.events("event_error") == []
    assert back.close_code is None


async def test_of_many_that_come_at_once_one_stays(world: SocketWorld) -> None:
    ann = await world.user("ann")
    tokens = [await world.token(ann) for _ in range(8)]
    sockets = [world.dial(token, platform="app", sync="1") for token in tokens]
    await eventually(lambda: sum(socket.close_code is None for socket in sockets) == 1)
    [left] = [socket for socket in sockets if socket.close_code is None]
    await left.opened()
    assert await online(world, ann) == {session_of(left)}
    assert {socket.close_code for socket in sockets} == {None, CloseCode.REPLACED}


async def test_a_late_order_closes_nothing_newer(world: SocketWorld) -> None:
    ann = await world.user("ann")
    old = await connected(world, ann, "app", sync="1")
    new = await connected(world, ann, "app", sync="1")
    await old.closed()
    late = CloseOrder(ann, close_code=CloseCode.REPLACED, session_id=session_of(old), notice=OTHER_DEVICE)
    await world.ports.delivery.close_sessions(late)
    await new.settled()
    assert (new.close_code, new.events("event_error")) == (None, [])


async def test_a_session_that_was_overtaken_elsewhere_goes_at_its_renewal(world: SocketWorld) -> None:
    """The order to close it was lost: presence says so again whenever it is renewed."""
    ann = await world.user("ann")
    old = await connected(world, ann, "app", sync="1")
    turn = await world.ports.presence.take_turn(ann)
    newer = PresenceEntry(ann, SessionId("newer"), await world.login_of(await world.token(ann)), "app", ELSEWHERE, turn)
    assert [lost.session_id for lost in await world.ports.presence.register(newer)] == [session_of(old)]
    await old.settled()
    await world.housekeeping.renew_presence()
    assert await old.closed() == CloseCode.REPLACED
    assert await online(world, ann) == {"newer"}


async def test_a_session_elsewhere_is_closed_by_its_node(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await world.user("ann")
    turn = await world.ports.presence.take_turn(ann)
    old = PresenceEntry(ann, SessionId("old"), await world.login_of(await world.token(ann)), "app", ELSEWHERE, turn)
    await world.ports.presence.register(old)
    orders: list[CloseOrder] = []

    async def fail(order: CloseOrder) -> None:
        orders.append(order)
        raise Unavailable

    monkeypatch.setattr(world.process.container.delivery_service(), "close_sessions", fail)
    new = await connected(world, ann, "app", sync="1")
    await eventually(lambda: orders)
    assert [(order.session_id, order.at, order.notice) for order in orders] == [("old", ELSEWHERE, OTHER_DEVICE)]
    await new.settled()
    assert new.close_code is None, "that it could not be told harms nobody else"


async def test_who_comes_while_presence_is_away_has_the_turn_of_his_time(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await world.user("ann")
    service = world.process.container.presence_service()

    async def away(*_: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        for method in ("register", "take_turn"):
            patch.setattr(service, method, away)
        first = await connected(world, ann, "app", sync="1")
    second = await connected(world, ann, "app", sync="1")
    assert await online(world, ann) == {session_of(second)}
    await world.housekeeping.notice_lost_presence()
    assert await first.closed() == CloseCode.REPLACED
    assert second.close_code is None
    assert isinstance(service, PresencePort)
