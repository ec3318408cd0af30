"""A node's sessions: who is connected here, by session and by user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from xinyu.delivery.types import CloseOrder
from xinyu.gateway.ws.close_codes import CloseCode, as_told
from xinyu.gateway.ws.frames import event_frame
from xinyu.gateway.ws.send_queue import SendQueue
from xinyu.gateway.ws.session import Session, State
from xinyu.kernel.ids import DeviceId, SessionId, UserId
from xinyu.message.types import Entry
from xinyu.telemetry.readings import Reading


class Connection:
    """A session and its socket."""

    __slots__ = ("_close", "_kept_bytes", "filling", "held", "queue", "session")

    def __init__(self, session: Session, queue: SendQueue, close: Callable[[int, str], None]) -> None:
        self.session = session
        self.queue = queue
        self._close = close
        self._kept_bytes = 0
        self.held: list[Entry] | None = None
        """Pushes that came while the session was opening."""
        self.filling: dict[int, list[Entry]] | None = None
        """Pushes of conversations whose gap is being read."""

    @property
    def is_half_full(self) -> bool:
        """Whether who can wait should: what is queued, or kept until it is acknowledged, is half of what may be."""
        return self.queue.is_half_full or 2 * self.session.unacked_bytes >= self.queue.max_bytes

    def put(self, frame: bytes) -> bool:
        """Send a frame; a full queue closes the session, to be resumed by its client."""
        if self.session.state is State.CLOSED:
            return False
        if self.queue.put(frame):
            return True
        self.close(CloseCode.SLOW, "too slow: reconnect and sync")
        return False

    def keep(self, entries: list[Entry], entry: Entry) -> None:
        """Let a push wait in one of this connection's lists; each is bounded as the send queue is in frames, all of
        them together in bytes. `release` it when it is taken from there."""
        self._kept_bytes += _size(entry)
        if len(entries) < self.queue.max_frames and self._kept_bytes <= self.queue.max_bytes:
            entries.append(entry)
        else:
            self.close(CloseCode.SLOW, "too slow: reconnect and sync")

    def release(self, entries: Iterable[Entry]) -> None:
        """These wait no longer."""
        self._kept_bytes -= sum(map(_size, entries))

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket with the code that its kind of client understands; nothing more is sent. Idempotent."""
        if self.session.state is not State.CLOSED:
            self.session.state = State.CLOSED
            self._close(int(as_told(code, self.session.sync)), reason)


def _size(entry: Entry) -> int:
    """Bytes of what a user wrote; the rest of an entry is small."""
    return len(entry.content.encode()) + len(entry.quote.encode())


class Hub:
    """All connections of this node."""

    def __init__(self, max_sessions: int, max_per_user: int) -> None:
        self._max_sessions = max_sessions
        self._max_per_user = max_per_user
        self._by_session: dict[SessionId, Connection] = {}
        self._by_user: dict[UserId, list[Connection]] = {}
        self.is_draining = False
        """Whether the node is leaving: it takes no more sessions."""
        self.opened = 0
        self.frames = 0
        """Frames that came in, of any kind."""
        self.refused = 0
        self.turned_away = 0
        """Of them, those at a full node."""
        self._replaced = 0
        self.closes: Counter[int] = Counter()
        """Close codes that the server said."""

    def __len__(self) -> int:
        return len(self._by_session)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_session.values()))

    @property
    def is_full(self) -> bool:
        """Whether no more sessions are taken."""
        return len(self._by_session) >= self._max_sessions

    def add(self, connection: Connection) -> None:
        """A session begins. A user over his limit loses his oldest ones."""
        session = connection.session
        self._by_session[session.session_id] = connection
        mine = self._by_user.setdefault(session.user_id, [])
        mine.append(connection)
        self.opened += 1
        if len(mine) > self._max_per_user:
            alive = [found for found in mine if found.session.state is not State.CLOSED]
            for oldest in alive[: max(0, len(alive) - self._max_per_user)]:
                self._replaced += 1
                oldest.close(CloseCode.REPLACED, "too many sessions of this user")

    def remove(self, connection: Connection) -> None:
        """A session has ended. Idempotent."""
        session = connection.session
        if self._by_session.pop(session.session_id, None) is None:
            return
        mine = self._by_user[session.user_id]
        mine.remove(connection)
        if not mine:
            del self._by_user[session.user_id]

    def find(self, session_id: SessionId) -> Connection | None:
        """The connection of a session."""
        return self._by_session.get(session_id)

    def of_user(self, user_id: UserId) -> list[Connection]:
        """A user's connections here."""
        return list(self._by_user.get(user_id, ()))

    def of_device(self, user_id: UserId, device_id: DeviceId) -> list[Connection]:
        """A device's connections here (a browser's tabs share one)."""
        return [c for c in self._by_user.get(user_id, ()) if c.session.device_id == device_id]

    def close_matching(self, order: CloseOrder) -> int:
        """Close what an order names; how many."""
        matching = [
            connection
            for connection in self.of_user(order.user_id)
            if order.session_id in (None, connection.session.session_id)
            and (order.login_id is None or connection.session.caller.login_id == order.login_id)
            and connection.session.caller.login_id != order.except_login_id
        ]
        for connection in matching:
            if order.notice:
                connection.put(event_frame("event_error", {"error_code": 409, "error_message": order.notice}))
            connection.close(CloseCode(order.close_code), order.reason)
        return len(matching)

    def user_ids(self) -> Iterable[UserId]:
        """Users with a session here."""
        return list(self._by_user)

    def readings(self) -> list[Reading]:
        """For metrics."""
        queued = [
            (c.queue.queued_frames, c.queue.queued_bytes) for c in self._by_session.values() if c.queue.queued_frames
        ]
        unacked = sum(c.session.unacked_count for c in self._by_session.values())
        return [
            ("xinyu_ws_sessions", "Open sessions.", len(self._by_session)),
            ("xinyu_ws_users", "Users with a session here.", len(self._by_user)),
            ("xinyu_ws_opened_total", "Sessions opened.", self.opened),
            ("xinyu_ws_frames_total", "Frames of clients, of any kind.", self.frames),
            (
                "xinyu_ws_refused_total",
                "Connections with a bad token, at a full node, or of an address with too many.",
                self.refused,
            ),
            ("xinyu_ws_full_total", "Of them, those at a full node.", self.turned_away),
            ("xinyu_ws_replaced_total", "Sessions closed because their user had too many.", self._replaced),
            ("xinyu_ws_slow_total", "Sessions closed at a full queue.", self.closes[CloseCode.SLOW]),
            ("xinyu_ws_unanswered_total", "Sessions closed for want of acks.", self.closes[CloseCode.NO_ACKS]),
            ("xinyu_ws_unacked_pushes", "Pushes awaiting their acks.", unacked),
            (
                "xinyu_ws_unacked_bytes",
                "Bytes of those pushes.",
                sum(c.session.unacked_bytes for c in self._by_session.values()),
            ),
            ("xinyu_ws_queued_frames", "Frames waiting in send queues.", sum(f for f, _ in queued)),
            ("xinyu_ws_queued_bytes", "Bytes waiting in send queues.", sum(b for _, b in queued)),
        ]
