"""Pushes arrive at their node: presented for each kind of reader once, put on every socket in order, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence

import msgspec

from xinyu.delivery.port import DelivererPort
from xinyu.delivery.types import CloseOrder, NodePush, NodeSignal, PushKey, Receipt
from xinyu.gateway.names import Names
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.message import with_names, with_names_within
from xinyu.gateway.present.push import frames_for, variant_of
from xinyu.gateway.present.signal import signal_frame
from xinyu.gateway.present.times import LocalTimes
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.frames import RELOAD
from xinyu.gateway.ws.gaps import GapReader
from xinyu.gateway.ws.hub import Connection, Hub
from xinyu.gateway.ws.order import PushOrder
from xinyu.gateway.ws.patience import Patience
from xinyu.gateway.ws.session import State
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError, code_of
from xinyu.kernel.ids import ConversationId, SessionId
from xinyu.message.types import Entry
from xinyu.rpc.deadline import adopt_deadline
from xinyu.telemetry.logs import get_logger, hops, in_ms
from xinyu.telemetry.readings import Histogram, Reading

log = get_logger(__name__)
TICK_SECONDS = 0.05
PUSH_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 60.0)
NAMES_SECONDS = 1.0
"""What a batch waits for names: those of its pushes that have theirs wait as long."""
_decode_entry = msgspec.json.Decoder(Entry).decode
_encode = msgspec.json.Encoder().encode
Variants = dict[Hashable, list[bytes]]


class SocketDeliverer(DelivererPort):
    """Serves `DelivererPort` from this node's hub."""

    def __init__(
        self, hub: Hub, order: PushOrder, ports: Ports, names: Names, times: LocalTimes, clock: Clock, ack_window: int
    ) -> None:
        self.ack_window = ack_window
        """Pushes of one session that may await their ack."""
        self._hub = hub
        self._order = order
        self.patience = Patience(clock)
        self._gaps = GapReader(ports, names, ack_window)
        self._names = names
        self._times = times
        self._clock = clock
        self._fills: set[asyncio.Task[None]] = set()
        self._holding = asyncio.Event()
        self._seconds = Histogram(PUSH_SECONDS)
        self._missed = 0
        self.pushed = 0
        self.gaps = 0

    async def deliver(self, pushes: list[NodePush]) -> Receipt:
        entries = [_decode_entry(push.payload) for push in pushes]
        named = await with_names_within(entries, self._names, NAMES_SECONDS)
        gone: list[SessionId] = []
        refused: list[PushKey] = []
        now = self._clock.monotonic()
        for push, entry, complete in zip(pushes, entries, named, strict=True):
            if complete is None or any(push.conversation_id == conversation_id for conversation_id, _ in refused):
                refused.append(push.key)  # what is behind one that waits would be read from the log with it, in vain
                continue
            if complete is not entry:  # it may have to wait, and go out as it is now
                push = msgspec.structs.replace(push, payload=msgspec.Raw(_encode(complete)))
            for ready in self._in_turn(push, now):
                self._emit(ready, complete if ready is push else None, gone)
        return Receipt(gone, refused)

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
        """Let go of pushes whose predecessors do not come, or are not needed any more. Works for ever."""
        while True:
            if not self._order.held:
                self._holding.clear()
                await self._holding.wait()
            await self._clock.sleep(TICK_SECONDS)
            self._release_waiting()

    def bring(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Pushes that were held back for one session, in the order in which they came."""
        for entry in entries:
            self._place(connection, entry, {})

    def bring_missed(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Entries read from the log, in order: what is missing between them is not this reader's to see."""
        for entry in entries:
            if not connection.session.knows(entry.conversation_id, entry.seq):
                self._write(connection, entry, {})

    def replied(self, connection: Connection, conversation_id: ConversationId, seq: int) -> None:
        """A session has an entry from the reply to its send, and is pushed it no more."""
        session = connection.session
        if session.state is not State.CLOSED:
            self._follow(connection, conversation_id, seq)
            session.got(conversation_id, seq)

    async def with_names(self, entries: Sequence[Entry]) -> list[Entry]:
        """Entries with the names that they show; the same objects where they have all."""
        return await with_names(entries, self._names)

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_ws_pushes_total", "Entries put on sockets.", self.pushed),
            ("xinyu_ws_push_seconds", "From an entry's commit until a node had it on its sockets.", self._seconds),
            ("xinyu_ws_push_missed_total", "Pushes for sessions that had gone.", self._missed),
            ("xinyu_ws_waiting_sessions", "Sessions that wait for what cannot be read now.", self.patience.waiting),
            ("xinyu_ws_gaps_total", "Pushes whose predecessor did not come in time.", self.gaps),
            ("xinyu_ws_held_pushes", "Pushes that wait for their predecessor.", self._order.held_pushes),
            ("xinyu_ws_order_overflows_total", "Gaps that too many pushes waited for.", self._order.overflows),
            ("xinyu_ws_held_conversations", "Conversations with pushes that wait.", self._order.held),
        ]

    def _in_turn(self, push: NodePush, now: float) -> list[NodePush]:
        """What may go out now that `push` is here. An entry that no session here lacks is not waited for: its sender
        had it as the reply, or its readers joined later."""
        ready: list[NodePush] = []
        if self._order.is_early(push) and not self._is_lacked_before(push):
            ready = self._order.passed(push.conversation_id, push.seq - 1)
        ready += self._order.offer(push, now)
        if self._order.held:
            self._holding.set()
        return ready

    def _is_lacked_before(self, push: NodePush) -> bool:
        """Whether one of its sessions lacks an entry before this one. Sessions that open get everything in order."""
        found = (self._hub.find(target.session_id) for target in push.sessions)
        return any(
            connection.session.lacks(push.conversation_id, push.seq - 1)
            for connection in found
            if connection is not None and connection.session.state is State.LIVE
        )

    def _release_waiting(self) -> None:
        ready: list[NodePush] = []
        for push in self._order.first_waiting():
            if not self._is_lacked_before(push):
                ready += self._order.passed(push.conversation_id, push.seq - 1)
        late = self._order.overdue(self._clock.monotonic())
        self.gaps += len(late)
        for push in (*ready, *late):
            self._emit(push, None, [])

    def _emit(self, push: NodePush, entry: Entry | None, gone: list[SessionId]) -> None:
        if entry is None:
            entry = _decode_entry(push.payload)
        variants: Variants = {}
        missed = len(gone)
        for target in push.sessions:
            connection = self._hub.find(target.session_id)
            if connection is None:
                gone.append(target.session_id)
            elif connection.session.state is State.OPENING:
                if connection.held is None:
                    connection.held = []
                connection.keep(connection.held, entry)
            else:
                self._place(connection, entry, variants)
        self._missed += len(gone) - missed
        seconds = (self._clock.now_ms() - entry.sent_at_ms) / 1000
        self._seconds.observe(seconds)
        if hops.told:
            log.debug(
                "push at its sockets",
                trace_id=push.trace_id,
                conversation_id=push.conversation_id,
                seq=push.seq,
                msg_id=entry.msg_id,
                sessions=len(push.sessions) - len(gone) + missed,
                duration_ms=in_ms(seconds),
            )

    def _place(self, connection: Connection, entry: Entry, variants: Variants) -> None:
        session, conversation_id = connection.session, entry.conversation_id
        if session.state is State.CLOSED or session.knows(conversation_id, entry.seq):
            return
        if connection.filling and conversation_id in connection.filling:
            connection.keep(connection.filling[conversation_id], entry)
            return
        had = self._follow(connection, conversation_id, entry.seq)
        if entry.seq > had + 1 and not session.sync:
            self._fill(connection, entry, had)
        else:
            self._write(connection, entry, variants)

    def _follow(self, connection: Connection, conversation_id: ConversationId, seq: int) -> int:
        """Up to where the session has a conversation. A new one: its user became a member after it opened, so it lacks
        all that he may read."""
        pushed = connection.session.pushed
        had = pushed.get(conversation_id)
        if had is None:
            self._order.join(conversation_id, seq)
            had = pushed[conversation_id] = 0
        return had

    def _write(self, connection: Connection, entry: Entry, variants: Variants) -> None:
        session = connection.session
        if session.state is State.CLOSED:
            return
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
        if waiting > self.ack_window or session.unacked_bytes > connection.queue.max_bytes:
            connection.close(CloseCode.NO_ACKS, "too many pushes unacknowledged: reconnect")

    def _fill(self, connection: Connection, entry: Entry, had: int) -> None:
        """A session without gap handling lacks entries before this one: read what its user may read of them."""
        if connection.filling is None:
            connection.filling = {}
        waiting = connection.filling[entry.conversation_id] = []
        connection.keep(waiting, entry)
        task = asyncio.create_task(self._fill_gap(connection, entry, had))
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    async def _fill_gap(self, connection: Connection, entry: Entry, had: int) -> None:
        adopt_deadline(None)  # the call that brought the push has its answer: its time is not this task's
        session = connection.session
        asker = self.patience.of(session)
        try:
            missing = await asker.told(lambda: self._gaps.read(session, had, entry))
        except Exception as error:  # going on without them would move the cursor over them
            if not isinstance(error, XinyuError):
                log.exception("a gap could not be read; the stack below says where")
            log.warning("a client that lacks entries is asked to come back", error=code_of(error))
            connection.close(CloseCode.UNAVAILABLE, "cannot read what is missing: reconnect")
            return
        if missing is None:
            return
        if len(missing) > self.ack_window:  # its catch-up brings them as fast as it acknowledges
            connection.close(CloseCode.NO_ACKS, "more is missing than may be unacknowledged: reconnect")
            return
        self.end_filling(connection, entry.conversation_id, [*missing, entry])
        if asker.was_late:  # a list that was read meanwhile has counted them already
            connection.put(RELOAD)

    def end_filling(self, connection: Connection, conversation_id: ConversationId, found: Sequence[Entry]) -> None:
        """What a session lacked of a conversation is here: it goes out, and then what waited for it, which may lack
        entries before it in its turn."""
        waiting = (connection.filling or {}).pop(conversation_id, [])
        connection.release(waiting)
        self.bring_missed(connection, found)
        self.bring(connection, sorted(waiting, key=lambda entry: entry.seq))
