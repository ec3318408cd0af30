"""The accounts of a stage and their groups: made once, used by one drill after the other."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import NamedTuple

from drills.devices import PhoneClient
from drills.stage import Stage
from xinyu.kernel.errors import XinyuError
from xinyu.sdk import Options
from xinyu.sdk.errors import is_temporary

TRIES = 4
PASSWORD = "correct horse 7"


class Account(NamedTuple):
    """Somebody who can log in."""

    mobile: str
    uid: int


class Household(NamedTuple):
    """A group; its first member made it."""

    group_id: int
    accounts: list[Account]


async def logged_in(stage: Stage, mobile: str, options: Options, slow: bool = False) -> PhoneClient:
    """A client with a token; a busy machine is given some time. Raises XinyuError, ClusterError."""
    client = PhoneClient(stage.http, ws_url=stage.door(slow), options=options)
    try:
        for attempt in range(1, TRIES + 1):
            try:
                await client.login(mobile, PASSWORD)
                break
            except XinyuError as error:
                if attempt == TRIES or not is_temporary(error):
                    raise
    except BaseException:
        await client.close()
        raise
    return client


class Town:
    """Households by their number; of one size each."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._households: dict[int, Household] = {}

    async def household(self, number: int, size: int) -> Household:
        """The one of this number. Raises XinyuError, ClusterError."""
        if number not in self._households:
            self._households[number] = await self._made(size)
        return self._households[number]

    async def _made(self, size: int) -> Household:
        async with AsyncExitStack() as clients:
            members = [await self._account(clients) for _ in range(size)]
            owner, (_, uid) = members[0]
            for client, other in members[1:]:
                await owner.contacts.apply(other.uid, "a drill")
                [application] = [each for each in await client.contacts.applications() if each.user_id == uid]
                await client.contacts.accept(application.id)
            group_id = await owner.groups.create("a drill", [other.uid for _, other in members[1:]])
        return Household(group_id, [account for _, account in members])

    async def _account(self, clients: AsyncExitStack) -> tuple[PhoneClient, Account]:
        mobile = f"138{secrets.randbelow(10**8):08d}"  # not of the seed: accounts stay in the stage's tables
        await asyncio.to_thread(self._stage.admin, "user-create", nickname="driller", mobile=mobile, password=PASSWORD)
        client = await clients.enter_async_context(await logged_in(self._stage, mobile, Options()))
        return client, Account(mobile, (await client.user.detail()).id)
