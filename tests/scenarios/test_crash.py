"""`kill -9` while people send. Shows G1 (acked is durable), G2 (idempotent sends), G3 (one dense order), G4 (what was
acked reaches those who are connected), on SDK devices and web pages."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from testkit.people import Page, Person, Town, shows
from testkit.talkers import Talker, check_log, whole_log
from testkit.waiting import eventually
from webclient import WebError
from xinyu.sdk import ApiError, Message, Talk

pytestmark = pytest.mark.scenario
ROUNDS = 3
ACKS_PER_ROUND = 40


async def test_every_acked_message_survives_kills_while_people_send(town: Town) -> None:
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    group = Talk.group(await ann.client.groups.create("Stormy", [bob.uid, cleo.uid]))
    phones = [await person.device() for person in (ann, bob, cleo)]
    pages = [await person.page() for person in (ann, bob)]
    in_group = [Talker("ann", group, phones[0]), Talker("bob", group, phones[1]), Talker("page", group, pages[1])]
    in_private = [Talker("to bob", bob.talk, phones[0]), Talker("to ann", ann.talk, pages[1])]
    talkers = in_group + in_private
    done = asyncio.Event()

    def acked() -> int:
        return sum(len(talker.receipts) for talker in talkers)

    async with asyncio.TaskGroup() as running:
        for talker in talkers:
            running.create_task(talker.talk_until(done))
        for number in range(1, ROUNDS + 1):
            await eventually(lambda number=number: acked() >= number * ACKS_PER_ROUND, 30)
            await town.placement.kill("message")
            await town.placement.start("message")
        await eventually(lambda: acked() >= (ROUNDS + 1) * ACKS_PER_ROUND, 30)
        done.set()

    group_log, private_log = await whole_log(phones[2], group), await whole_log(phones[0], bob.talk)
    check_log(group_log, in_group)
    check_log(private_log, in_private)
    said = [message.text for message in group_log if message.text]
    for watcher in phones:
        await shows(watcher, group, said)
    for page in pages:
        await eventually(lambda page=page: sorted(page.texts(*group)) == sorted([*said, *events_of(page, group)]))
    await shows(phones[1], ann.talk, [message.text for message in private_log if message.text][1:])
    await retries_change_nothing(ann, bob, in_group[0])


def events_of(page: Page, talk: Talk) -> list[str]:
    """Entries of a dialogue that are no texts show as "" (group events)."""
    return [text for text in page.texts(*talk) if not text]


async def retries_change_nothing(ann: Person, bob: Person, talker: Talker) -> None:
    """The same again is answered with the first; other content, or another sender, conflicts."""
    last = talker.receipts[-1][2]
    for msg_id, text, seq in talker.receipts[:: max(1, len(talker.receipts) // 10)]:
        again = await ann.client.messages.send(talker.talk, "text", {"text": text, "content": text}, msg_id=msg_id)
        assert (again.msg_id, again.seq) == (msg_id, seq)
    msg_id, text, _ = talker.receipts[0]
    for person, body in ((ann, {"text": "something else"}), (bob, {"text": text})):
        with pytest.raises(ApiError) as refused:
            await person.client.messages.send(talker.talk, "text", body, msg_id=msg_id)
        assert refused.value.status == 409
    newest = (await ann.client.messages.records(talker.talk, limit=1))[0]
    assert newest.seq >= last and newest.text != "something else"


async def test_what_was_acked_at_the_moment_of_a_kill_is_pushed(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    phone, page, sender = await bob.device(), await bob.page(), await ann.device()
    for number in range(3):
        await sender.client.send_text(bob.talk, f"last words {number}")
        await town.placement.kill("message")
        await town.placement.start("message")
        expected = [f"last words {n}" for n in range(number + 1)]
        await shows(phone, ann.talk, expected)
        await shows(page, ann.talk, expected)
    assert await phone.unread(ann.talk) == 3  # the greeting was Bob's own


async def test_a_send_that_died_before_its_ack_is_stored_once_or_not_at_all(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    phone = await bob.device()
    ids = [uuid.uuid4().hex for _ in range(60)]
    sends = [
        asyncio.create_task(ann.client.messages.send(bob.talk, "text", {"text": f"try {n}"}, msg_id=msg_id))
        for n, msg_id in enumerate(ids)
    ]
    await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
    await town.placement.kill("message")
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    await town.placement.start("message")
    acked = {m.msg_id: m.seq for m in outcomes if isinstance(m, Message)}
    for number, msg_id in enumerate(ids):
        again = await ann.client.messages.send(bob.talk, "text", {"text": f"try {number}"}, msg_id=msg_id)
        assert acked.setdefault(msg_id, again.seq) == again.seq
    log = await whole_log(phone, ann.talk)
    assert [message.seq for message in log] == list(range(1, len(log) + 1))
    assert sorted(m.msg_id for m in log if m.text.startswith("try ")) == sorted(ids)
    await shows(phone, ann.talk, [m.text for m in log if m.text.startswith("try ")])


async def test_a_page_tells_an_error_from_a_crash(town: Town) -> None:
    """A refusal is an envelope; a server that is gone is none, and the page's own repetition brings the message in."""
    ann, bob = await town.people("Ann", "Bob")
    page = await ann.page()
    with pytest.raises(WebError) as refused:
        await page.send_text(1, ann.uid, "to myself", tries=1)
    assert refused.value.code in (400, 403)
    await town.placement.kill("message")
    sending = asyncio.create_task(page.send_text(*bob.talk, "through the storm"))
    await town.placement.start("message")
    assert (await sending)["sequence"] > 0
    await shows(page, bob.talk, ["through the storm"])
