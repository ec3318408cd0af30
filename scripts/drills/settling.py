"""The end of a drill: everybody waits for what he lacks, and what then is there is written down."""

from __future__ import annotations

import asyncio
import time

from drills.people import Group, Member, People
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
        for msg_id in acked.get(group.where.name, ())
        for device in group.devices
    )


async def _write_down(group: Group, history: History) -> None:
    await _write_log(group, history)
    for member in group.members:
        count, read_seq = await member.phone.listed()
        history.add(Unread(member.phone.name, group.where.name, count, read_seq))
        if member.reads:
            history.add(Unread(member.page.name, group.where.name, await member.page.listed(), read_seq))
        else:
            history.add(Unread(member.page.name, group.where.name, member.page.badge, group.where.head))
    there = [member for member in group.members if member.phone.is_up and member.page.is_up]
    await _write_presence(group, history, there, connected=True)


async def _write_log(group: Group, history: History) -> None:
    client, cursor = group.members[0].phone.client, 0
    while page := await client.messages.records(group.where.talk, cursor, LOG_PAGE):
        for message in page:
            entry = Stored(group.where.name, message.seq, message.msg_id, message.from_id, not message.is_system)
            history.add(entry)
        cursor = page[-1].seq
        if cursor <= 1:
            break


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
