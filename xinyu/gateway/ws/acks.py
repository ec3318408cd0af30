"""What one session was pushed and has not acknowledged yet, and when to say it again. No I/O."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from xinyu.kernel.ids import ConversationId

TRIES_OF_THE_SILENT = 3
"""A client that has answered none of this many repetitions is treated as ack-less."""


class Unacked(msgspec.Struct):
    """A push that awaits its ack."""

    frame: bytes
    sent_at: float
    tries: int = 1


class AckWindow:
    """Pushes that await their acks, per conversation in the order in which they went out."""

    __slots__ = ("_waiting", "answered", "bytes", "count")

    def __init__(self) -> None:
        self._waiting: dict[ConversationId, OrderedDict[int, Unacked]] = {}
        self.count = 0
        self.bytes = 0
        self.answered = False
        """Whether the client has acknowledged anything yet."""

    def add(self, conversation_id: ConversationId, seq: int, frame: bytes, now: float) -> None:
        """An entry went out."""
        self._waiting.setdefault(conversation_id, OrderedDict())[seq] = Unacked(frame, now)
        self.count += 1
        self.bytes += len(frame)

    def oldest(self, conversation_id: ConversationId) -> int | None:
        """The first entry of a conversation that awaits its ack."""
        waiting = self._waiting.get(conversation_id)
        return next(iter(waiting)) if waiting else None

    def take(self, conversation_id: ConversationId, seq: int) -> bool:
        """An entry was acknowledged. False when it did not wait."""
        waiting = self._waiting.get(conversation_id)
        taken = waiting.pop(seq, None) if waiting is not None else None
        if taken is None:
            return False
        self.count -= 1
        self.bytes -= len(taken.frame)
        if not waiting:
            del self._waiting[conversation_id]
        return True

    def take_up_to(self, conversation_id: ConversationId, seq: int) -> None:
        """Everything of a conversation up to `seq` was acknowledged."""
        while (oldest := self.oldest(conversation_id)) is not None and oldest <= seq:
            self.take(conversation_id, oldest)

    def give_up(self) -> list[ConversationId]:
        """Expect no acks any more; the conversations that had some to come."""
        given_up = list(self._waiting)
        self._waiting.clear()
        self.count = self.bytes = 0
        return given_up

    def is_silent(self, now: float, after: float, heard_at: float) -> bool:
        """Whether the client has answered none of TRIES_OF_THE_SILENT repetitions, nor anything before, though it is
        there: it was heard after the last of them. One that has vanished was given nothing, and comes back for it."""
        return not self.answered and any(
            first.tries > TRIES_OF_THE_SILENT and now - first.sent_at >= after and heard_at > first.sent_at
            for first in self._firsts()
        )

    def due(self, now: float, after: float, tries: int) -> list[bytes] | None:
        """Frames to repeat: per conversation from the first overdue one on, so that order holds. None when `tries`
        repetitions of one were ignored."""
        frames: list[bytes] = []
        for waiting in self._waiting.values():
            first = next(iter(waiting.values()))
            if now - first.sent_at < after:
                continue
            if first.tries > tries:
                return None
            for unacked in waiting.values():
                unacked.sent_at = now
                unacked.tries += 1
                frames.append(unacked.frame)
        return frames

    def _firsts(self) -> list[Unacked]:
        return [next(iter(waiting.values())) for waiting in self._waiting.values()]
