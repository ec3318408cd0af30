"""Badges (G6, DESIGN.md section 5, *Unread*): exact after recalls, system messages, forwards, own messages, reads
elsewhere and time offline; `conversation.list`, `talk/session-list` and what a page shows agree."""

from __future__ import annotations

import pytest

from testkit.people import Device, Page, Person, Town, shows
from testkit.waiting import eventually
from xinyu.sdk import Talk
from xinyu.sdk.events import ReadReceipt

pytestmark = pytest.mark.scenario


async def badges_are(person: Person, talk: Talk, expected: int, *watchers: Device | Page) -> None:
    """Every way to learn the count gives the same."""

    async def agree() -> bool:
        listed = {line.talk: line.unread_num for line in await person.client.talks.list()}
        synced = await person.client.messages.sync({})
        found = {"session-list": listed.get(talk, 0)}
        for item in synced.items:
            if Talk(item.talk_mode, item.to_from_id) == talk:
                found["sync"] = item.unread_num
        for number, watcher in enumerate(watchers):
            value = watcher.badges[talk] if isinstance(watcher, Page) else await watcher.unread(talk)
            found[f"{type(watcher).__name__} {number}"] = value
        assert set(found.values()) == {expected}, found
        return True

    await eventually(agree)


async def test_what_counts_and_what_does_not(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    group_id = await ann.client.groups.create("Group", [bob.uid])
    group, to_bob, to_ann = Talk.group(group_id), bob.talk, ann.talk
    sender, phone, page = await ann.device(), await bob.device(), await bob.page()
    for talk in (to_ann, group):
        await phone.client.talks.clear_unread(talk)
    await page.load_sessions()
    await badges_are(bob, to_ann, 0, phone, page)
    await sender.client.send_text(to_bob, "one")
    slip = await sender.client.send_text(to_bob, "two")
    await badges_are(bob, to_ann, 2, phone, page)
    await sender.client.recall(to_bob, slip.msg_id)  # neither adds one nor, as pages do, takes one away
    await eventually(lambda: page.events("im.message.revoke"))
    await badges_are(bob, to_ann, 2, phone, page)
    await phone.client.send_text(to_ann, "my own")  # own sends never count
    await shows(page, to_ann, ["two", "my own"])
    await badges_are(bob, to_ann, 2, phone, page)
    await badges_are(ann, to_bob, 2, sender)  # the greeting and "my own"
    await ann.client.groups.mute(group_id, True)  # events of the group are nobody's words
    await ann.client.groups.mute(group_id, False)
    await eventually(lambda: len(phone.of(group)) >= 2)
    listed = {line.talk: line.unread_num for line in await bob.client.talks.list()}
    assert listed[group] == 0


async def test_forwarding_into_a_chat_does_not_read_it(town: Town) -> None:
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    sender, phone = await ann.device(), await bob.device()
    cleos = await cleo.device()
    await sender.client.send_text(bob.talk, "first")
    source = await sender.client.send_text(bob.talk, "pass it on")
    await sender.client.send_text(cleo.talk, "hello")
    await cleos.client.send_text(ann.talk, "unread by Ann")
    await shows(sender, cleo.talk, ["hello", "unread by Ann"])
    unread = await sender.unread(cleo.talk)
    for merged in (False, True):
        results = await sender.client.forward(bob.talk, [source.msg_id], [cleo.talk], merged=merged)
        assert [result.ok for result in results] == [True]
    await badges_are(ann, cleo.talk, unread, sender)
    await badges_are(cleo, ann.talk, 3, cleos)  # hello and two forwards; the greeting was Cleo's
    await badges_are(bob, ann.talk, 2, phone)
    await shows(cleos, ann.talk, ["hello", "unread by Ann", "pass it on"])
    merged_one = cleos.of(ann.talk)[-1]
    assert merged_one.msg_type == 9
    inside = await cleo.client.messages.forwarded(ann.talk, merged_one.extra["msg_ids"])
    assert [message.text for message in inside] == ["pass it on"]


async def test_reading_on_one_device_clears_all_and_never_goes_back(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    sender, phone, desk, page = await ann.device(), await bob.device(), await bob.device(), await bob.page()
    sent = [await sender.client.send_text(bob.talk, f"number {n}") for n in range(5)]
    await badges_are(bob, ann.talk, 5, phone, desk, page)
    assert await phone.client.read(ann.talk, sent[2].seq) == 2
    await badges_are(bob, ann.talk, 2, phone, desk)
    assert await desk.client.read(ann.talk, sent[0].seq) == 2  # late, and without effect
    assert await desk.client.read(ann.talk, sent[4].seq + 1000) == 0  # beyond the end is the end
    await badges_are(bob, ann.talk, 0, phone, desk)
    await sender.client.send_text(bob.talk, "one more")
    await badges_are(bob, ann.talk, 1, phone, desk)
    for watcher in (phone, desk, sender):
        await eventually(
            lambda watcher=watcher: [
                e for e in watcher.told(ReadReceipt) if (e.user_id, e.seq) == (bob.uid, sent[4].seq)
            ]
        )
    receipts = [e.seq for e in sender.told(ReadReceipt) if e.user_id == bob.uid]
    assert receipts == sorted(set(receipts)) and sender.told(ReadReceipt)[-1].talk == bob.talk
    await page.open(*ann.talk)
    await badges_are(bob, ann.talk, 0, phone, desk, page)


async def test_badges_are_right_after_time_offline(town: Town) -> None:
    """A page adds one for every push of a closed dialogue to what session-list told it when it was loaded."""
    ann, bob = await town.people("Ann", "Bob")
    group = Talk.group(await ann.client.groups.create("Group", [bob.uid]))
    sender = await ann.device()
    token = await bob.log_in("web")
    page = await bob.page(token)
    await sender.client.send_text(bob.talk, "seen online")
    await badges_are(bob, ann.talk, 1, page)
    await eventually(lambda: [f for f in page.frames if f.get("ackid")])
    await page.leave()
    for number in range(4):
        await sender.client.send_text(bob.talk, f"missed {number}")
        await sender.client.send_text(group, f"missed {number}")
    back = await bob.page(token)  # the same log-in: what it missed is pushed
    await shows(back, ann.talk, [f"missed {number}" for number in range(4)])
    await badges_are(bob, ann.talk, 5, back)
    await badges_are(bob, group, 4, back)
    fresh = await bob.page()  # a new log-in starts at the heads: the list alone tells
    await badges_are(bob, ann.talk, 5, fresh)
    await badges_are(bob, group, 4, fresh)
    phone = await bob.device(history="all")
    await badges_are(bob, ann.talk, 5, phone, back, fresh)


async def test_deleted_and_cleared_and_hidden(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    sender, phone, desk = await ann.device(), await bob.device(), await bob.device()
    sent = [await sender.client.send_text(bob.talk, f"number {n}") for n in range(3)]
    await badges_are(bob, ann.talk, 3, phone, desk)
    await bob.client.messages.delete(ann.talk, [sent[0].msg_id])
    records = await bob.client.messages.records(ann.talk)
    assert sent[0].msg_id not in [m.msg_id for m in records]
    assert sent[0].msg_id in [m.msg_id for m in await ann.client.messages.records(bob.talk)]
    await eventually(lambda: [m for m in desk.seen if m.talk.is_self])  # the other device is told, in order
    tombstones = (await desk.client.history(ann.talk, after=0, limit=100)).messages
    assert [m.seq for m in tombstones] == list(range(1, len(tombstones) + 1))
    await bob.client.talks.clear_records(ann.talk)
    await badges_are(bob, ann.talk, 0, phone, desk)
    assert not await bob.client.messages.records(ann.talk)
    await bob.client.talks.hide(ann.talk)
    assert ann.talk not in [line.talk for line in await bob.client.talks.list()]
    await sender.client.send_text(bob.talk, "back in the list")
    await badges_are(bob, ann.talk, 1, phone, desk)
    await bob.client.talks.pin(ann.talk)
    assert [line.is_top for line in await bob.client.talks.list() if line.talk == ann.talk] == [1]
