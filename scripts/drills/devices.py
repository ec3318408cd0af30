"""The two kinds of devices in a drill, and what they write down: one on the SDK, one a page of the web clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from webclient import Json, Pace, WebClient, WebError
from xinyu.drill.history import Acked, History, Link, Read, Seen
from xinyu.kernel.errors import XinyuError
from xinyu.sdk import ApiError, Client, Talk, Tuning
from xinyu.sdk.events import Connected, Disconnected

PACE = Pace(scale=0.1, post_timeout=100, send_repeat=20, heartbeat=200)
"""A page that waits a tenth as long to dial or send again; its requests have the usual time."""
TUNING = Tuning(backoff_base_seconds=0.1, backoff_cap_seconds=1.0, request_seconds=5, ack_seconds=0.5)
CONNECT_SECONDS = 30.0
ECHO: Json = {"event": "echo", "payload": {"text": "x" * 60_000}}
TROUBLE = (XinyuError, WebError, httpx.TransportError, TimeoutError)
"""What a request of a device, or its connecting, may fail with; nothing is promised of those."""


def is_conflict(error: Exception) -> bool:
    """Whether the server refused a message because its id is another one's."""
    return (isinstance(error, ApiError) and error.status == 409) or (isinstance(error, WebError) and error.code == 409)


@dataclass(eq=False)
class Conversation:
    """A group, or two people alone: its name in the history, and by user how he asks for it. `head` is where its log
    was when they came."""

    name: str
    talks: dict[int, Talk]
    head: int = 0


class PhoneClient(Client):
    """The SDK, and a way to ask for more than one reads."""

    async def echo(self) -> bool:
        """Ask for an echo; False where there is no socket."""
        return await self._socket.tell(ECHO)


class Phone:
    """An SDK device of a user that shows everything it gets in his conversations. Sending raises what `TROUBLE`
    names."""

    def __init__(
        self, name: str, uid: int, places: Sequence[Conversation], client: PhoneClient, history: History
    ) -> None:
        self.name = name
        self.client = client
        self._uid = uid
        self._names = {where.talks[uid]: where.name for where in places}
        self._history = history
        self._readers: list[asyncio.Task[None]] = []
        self._shown: dict[Talk, int] = {}
        self.is_up = False

    async def connect(self) -> None:
        """Connect and go on reading."""
        await self.client.connect()
        self._readers = [asyncio.create_task(self._show()), asyncio.create_task(self._watch())]

    async def send(self, where: Conversation, msg_id: str, text: str = "") -> int:
        """Say something; its place."""
        body = {"text": text or msg_id, "content": text or msg_id}
        return (await self.client.send(where.talks[self._uid], "text", body, msg_id=msg_id)).seq

    async def send_again(self, where: Conversation, msg_id: str, text: str = "") -> int:
        """The same by an id that was used already."""
        return await self.send(where, msg_id, text)

    async def read(self, where: Conversation) -> None:
        """Mark what is shown as read, for all of the user's devices."""
        talk = where.talks[self._uid]
        if seq := self._shown.get(talk):
            await self.client.read(talk, seq)
            self._history.add(Read(self.name, where.name, seq, time.monotonic()))

    async def listed(self) -> dict[str, tuple[int, int]]:
        """What its list shows, by conversation: the unread, and up to where that counts as read."""
        lines = {line.talk: (line.unread_num, line.read_seq) for line in await self.client.conversations()}
        return {name: lines.get(talk, (0, 0)) for talk, name in self._names.items()}

    async def echo(self) -> bool:
        """Ask for an echo; False where there is no socket."""
        return await self.client.echo()

    async def close(self) -> None:
        """Leave. Idempotent."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self.client.close()

    async def _show(self) -> None:
        async for message in self.client.incoming():
            if name := self._names.get(message.talk):
                self._shown[message.talk] = message.seq
                self._history.add(Seen(self.name, name, message.seq, message.msg_id, time.monotonic()))

    async def _watch(self) -> None:
        async for event in self.client.events():
            if isinstance(event, Connected | Disconnected):
                self.is_up = isinstance(event, Connected)
                self._history.add(Link(self.name, self.is_up, time.monotonic()))


class Page(WebClient):
    """A page of the web clients, of the same user; it writes down what it appends."""

    def __init__(
        self, name: str, uid: int, places: Sequence[Conversation], history: History, address: Sequence[str]
    ) -> None:
        """`address`: of REST and of the sockets, and the token."""
        super().__init__(*address, pace=PACE)
        self.name = name
        self.uid = uid
        self._names = {where.talks[uid]: where.name for where in places}
        self._history = history
        self._greeted = asyncio.Event()
        self.is_up = False

    async def connect(self) -> None:
        """Load the page, and wait until it is connected: what is said before is not pushed to a first connection."""
        await self.start()
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._greeted.wait()

    async def send(self, where: Conversation, msg_id: str) -> int:
        """Say something; its place."""
        return int((await self.send_text(*where.talks[self.uid], msg_id, msg_id=msg_id))["sequence"])

    async def send_again(self, where: Conversation, msg_id: str, text: str = "") -> int:
        """The same once, by an id that was used already, and as another page would: what comes of it is shown."""
        draft = {"type": "text", "msg_id": msg_id, "body": {"text": text or msg_id, "content": text or msg_id}}
        return int((await self.post("message/send", {**where.talks[self.uid].fields(), **draft}))["sequence"])

    async def read(self, where: Conversation) -> None:
        """Clear its badge, for all of the user's devices."""
        await self.post("talk/session-clear-unread-num", where.talks[self.uid].fields())

    def badge(self, where: Conversation) -> int:
        """Its own count, which began when everything was read, or when it loaded its list last."""
        return self.badges[where.talks[self.uid]]

    async def echo(self) -> bool:
        """Ask for an echo; False where there is no socket."""
        socket = self._socket
        with contextlib.suppress(ConnectionClosed):
            if socket is not None:
                await socket.send(json.dumps(ECHO))
                return True
        return False

    async def close(self) -> None:
        """Leave. Idempotent."""
        await self.leave()

    def _show(self, payload: Json) -> None:
        body = payload["body"]
        if name := self._names.get(Talk(*self._dialogue(payload))):
            seq, msg_id, now = body["sequence"], body["msg_id"], time.monotonic()
            if msg_id not in self._sent:
                self._history.add(Seen(self.name, name, seq, msg_id, now))
            else:  # it is on the screen already: the push tells its place, as a receipt does
                self._history.add(Acked(self.name, name, msg_id, seq, now))
        super()._show(payload)

    async def _take(self, socket: ClientConnection, frame: Json) -> None:
        if frame["event"] == "connect":
            self._greeted.set()
            self.is_up = True
            self._history.add(Link(self.name, True, time.monotonic()))
        await super()._take(socket, frame)

    async def _listen(self, socket: ClientConnection) -> int | None:
        try:
            return await super()._listen(socket)
        finally:
            self.is_up = False
            self._history.add(Link(self.name, False, time.monotonic()))
