"""People who chat during a drill, each with an SDK device and a page of the web clients, and what they write down.

Bounded: groups of five people, two devices each, and at most `RATE` messages per second in all.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
import uuid
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection

from drills.stage import Stage
from webclient import Json, Pace, WebClient, WebError
from xinyu.drill.history import Acked, History, Link, Online, Seen, Sent, Stored, Unread, Watch
from xinyu.kernel.errors import XinyuError
from xinyu.sdk import Client, Options, Talk, Tuning
from xinyu.sdk.events import Connected, Disconnected

GROUP_SIZE = 5
RATE = 12.0
"""Messages per second of everybody together."""
RATE_EACH = 1.0
PASSWORD = "correct horse 7"
PACE = Pace(scale=0.1, post_timeout=100, send_repeat=20, heartbeat=200)
"""A page that waits a tenth as long to dial or send again; its requests have the usual time."""
TUNING = Tuning(backoff_base_seconds=0.1, backoff_cap_seconds=1.0, request_seconds=5, ack_seconds=0.5)


class Phone:
    """An SDK device that shows everything it gets in its group."""

    def __init__(self, name: str, group: Group, client: Client, history: History) -> None:
        self.name = name
        self.client = client
        self._group = group
        self._history = history
        self._readers: list[asyncio.Task[None]] = []

    async def connect(self) -> None:
        """Connect and go on reading."""
        await self.client.connect()
        self._readers = [asyncio.create_task(self._read()), asyncio.create_task(self._watch())]

    async def send(self, msg_id: str) -> int:
        """Say something; its place. Raises XinyuError."""
        body = {"text": msg_id, "content": msg_id}
        return (await self.client.send(self._group.talk, "text", body, msg_id=msg_id)).seq

    async def unread(self) -> tuple[int, int]:
        """What its list shows of the group: the unread, and up to where that counts as read."""
        lines = await self.client.conversations()
        return next(((line.unread_num, line.read_seq) for line in lines if line.talk == self._group.talk), (0, 0))

    async def close(self) -> None:
        """Leave."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self.client.close()

    async def _read(self) -> None:
        async for message in self.client.incoming():
            if message.talk == self._group.talk:
                seen = Seen(self.name, self._group.name, message.seq, message.msg_id, time.monotonic())
                self._history.add(seen)

    async def _watch(self) -> None:
        async for event in self.client.events():
            if isinstance(event, Connected | Disconnected):
                self._history.add(Link(self.name, isinstance(event, Connected), time.monotonic()))


class Page(WebClient):
    """A page of the web clients in the same group; it writes down what it appends."""

    def __init__(self, name: str, group: Group, history: History, *where: str) -> None:
        super().__init__(*where, pace=PACE)
        self.name = name
        self._group = group
        self._history = history

    async def send(self, msg_id: str) -> int:
        """Say something; its place. Raises WebError, httpx.TransportError."""
        return int((await self.send_text(*self._group.talk, msg_id, msg_id=msg_id))["sequence"])

    async def unread(self) -> tuple[int, int]:
        """Its own badge, which began when everything was read."""
        return self.badges[self._group.talk], self._group.head

    async def close(self) -> None:
        """Leave."""
        await self.leave()

    def _show(self, payload: Json) -> None:
        body = payload["body"]
        if self._dialogue(payload) == self._group.talk and body["msg_id"] not in self._sent:
            now = time.monotonic()
            self._history.add(Seen(self.name, self._group.name, body["sequence"], body["msg_id"], now))
        super()._show(payload)

    async def _listen(self, socket: ClientConnection) -> int | None:
        self._history.add(Link(self.name, True, time.monotonic()))
        try:
            return await super()._listen(socket)
        finally:
            self._history.add(Link(self.name, False, time.monotonic()))


class Group:
    """A conversation and its members."""

    def __init__(self, group_id: int) -> None:
        self.talk = Talk.group(group_id)
        self.name = f"group {group_id}"
        self.head = 0
        """Where its log was when the drill began."""
        self.devices: list[tuple[int, Phone | Page]] = []
        """(user id, device)"""


class People:
    """Everybody in a drill. Close it."""

    def __init__(self, stage: Stage, history: History, rng: random.Random) -> None:
        self._stage = stage
        self._history = history
        self._rng = rng
        self._http, self._sockets = stage.http, stage.sockets
        self._rest: list[Client] = []
        self.groups: list[Group] = []

    async def gather(self, clients: int) -> None:
        """Make accounts, groups and devices, two for each account."""
        left = max(4, clients) // 2
        while left:
            size = left if left <= GROUP_SIZE + 1 else GROUP_SIZE  # nobody alone
            self.groups.append(await self._group(size))
            left -= size

    async def _group(self, size: int) -> Group:
        members = [await self._account() for _ in range(size)]
        owner, uid = members[0][0], members[0][2]
        for client, _, other in members[1:]:
            await owner.contacts.apply(other, "a drill")
            [application] = [each for each in await client.contacts.applications() if each.user_id == uid]
            await client.contacts.accept(application.id)
        group = Group(await owner.groups.create("a drill", [other for _, _, other in members[1:]]))
        group.head = max(message.seq for message in await owner.messages.records(group.talk))
        for client, mobile, other in members:
            await client.talks.clear_unread(group.talk)
            await self._devices(group, mobile, other)
        return group

    async def _account(self) -> tuple[Client, str, int]:
        mobile = f"138{secrets.randbelow(10**8):08d}"  # not of the seed: accounts stay
        await asyncio.to_thread(self._stage.admin, "user-create", nickname="driller", mobile=mobile, password=PASSWORD)
        client = await self._logged_in(mobile, "app")
        self._rest.append(client)
        return client, mobile, (await client.user.detail()).id

    async def _logged_in(self, mobile: str, platform: str) -> Client:
        options = Options(platform=platform, tuning=TUNING)
        sockets = self._rng.sample(self._sockets, len(self._sockets))
        client = Client(self._http, ws_url=sockets, options=options)
        await client.login(mobile, PASSWORD)
        return client

    async def _devices(self, group: Group, mobile: str, uid: int) -> None:
        phone = Phone(f"phone of {uid}", group, await self._logged_in(mobile, "app"), self._history)
        web = await self._logged_in(mobile, "web")
        self._rest.append(web)
        where = (self._http, self._rng.choice(self._sockets), web.token or "")
        page = Page(f"page of {uid}", group, self._history, *where)
        group.devices += [(uid, phone), (uid, page)]
        await phone.connect()
        await page.start()
        for device in (phone, page):
            self._history.add(Watch(device.name, uid, group.name, group.head))

    async def chat(self, done: asyncio.Event) -> None:
        """Everybody talks until told to stop; what is under way then is waited for."""
        devices = [(group, device) for group in self.groups for _, device in group.devices]
        pause = max(1 / RATE_EACH, len(devices) / RATE)
        async with asyncio.TaskGroup() as running:
            for group, device in devices:
                running.create_task(self._talk(group, device, pause, done))

    async def _talk(self, group: Group, device: Phone | Page, pause: float, done: asyncio.Event) -> None:
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), self._rng.uniform(0, 2 * pause))
                return
            msg_id = uuid.uuid4().hex
            self._history.add(Sent(device.name, group.name, msg_id, time.monotonic()))
            with contextlib.suppress(XinyuError, WebError, httpx.TransportError):  # not acked: nothing is promised
                seq = await device.send(msg_id)
                self._history.add(Acked(device.name, group.name, msg_id, seq, time.monotonic()))

    async def settle(self, within: float) -> None:
        """Wait until everybody has seen what was acked, or the time is over; then write down what is there."""
        deadline = time.monotonic() + within
        while self._missing() and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        for group in self.groups:
            await self._write_down(group)

    def _missing(self) -> bool:
        acked = {(ack.conversation, ack.msg_id) for ack in self._history.of(Acked)}
        shown = {(seen.device, seen.msg_id) for seen in self._history.of(Seen)}
        own = {(ack.device, ack.msg_id) for ack in self._history.of(Acked)}
        return any(
            (device.name, msg_id) not in shown | own
            for group in self.groups
            for name, msg_id in acked
            if name == group.name
            for _, device in group.devices
        )

    async def _write_down(self, group: Group) -> None:
        cursor, (_, phone) = 0, group.devices[0]
        assert isinstance(phone, Phone)
        while page := await phone.client.messages.records(group.talk, cursor, 100):
            for message in page:
                entry = Stored(group.name, message.seq, message.msg_id, message.from_id, not message.is_system)
                self._history.add(entry)
            cursor = page[-1].seq
            if cursor <= 1:
                break
        for _, device in group.devices:
            self._history.add(Unread(device.name, group.name, *await device.unread()))
        uids = {uid for uid, _ in group.devices}
        for uid, found in (await phone.client.presence(sorted(uids))).items():
            self._history.add(Online(uid, found.online, True))

    async def close(self) -> None:
        """Everybody leaves."""
        devices: list[Any] = [device for group in self.groups for _, device in group.devices]
        await asyncio.gather(*(each.close() for each in [*devices, *self._rest]), return_exceptions=True)
