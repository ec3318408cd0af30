"""The connection: hello, requests by id, heartbeat, drain, close codes, reconnecting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from testkit.fake_gateway import FakeGateway, Peer
from testkit.waiting import eventually
from xinyu.sdk import ApiError, Client, ClientClosed, Dismissed, LoginEnded, NotConnected, RequestTimeout, Talk, Tuning
from xinyu.sdk.events import Connected, Disconnected

MakeClient = Callable[..., Client]
BOB = Talk.user(2)


async def connected(gateway: FakeGateway, client: Client) -> Peer:
    task = asyncio.create_task(client.connect())
    peer = await gateway.accept()
    await peer.greet(first=True)
    await task
    return peer


def quick(**changes: float) -> Tuning:
    base = Tuning(request_seconds=2, backoff_base_seconds=0.01, backoff_cap_seconds=0.05, ack_seconds=0.02)
    return msgspec.structs.replace(base, **changes)


async def test_the_handshake_names_token_device_and_sync(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(device_id="phone")
    peer = await connected(gateway, client)
    assert peer.path == "/wss/default.io"
    assert peer.query == {"token": "t0ken", "platform": "app", "sync": "1", "device_id": "phone"}
    assert client.uid == 1


async def test_replies_come_in_any_order(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    one = asyncio.create_task(client.read(BOB, 1))
    two = asyncio.create_task(client.read(BOB, 2))
    first, second = await peer.request("conversation.read"), await peer.request("conversation.read")
    assert first.id != second.id
    await peer.reply(second, {"unread_num": 22})
    await peer.reply(first, {"unread_num": 11})
    asked_one = {"talk_mode": 1, "to_from_id": 2, "seq": 1}
    expected = (11, 22) if first.payload == asked_one else (22, 11)
    assert (await one, await two) == expected


async def test_a_refusal_is_an_api_error(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.recall(BOB, "0" * 32))
    await peer.refuse(await peer.request("message.recall"), 403, "message.not_own")
    with pytest.raises(ApiError) as caught:
        await task
    assert (caught.value.status, caught.value.error, caught.value.retry_after_ms) == (403, "message.not_own", None)


async def test_no_reply_in_time(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    with pytest.raises(RequestTimeout):
        await client.typing(BOB, timeout=0.05)
    late = await peer.request("typing")
    await peer.reply(late, {})  # and a late reply harms nobody
    task = asyncio.create_task(client.conversations())
    await peer.reply(await peer.request("conversation.list"), {"items": []})
    assert await task == []
    assert client.violations == []


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 3499, 4000, 4499])
async def test_close_codes_that_say_reconnect(gateway: FakeGateway, make_client: MakeClient, code: int) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    await peer.close(code, "why")
    again = await gateway.accept()
    await again.greet()
    events = client.events()
    assert await anext(events) == Connected(1, False)
    assert await anext(events) == Disconnected(code, "why", True)
    assert await anext(events) == Connected(1, True)


async def test_a_vanished_server_is_reconnected_to(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.conversations())
    await peer.request("conversation.list")
    peer.abort()
    again = await gateway.accept()
    await again.greet()
    await again.reply(await again.request("conversation.list"), {"items": []})
    assert await task == []  # asked again by itself


@pytest.mark.parametrize(
    ("code", "error"), [(3500, Dismissed), (3999, Dismissed), (4500, Dismissed), (4401, LoginEnded)]
)
async def test_close_codes_that_say_stay_away(
    gateway: FakeGateway, make_client: MakeClient, code: int, error: type[Exception]
) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    waiting = asyncio.create_task(anext(client.incoming()))
    asking = asyncio.create_task(client.conversations())
    await peer.request("conversation.list")
    await peer.close(code)
    with pytest.raises(error):
        await waiting
    with pytest.raises(error):
        await asking
    with pytest.raises(error):
        await client.connect()
    assert gateway.waiting == 0


async def test_a_bad_token_ends_connect_whatever_the_close_code(gateway: FakeGateway, make_client: MakeClient) -> None:
    task = asyncio.create_task(make_client().connect())
    peer = await gateway.accept()
    await peer.send("event_error", {"error_code": 401, "error_message": "unauthorized"})
    peer.abort()
    with pytest.raises(LoginEnded):
        await task


async def test_connect_gives_up_with_the_last_reason(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    task = asyncio.create_task(client.connect(timeout=0.3))
    peer = await gateway.accept()
    await peer.hello()
    await peer.refuse(await peer.request("sync"), 503, "transport.unavailable")
    with pytest.raises(ApiError, match="503"):
        await task
    with pytest.raises(ClientClosed):
        await client.connect()


async def test_the_heartbeat(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(tuning=quick(heartbeat_seconds=0.02))
    peer = await connected(gateway, client)

    async def beaten() -> bool:
        task = asyncio.create_task(client.conversations())
        await peer.reply(await peer.request("conversation.list"), {"items": []})
        await task
        return peer.pings >= 3

    await eventually(beaten)


async def test_a_silent_server_is_left(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client(tuning=quick(heartbeat_seconds=0.02, silence_seconds=0.05))
    peer = await connected(gateway, client)  # and then answers nothing any more
    again = await gateway.accept()
    assert await peer.gone() == 1006
    await again.greet()


async def test_a_ping_of_the_server_is_answered(gateway: FakeGateway, make_client: MakeClient) -> None:
    peer = await connected(gateway, make_client())
    await peer.send("ping")
    assert await peer.frame() == {"event": "pong", "payload": None}


async def test_drain_lets_requests_finish_and_reconnects(gateway: FakeGateway, make_client: MakeClient) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    task = asyncio.create_task(client.conversations())
    under_way = await peer.request("conversation.list")
    await peer.send("server.drain", {"delay_ms": 1500})
    await peer.reply(under_way, {"items": []})
    assert await task == []
    again = await gateway.accept()
    assert await peer.gone() == 1000
    await again.greet()
    task = asyncio.create_task(client.conversations())
    await again.reply(await again.request("conversation.list"), {"items": []})
    assert await task == []


async def test_several_addresses_are_tried_in_turn(gateway: FakeGateway, make_client: MakeClient) -> None:
    dead = "ws://127.0.0.1:9/wss/default.io"
    client = Client("http://127.0.0.1:9", "t", ws_url=[dead, gateway.ws_url], options=make_client()._options)
    async with client:
        await connected(gateway, client)


async def test_frames_that_break_the_contract_are_left_out_and_listed(
    gateway: FakeGateway, make_client: MakeClient
) -> None:
    client = make_client()
    peer = await connected(gateway, client)
    await peer.send_raw("not json")
    await peer.send("im.message", {"talk_mode": 1})
    await peer.send("im.message.read", {}, ackid="5.1")
    await peer.send("reply", {}, id="999")  # nobody asked: its caller may have given up
    task = asyncio.create_task(client.conversations())
    await peer.reply(await peer.request("conversation.list"), {"items": []})
    await task
    assert [what.split(":")[0] for what in client.violations] == ["not a frame", "im.message", "im.message.read"]


async def test_requests_before_connect_and_after_close(make_client: MakeClient) -> None:
    client = make_client()
    with pytest.raises(NotConnected):
        await client.conversations()
    await client.close()
    await client.close()
    with pytest.raises(ClientClosed):
        await client.connect()
    assert [message async for message in client.incoming()] == []
    assert [event async for event in client.events()] == []


async def test_a_client_without_a_token_says_so(gateway: FakeGateway) -> None:
    async with Client("http://127.0.0.1:9", ws_url=gateway.ws_url) as client:
        with pytest.raises(NotConnected, match="log in"):
            await client.connect()
