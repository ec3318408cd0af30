"""The people of a drill, in groups and in pairs of contacts, each with an SDK device and a page of the web clients: how
they come and go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from drills.devices import TUNING, Conversation, Page, Phone, PhoneClient
from drills.stage import Stage
from drills.town import Account, Household, Town, logged_in
from xinyu.drill.history import History, Watch
from xinyu.sdk import Options, Talk

GROUP_SIZE = 5
SLOW_GROUPS = 5
"""A phone and a page of so many groups connect where they can be made slow."""
AT_ONCE = 4
FLOOD_FRAMES = 400
FLOOD_PAUSE = 0.02


class Said(NamedTuple):
    """A message."""

    where: Conversation
    msg_id: str


@dataclass
class Member:
    """A person in a group. Readers read now and then; the pages of the others keep a badge of their own."""

    uid: int
    places: list[Conversation]
    """The group and his private conversations."""
    phone: Phone
    page: Page
    rng: random.Random
    reads: bool
    said: list[Said] = field(default_factory=list)
    """Acked or not."""
    acked: list[Said] = field(default_factory=list)


@dataclass
class Group:
    """Its members, and the conversations among them."""

    places: list[Conversation]
    members: list[Member]

    @property
    def devices(self) -> list[Phone | Page]:
        """Of all members."""
        return devices_of(self.members)

    def members_of(self, where: Conversation) -> list[Member]:
        """Those who have a part in a conversation."""
        return [member for member in self.members if member.uid in where.talks]


def devices_of(members: Iterable[Member]) -> list[Phone | Page]:
    """Both of each."""
    return [device for member in members for device in (member.phone, member.page)]


class People:
    """Everybody in a drill. Close it."""

    def __init__(self, stage: Stage, town: Town, history: History, seed: str) -> None:
        self._stage = stage
        self._town = town
        self.history = history
        self._seed = seed
        self._clients: list[PhoneClient] = []
        self._slow: list[Phone | Page] = []
        self.groups: list[Group] = []

    @property
    def devices(self) -> list[Phone | Page]:
        """Of all groups."""
        return [device for group in self.groups for device in group.devices]

    async def gather(self, clients: int) -> None:
        """Have devices, two for each account, and connect them. Raises ClusterError, XinyuError, WebError."""
        sizes, left = list[int](), max(4, clients) // 2
        while left:
            sizes.append(left if left <= GROUP_SIZE + 1 else GROUP_SIZE)  # nobody alone
            left -= sizes[-1]
        some = asyncio.Semaphore(AT_ONCE)

        async def come(number: int, size: int) -> Group:
            async with some:
                return await self._group(number, size)

        self.groups += await asyncio.gather(*(come(number, size) for number, size in enumerate(sizes)))

    async def flood(self) -> int:
        """The devices that can be made slow ask for echoes until their sockets break; how many those are."""
        await asyncio.gather(*(_flooded(device) for device in self._slow))
        return len(self._slow)

    async def close(self) -> None:
        """Everybody leaves."""
        await asyncio.gather(*(each.close() for each in [*self.devices, *self._clients]), return_exceptions=True)

    async def _group(self, number: int, size: int) -> Group:
        household = await self._town.household(number, size)
        group = Group(conversations_of(household), [])
        for place, account in enumerate(household.accounts):
            places, slow = [where for where in group.places if account.uid in where.talks], number < SLOW_GROUPS
            phone = await self._phone(places, account, slow and place == 0)
            page = await self._page(places, account, slow and place == 1)
            rng = random.Random(f"{self._seed} {number} {place}")
            group.members.append(Member(account.uid, places, phone, page, rng, reads=place % 2 == 0))
        owner = group.members[0]
        for where in group.places:
            records = await owner.phone.client.messages.records(where.talks[owner.uid])
            where.head = max(message.seq for message in records)
        for member in group.members:
            for where in member.places:
                await member.phone.client.talks.clear_unread(where.talks[member.uid])
            for device in (member.phone, member.page):
                await device.connect()
                for where in member.places:
                    self.history.add(Watch(device.name, member.uid, where.name, where.head))
        return group

    async def _phone(self, places: list[Conversation], account: Account, slow: bool) -> Phone:
        client = await self._logged_in(account, "app", slow)
        phone = Phone(f"phone of {account.uid}", account.uid, places, client, self.history)
        self._slow += [phone] * slow
        return phone

    async def _page(self, places: list[Conversation], account: Account, slow: bool) -> Page:
        token = (await self._logged_in(account, "web", slow)).token or ""
        address = self._stage.http, self._stage.door(slow), token
        page = Page(f"page of {account.uid}", account.uid, places, self.history, address)
        self._slow += [page] * slow
        return page

    async def _logged_in(self, account: Account, platform: str, slow: bool) -> PhoneClient:
        options = Options(platform=platform, tuning=TUNING)
        self._clients.append(await logged_in(self._stage, account.mobile, options, slow))
        return self._clients[-1]


def conversations_of(household: Household) -> list[Conversation]:
    """The group, and the private ones of its owner with each of the others: he is everybody's contact."""
    owner, *others = [account.uid for account in household.accounts]
    group = Talk.group(household.group_id)
    return [
        Conversation(f"group {household.group_id}", dict.fromkeys([owner, *others], group)),
        *(Conversation(f"users {owner} and {uid}", {owner: Talk.user(uid), uid: Talk.user(owner)}) for uid in others),
    ]


async def _flooded(device: Phone | Page) -> None:
    for _ in range(FLOOD_FRAMES):
        if not await device.echo():
            return
        await asyncio.sleep(FLOOD_PAUSE)
