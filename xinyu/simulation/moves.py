"""Rights in a group that change all the time: effects of one service in another, one overtaking the other."""

from __future__ import annotations

import asyncio
import random

from xinyu.gateway.auth import Caller
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import GroupId, new_msg_id
from xinyu.message.errors import SenderMuted
from xinyu.simulation.node import Life
from xinyu.simulation.page import Page
from xinyu.simulation.rooms import HALL

SECONDS = 5.0
LONGEST_PAUSE = 1.0
PATIENCE = 60
"""How often the last change is tried."""


class Moves:
    """The owner of the hall lets a member speak, or not."""

    def __init__(self, owner: Page, member: Page, hall: GroupId, rng: random.Random) -> None:
        self._owner = owner
        self._member = member
        self._hall = hall
        self._rng = rng
        self.failures: list[str] = []
        """What must not be."""

    async def run(self) -> None:
        """Again and again: he may not, he may, he does."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SECONDS
        while loop.time() < end:
            await self._set(False)
            if await self._set(True):
                await asyncio.sleep(LONGEST_PAUSE * self._rng.random())
                await self._speak()

    async def end(self) -> None:
        """Let him speak at last, and see that it took."""
        for _ in range(PATIENCE):
            if await self._set(True):
                return
            await asyncio.sleep(LONGEST_PAUSE)

    async def _speak(self) -> None:
        """What was let in by a change that took stays so until the next one, whatever older one comes late."""
        try:
            await self._member.place.spawn(self._member.ask(self._member.draft(HALL, new_msg_id(), "me")))
        except SenderMuted:
            self.failures.append(f"{self._member.name} was let speak, and may not")
        except (XinyuError, TimeoutError):
            return  # not now

    async def _set(self, admin: bool) -> bool:
        async def post(life: Life, caller: Caller) -> None:
            members = life.container.ports().group_members
            await members.set_admin(caller.user_id, self._hall, self._member.uid, admin)

        try:
            await self._owner.place.spawn(self._owner.ask(post))
        except (XinyuError, TimeoutError):
            return False
        return True
