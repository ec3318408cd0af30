"""The end of a drill: everybody waits for what he lacks, and what then is there is written down."""

from __future__ import annotations

import asyncio
import time

from drills.devices import Conversation
from drills.people import Group, Member, People, devices_of
from xinyu.drill.history import Acked, History, Online, Seen, Stored, Unread

LEAVING_GROUPS = 5
"""In so many groups somebody leaves at the end, to be shown offline."""
LEAVING_SECONDS = 5.0
STEP = 0.1
LOG_PAGE = 100
PLATFORMS = {"app", "web"}
"""Of a phone and a page."""


async def settle(people: People, within: float) -> None:
    """Wait until everybody is connected and has seen what was acked, or the time is over; then write down what is
    there. Raises XinyuError, WebError."""
    history, deadline = people.history, time.monotonic() + within
    while not _at_rest(people, history) and time.monotonic() < deadline:
        await asyncio.sleep(STEP)
    await asyncio.gather(*(_write_down(group, history) for group in people.groups))
    await asyncio.gather(*(_part(group, history) for group in people.groups[:LEAVING_GROUPS]))


def _at_rest(people: People, history: History) -> bool:
    if not all(device.is_up for device in people.devices):
        return False
    shown = {(seen.device, seen.msg_id) for seen in history.of(Seen)}
    acked: dict[str, set[str]] = {}
    for ack in history.of(Acked):
        shown.add((ack.device, ack.msg_id))
        acked.setdefault(ack.conversation, set()).add(ack.msg_id)
    return all(
        (device.name, msg_id) in shown
        for group in people.groups
        for where in group.places
        for device in devices_of(group.members_of(where))
        for msg_id in acked.get(where.name, ())
    )


async def _write_down(group: Group, history: History) -> None:
    for where in group.places:
        await _write_log(where, group.members_of(where)[-1], history)
    for member in group.members:
        await _write_unread(member, history)
    there = [member for member in group.members if member.phone.is_up and member.page.is_up]
    await _write_presence(group, history, there, connected=True)


async def _write_log(where: Conversation, reader: Member, history: History) -> None:
    cursor = 0
    while page := await reader.phone.client.messages.records(where.talks[reader.uid], cursor, LOG_PAGE):
        for message in page:
            entry = Stored(where.name, message.seq, message.msg_id, message.from_id, not message.is_system)
            history.add(entry)
        cursor = page[-1].seq
        if cursor <= 1:
            break


async def _write_unread(member: Member, history: History) -> None:
    listed = await member.phone.listed()
    if member.reads:
        await member.page.load_sessions()
    for where in member.places:
        count, read_seq = listed[where.name]
        history.add(Unread(member.phone.name, where.name, count, read_seq))
        since = read_seq if member.reads else where.head
        history.add(Unread(member.page.name, where.name, member.page.badge(where), since))


async def _part(group: Group, history: History) -> None:
    leaver = group.members[-1]
    await asyncio.gather(leaver.phone.close(), leaver.page.close())
    await _write_presence(group, history, [leaver], connected=False)


async def _write_presence(group: Group, history: History, members: list[Member], connected: bool) -> None:
    """How the first member sees them: connected ones on both devices, and of who has left that he has, in some time."""
    deadline = time.monotonic() + (0.0 if connected else LEAVING_SECONDS)
    uids = [member.uid for member in members]
    while True:
        found = await group.members[0].phone.client.presence(uids)
        shown = {uid: set(found[uid].platforms) >= PLATFORMS if connected else found[uid].online for uid in uids}
        if all(shown[uid] == connected for uid in uids) or time.monotonic() > deadline:
            break
        await asyncio.sleep(STEP)
    for uid in uids:
        history.add(Online(uid, shown[uid], connected))
