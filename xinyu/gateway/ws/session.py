"""One device's connection as a state machine without I/O: what came in is understood, what went out is remembered.

It knows which entries were pushed (each once, in order), which await their ack, and how far the device has everything
(its cursor). Web sessions acknowledge every push by its `ackid`; `sync` sessions cumulatively (CONTRACT.md 2.2, 2.6).
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

import msgspec

from xinyu.gateway.auth import Caller
from xinyu.gateway.ws.frames import ClientFrame, parse_frame
from xinyu.kernel.ids import ConversationId, DeviceId, SessionId, UserId
from xinyu.presence.types import NodeRef, PresenceEntry

TRIES_OF_THE_SILENT = 3
"""A client that has answered none of this many repetitions is treated as ack-less."""


class State(Enum):
    """OPENING: pushes are held. LIVE: pushes go out. CLOSED: nothing does."""

    OPENING = 1
    LIVE = 2
    CLOSED = 3


class Unacked(msgspec.Struct):
    """A push that awaits its ack."""

    frame: bytes
    sent_at: float
    tries: int = 1


class Session:
    """A session of this node."""

    __slots__ = (
        "_ack_count", "_dirty", "_silent", "_unacked", "caller", "cursors", "device_id", "heard_at", "in_flight",
        "presence", "pushed", "session_id", "state", "sync",
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
        self.pushed: dict[ConversationId, int] = {}
        """conversation → the newest seq that went out, or that the client has otherwise."""
        self.cursors: dict[ConversationId, int] = {}
        """conversation → the device has everything up to here; what is stored, or will be by the next flush."""
        self._dirty: set[ConversationId] = set()
        self._unacked: OrderedDict[ConversationId, OrderedDict[int, Unacked]] | None = None
        self._ack_count = 0
        self._silent = False

    @property
    def user_id(self) -> UserId:
        return self.caller.user_id

    def receive(self, text: str, now: float) -> ClientFrame | None:
        """A text frame came in. None for what is not understood; acks are taken care of here."""
        self.heard_at = now
        frame = parse_frame(text)
        if frame is None:
            return None
        if frame.event == "ack":
            self._take_ack(frame)
        return frame

    def knows(self, conversation_id: ConversationId, seq: int) -> bool:
        """Whether this entry went out already, or the client has it otherwise."""
        return seq <= self.pushed.get(conversation_id, 0)

    def went_out(self, conversation_id: ConversationId, seq: int, frame: bytes | None, now: float) -> int:
        """An entry was written. `frame` is what to repeat until it is acked; None when nothing needs an ack. Returns
        how many pushes await theirs."""
        self.pushed[conversation_id] = seq
        if self.sync:
            return 0
        if frame is None or self._silent:
            if not self._waiting(conversation_id):
                self._move(conversation_id, seq)
            return self.unacked_count
        if self._unacked is None:
            self._unacked = OrderedDict()
        self._unacked.setdefault(conversation_id, OrderedDict())[seq] = Unacked(frame, now)
        return self.unacked_count

    @property
    def unacked_count(self) -> int:
        """Pushes that await their ack."""
        return sum(len(waiting) for waiting in self._unacked.values()) if self._unacked else 0

    def due(self, now: float, after: float, tries: int) -> list[bytes] | None:
        """Frames to repeat: per conversation from the first overdue one on, so that order holds. None when the client
        has ignored `tries` repetitions though it used to answer: it must be closed."""
        frames: list[bytes] = []
        for waiting in list((self._unacked or {}).values()):
            first = next(iter(waiting.values()))
            if now - first.sent_at < after:
                continue
            if first.tries > TRIES_OF_THE_SILENT and not self._ack_count:
                self._give_up_on_acks()
                return []
            if first.tries > tries:
                return None
            for unacked in waiting.values():
                unacked.sent_at = now
                unacked.tries += 1
                frames.append(unacked.frame)
        return frames

    def take_dirty(self) -> dict[ConversationId, int]:
        """Cursors that moved since the last call."""
        moved = {conversation_id: self.cursors[conversation_id] for conversation_id in self._dirty}
        self._dirty.clear()
        return moved

    def _take_ack(self, frame: ClientFrame) -> None:
        self._ack_count += 1
        if frame.cursors is not None:
            for key, seq in frame.cursors.items():
                if key.isascii() and key.isdigit() and (conversation_id := ConversationId(int(key))) in self.pushed:
                    self._move(conversation_id, min(seq, self.pushed[conversation_id]))
            return
        talk, _, seq_text = (frame.ackid or "").partition(".")
        if not (talk.isascii() and talk.isdigit() and seq_text.isascii() and seq_text.isdigit()) or not self._unacked:
            return
        conversation_id, seq = ConversationId(int(talk)), int(seq_text)
        waiting = self._unacked.get(conversation_id)
        if waiting is None or waiting.pop(seq, None) is None:
            return
        if waiting:
            self._move(conversation_id, next(iter(waiting)) - 1)
        else:
            del self._unacked[conversation_id]
            self._move(conversation_id, self.pushed.get(conversation_id, seq))

    def _give_up_on_acks(self) -> None:
        self._silent = True
        for conversation_id in self._unacked or {}:
            self._move(conversation_id, self.pushed[conversation_id])
        self._unacked = None

    def _waiting(self, conversation_id: ConversationId) -> bool:
        return bool(self._unacked and conversation_id in self._unacked)

    def _move(self, conversation_id: ConversationId, seq: int) -> None:
        if seq > self.cursors.get(conversation_id, 0):
            self.cursors[conversation_id] = seq
            self._dirty.add(conversation_id)
