"""Pushes arrive at their node: presented for each kind of reader once, put on every socket in order, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence

import msgspec

from xinyu.delivery.port import DelivererPort
from xinyu.delivery.types import CloseOrder, NodePush, NodeSignal, Receipt
from xinyu.gateway.names import Names
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.push import frames_for, variant_of
from xinyu.gateway.present.signal import signal_frame
from xinyu.gateway.present.times import LocalTimes
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.hub import Connection, Hub
from xinyu.gateway.ws.order import PushOrder
from xinyu.gateway.ws.session import State
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import SessionId, UserId
from xinyu.message.types import Entry
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import Reading

log = get_logger(__name__)
TICK_SECONDS = 0.05
GAP_PAGE = 200
_decode_entry = msgspec.json.Decoder(Entry).decode
Variants = dict[Hashable, list[bytes]]


class SocketDeliverer(DelivererPort):
    """Serves `DelivererPort` from this node's hub."""

    def __init__(
        self, hub: Hub, order: PushOrder, ports: Ports, names: Names, times: LocalTimes, clock: Clock, ack_window: int
    ) -> None:
        self._hub = hub
        self._order = order
        self._ports = ports
        self._names = names
        self._times = times
        self._clock = clock
        self._ack_window = ack_window
        self._fills: set[asyncio.Task[None]] = set()
        self.pushed = 0
        self.gaps = 0

    async def deliver(self, pushes: list[NodePush]) -> Receipt:
        entries = {(push.conversation_id, push.seq): _decode_entry(push.payload) for push in pushes}
        nameless = {entry.sender_id for entry in entries.values() if entry.sender_id and not entry.sender_name}
        if nameless:
            names = await self._names.look_up(nameless)
            for key, entry in entries.items():
                if entry.sender_id in nameless:
                    name = names[entry.sender_id]
                    entries[key] = msgspec.structs.replace(entry, sender_name=name.nickname, sender_avatar=name.avatar)
        gone: list[SessionId] = []
        now = self._clock.monotonic()
        for push in pushes:
            for ready in self._order.offer(push, now):
                self._emit(ready, entries.get((ready.conversation_id, ready.seq)), gone)
        return Receipt(gone)

    async def signal(self, signals: list[NodeSignal]) -> None:
        for signal in signals:
            for target in signal.sessions:
                connection = self._hub.find(target.session_id)
                if connection is not None and connection.session.state is State.LIVE:
                    frame = signal_frame(signal.name, signal.payload, target.user_id)
                    if frame is not None:
                        connection.put(frame)

    async def close_sessions(self, order: CloseOrder) -> None:
        self._hub.close_matching(order)

    async def run(self) -> None:
        """Let go of pushes whose predecessors do not come. Works for ever."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            if self._order.held:
                for push in self._order.overdue(self._clock.monotonic()):
                    self.gaps += 1
                    self._emit(push, None, [])

    def bring(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Entries, in order, that were held back for one session."""
        for entry in entries:
            self._bring(connection, entry, {})

    def bring_missed(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Entries, in order, for a session that is still opening."""
        for entry in entries:
            if not connection.session.knows(entry.conversation_id, entry.seq):
                self._write(connection, entry, {})

    async def with_names(self, entries: Sequence[Entry]) -> list[Entry]:
        """Entries read from the log, with their senders' names."""
        names = await self._names.look_up(entry.sender_id for entry in entries)
        return [
            msgspec.structs.replace(
                entry, sender_name=names[entry.sender_id].nickname, sender_avatar=names[entry.sender_id].avatar
            )
            if entry.sender_id
            else entry
            for entry in entries
        ]

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_ws_pushes_total", "Entries put on sockets.", self.pushed),
            ("xinyu_ws_gaps_total", "Pushes whose predecessor did not come in time.", self.gaps),
            ("xinyu_ws_held_conversations", "Conversations with pushes that wait.", self._order.held),
        ]

    def _emit(self, push: NodePush, entry: Entry | None, gone: list[SessionId]) -> None:
        if entry is None:
            entry = _decode_entry(push.payload)
        variants: Variants = {}
        for target in push.sessions:
            connection = self._hub.find(target.session_id)
            if connection is None:
                gone.append(target.session_id)
            else:
                self._bring(connection, entry, variants)

    def _bring(self, connection: Connection, entry: Entry, variants: Variants) -> None:
        session, conversation_id = connection.session, entry.conversation_id
        if session.state is State.OPENING:
            if connection.held is None:
                connection.held = []
            connection.held.append(entry)
            return
        had = session.pushed.get(conversation_id)
        if had is None:
            self._order.join(conversation_id, entry.seq)
        elif entry.seq <= had:
            return
        elif connection.filling and conversation_id in connection.filling:
            connection.filling[conversation_id].append(entry)
            return
        elif entry.seq > had + 1 and not session.sync:
            self._fill(connection, entry, had)
            return
        self._write(connection, entry, variants)

    def _write(self, connection: Connection, entry: Entry, variants: Variants) -> None:
        session = connection.session
        key = variant_of(entry, session.user_id, session.sync)
        frames = variants.get(key)
        if frames is None:
            frames = variants[key] = frames_for(entry, session.user_id, session.sync, self._times)
        for frame in frames:
            if not connection.put(frame):
                return
        self.pushed += 1
        waiting = session.went_out(
            entry.conversation_id, entry.seq, frames[0] if frames else None, self._clock.monotonic()
        )
        if waiting > self._ack_window:
            connection.close(CloseCode.NO_ACKS, "too many pushes unacknowledged: reconnect")

    def _fill(self, connection: Connection, entry: Entry, had: int) -> None:
        """A session without gap handling lacks entries before this one: read what its user may read of them."""
        if connection.filling is None:
            connection.filling = {}
        connection.filling[entry.conversation_id] = [entry]
        task = asyncio.create_task(self._fill_gap(connection, entry, had))
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    async def _fill_gap(self, connection: Connection, entry: Entry, had: int) -> None:
        user_id, conversation_id = connection.session.user_id, entry.conversation_id
        missing: list[Entry] = []
        try:
            page = await self._ports.messages.history(
                user_id, entry.ref_for(UserId(user_id)), after=had, limit=GAP_PAGE
            )
            missing = await self.with_names([found for found in page.entries if found.seq < entry.seq])
        except XinyuError as error:
            log.warning("a gap could not be read; the client finds it when it reconnects", error=error.code)
        waiting = (connection.filling or {}).pop(conversation_id, [])
        for found in sorted((*missing, *waiting), key=lambda found: found.seq):
            if connection.session.state is State.LIVE and not connection.session.knows(conversation_id, found.seq):
                self._write(connection, found, {})
