"""Web clients as they are (CONTRACT.md sections 1.0, 2): they know no sync and no seq, so what they show is right only
when the server is. Shows G2 to G5 for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from testkit.people import Person, Town, shows
from testkit.waiting import eventually
from xinyu.sdk import Talk
from xinyu.sdk.events import Typing

pytestmark = pytest.mark.scenario
SETTINGS = {"gateway": {"retransmit_seconds": 0.3}}


class RawSocket:
    """A socket on which a test answers, or does not, by hand."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.frames: list[dict[str, Any]] = []
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for text in self._socket:
            self.frames.append(json.loads(text))

    async def send(self, frame: object) -> None:
        await self._socket.send(json.dumps(frame))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["event"] == event]

    def copies(self, text: str) -> int:
        """How often a text was pushed."""
        return sum(text in frame["payload"]["body"]["extra"] for frame in self.named("im.message"))


@asynccontextmanager
async def raw_socket(person: Person, token: str) -> AsyncIterator[RawSocket]:
    async with connect(f"{person.town.placement.ws}?token={token}&platform=web", compression=None) as socket:
        raw = RawSocket(socket)
        try:
            await eventually(lambda: raw.named("connect"))
            yield raw
        finally:
            raw.reader.cancel()
            await asyncio.gather(raw.reader, return_exceptions=True)


async def test_a_push_is_repeated_with_the_same_ackid_until_it_is_acked(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    sender = await ann.device()
    async with raw_socket(bob, await bob.log_in("web")) as raw:
        sent = await sender.client.send_text(bob.talk, "hello?")
        ackid = f"{sent.talk_id}.{sent.seq}"
        await eventually(lambda: [f["ackid"] for f in raw.named("im.message")] == [ackid] * 2, 8)
        assert raw.named("im.message")[0] == raw.named("im.message")[1]
        await raw.send({"event": "ack", "ackid": ackid})
        await sender.client.send_text(bob.talk, "thank you")
        await eventually(lambda: raw.copies("thank you"))
        repeated = raw.copies("hello?")
        await eventually(lambda: raw.copies("thank you") > 1, 8)
        assert raw.copies("hello?") == repeated


async def test_a_client_that_never_acks_is_given_up_on_and_loses_nothing(town: Town) -> None:
    """Ack-less (it pings, but answers none of three repetitions): its cursor moves on write, so a reconnect repeats
    nothing."""
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    token, sender = await bob.log_in("web"), await ann.device()
    async with raw_socket(bob, token) as raw, raw_socket(cleo, await cleo.log_in("web")) as clock:
        await sender.client.send_text(bob.talk, "first")
        await eventually(lambda: raw.copies("first") == 4, 15)  # once, and three times again
        await raw.send({"event": "ping"})
        sent = await sender.client.send_text(cleo.talk, "acked")
        await eventually(lambda: clock.copies("acked"))
        await clock.send({"event": "ack", "ackid": f"{sent.talk_id}.{sent.seq}"})
        await sender.client.send_text(cleo.talk, "tick")  # whoever acked once is repeated to: what shows time passing
        await eventually(lambda: clock.copies("tick") == 3, 8)
        await sender.client.send_text(bob.talk, "second")
        await eventually(lambda: clock.copies("tick") == 6, 8)
        assert (raw.copies("first"), raw.copies("second")) == (4, 1)
    await sender.client.send_text(bob.talk, "while away")
    async with raw_socket(bob, token) as again:
        await eventually(lambda: again.copies("while away"))
        assert again.copies("first") + again.copies("second") == 0


async def test_a_page_that_reconnects_shows_everything_once_in_order(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    group = Talk.group(await ann.client.groups.create("Group", [bob.uid]))
    sender, token = await ann.device(), await bob.log_in("web")
    page = await bob.page(token)
    await sender.client.send_text(group, "online")
    await shows(page, group, ["online"])
    await page.leave()
    for number in range(30):
        await sender.client.send_text(group, f"missed {number}")
    more = [asyncio.create_task(sender.client.send_text(group, f"live {number}")) for number in range(30)]
    back = await bob.page(token)
    await asyncio.gather(*more)
    log = [m.text for m in (await sender.client.history(group, after=0, limit=200)).messages if m.text]
    await eventually(lambda: [t for t in back.texts(*group) if t] == log[log.index("missed 0") :])


async def test_own_sends_are_shown_once_on_all_devices(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    page, other, phone = await ann.page(), await ann.page(), await ann.device()
    receiver = await bob.page()
    await page.send_text(*bob.talk, "from a page")
    await phone.client.send_text(bob.talk, "from a phone")
    for watcher in (page, other, phone):
        await shows(watcher, bob.talk, ["from a page", "from a phone"])
    await shows(receiver, ann.talk, ["from a page", "from a phone"])
    assert page.badges[bob.talk] == other.badges[bob.talk] == 1  # Bob's greeting
    for frame in receiver.frames:  # who the peer is depends on who looks (CONTRACT.md section 0, row 4)
        if frame["event"] == "im.message" and frame["payload"]["talk_mode"] == 1:
            assert frame["payload"]["to_from_id"] == ann.uid


async def test_a_repeated_post_is_done_once(town: Town) -> None:
    """Pages repeat a POST when nobody answered: without a msg_id of its own, a create must not happen twice."""
    ann, bob = await town.people("Ann", "Bob")
    phone = await bob.device()
    headers = {"Authorization": f"Bearer {ann.client.token}"}
    sent = await ann.client.messages.send(bob.talk, "text", {"text": "source"})
    forward = {
        "type": "forward", "talk_mode": 1, "to_from_id": bob.uid,
        "body": {"action": 1, "msg_ids": [sent.msg_id], "user_ids": [bob.uid], "group_ids": []},
    }  # fmt: skip
    async with httpx.AsyncClient(base_url=f"{town.placement.http}/api/v1/", headers=headers) as http:
        for path, body in (("group/create", {"name": "Once", "user_ids": [bob.uid]}), ("message/send", forward)):
            answers = await asyncio.gather(*(http.post(path, json=body) for _ in range(3)))
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.text for answer in answers}) == 1
    assert [group.group_name for group in await ann.client.groups.list()] == ["Once"]
    await shows(phone, ann.talk, ["source", "source"])
    await ann.client.messages.send(bob.talk, "text", {"text": "end"})
    await shows(phone, ann.talk, ["source", "source", "end"])


async def test_typing_reaches_the_peer_and_nobody_else(town: Town) -> None:
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    phone, page, third, sender = await bob.device(), await bob.page(), await cleo.page(), await ann.device()
    async with raw_socket(ann, await ann.log_in("web")) as raw:
        await raw.send({"event": "im.message.keyboard", "payload": {"to_from_id": bob.uid}})  # LumenIM: no talk_mode
        await eventually(lambda: page.events("im.message.keyboard"))
        [told] = page.events("im.message.keyboard")
        assert (told["from_id"], told["talk_mode"]) == (ann.uid, 1)
        await eventually(lambda: [event.talk for event in phone.told(Typing)] == [ann.talk])
        await sender.client.typing(bob.talk)
        await eventually(lambda: len(page.events("im.message.keyboard")) == 2)
        await raw.send({"event": "ping"})
        await eventually(lambda: raw.named("pong"))
        assert not third.events("im.message.keyboard") and not raw.named("im.message.keyboard")


async def test_applications_are_pushed(town: Town) -> None:
    ann, bob = await town.person("Ann"), await town.person("Bob")
    anns, bobs = await ann.page(), await bob.page()
    await ann.client.contacts.apply(bob.uid, "let me in")
    await eventually(lambda: bobs.events("im.contact.apply"))
    [apply] = bobs.events("im.contact.apply")
    assert (apply["nickname"], apply["remark"]) == ("Ann", "let me in")
    assert await bob.client.contacts.application_count() == 1
    [application] = await bob.client.contacts.applications()
    await bob.client.contacts.accept(application.id)
    await eventually(lambda: anns.events("im.contact.accept"))
    assert anns.events("im.contact.accept")[0]["acceptor_id"] == bob.uid
    await shows(anns, bob.talk, ["我们已经是好友了，可以开始聊天了"])
    await eventually(lambda: bob.talk in anns.sessions)
    await ann.client.groups.create("Group", [bob.uid])
    await eventually(lambda: bobs.events("im.group.create"))
