"""People of a scenario and their devices: the SDK, and the raw web client. What they saw is checked at the end."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from pathlib import Path
from typing import Any, Self

import httpx

from testkit.carrier import carrier
from testkit.placement import Placement
from testkit.waiting import eventually
from webclient import Json, Pace, WebClient
from xinyu.kernel.errors import XinyuError
from xinyu.sdk import Client, Message, Talk
from xinyu.sdk.client import Options
from xinyu.sdk.cursors import MemoryCursors
from xinyu.sdk.events import Event
from xinyu.sdk.types import Tuning

PACE = Pace(scale=0.1, post_timeout=100, send_repeat=20, heartbeat=200)
"""A page that waits a tenth as long to dial or send again, so more often; its requests have the usual time."""
TUNING = Tuning(backoff_base_seconds=0.05, backoff_cap_seconds=0.5, request_seconds=8, ack_seconds=0.3)
G4_SECONDS = 5.0
"""GUARANTEES.md G4: within this time of the end of a fault everything acked has arrived."""
PASSWORD = "correct horse 7"
_mobiles = itertools.count(random.randrange(10**7, 9 * 10**7))


class Device:
    """An application on the SDK that shows everything it gets."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.seen: list[Message] = []
        self.events: list[Event] = []
        self.ended: XinyuError | None = None
        self.has_gaps = False
        """Its user was out of a group for a while: numbers may be missing then, never repeated or swapped."""
        self._readers: list[asyncio.Task[None]] = []

    async def connect(self) -> Self:
        await self.client.connect()
        self._readers = [asyncio.create_task(self._read()), asyncio.create_task(self._watch())]
        return self

    async def _read(self) -> None:
        try:
            async for message in self.client.incoming():
                self.seen.append(message)
        except XinyuError as error:
            self.ended = error

    async def _watch(self) -> None:
        try:
            async for event in self.client.events():
                self.events.append(event)
        except XinyuError:
            return  # told by `_read`

    async def close(self) -> None:
        """Leave properly: what was seen is acknowledged."""
        await self.client.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def of(self, talk: Talk) -> list[Message]:
        return [message for message in self.seen if message.talk == talk]

    def texts(self, talk: Talk) -> list[str]:
        """What a dialogue shows: texts that are not recalled, its own among them."""
        recalled = {m.extra.get("revoke_msg_id") for m in self.of(talk) if m.msg_type == 1105}
        return [m.text for m in self.of(talk) if m.text and not m.hidden and m.msg_id not in recalled]

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def unread(self, talk: Talk) -> int:
        return next((line.unread_num for line in await self.client.conversations() if line.talk == talk), 0)

    def check(self) -> None:
        """G3: each entry once, in order, none missing; and the server kept to the contract."""
        assert not self.client.violations, self.client.violations
        by_talk: dict[int, list[int]] = defaultdict(list)
        for message in self.seen:
            by_talk[message.talk_id].append(message.seq)
        for talk_id, seqs in by_talk.items():
            where = f"user {self.client.uid}, conversation {talk_id}"
            swapped = [pair for pair in itertools.pairwise(seqs) if pair[0] >= pair[1]]
            assert not swapped, f"{where}: out of order or repeated: {swapped}"
            missing = sorted(set(range(seqs[0], seqs[-1])).difference(seqs))
            assert self.has_gaps or not missing, f"{where}: missing {missing}"


class Page(WebClient):
    """A page of the web clients; what it showed is checked at the end."""

    def check(self) -> None:
        """G3 as a web client sees it: pushes of a conversation in ascending order, nothing shown twice."""
        last: dict[int, int] = defaultdict(int)
        for frame in self.frames:
            if frame["event"] != "im.message":
                continue
            talk_id, seq = frame["payload"]["talk_id"], frame["payload"]["body"]["sequence"]
            assert seq > last[talk_id], f"{self.uid}: {seq} of conversation {talk_id} came after {last[talk_id]}"
            last[talk_id] = seq
        for dialogue, records in self.shown.items():
            ids = [record["msg_id"] for record in records]
            assert len(ids) == len(set(ids)), f"{self.uid}: a message of {dialogue} is shown twice"

    def events(self, name: str) -> list[Json]:
        return [frame["payload"] for frame in self.frames if frame["event"] == name]


class Person:
    """An account; `client` is its REST side."""

    def __init__(self, town: Town, mobile: str, nickname: str, client: Client) -> None:
        self.town = town
        self.mobile = mobile
        self.nickname = nickname
        self.client = client
        self.password = PASSWORD
        self.uid = 0

    @property
    def talk(self) -> Talk:
        """The private conversation with this person, as others name it."""
        return Talk.user(self.uid)

    async def log_in(self, platform: str = "app") -> str:
        """A new log-in's token."""
        client = self.town.client()
        await client.user.login(self.mobile, self.password, platform)
        assert client.token is not None
        return client.token

    async def device(self, **options: Any) -> Device:
        """One more device, with a log-in of its own, connected."""
        client = self.town.client(await self.log_in(), **options)
        return await self.town.adopt(Device(client)).connect()

    async def page(self, token: str | None = None, ws_url: str = "") -> Page:
        """One more page, loaded and connected, to a certain gateway where that matters."""
        placement = self.town.placement
        page = Page(placement.http, ws_url or placement.ws, token or await self.log_in("web"), pace=PACE)
        self.town.pages.append(page)
        await page.start()
        await eventually(lambda: "connect" in [frame["event"] for frame in page.frames])
        return page


class Town:
    """Everybody in one test."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.devices: list[Device] = []
        self.pages: list[Page] = []
        self._clients: list[Client] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(
            *(device.close() for device in self.devices),
            *(page.leave() for page in self.pages),
            *(client.close() for client in self._clients),
        )

    def check(self) -> None:
        for device in self.devices:
            device.check()
        for page in self.pages:
            page.check()

    def client(self, token: str | None = None, **options: Any) -> Client:
        """A client of this placement; closed with the town."""
        options.setdefault("options", Options(tuning=TUNING))
        options.setdefault("cursors", MemoryCursors())
        options.setdefault("ws_url", self.placement.ws_urls)
        client = Client(self.placement.http, token, **options)
        self._clients.append(client)
        return client

    def adopt(self, device: Device) -> Device:
        self.devices.append(device)
        return device

    async def person(self, nickname: str) -> Person:
        """Somebody who registers over REST, or whose account the operators make where codes are not told."""
        mobile, client = f"138{next(_mobiles):08d}", self.client()
        if self.placement.tells_codes:
            code = await client.user.send_sms(mobile, "register")
            await client.register(mobile, PASSWORD, nickname, code)
        else:
            await self.admin("user-create", nickname=nickname, mobile=mobile, password=PASSWORD)
            await client.user.login(mobile, PASSWORD, "app")
        person = Person(self, mobile, nickname, client)
        person.uid = (await client.user.detail()).id
        return person

    async def code(self, client: Client, mobile: str, channel: str) -> str:
        """A verification code, from the answer or, in a cluster, from the carrier that it was handed to."""
        return await client.user.send_sms(mobile, channel) or carrier().codes[mobile, channel]

    async def people(self, *nicknames: str) -> list[Person]:
        """Several, each befriended with the first."""
        first, *others = [await self.person(nickname) for nickname in nicknames]
        for other in others:
            await befriend(first, other)
        return [first, *others]

    async def admin(self, action: str, **arguments: object) -> Json:
        """What the CLI does over the admin port."""
        url, secret = next(iter(self.placement.admin_urls.values())), self.placement.admin_secret
        async with httpx.AsyncClient(timeout=10) as http:
            answer = await http.post(
                f"{url}/admin/{action}", json=arguments, headers={"Authorization": f"Bearer {secret}"}
            )
        answer.raise_for_status()
        result: Json = answer.json()
        return result


async def befriend(one: Person, other: Person) -> None:
    """`one` applies, `other` accepts."""
    await one.client.contacts.apply(other.uid, f"I am {one.nickname}")
    [application] = [a for a in await other.client.contacts.applications() if a.user_id == one.uid]
    await other.client.contacts.accept(application.id)


async def shows(watcher: Device | Page, talk: Talk, texts: list[str], within: float = G4_SECONDS) -> None:
    """Wait until a dialogue ends with exactly these texts, in this order."""

    def ends_so() -> bool:
        found = watcher.texts(talk) if isinstance(watcher, Device) else watcher.texts(*talk)
        shown = [text for text in found if text][-len(texts) :]
        at = next((n for n, pair in enumerate(zip(shown, texts, strict=False)) if pair[0] != pair[1]), len(shown))
        assert shown == texts, f"{len(shown)} shown, {len(texts)} expected; at {at}: {shown[at:][:5]}, {texts[at:][:5]}"
        return True

    await eventually(ends_so, within)


def write_file(path: Path, size: int, seed: int = 1) -> Path:
    """A file of `size` bytes that do not repeat."""
    path.write_bytes(random.Random(seed).randbytes(size))
    return path
