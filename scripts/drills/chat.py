"""How people chat: they speak, repeat themselves through another gateway, try what must be refused, read, roam."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid

from drills.devices import TROUBLE, Conversation, Page, Phone, is_conflict
from drills.net import LINGER_SECONDS
from drills.people import Group, Member, People, Said
from drills.stage import Stage
from xinyu.drill.history import Acked, Forged, Sent

RATE = 12.0
"""Messages per second of everybody together."""
RATE_EACH = 1.0
PRIVATE = 0.4
"""So many of its messages a device says to one person alone."""
AGAIN, FORGED, READING = 0.15, 0.05, 0.2
"""How often a message is followed by a repetition, by another under its id, by a look at what is new."""
ROAM_SECONDS = 2.0
"""So often somebody's connection is lost; every second time its gateway hears of it late: he is elsewhere by then."""


class Chat:
    """What everybody says and does in one drill."""

    def __init__(self, stage: Stage, people: People) -> None:
        self._stage = stage
        self._people = people
        self._history = people.history

    async def go_on(self, done: asyncio.Event) -> None:
        """Everybody talks until told to stop; what is under way then is waited for."""
        talkers = [(group, member) for group in self._people.groups for member in group.members]
        pause = max(1 / RATE_EACH, 2 * len(talkers) / RATE)
        async with asyncio.TaskGroup() as running:
            running.create_task(self._roam(done))
            for group, member in talkers:
                for device in (member.phone, member.page):
                    running.create_task(self._talk(group, member, device, pause, done))

    async def _roam(self, done: asyncio.Event) -> None:
        late = False
        while not await _over(done, ROAM_SECONDS):
            await asyncio.to_thread(self._stage.net.drop, 1, LINGER_SECONDS if late else 0.0)
            late = not late

    async def _talk(
        self, group: Group, member: Member, device: Phone | Page, pause: float, done: asyncio.Event
    ) -> None:
        rng = random.Random(f"{member.rng.random()} {device.name[:5]}")
        while not await _over(done, rng.uniform(0, 2 * pause)):
            said = Said(_somewhere(member, rng), uuid.uuid4().hex)
            member.said.append(said)
            await self._say(member, device, said)
            with contextlib.suppress(*TROUBLE):  # not acked: nothing is promised
                await self._more(group, member, device, rng)

    async def _say(self, member: Member, device: Phone | Page, said: Said, again: bool = False) -> None:
        where, msg_id = said
        self._history.add(Sent(device.name, where.name, msg_id, time.monotonic()))
        with contextlib.suppress(*TROUBLE):
            seq = await (device.send_again if again else device.send)(where, msg_id)
            member.acked.append(said)
            self._history.add(Acked(device.name, where.name, msg_id, seq, time.monotonic()))

    async def _more(self, group: Group, member: Member, device: Phone | Page, rng: random.Random) -> None:
        """What sometimes follows a message."""
        other = member.page if device is member.phone else member.phone
        what = rng.random()
        if what < AGAIN:  # his other device is at another gateway: a phone sends by a socket, a page by REST
            await self._say(member, other, rng.choice(member.said[-3:]), again=True)
        elif what < AGAIN + FORGED and member.acked:
            said = rng.choice(member.acked[-3:])
            stranger = rng.choice([each for each in group.members_of(said.where) if each is not member])
            await self._forge(other, said, "something else")
            await self._forge(stranger.phone, said, said.msg_id)
        elif member.reads and what < AGAIN + FORGED + READING:
            await device.read(rng.choice(member.said[-3:]).where)

    async def _forge(self, device: Phone | Page, said: Said, text: str) -> None:
        try:
            await device.send_again(*said, text)
        except TROUBLE as error:
            if not is_conflict(error):
                return  # nobody knows
            accepted = False
        else:
            accepted = True
        self._history.add(Forged(device.name, said.where.name, said.msg_id, accepted, time.monotonic()))


def _somewhere(member: Member, rng: random.Random) -> Conversation:
    group, *private = member.places
    return rng.choice(private) if rng.random() < PRIVATE else group


async def _over(done: asyncio.Event, seconds: float) -> bool:
    """Wait for the end, at most so long; whether it has come."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), seconds)
    return done.is_set()
