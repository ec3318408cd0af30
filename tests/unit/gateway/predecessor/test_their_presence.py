"""Our gateway in the predecessor's cluster: its presence service, played with raw bytes, is told our users, and what
its processes deliver reaches their sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from testkit.predecessor import PlayedPresence, RawServer, line, raw_peer, raw_server
from testkit.sockets import SocketWorld, socket_world
from testkit.waiting import eventually
from xinyu.gateway.predecessor.settings import PredecessorSettings

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]
presence = PlayedPresence()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service() -> AsyncIterator[RawServer]:
    async with raw_server(presence) as played:
        yield played


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(service: RawServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketWorld]:
    adapter = PredecessorSettings(enabled=True, port=0, presence_address=service.address, ttl_seconds=3)
    async with socket_world(tmp_path_factory.mktemp("ours"), adapter) as made:
        yield made


@pytest.fixture(autouse=True)
def _afresh(service: RawServer) -> Iterator[None]:
    service.asked.clear()
    presence.routes.clear()
    yield


def address_of(world: SocketWorld) -> str:
    assert world.process.predecessor is not None
    return world.process.predecessor.address


async def test_it_is_told_a_user_once_whatever_his_devices(world: SocketWorld, service: RawServer) -> None:
    ann = await world.user("ann")
    page, device = await world.page(await world.token(ann)), await world.device(await world.token(ann))
    await eventually(lambda: presence.routes == {ann: address_of(world)})
    assert service.asked[0].json == {"uid": ann, "gateway_rpc": address_of(world), "ttl_sec": 3}
    assert b"\nxinyu_predecessor_users 1.0\n" in world.process.container.metrics().render()
    await page.leave()
    await eventually(lambda: (203, ann) in service.commands())
    assert [command for command, _ in service.commands()].count(201) == 1
    assert (202, ann) not in service.commands(), "a device is still here"
    await device.leave()
    await eventually(lambda: ann not in presence.routes)
    assert service.commands()[-2:] == [(204, ann), (202, ann)]


async def test_a_route_that_is_another_gateways_by_now_stays(world: SocketWorld, service: RawServer) -> None:
    bob = await world.user("bob")
    page = await world.page(await world.token(bob))
    await eventually(lambda: bob in presence.routes)
    await page.leave()
    presence.routes[bob] = "127.0.0.1:9001"
    await eventually(lambda: (204, bob) in service.commands())
    await world.quiet()
    assert (202, bob) not in service.commands() and presence.routes[bob] == "127.0.0.1:9001"


async def test_a_presence_service_that_was_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    played = PlayedPresence()
    async with raw_server(played) as service:
        address = service.address
    adapter = PredecessorSettings(enabled=True, port=0, presence_address=address)
    async with socket_world(tmp_path, adapter) as world:
        cid = await world.user("cid")
        await world.page(await world.token(cid))
        async with raw_server(played, port=int(address.rsplit(":", 1)[1])) as service:
            await eventually(lambda: (201, cid) in service.commands())
            await world.close()
            await eventually(lambda: cid not in played.routes)


async def test_what_it_delivers_reaches_every_socket_of_the_user(world: SocketWorld) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    page, device = await world.page(await world.token(ann)), await world.device(await world.token(ann))
    stranger = await world.page(await world.token(bob))
    async with raw_peer(address_of(world)) as peer:
        payload = {"group_id": 3, "note": ["ü", None, 2**60]}
        answer = await peer.ask(101, uid=ann, event="im.group.apply", payload=payload)
        assert (answer.result, answer.result_str, answer.body) == (200, "unhandle", b"")
        for socket in (page, device):
            assert await eventually(lambda socket=socket: socket.events("im.group.apply")) == [payload]
        answer = await peer.ask(101, uid=ann, event="im.session.reload")
        assert await eventually(lambda: page.events("im.session.reload")) == [{}]
    await stranger.settled()
    assert not stranger.events("im.group.apply")


async def test_a_user_without_a_socket_is_no_error(world: SocketWorld) -> None:
    async with raw_peer(address_of(world)) as peer:
        assert (await peer.ask(101, uid=987654, event="im.message", payload={})).result == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "invalid json body"),
        (b"[]", "invalid json body"),
        (b"\xff", "invalid json body"),
        (line(event="e", payload={}), "missing uid or event"),
        (line(uid=0, event="e", payload={}), "missing uid or event"),
        (line(uid=-1, event="e"), "missing uid or event"),
        (line(uid=1.5, event="e"), "missing uid or event"),
        (line(uid=7, payload={}), "missing uid or event"),
        (line(uid=7, event=5), "missing uid or event"),
        (line(uid=7, event="e" * 101), "missing uid or event"),
    ],
)
async def test_what_cannot_be_delivered_is_refused(world: SocketWorld, body: bytes, says: str) -> None:
    async with raw_peer(address_of(world)) as peer:
        answer = await peer.ask(101, body)
        assert (answer.result, answer.result_str, answer.body) == (400, says, b"")


async def test_what_is_too_long_for_a_frame_is_refused(world: SocketWorld) -> None:
    async with raw_peer(address_of(world)) as peer:
        answer = await peer.ask(101, uid=7, event="e", payload="x" * 2_000_000)
        assert (answer.result, answer.result_str) == (413, "payload too large")
