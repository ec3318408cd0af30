"""Frames of clients and their answers (CONTRACT.md sections 2.2, 2.3 and 2.6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from testkit.clock import ManualClock
from testkit.sockets import SocketWorld, socket_world
from testkit.waiting import eventually
from xinyu.gateway.limits import RateLimits
from xinyu.gateway.settings import GatewaySettings
from xinyu.gateway.ws.events.event import Event as EventSpec
from xinyu.gateway.ws.events.event import EventCall, NoPayload
from xinyu.kernel.ids import new_msg_id

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketWorld]:
    async with socket_world(
        tmp_path_factory.mktemp("requests"), max_requests_in_flight=3, request_timeout_seconds=0.2
    ) as made:
        yield made


@pytest.fixture
def slow(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An event `slow` that answers when this is set, and one that is broken."""
    goes_on = asyncio.Event()

    async def handle(_call: EventCall[NoPayload]) -> object:
        await goes_on.wait()
        return {"slow": True}

    async def broken(_call: EventCall[NoPayload]) -> object:
        raise KeyError("a secret")

    requests = world.process.container.requests()
    events = {**requests._events, "slow": EventSpec(handle), "broken": EventSpec(broken)}
    monkeypatch.setattr(requests, "_events", events)
    return goes_on


async def test_ping_echo_and_what_is_ignored(world: SocketWorld) -> None:
    page = await world.page(await world.token(await world.user("ann")))
    ignored = ("", "what", "[]", {"event": "pong", "payload": None}, {"event": "nothing"}, {"payload": {}})
    for frame in (*ignored, {"event": "ack", "ackid": "1.1"}, {"event": "message.send", "payload": {"type": "text"}}):
        page.say(frame)
    page.say_bytes(b'{"event":"ping"}')
    page.say({"event": "echo", "payload": {"a": [1, "é"]}})
    page.say({"event": "echo", "payload": None})
    await page.settled()
    assert [frame["event"] for frame in page.frames] == ["connect", "echo", "echo", "pong"]
    assert page.events("echo") == [{"a": [1, "é"]}, {}]
    assert page.events("pong")[0]["ts"] > 0


@pytest.mark.parametrize("event", ["nothing", "", "ping", "pong", "echo", "ack"])
async def test_what_has_an_id_is_answered_once(world: SocketWorld, event: str) -> None:
    page = await world.page(await world.token(await world.user("ann")))
    answer = await page.ask(event, {}, id="7")
    assert (answer["event"], answer["payload"]["code"], answer["payload"]["error"]) == (
        "error",
        404,
        "request.no_event",
    )
    await page.settled()
    assert len(page.frames) == 3


@pytest.mark.parametrize(
    ("event", "payload"),
    [("message.send", 5), ("message.send", "x"), ("message.send", []), ("message.send", {"to_from_id": {}}),
     ("message.send", {"type": "text", "talk_mode": 1, "to_from_id": 2, "body": 5}),
     ("sync", {"cursors": {"1": "x"}}), ("presence.get", {"user_ids": "all"}), ("conversation.read", {"seq": -1}),
     ("message.history", {"talk_mode": 1, "to_from_id": 1e300})],
)  # fmt: skip
async def test_a_payload_of_the_wrong_type_is_invalid(world: SocketWorld, event: str, payload: object) -> None:
    page = await world.page(await world.token(await world.user("ann")))
    answer = await page.ask(event, payload)
    assert (answer["event"], answer["payload"]["code"]) == ("error", 400), answer
    assert "Traceback" not in json.dumps(answer)


async def test_a_send_is_answered_here_and_pushed_to_the_others(world: SocketWorld) -> None:
    """CONTRACT.md section 2.6: the session gets the reply, its user's other sessions the push."""
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    origin, other, tab = await world.device(token), await world.device(await world.token(ann)), await world.page(token)
    peer = await world.page(await world.token(bob))
    msg_id = new_msg_id()
    payload = {"type": "text", "talk_mode": 1, "to_from_id": bob, "body": {"content": "hi"}, "msg_id": msg_id}
    answer = await origin.ask("message.send", payload)
    assert (answer["event"], answer["payload"]["msg_id"], answer["payload"]["sequence"]) == ("reply", msg_id, 1)
    for socket in (other, tab, peer):
        await socket.has("hi")
    again = await origin.ask("message.send", payload, id="again")
    assert again["payload"] == answer["payload"]
    await world.quiet()
    await origin.settled()
    assert origin.texts() == []


async def test_own_sends_do_not_hold_up_the_answer_to_them(world: SocketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender's session never gets a push of its own message: the next one must not wait for it."""
    ann, bob = await world.friends("ann", "bob")
    device = await world.device(await world.token(ann))
    for text in ("one", "two", "three"):
        payload = {"type": "text", "talk_mode": 1, "to_from_id": bob, "body": {"content": text}}
        assert (await device.ask("message.send", payload, id=text))["event"] == "reply"
    monkeypatch.setattr(world.deliverer, "_release_waiting", lambda: None)  # what waits would wait for ever
    await world.send(bob, ann, "four")
    await device.has("four")
    await world.send(bob, ann, "five")
    await device.has("four", "five")


async def test_acks_count_own_sends(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token = await world.token(ann)
    device = await world.device(token)
    payload = {"type": "text", "talk_mode": 1, "to_from_id": bob, "body": {"content": "mine"}}
    record = (await device.ask("message.send", payload))["payload"]
    device.say({"event": "ack", "cursors": {str(record["talk_id"]): record["sequence"]}})
    await device.settled()
    await world.housekeeping.store_cursors()
    assert await world.cursor(ann, token, record["talk_id"]) == 1


async def test_more_requests_at_once_than_allowed(world: SocketWorld, slow: asyncio.Event) -> None:
    device = await world.device(await world.token(await world.user("ann")))
    for number in range(5):
        device.say({"event": "slow", "id": number})
    device.say({"event": "im.message.keyboard", "payload": {"to_from_id": 1}})
    await device.settled()
    refused = [frame for frame in device.frames if frame["event"] == "error"]
    assert [frame["id"] for frame in refused] == [3, 4]
    assert all(f["payload"]["code"] == 429 and f["payload"]["retry_after_ms"] > 0 for f in refused)
    slow.set()
    await eventually(lambda: [f["id"] for f in device.frames if f["event"] == "reply"] == [0, 1, 2])
    assert (await device.ask("slow"))["payload"] == {"slow": True}


async def test_a_request_that_takes_too_long(world: SocketWorld, slow: asyncio.Event) -> None:
    device = await world.device(await world.token(await world.user("ann")))
    answer = await device.ask("slow")
    assert (answer["payload"]["code"], answer["payload"]["error"]) == (504, "transport.deadline")
    slow.set()
    await device.settled()
    assert [frame["event"] for frame in device.frames].count("reply") == 0


async def test_a_message_whose_answer_came_too_late_is_stored_once(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G2: the retry after a deadline gets the receipt."""
    ann, bob = await world.friends("ann", "bob")
    store = world.process.container.log_store()
    goes_on, real = asyncio.Event(), store.append

    async def late(*arguments: object) -> object:
        await goes_on.wait()
        return await real(*arguments)  # type: ignore[arg-type]  # passed on as they came

    device = await world.device(await world.token(ann))
    peer = await world.page(await world.token(bob))
    payload = {"type": "text", "talk_mode": 1, "to_from_id": bob, "body": {"content": "hi"}, "msg_id": new_msg_id()}
    monkeypatch.setattr(store, "append", late)
    assert (await device.ask("message.send", payload))["payload"]["error"] == "transport.deadline"
    goes_on.set()
    answer = await device.ask("message.send", payload, id="again")
    assert (answer["event"], answer["payload"]["sequence"]) == ("reply", 1)
    await peer.has("hi")


async def test_a_broken_handler_shows_no_secret(world: SocketWorld, slow: asyncio.Event) -> None:
    device = await world.device(await world.token(await world.user("ann")))
    answer = await device.ask("broken")
    assert answer["payload"]["code"] == 500
    assert "secret" not in json.dumps(answer)
    await device.settled()


async def test_a_client_that_leaves_in_the_middle_of_a_request(world: SocketWorld, slow: asyncio.Event) -> None:
    device = await world.device(await world.token(await world.user("ann")))
    device.say({"event": "slow", "id": 1})
    await device.settled()
    await device.leave()
    slow.set()
    await world.process.container.requests().drained()


async def test_typing_reaches_the_peer(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    page, peer = await world.page(await world.token(ann)), await world.device(await world.token(bob))
    page.say({"event": "im.message.keyboard", "payload": {"to_from_id": bob}})
    await eventually(lambda: peer.events("im.message.keyboard"))
    assert peer.events("im.message.keyboard") == [{"talk_mode": 1, "to_from_id": ann, "from_id": ann}]


async def test_requests_of_a_client_that_floods_are_taken_in_turn(tmp_path: Path) -> None:
    async with socket_world(tmp_path) as world:
        device = await world.device(await world.token(await world.user("ann")))
        for number in range(200):
            device.say({"event": "conversation.list", "id": number})
        await eventually(lambda: len(device.frames) == 201)
        codes = {f["payload"].get("code", 200) for f in device.frames[1:]}
        assert codes <= {200, 429}
        assert sorted(f["id"] for f in device.frames[1:]) == list(range(200))


async def test_requests_other_than_messages_have_a_rate_of_their_own(
    world: SocketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = GatewaySettings(socket_requests_per_second_per_user=2, sends_per_second_per_user=0)
    ann, bob = await world.friends("ann", "bob")
    page = await world.page(await world.token(ann))
    services = world.process.container.services()
    monkeypatch.setattr(
        world.process.container.requests(),
        "_services",
        replace(services, limits=RateLimits(settings, clock=ManualClock())),
    )
    for _ in range(2):
        assert (await page.ask("presence.get"))["event"] == "reply"
    told = (await page.ask("presence.get"))["payload"]
    assert (told["code"], told["error"], told["retry_after_ms"]) == (429, "request.overloaded", 1000)
    text = {"type": "text", "talk_mode": 1, "to_from_id": bob, "body": {"text": "hi"}}
    assert (await page.ask("message.send", text))["event"] == "reply"
    assert (await page.ask("typing", {"talk_mode": 1, "to_from_id": bob}))["event"] == "reply"
