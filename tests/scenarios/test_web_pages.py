"""Web clients as they are (CONTRACT.md sections 1.0, 2): they know no sync and no seq, so what they show is right only
when the server is. Shows G2 to G5 for them."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from testkit.people import Town, shows
from testkit.raw_sockets import raw_socket
from testkit.waiting import eventually
from xinyu.sdk import Talk
from xinyu.sdk.events import Typing

pytestmark = pytest.mark.scenario


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
