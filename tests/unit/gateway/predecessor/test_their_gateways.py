"""A gateway of the predecessor in our cluster, played with raw bytes: its users get our pushes, and it may ask."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from testkit.predecessor import RawPeer, as_gateway, line, raw_peer, raw_server, request_bytes
from testkit.sockets import SocketWorld, socket_world
from testkit.waiting import eventually
from xinyu.gateway.predecessor.deliverer import PredecessorDeliverer
from xinyu.gateway.predecessor.places import place_at
from xinyu.gateway.predecessor.settings import PredecessorSettings
from xinyu.kernel.ids import UserId

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]
NOBODY = 987654


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketWorld]:
    adapter = PredecessorSettings(enabled=True, port=0)
    async with socket_world(tmp_path_factory.mktemp("theirs"), adapter) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def peer(world: SocketWorld) -> AsyncIterator[RawPeer]:
    async with raw_peer(address_of(world)) as peer:
        yield peer


def address_of(world: SocketWorld) -> str:
    assert world.process.predecessor is not None
    return world.process.predecessor.address


async def test_a_user_at_its_gateway_gets_our_pushes_as_web_clients_do(world: SocketWorld, peer: RawPeer) -> None:
    ann, bob = await world.friends("ann", "bob")
    async with raw_server(as_gateway) as gateway:
        answer = await peer.ask(201, uid=bob, gateway_rpc=gateway.address, ttl_sec=60)
        told = answer.json
        assert (answer.result, told.pop("last_seen_ms") > 1_600_000_000_000) == (200, True)
        assert told == {"uid": bob, "gateway_rpc": gateway.address, "ttl_sec": 60}
        assert answer.body.endswith(b"}\n")

        await world.send(ann, bob, "hello")
        await world.send(ann, bob, "again")
        await eventually(lambda: len(gateway.events(bob)) == 4)
        (first, payload), (second, update), (_, later), _ = gateway.events(bob)
        assert (first, second) == ("im.message", "im.session.update")
        assert (payload["talk_mode"], payload["to_from_id"], payload["from_id"]) == (1, ann, ann)
        assert json.loads(payload["body"]["extra"])["content"] == "hello"
        assert json.loads(later["body"]["extra"])["content"] == "again"
        assert (update["to_from_id"], update["msg_text"]) == (ann, "hello")
        assert set(gateway.asked[0].json) == {"uid", "event", "payload"}, "no ackid: it takes no acks"

        await world.send(bob, ann, "from another device of mine")
        await eventually(lambda: len(gateway.events(bob)) == 6)
        assert gateway.events(bob)[4][1]["to_from_id"] == ann, "the peer as its recipient sees it"
        assert gateway.events(bob)[4][1]["from_id"] == bob


async def test_members_of_a_group_and_typing_reach_its_gateway_too(world: SocketWorld, peer: RawPeer) -> None:
    ann, bob, cid = await world.friends("ann", "bob", "cid")
    await world.gather(801, ann, bob, cid)
    async with raw_server(as_gateway) as gateway:
        for user in (bob, cid):
            await peer.ask(201, uid=user, gateway_rpc=gateway.address, ttl_sec=60)
        await world.say(ann, 801, "all of you")
        for user in (bob, cid):
            events = await eventually(lambda user=user: _of(gateway.events(user), "im.message"))
            assert (events[0]["talk_mode"], events[0]["to_from_id"]) == (2, 801)
        page = await world.page(await world.token(ann))
        page.say({"event": "im.message.keyboard", "payload": {"talk_mode": 1, "to_from_id": bob}})
        (typing,) = await eventually(lambda: _of(gateway.events(bob), "im.message.keyboard"))
        assert typing == {"talk_mode": 1, "to_from_id": ann, "from_id": ann}
        await page.leave()


async def test_a_gateway_that_is_away_gets_its_pushes_once_it_is_back_each_once(
    world: SocketWorld, peer: RawPeer
) -> None:
    ann, bob = await world.friends("ann", "bob")
    async with raw_server(as_gateway) as gateway:
        address = gateway.address
        await peer.ask(201, uid=bob, gateway_rpc=address, ttl_sec=60)
        await world.send(ann, bob, "one")
        await eventually(lambda: len(gateway.events(bob)) == 2)
    await world.send(ann, bob, "two")
    await world.quiet()
    async with raw_server(as_gateway, port=int(address.rsplit(":", 1)[1])) as gateway:
        await eventually(lambda: len(gateway.events(bob)) == 2, within=15)
        assert json.loads(gateway.events(bob)[0][1]["body"]["extra"])["content"] == "two"


async def test_a_gateway_is_not_told_again_what_another_was_not_told(world: SocketWorld, peer: RawPeer) -> None:
    ann, bob, cid = await world.friends("ann", "bob", "cid")
    await world.gather(802, ann, bob, cid)
    await world.quiet()
    async with raw_server(as_gateway) as gateway:
        async with raw_server(as_gateway) as other:
            address = other.address
        await peer.ask(201, uid=bob, gateway_rpc=gateway.address, ttl_sec=60)
        await peer.ask(201, uid=cid, gateway_rpc=address, ttl_sec=60)
        await world.say(ann, 802, "both of you")
        await eventually(lambda: len(gateway.events(bob)) == 2)
        async with raw_server(as_gateway, port=int(address.rsplit(":", 1)[1])) as other:
            await eventually(lambda: len(other.events(cid)) == 2, within=15)
        assert len(gateway.events(bob)) == 2, "the outbox repeats the push for the one who lacks it"


async def test_its_gateways_are_no_nodes_of_ours(world: SocketWorld) -> None:
    deliverers, theirs = world.process.container.deliverers(), place_at("127.0.0.1:9001")
    ours = world.process.container.node_ref()
    assert deliverers.is_here(ours) and not deliverers.is_here(theirs)
    assert isinstance(deliverers.find(theirs), PredecessorDeliverer)
    assert deliverers.all_nodes() == [deliverers.find(ours)]


async def test_presence_commands_answer_as_the_contract_has_them(world: SocketWorld, peer: RawPeer) -> None:
    user = await world.user("dan")
    assert (await peer.ask(201, gateway_rpc="127.0.0.1:1")).result_str == "missing uid"
    assert (await peer.ask(201, uid=user)).result_str == "missing gateway_rpc"
    assert (await peer.ask(203, b"no json")).result == 400
    for command in (202, 204):
        answer = await peer.ask(command, b"{}")
        assert (answer.result, answer.result_str, answer.body) == (400, "missing uid", b"")

    unknown = await peer.ask(204, trace_id="t", uid=user)
    assert (unknown.result, unknown.result_str, unknown.body) == (404, "not found", b'{"uid":%d}\n' % user)

    beat = await peer.ask(203, uid=str(user), gateway_rpc="127.0.0.1:9001", ttl_sec=0)
    assert (beat.result, beat.json["ttl_sec"]) == (200, 120), "a heartbeat is as good as the first word; 0 is ours"
    assert (await peer.ask(204, uid=user)).json == {"uid": user, "gateway_rpc": "127.0.0.1:9001"}
    await peer.ask(201, uid=user, gateway_rpc="127.0.0.1:9002", ttl_sec=9)
    assert (await peer.ask(204, uid=user)).json["gateway_rpc"] == "127.0.0.1:9002", "one gateway for a user: the last"
    assert [who.user_id for who in await world.ports.presence.list_online([user])] == [user]

    gone = await peer.ask(202, uid=user)
    assert (gone.result, gone.body) == (200, b'{"uid":%d}\n' % user)
    assert (await peer.ask(204, uid=user)).result == 404
    assert (await peer.ask(202, uid=user)).result == 200, "twice is as good as once"


async def test_the_published_frames_are_understood_and_answered_byte_for_byte(world: SocketWorld) -> None:
    async with raw_peer(address_of(world)) as peer:
        assert await world.ports.presence.locate([UserId(7)]) == []
        peer.writer.write(bytes.fromhex("abcd0100000000100101cc010174097b22756964223a377d"))
        expected = "abcd01000000001d0201cc019403096e6f7420666f756e6401740a7b22756964223a377d0a"
        assert (await peer.reader.readexactly(len(expected) // 2)).hex() == expected


async def test_the_route_to_users_of_ours_is_our_listener(world: SocketWorld, peer: RawPeer) -> None:
    ann = await world.user("ann")
    page = await world.page(await world.token(ann))
    assert (await peer.ask(204, uid=ann)).json == {"uid": ann, "gateway_rpc": address_of(world)}
    await peer.ask(201, uid=ann, gateway_rpc="127.0.0.1:9001", ttl_sec=60)
    assert (await peer.ask(204, uid=ann)).json["gateway_rpc"] == address_of(world)
    await peer.ask(202, uid=ann)
    assert (await peer.ask(204, uid=ann)).json["gateway_rpc"] == address_of(world), "our sessions are not its to end"
    await page.leave()


@pytest.mark.parametrize(
    "address", ["192.0.2.1:8060", "localhost:8060", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "[::1]"]
)
async def test_gateways_outside_of_the_allowed_networks_are_not_called(peer: RawPeer, address: str) -> None:
    answer = await peer.ask(201, uid=NOBODY, gateway_rpc=address, ttl_sec=60)
    assert (answer.result, answer.result_str) == (403, "gateway_rpc is not allowed")
    assert (await peer.ask(204, uid=NOBODY)).result == 404


async def test_we_are_no_gateway_of_the_predecessor(world: SocketWorld, peer: RawPeer) -> None:
    assert (await peer.ask(201, uid=NOBODY, gateway_rpc=address_of(world))).result == 403


async def test_unknown_commands_are_answered_and_the_connection_stays(peer: RawPeer) -> None:
    for command in (100, 120, 210, 308, 501):  # ports of ours among them
        answer = await peer.ask(command, uid=1)
        assert (answer.result, answer.result_str, answer.body) == (404, "unhandle", b"")


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(64),
        b"\xab\xcd\x02\x00\x00\x00\x00\x01\x01",
        b"\xab\xcd\x01\x00\x7f\xff\xff\xff",
    ],
)
async def test_garbage_ends_its_own_connection_alone(world: SocketWorld, peer: RawPeer, garbage: bytes) -> None:
    async with raw_peer(address_of(world)) as other:
        other.writer.write(request_bytes(1, 204, line(uid=NOBODY)) + garbage)
        assert await other.reader.read(4) in (b"\xab\xcd\x01\x00", b"")
        while not await other.is_closed():
            pass
    assert (await peer.ask(204, uid=NOBODY)).result == 404


async def test_an_address_that_is_not_allowed_is_cut_off(tmp_path: Path) -> None:
    adapter = PredecessorSettings(enabled=True, port=0, allowed=("192.0.2.0/24",))
    async with socket_world(tmp_path, adapter) as world, raw_peer(address_of(world)) as peer:
        assert await peer.is_closed()


def _of(events: list[tuple[str, Any]], name: str) -> list[Any]:
    return [payload for event, payload in events if event == name]
