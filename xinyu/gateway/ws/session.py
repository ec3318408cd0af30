"""One device's connection as a state machine without I/O: what came in is understood, what went out is remembered.

It knows which entries were pushed (each once, in order), which await their ack, and how far the device has everything
(its cursor). Web sessions acknowledge every push by its `ackid`; `sync` sessions cumulatively (CONTRACT.md 2.2, 2.6).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from xinyu.gateway.auth import Caller
from xinyu.gateway.ws.acks import AckWindow
from xinyu.gateway.ws.frames import ClientFrame, parse_frame
from xinyu.kernel.ids import ConversationId, DeviceId, SessionId, UserId
from xinyu.presence.types import NodeRef, PresenceEntry

MAX_NUMBER = 16
"""Digits of a conversation's id or a seq: both are below 2**53."""
MAX_CLAIMS = 1000
"""Acks beyond what was pushed, and entries that came by a reply, that a session remembers."""


class State(Enum):
    """OPENING: pushes are held. LIVE: pushes go out. CLOSED: nothing does."""

    OPENING = 1
    LIVE = 2
    CLOSED = 3


class Session:
    """A session of this node."""

    __slots__ = (
        "_ahead", "_claims", "_dirty", "_silent", "_window", "caller", "cursors", "device_id", "heard_at", "in_flight",
        "is_behind", "presence", "pushed", "session_id", "state", "sync",
    )  # fmt: skip

    def __init__(
        self, session_id: SessionId, caller: Caller, device_id: DeviceId, sync: bool, at: NodeRef, now: float
    ) -> None:
        self.session_id = session_id
        self.caller = caller
        self.device_id = device_id
        self.sync = sync
        self.presence = PresenceEntry(caller.user_id, session_id, device_id, caller.platform, at)
        self.state = State.OPENING
        self.heard_at = now
        self.in_flight = 0
        self.is_behind = False
        """Whether its device counts as one that is owed what it missed, for this session is to bring it."""
        self.pushed: dict[ConversationId, int] = {}
        """conversation → everything up to here went out, or the client has it otherwise."""
        self.cursors: dict[ConversationId, int] = {}
        """conversation → the device has everything up to here; what is stored, or will be by the next flush."""
        self._dirty: set[ConversationId] = set()
        self._window: AckWindow | None = None
        self._silent = False
        self._ahead: set[tuple[ConversationId, int]] | None = None
        self._claims: dict[ConversationId, int] | None = None

    @property
    def user_id(self) -> UserId:
        return self.caller.user_id

    @property
    def unacked_count(self) -> int:
        """Pushes that await their ack."""
        return self._window.count if self._window else 0

    @property
    def unacked_bytes(self) -> int:
        """Bytes of them, kept to be repeated."""
        return self._window.bytes if self._window else 0

    def receive(self, text: str, now: float) -> ClientFrame | None:
        """A text frame came in. None for what is not understood; acks are taken care of here."""
        self.heard_at = now
        frame = parse_frame(text)
        if frame is not None and frame.event == "ack":
            if frame.cursors is not None:
                self._take_cursors(frame.cursors)
            elif frame.ackid is not None:
                self._take_ackid(frame.ackid)
        return frame

    def follow(self, conversation_id: ConversationId, seq: int, cursor: int) -> None:
        """When the session opens: the client needs nothing up to `seq`, its device is known to have all up to
        `cursor`."""
        self.pushed[conversation_id] = seq
        self.cursors[conversation_id] = cursor

    def knows(self, conversation_id: ConversationId, seq: int) -> bool:
        """Whether this entry went out already, or the client has it otherwise."""
        return seq <= self.pushed.get(conversation_id, 0) or bool(self._ahead and (conversation_id, seq) in self._ahead)

    def lacks(self, conversation_id: ConversationId, seq: int) -> bool:
        """Whether something up to `seq` is still to come; False for a conversation it did not follow so far."""
        return self.pushed.get(conversation_id, seq) < seq

    def went_out(self, conversation_id: ConversationId, seq: int, frame: bytes | None, now: float) -> int:
        """An entry was written. `frame` is what to repeat until it is acked; None when nothing needs an ack. Returns
        how many pushes await theirs."""
        if frame is not None and not self.sync and not self._silent:
            if self._window is None:
                self._window = AckWindow()
            self._window.add(conversation_id, seq, frame, now)
        self._reach(conversation_id, seq)
        return self.unacked_count

    def got(self, conversation_id: ConversationId, seq: int) -> None:
        """The client has this entry from a reply."""
        if seq == self.pushed.get(conversation_id, 0) + 1:
            self._reach(conversation_id, seq)
        elif not self.knows(conversation_id, seq):
            if self._ahead is None:
                self._ahead = set()
            if len(self._ahead) < MAX_CLAIMS:
                self._ahead.add((conversation_id, seq))

    def due(self, now: float, after: float, tries: int) -> list[bytes] | None:
        """Frames to repeat: per conversation from the first overdue one on, so that order holds. None when the client
        has ignored `tries` repetitions though it used to answer, or is not heard any more: it must be closed."""
        if self._window is None:
            return []
        if self._window.is_silent(now, after, self.heard_at):
            self._silent = True
            for conversation_id in self._window.give_up():
                self._move(conversation_id, self.pushed[conversation_id])
            return []
        return self._window.due(now, after, tries)

    @property
    def has_moved(self) -> bool:
        """Whether a cursor has moved since the last `take_dirty`."""
        return bool(self._dirty)

    def take_dirty(self) -> dict[ConversationId, int]:
        """Cursors that moved since the last call."""
        moved = {conversation_id: self.cursors[conversation_id] for conversation_id in self._dirty}
        self._dirty.clear()
        return moved

    def give_back_dirty(self, conversation_ids: Iterable[ConversationId]) -> None:
        """These could not be stored: they count as moved again."""
        self._dirty.update(conversation_ids)

    def _reach(self, conversation_id: ConversationId, seq: int) -> None:
        """Everything up to `seq` went out; and what the client had ahead of it, if that follows."""
        if self._ahead:
            while (conversation_id, seq + 1) in self._ahead:
                seq += 1
            self._ahead = {key for key in self._ahead if key[0] != conversation_id or key[1] > seq} or None
        self.pushed[conversation_id] = max(seq, self.pushed.get(conversation_id, 0))
        if not self.sync:
            if self._window is None or self._window.oldest(conversation_id) is None:
                self._move(conversation_id, self.pushed[conversation_id])
        elif self._claims and conversation_id in self._claims:
            self._take_cursor(conversation_id, self._claims.pop(conversation_id))

    def _take_cursors(self, cursors: dict[str, int]) -> None:
        for key, seq in cursors.items():
            conversation_id = ConversationId(_number(key))
            if conversation_id > 0 and seq > 0:
                self._take_cursor(conversation_id, seq)

    def _take_cursor(self, conversation_id: ConversationId, seq: int) -> None:
        """The client has everything up to `seq`. What it says beyond what was pushed counts once that was: it may know
        an entry from a sync before its push."""
        reached = self.pushed.get(conversation_id, 0)
        if seq > reached and self.sync:
            if self._claims is None:
                self._claims = {}
            if conversation_id in self._claims or len(self._claims) < MAX_CLAIMS:
                self._claims[conversation_id] = max(seq, self._claims.get(conversation_id, 0))
        if self._window is not None:
            self._window.answered = True
            self._window.take_up_to(conversation_id, seq)
        self._move(conversation_id, min(seq, reached))

    def _take_ackid(self, ackid: str) -> None:
        talk, _, seq_text = ackid.partition(".")
        conversation_id, seq = ConversationId(_number(talk)), _number(seq_text)
        if self._window is None or not 0 < seq <= self.pushed.get(conversation_id, 0):
            return
        self._window.answered = True
        self._silent = False
        if self._window.take(conversation_id, seq):
            oldest = self._window.oldest(conversation_id)
            self._move(conversation_id, self.pushed[conversation_id] if oldest is None else oldest - 1)

    def _move(self, conversation_id: ConversationId, seq: int) -> None:
        if seq > self.cursors.get(conversation_id, 0):
            self.cursors[conversation_id] = seq
            self._dirty.add(conversation_id)


def _number(text: str) -> int:
    """A number of decimal digits; 0 for anything else."""
    return int(text) if len(text) <= MAX_NUMBER and text.isascii() and text.isdigit() else 0
