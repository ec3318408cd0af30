"""A device on the real SDK, over a made-up socket."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

from xinyu.drill.history import Acked, Link, Read, Seen, Sent, Unread
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import MsgId, UserId, new_msg_id
from xinyu.sdk import Client, Options, Tuning
from xinyu.sdk.dialing import OpenSocket
from xinyu.sdk.events import Connected, Disconnected
from xinyu.simulation.rooms import ROOM, Rooms
from xinyu.simulation.sockets import SimulatedSocket
from xinyu.simulation.world.loop import Place

TUNING = Tuning(
    request_seconds=4.0,
    heartbeat_seconds=2.0,
    silence_seconds=5.0,
    backoff_base_seconds=0.1,
    backoff_cap_seconds=1.0,
    ack_seconds=0.7,
)
SEND_SECONDS = 25.0


class Phone:
    """It shows everything of its conversations, and writes down what it sees."""

    def __init__(self, name: str, uid: UserId, token: str, rooms: Rooms, gateways: list[str]) -> None:
        self.name = name
        self.uid = uid
        self.places = rooms.places_of(uid)
        self.place = Place(rooms.loop, name)
        self.socket: SimulatedSocket | None = None
        self._rooms = rooms
        self._talks = rooms.talks_of(uid)
        self._names = {talk: where for where, talk in self._talks.items()}
        self._history = rooms.history
        self._shown: Counter[str] = Counter()
        options = Options(tuning=TUNING, dial=self._dial)
        urls = [f"ws://{gateway}/" for gateway in gateways]
        self._client = Client("http://simulated", token, ws_url=urls, options=options)

    async def connect(self) -> None:
        """Connect, and go on reading."""
        await self._client.connect()
        self.place.spawn(self._read())
        self.place.spawn(self._watch())

    async def say(self, where: str = ROOM) -> MsgId | None:
        """Send one message, for as long as its user waits; its id, or None where that was not long enough."""
        msg_id, rooms = new_msg_id(), self._rooms
        self._history.add(Sent(self.name, where, msg_id, rooms.loop.time()))
        body = {"text": msg_id, "content": msg_id}
        try:
            sent = await self._client.send(self._talks[where], "text", body, msg_id=msg_id, timeout=SEND_SECONDS)
        except XinyuError:
            return None  # not acked: nothing is promised
        self._history.add(Acked(self.name, where, msg_id, sent.seq, rooms.loop.time()))
        return msg_id

    async def read(self, where: str) -> None:
        """Mark what is shown of a conversation as read."""
        seq = self._shown[where]
        try:
            if seq:
                await self._client.read(self._talks[where], seq)
                self._history.add(Read(self.name, where, seq, self._rooms.loop.time()))
        except XinyuError:
            return  # not answered: it may have been done

    async def unread(self, places: Iterable[str]) -> list[Unread]:
        """What its list shows of these conversations."""
        lines = {line.talk: (line.unread_num, line.read_seq) for line in await self._client.conversations()}
        return [Unread(self.name, where, *lines.get(self._talks[where], (0, 0))) for where in places]

    async def online(self, uids: list[int]) -> dict[int, bool]:
        """Who is shown as connected."""
        return {uid: found.online for uid, found in (await self._client.presence(uids)).items()}

    @property
    def violations(self) -> list[str]:
        """Frames that broke the contract."""
        return self._client.violations

    async def _dial(self, url: str, timeout: float) -> OpenSocket:
        parts = urlsplit(url)
        self.socket = await self._rooms.doors.dial(self.place, parts.netloc, parts.query, timeout)
        return self.socket

    async def _read(self) -> None:
        async for message in self._client.incoming():
            where = self._names.get(message.talk, "")
            self._shown[where] = message.seq
            if self._rooms.counts(where, message.seq):
                self._history.add(Seen(self.name, where, message.seq, message.msg_id, self._rooms.loop.time()))

    async def _watch(self) -> None:
        async for event in self._client.events():
            if isinstance(event, Connected | Disconnected):
                self._history.add(Link(self.name, isinstance(event, Connected), self._rooms.loop.time()))


def shuffled(names: list[str], rng: random.Random) -> list[str]:
    """In another order."""
    return rng.sample(names, len(names))
