"""A gateway's sockets over a log in memory, and clients that remember what they showed: for property tests."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec

from testkit.clock import ManualClock
from testkit.contacts import port_of
from testkit.rest import ports_of
from xinyu.delivery.types import NodePush
from xinyu.gateway.auth import Caller
from xinyu.gateway.names import Names
from xinyu.gateway.present.times import LocalTimes
from xinyu.gateway.ws.deliverer import SocketDeliverer
from xinyu.gateway.ws.hub import Connection, Hub
from xinyu.gateway.ws.order import PushOrder
from xinyu.gateway.ws.send_queue import FrameWriter, SendQueue
from xinyu.gateway.ws.session import Session, State
from xinyu.gateway.ws.sessions.opening import Sessions
from xinyu.gateway.ws.sessions.places import Places
from xinyu.kernel.ids import ConversationId, DeviceId, LoginId, MsgId, NodeId, SessionId, UserId
from xinyu.message.port import DevicePort, MessagePort
from xinyu.message.types import DeviceCursor, DeviceState, Entry, Kind, Page, Ref, SyncItem, SyncPage
from xinyu.presence.port import PresencePort
from xinyu.presence.types import NodeRef, PresenceEntry, SessionTarget
from xinyu.user.port import ProfilePort

READER, SENDER = UserId(1), UserId(2)
CONVERSATIONS = [ConversationId(10), ConversationId(20), ConversationId(30)]
HOLD, RETRANSMIT, WINDOW = 0.2, 3.0, 6
HERE = NodeRef(NodeId("n"), 1)


@dataclass
class Wire(FrameWriter):
    """The frames a client has got and not looked at yet."""

    frames: list[dict[str, Any]] = field(default_factory=list)

    def write(self, payload: bytes) -> bool:
        self.frames.append(json.loads(payload))
        return True

    def on_writable(self, resume: object) -> None:
        """Always writable."""


class Device:
    """A client over its connections: what it showed, and what it told the server that it has."""

    def __init__(self, name: str, sync: bool) -> None:
        self.device_id = DeviceId(name)
        self.sync = sync
        self.shown: dict[int, list[int]] = defaultdict(list)
        self.acked: dict[int, set[int]] = defaultdict(set)
        self.unanswered: list[str] = []
        self.started: dict[int, int] = {}
        """Where its first connection began."""
        self.connection: Connection | None = None
        self.wire = Wire()
        self.catching_up: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        return self.connection is not None and self.connection.session.state is not State.CLOSED

    def look(self) -> None:
        """Show what came, as the pages do: an ackid seen before is dropped."""
        for frame in self.wire.frames:
            if frame["event"] != "im.message":
                continue
            talk, seq = frame["payload"]["talk_id"], frame["payload"]["body"]["sequence"]
            if "ackid" in frame:
                self.unanswered.append(frame["ackid"])
            if self.sync or seq not in self.shown[talk]:
                self.shown[talk].append(seq)
        self.wire.frames.clear()


class SocketModel:
    """The gateway's parts over a log in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log: dict[int, list[Entry]] = {conversation_id: [] for conversation_id in CONVERSATIONS}
        self.stored: dict[tuple[DeviceId, int], int] = {}
        self.known: set[DeviceId] = set()
        self.online: dict[SessionId, SessionTarget] = {}
        self.undelivered: list[Entry] = []
        self.numbers = 0
        ports = ports_of(
            messages=port_of(MessagePort, history=self._history, sync=self._sync),
            devices=port_of(
                DevicePort, open_device=self._open, move_cursors=self._move, set_caught_up=self._set_caught_up
            ),
            presence=port_of(PresencePort, register=self._register, unregister=self._unregister),
        )
        self.hub, self.order = Hub(100, 100), PushOrder(HOLD)
        names = Names(port_of(ProfilePort), 1.0)
        self.deliverer = SocketDeliverer(self.hub, self.order, ports, names, LocalTimes("UTC"), self.clock, WINDOW)
        places = Places(self.hub, ports, self.clock, HERE, {}, 30.0)
        self.sessions = Sessions(self.hub, self.order, self.deliverer, ports, self.clock, 1000, places)

    async def _history(self, _reader: UserId, ref: Ref, after: int = 0, limit: int = 30, **_: object) -> Page:
        await asyncio.sleep(0)
        entries = [e for e in self.log[ref.target_id] if e.seq > after]
        return Page(entries[:limit], len(entries) > limit)

    async def _sync(self, _user: UserId, _device: DeviceId, cursors: dict[str, int], limit: int = 5) -> SyncPage:
        await asyncio.sleep(0)
        items, room = [], limit
        for id_, log in self.log.items():
            entries = [e for e in log if e.seq > cursors.get(str(id_), 0)]
            if entries and room <= 0:
                return SyncPage(items, True)
            if entries:
                page, more = entries[:room], len(entries) > room
                items.append(SyncItem(ConversationId(id_), Ref(Kind.GROUP, id_), len(log), 0, 0, page, more))
                room -= len(page)
        return SyncPage(items, any(item.more for item in items))

    async def _open(self, _user: UserId, device_id: DeviceId, sync: bool) -> list[DeviceState]:
        heads = {id_: len(log) for id_, log in self.log.items()}
        if device_id not in self.known:
            self.known.add(device_id)
            self.stored.update({(device_id, id_): head for id_, head in heads.items()})
        return [DeviceState(id_, heads[id_], self.stored.get((device_id, id_), 0)) for id_ in CONVERSATIONS]

    async def _move(self, cursors: list[DeviceCursor]) -> None:
        for cursor in cursors:
            key = (cursor.device_id, cursor.conversation_id)
            self.stored[key] = max(cursor.seq, self.stored.get(key, 0))

    async def _set_caught_up(self, *_: object) -> None:
        await asyncio.sleep(0)

    async def _register(self, entry: Any) -> list[PresenceEntry]:
        self.online[entry.session_id] = SessionTarget(READER, entry.session_id)
        await asyncio.sleep(0)
        return []

    async def _unregister(self, entry: Any) -> None:
        self.online.pop(entry.session_id, None)

    def commit(self, conversation_id: ConversationId) -> Entry:
        log = self.log[conversation_id]
        self.numbers += 1
        entry = Entry(
            conversation_id, Kind.GROUP, (conversation_id, 0), len(log) + 1, MsgId(f"{self.numbers:032x}"), 1, SENDER,
            0, '{"content":"x"}', sender_name="s",
        )  # fmt: skip
        log.append(entry)
        self.undelivered.append(entry)
        return entry

    async def deliver(self, entries: list[Entry]) -> None:
        pushes = [
            NodePush(e.conversation_id, e.seq, list(self.online.values()), msgspec.Raw(msgspec.json.encode(e)))
            for e in entries
        ]
        await self.deliverer.deliver([push for push in pushes if push.sessions])

    async def connect(self, device: Device) -> None:
        self.numbers += 1
        caller = Caller(READER, LoginId("0" * 32), "web", 1, 2**40)
        session = Session(
            SessionId(str(self.numbers)), caller, device.device_id, device.sync, HERE,
            self.clock.monotonic(),
        )  # fmt: skip
        device.wire = Wire()
        device.unanswered.clear()
        device.connection = Connection(session, SendQueue(device.wire, 10_000, 10**9), lambda _code, _reason: None)
        device.catching_up = await self.sessions.open(device.connection)
        for id_ in CONVERSATIONS:
            device.started.setdefault(id_, session.pushed[id_])

    async def disconnect(self, device: Device) -> None:
        assert device.connection is not None
        if device.catching_up is not None:
            device.catching_up.cancel()
            await asyncio.wait([device.catching_up])
        await self.sessions.close(device.connection)
        device.connection = None

    async def reconnect(self, device: Device) -> None:
        """Come back, unless it is there."""
        if not device.is_connected:
            if device.connection is not None:
                await self.disconnect(device)
            await self.connect(device)
