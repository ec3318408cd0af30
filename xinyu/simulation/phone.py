"""A device on the real SDK, over a made-up socket."""

from __future__ import annotations

import random
from urllib.parse import urlsplit

from xinyu.drill.history import Acked, Link, Read, Seen, Sent, Unread
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import MsgId, new_msg_id
from xinyu.sdk import Client, Options, Talk, Tuning
from xinyu.sdk.dialing import OpenSocket
from xinyu.sdk.events import Connected, Disconnected
from xinyu.simulation.rooms import HALL, ROOM, Rooms
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
    """It shows everything of its groups, and writes down what it sees."""

    def __init__(self, name: str, uid: int, token: str, rooms: Rooms, gateways: list[str]) -> None:
        self.name = name
        self.uid = uid
        self.place = Place(rooms.loop, name)
        self.socket: SimulatedSocket | None = None
        self._rooms = rooms
        self._history = rooms.history
        self._shown = 0
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
        body, talk = {"text": msg_id, "content": msg_id}, Talk.group(rooms.groups[where])
        try:
            sent = await self._client.send(talk, "text", body, msg_id=msg_id, timeout=SEND_SECONDS)
        except XinyuError:
            return None  # not acked: nothing is promised
        self._history.add(Acked(self.name, where, msg_id, sent.seq, rooms.loop.time()))
        return msg_id

    async def read(self) -> None:
        """Mark what is shown as read."""
        seq = self._shown
        try:
            if seq:
                await self._client.read(Talk.group(self._rooms.groups[ROOM]), seq)
                self._history.add(Read(self.name, ROOM, seq, self._rooms.loop.time()))
        except XinyuError:
            return  # not answered: it may have been done

    async def unread(self) -> Unread:
        """What its list shows."""
        talk = Talk.group(self._rooms.groups[ROOM])
        line = next(line for line in await self._client.conversations() if line.talk == talk)
        return Unread(self.name, ROOM, line.unread_num, line.read_seq)

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
            where = self._rooms.name_of(*message.talk)
            if where == ROOM:
                self._shown = message.seq
            if where == ROOM or (where == HALL and message.seq > self._rooms.hall_after):
                self._history.add(Seen(self.name, where, message.seq, message.msg_id, self._rooms.loop.time()))

    async def _watch(self) -> None:
        async for event in self._client.events():
            if isinstance(event, Connected | Disconnected):
                self._history.add(Link(self.name, isinstance(event, Connected), self._rooms.loop.time()))


def shuffled(names: list[str], rng: random.Random) -> list[str]:
    """In another order."""
    return rng.sample(names, len(names))
