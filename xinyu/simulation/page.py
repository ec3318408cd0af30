"""A page of the web clients (CONTRACT.md 1.0 and 2.1 to 2.4): it knows no sync and shows messages as they arrive.

It answers each `ackid` and drops one that it has seen; sends go by REST, repeated on any error; it adds one to its
badge for each push of a dialogue that is not open. So what it shows is right only when the server is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from xinyu.drill.history import Acked, Forged, Link, Seen, Sent, Unread
from xinyu.gateway.auth import Caller
from xinyu.gateway.drafts import SendRequest, send
from xinyu.gateway.present.message import MessageRecord
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import MsgId, UserId, new_msg_id
from xinyu.message.errors import MsgIdConflict
from xinyu.sdk.dialing import ConnectionClosed
from xinyu.sdk.errors import ConnectionLost
from xinyu.sdk.types import Talk
from xinyu.simulation.node import Life
from xinyu.simulation.rooms import ROOM, Rooms
from xinyu.simulation.sockets import Request, SimulatedSocket
from xinyu.simulation.world.loop import Place

T = TypeVar("T")
DIAL_AGAIN = (0.2, 0.2, 0.6, 1.0)
"""Seconds before each attempt to connect again, the last for all that follow; a fifth of what pages wait."""
SEND_AGAIN = 0.8
SEND_TRIES = 7
REQUEST_SECONDS = 4.0
BEAT_SECONDS = 4.0


class Page:
    """It shows everything of its conversations, and writes down what it sees."""

    def __init__(self, name: str, uid: UserId, token: str, rooms: Rooms, gateways: list[str]) -> None:
        self.name = name
        self.uid = uid
        self.places = rooms.places_of(uid)
        self.place = Place(rooms.loop, name)
        self.socket: SimulatedSocket | None = None
        self._token = token
        self._rooms = rooms
        self._talks = rooms.talks_of(uid)
        self._names = {talk: where for where, talk in self._talks.items()}
        self._history = rooms.history
        self._gateways = gateways
        self._asked = 0
        self._acks: set[str] = set()
        self._sent: set[str] = set()
        self._badges: Counter[str] = Counter()
        self._ready = rooms.loop.create_future()

    async def connect(self) -> None:
        """Load: from then on it stays connected."""
        self.place.spawn(self._keep_connected())
        await self._ready

    async def say(self, where: str = ROOM) -> MsgId | None:
        """Send one message, as CIM does; its id, or None where that was in vain."""
        msg_id = new_msg_id()
        self._sent.add(msg_id)
        self._history.add(Sent(self.name, where, msg_id, self._rooms.loop.time()))
        return msg_id if await self._send(where, msg_id) else None

    async def repeat(self, where: str, msg_id: MsgId) -> None:
        """Send one's message again, though it was acked."""
        await self._send(where, msg_id)

    async def forge(self, where: str, msg_id: MsgId) -> None:
        """Send something else by the id of a message."""
        try:
            await self.ask(self.draft(where, msg_id, "another text"))
        except MsgIdConflict:
            accepted = False
        except (XinyuError, TimeoutError):
            return  # not answered: nothing is known
        else:
            accepted = True
        self._history.add(Forged(self.name, where, msg_id, accepted, self._rooms.loop.time()))

    async def ask(self, request: Request[T]) -> T:
        """One request by REST, each time at another gateway. Raises what it raises, ConnectionLost, TimeoutError."""
        self._asked += 1
        gateway = self._gateways[self._asked % len(self._gateways)]
        return await self._rooms.doors.post(self.place, gateway, self._token, request, REQUEST_SECONDS)

    async def unread(self, heads: Mapping[str, int], listed: set[str]) -> list[Unread]:
        """By conversation its own badge, which began when everything up to the head was read; or what the list says of
        those that are `listed`."""

        async def views(life: Life, caller: Caller) -> dict[Talk, tuple[int, int]]:
            found = await life.container.ports().conversations.list_conversations(caller.user_id)
            return {Talk(view.ref.kind, view.ref.target_id): (view.unread, view.read_seq) for view in found}

        lines = await self.ask(views) if listed else {}
        shown = {
            where: lines.get(self._talks[where], (0, 0)) if where in listed else (self._badges[where], head)
            for where, head in heads.items()
        }
        return [Unread(self.name, where, *line) for where, line in shown.items()]

    async def _send(self, where: str, msg_id: MsgId) -> bool:
        for attempt in range(1, SEND_TRIES + 1):
            try:
                sent = await self.ask(self.draft(where, msg_id, msg_id))
            except (XinyuError, TimeoutError):
                await asyncio.sleep(SEND_AGAIN * attempt)
                continue
            assert isinstance(sent, MessageRecord)
            self._history.add(Acked(self.name, where, msg_id, sent.sequence, self._rooms.loop.time()))
            return True
        return False

    def draft(self, where: str, msg_id: MsgId, text: str) -> Request[object]:
        """The request that sends a text."""
        talk_mode, to_from_id = self._talks[where]
        body = {"text": text, "content": text}
        request = SendRequest(talk_mode=talk_mode, to_from_id=to_from_id, type="text", body=body, msg_id=msg_id)

        async def post(life: Life, caller: Caller) -> object:
            return await send(life.container.services(), caller.user_id, request, None)

        return post

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            gateway = self._gateways[attempt % len(self._gateways)]
            query = f"token={self._token}&platform=web"
            try:
                self.socket = await self._rooms.doors.dial(self.place, gateway, query, REQUEST_SECONDS)
            except ConnectionLost:
                attempt += 1
            else:
                attempt = 0
                await self._listen(self.socket)
            await asyncio.sleep(DIAL_AGAIN[min(attempt, len(DIAL_AGAIN) - 1)])

    async def _listen(self, socket: SimulatedSocket) -> None:
        beat = asyncio.create_task(self._beat(socket))
        opened = False
        async for text in socket:
            frame = msgspec.json.decode(text)
            if frame["event"] == "connect":
                opened = True
                self._opened()
            await self._take(socket, frame)
        beat.cancel()
        if opened:
            self._history.add(Link(self.name, False, self._rooms.loop.time()))

    def _opened(self) -> None:
        self._history.add(Link(self.name, True, self._rooms.loop.time()))
        if not self._ready.done():
            self._ready.set_result(None)

    async def _beat(self, socket: SimulatedSocket) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await _answer(socket, {"event": "ping"})

    async def _take(self, socket: SimulatedSocket, frame: dict[str, Any]) -> None:
        ackid = frame.get("ackid")
        if ackid:
            await _answer(socket, {"event": "ack", "ackid": ackid})
            if ackid in self._acks:
                return
            self._acks.add(ackid)
        payload = frame["payload"]
        if frame["event"] == "ping":
            await _answer(socket, {"event": "pong", "payload": None})
        elif frame["event"] == "im.message":
            self._show(self._names.get(self._talk_of(payload), ""), payload["body"])

    def _talk_of(self, payload: dict[str, Any]) -> Talk:
        """A page that is told its own id takes the sender for its peer."""
        talk = Talk(payload["talk_mode"], payload["to_from_id"])
        return Talk.user(payload["from_id"]) if talk == Talk.user(self.uid) else talk

    def _show(self, where: str, body: dict[str, Any]) -> None:
        seq, msg_id, now = body["sequence"], body["msg_id"], self._rooms.loop.time()
        if msg_id in self._sent:  # on the screen already, given up perhaps: the push tells its place, as a receipt does
            self._history.add(Acked(self.name, where, msg_id, seq, now))
            return
        if self._rooms.counts(where, seq):
            self._history.add(Seen(self.name, where, seq, msg_id, now))
        self._badges[where] += body["from_id"] != self.uid


async def _answer(socket: SimulatedSocket, frame: dict[str, Any]) -> None:
    """Browsers drop what is sent to a closing socket, and still show what had come."""
    try:
        await socket.send(msgspec.json.encode(frame).decode())
    except ConnectionClosed:
        pass
