"""The people of a drill, in groups, each with an SDK device and a page of the web clients: how they come and go."""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import dataclass, field

from drills.devices import TUNING, Conversation, Page, Phone, PhoneClient
from drills.stage import Stage
from xinyu.drill.history import History, Watch
from xinyu.sdk import Options

GROUP_SIZE = 5
SLOW_GROUPS = 5
"""A phone and a page of so many groups connect where they can be made slow."""
AT_ONCE = 4
FLOOD_FRAMES = 400
FLOOD_PAUSE = 0.02
PASSWORD = "correct horse 7"


@dataclass
class Member:
    """A person in a group. Readers read now and then; the pages of the others keep a badge of their own."""

    uid: int
    phone: Phone
    page: Page
    rng: random.Random
    reads: bool
    said: list[str] = field(default_factory=list)
    """Ids of his messages, acked or not."""
    acked: list[str] = field(default_factory=list)


@dataclass
class Group:
    """A conversation and its members."""

    where: Conversation
    members: list[Member]

    @property
    def devices(self) -> list[Phone | Page]:
        """Of all members."""
        return [device for member in self.members for device in (member.phone, member.page)]


class People:
    """Everybody in a drill. Close it."""

    def __init__(self, stage: Stage, history: History, seed: str) -> None:
        self._stage = stage
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
        """Make accounts, groups and devices, two for each account. Raises ClusterError, XinyuError, WebError."""
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
        slow = number < SLOW_GROUPS
        accounts = [await self._account(slow and place == 0) for place in range(size)]
        owner, _, uid = accounts[0]
        for client, _, other in accounts[1:]:
            await owner.contacts.apply(other, "a drill")
            [application] = [each for each in await client.contacts.applications() if each.user_id == uid]
            await client.contacts.accept(application.id)
        group_id = await owner.groups.create("a drill", [other for _, _, other in accounts[1:]])
        group = Group(Conversation(group_id), [])
        group.where.head = max(message.seq for message in await owner.messages.records(group.where.talk))
        for place, (client, mobile, other) in enumerate(accounts):
            await client.talks.clear_unread(group.where.talk)
            phone = Phone(f"phone of {other}", group.where, client, self.history)
            page = await self._page(f"page of {other}", group.where, mobile, slow and place == 1)
            rng = random.Random(f"{self._seed} {number} {place}")
            group.members.append(Member(other, phone, page, rng, reads=place % 2 == 0))
            await phone.connect()
            await page.connect()
            for device in (phone, page):
                self.history.add(Watch(device.name, other, group.where.name, group.where.head))
        if slow:
            self._slow += [group.members[0].phone, group.members[1].page]
        return group

    async def _account(self, slow: bool) -> tuple[PhoneClient, str, int]:
        mobile = f"138{secrets.randbelow(10**8):08d}"  # not of the seed: accounts stay
        await asyncio.to_thread(self._stage.admin, "user-create", nickname="driller", mobile=mobile, password=PASSWORD)
        client = await self._logged_in(mobile, "app", slow)
        return client, mobile, (await client.user.detail()).id

    async def _page(self, name: str, where: Conversation, mobile: str, slow: bool) -> Page:
        login = await self._logged_in(mobile, "web", slow)
        return Page(name, where, self.history, self._stage.http, self._stage.door(slow), login.token or "")

    async def _logged_in(self, mobile: str, platform: str, slow: bool) -> PhoneClient:
        options = Options(platform=platform, tuning=TUNING)
        client = PhoneClient(self._stage.http, ws_url=self._stage.door(slow), options=options)
        self._clients.append(client)
        await client.login(mobile, PASSWORD)
        return client


async def _flooded(device: Phone | Page) -> None:
    for _ in range(FLOOD_FRAMES):
        if not await device.echo():
            return
        await asyncio.sleep(FLOOD_PAUSE)
