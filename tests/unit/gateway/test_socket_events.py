"""Requests on the socket over the real domain (CONTRACT.md sections 2.3 and 2.6)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from testkit.talks import ANN, BOB, CID, CROWD, DAN, TalkWorld, talk_world
from testkit.waiting import eventually
from xinyu.gateway.auth import Caller
from xinyu.gateway.present.signal import signal_frame
from xinyu.gateway.talks import BadTalkMode
from xinyu.gateway.ws.events import conversation, legacy, message, presence
from xinyu.gateway.ws.events.event import EventCall
from xinyu.kernel.ids import DeviceId, LoginId, SessionId, UserId, new_msg_id
from xinyu.message.errors import NotAMember
from xinyu.message.types import Kind, private_ref

EVENTS = {**message.EVENTS, **conversation.EVENTS, **presence.EVENTS, **legacy.EVENTS}
TO_BOB = {"talk_mode": 1, "to_from_id": BOB}
TO_ANN = {"talk_mode": 1, "to_from_id": ANN}
TO_CROWD = {"talk_mode": 2, "to_from_id": CROWD}


class Socket:
    """Asks as any user, from that user's one session."""

    def __init__(self, world: TalkWorld) -> None:
        self.world = world

    async def ask(self, user_id: UserId, name: str, payload: dict[str, Any]) -> Any:
        """The payload of the reply, as it is on the wire."""
        event = EVENTS[name]
        call: EventCall[Any] = EventCall(
            payload=msgspec.json.decode(msgspec.json.encode(payload), type=event.payload, strict=False),
            caller=Caller(user_id, LoginId(f"{user_id:032x}"), "web", 1, 2**40),
            session_id=SessionId(f"session of {user_id}"),
            device_id=DeviceId(f"device of {user_id}"),
            services=self.world.services,
        )
        return json.loads(msgspec.json.encode(await event.handler(call)))

    async def say(self, user_id: UserId, talk: dict[str, Any], text: str, **more: Any) -> Any:
        return await self.ask(user_id, "message.send", {"type": "text", "body": {"content": text}, **talk, **more})


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncIterator[Socket]:
    async with talk_world(tmp_path) as world:
        yield Socket(world)


async def test_the_session_that_sends_is_answered_and_not_pushed_to(socket: Socket) -> None:
    msg_id = new_msg_id()
    reply = await socket.say(ANN, TO_BOB, "hi", msg_id=msg_id, quote_id=None)
    assert (reply["msg_id"], reply["sequence"], reply["nickname"]) == (msg_id, 1, "ann")
    assert reply["talk_id"] > 0
    assert await socket.say(ANN, TO_BOB, "hi", msg_id=msg_id) == reply
    (push,) = await eventually(lambda: socket.world.pushes[-1:])
    assert (push.origin_session, push.conversation_id) == (f"session of {ANN}", reply["talk_id"])


async def test_history_goes_both_ways_and_skips_no_number(socket: Socket) -> None:
    sent = [await socket.say(ANN, TO_BOB, text) for text in ("a", "b", "c")]
    assert await socket.ask(ANN, "message.recall", {**TO_BOB, "msg_id": sent[1]["msg_id"]}) is None
    newest = await socket.ask(BOB, "message.history", {**TO_ANN, "limit": 3})
    assert ([item["sequence"] for item in newest["items"]], newest["more"]) == ([4, 3, 2], True)
    assert [(item["msg_type"], item["is_revoked"]) for item in newest["items"]] == [(1105, 2), (1, 2), (1, 1)]
    below = await socket.ask(BOB, "message.history", {**TO_ANN, "before": 3})
    assert ([item["sequence"] for item in below["items"]], below["more"]) == ([2, 1], False)
    above = await socket.ask(BOB, "message.history", {**TO_ANN, "after": 0, "limit": 2})
    assert ([item["sequence"] for item in above["items"]], above["more"]) == ([1, 2], True)
    assert {item["talk_id"] for item in above["items"]} == {sent[0]["talk_id"]}


async def test_ones_own_notices_are_read_as_talk_mode_3_and_nobody_elses(socket: Socket) -> None:
    sent = await socket.say(ANN, TO_BOB, "x")
    await socket.world.messages.delete(BOB, private_ref(ANN), [sent["msg_id"]])
    own = await socket.ask(BOB, "message.history", {"talk_mode": 3, "to_from_id": BOB})
    assert [item["msg_type"] for item in own["items"]] == [2001]
    tombstone = await socket.ask(BOB, "message.history", TO_ANN)
    assert [(item["hidden"], item["extra"]) for item in tombstone["items"]] == [(True, "{}")]
    with pytest.raises(BadTalkMode):
        await socket.ask(ANN, "message.history", {"talk_mode": 3, "to_from_id": BOB})


async def test_sync_gives_a_device_what_it_has_not(socket: Socket) -> None:
    sent = await socket.say(ANN, TO_BOB, "one")
    await socket.say(ANN, TO_BOB, "two")
    page = await socket.ask(BOB, "sync", {"cursors": {str(sent["talk_id"]): 1}, "limit": None})
    (item,) = [item for item in page["items"] if item["talk_id"] == sent["talk_id"]]
    assert ([m["sequence"] for m in item["messages"]], item["last_seq"], item["to_from_id"]) == ([2], 2, ANN)
    assert item["messages"][0]["nickname"] == "ann"
    empty = await socket.ask(DAN, "sync", {})
    assert empty["items"] == [] and empty["more"] is False


async def test_the_list_has_cursors_and_reading_moves_them(socket: Socket) -> None:
    for text in ("a", "b"):
        await socket.say(ANN, TO_BOB, text)

    async def line() -> Any:
        items = (await socket.ask(BOB, "conversation.list", {}))["items"]
        return next(item for item in items if item["to_from_id"] == ANN)

    before = await line()
    assert (before["last_seq"], before["read_seq"], before["unread_num"], before["name"]) == (2, 0, 2, "ann")
    assert await socket.ask(BOB, "conversation.read", {**TO_ANN, "seq": 1}) == {"unread_num": 1}
    assert (await line())["read_seq"] == 1
    assert await socket.ask(BOB, "conversation.read", TO_ANN) == {"unread_num": 0}
    await eventually(lambda: len(socket.world.signals) == 2)
    frames = [json.loads(signal_frame(s.name, s.payload, ANN) or b"{}") for s in socket.world.signals]
    assert [(f["event"], f["payload"]["seq"], f["payload"]["to_from_id"]) for f in frames] == [
        ("im.message.read", 1, BOB), ("im.message.read", 2, BOB),
    ]  # fmt: skip


async def test_typing_reaches_the_others(socket: Socket) -> None:
    await socket.ask(ANN, "typing", TO_CROWD)
    (signal,) = await eventually(lambda: socket.world.signals)
    assert (signal.name, set(signal.recipients)) == ("typing", {BOB, CID})
    with pytest.raises(NotAMember):
        await socket.ask(DAN, "typing", TO_CROWD)


async def test_the_old_keyboard_event_is_private_and_may_leave_the_mode_out(socket: Socket) -> None:
    await socket.ask(ANN, "im.message.keyboard", TO_CROWD)
    await socket.ask(ANN, "im.message.keyboard", {"to_from_id": str(BOB)})
    (signal,) = await eventually(lambda: socket.world.signals)
    assert signal.recipients == [BOB]
    assert json.loads(signal_frame(signal.name, signal.payload, BOB) or b"{}") == {
        "event": "im.message.keyboard",
        "payload": {"talk_mode": Kind.PRIVATE, "to_from_id": ANN, "from_id": ANN},
    }
    assert EVENTS["im.message.keyboard"].legacy


async def test_presence_answers_for_everybody_asked_in_order(socket: Socket) -> None:
    await socket.world.connect(BOB, "pc")
    reply = await socket.ask(ANN, "presence.get", {"user_ids": [CID, BOB, CID]})
    assert reply == {
        "items": [
            {"user_id": CID, "online_status": "N", "platforms": []},
            {"user_id": BOB, "online_status": "Y", "platforms": ["pc"]},
        ]
    }
    assert await socket.ask(ANN, "presence.get", {}) == {"items": []}
    with pytest.raises(msgspec.ValidationError):
        await socket.ask(ANN, "presence.get", {"user_ids": list(range(501))})
    socket.world.blocks.add((BOB, ANN))
    nothing = {"user_id": BOB, "online_status": "N", "platforms": []}
    assert await socket.ask(ANN, "presence.get", {"user_ids": [BOB]}) == {"items": [nothing]}, "as by REST"


async def test_only_legacy_events_run_without_an_id() -> None:
    assert [name for name, event in EVENTS.items() if event.legacy] == ["im.message.keyboard"]
    assert set(EVENTS) == {
        "message.send", "message.history", "message.recall", "conversation.list", "conversation.read", "sync",
        "typing", "presence.get", "im.message.keyboard",
    }  # fmt: skip
