"""Order at the socket: per conversation the pushes of this node leave in order of `seq`.

Two commits of one conversation may be dispatched by different tasks or nodes, the second first. The later entry waits
here for its predecessor for a moment; when that does not come, who needs it reads the gap from the log
(DESIGN.md section 5, *Order at the socket*).
"""

from __future__ import annotations

from xinyu.delivery.types import NodePush


class _Conversation:
    __slots__ = ("last", "sessions", "waiting")

    def __init__(self, last: int) -> None:
        self.last = last
        self.sessions = 0
        self.waiting: dict[int, tuple[NodePush, float]] | None = None
        """seq → the push and since when it waits"""


class PushOrder:
    """What this node pushed last in each conversation that one of its sessions is in."""

    def __init__(self, hold_seconds: float, most: int = 1000) -> None:
        """`most`: pushes of one conversation that wait for the one before them."""
        self._hold = hold_seconds
        self._most = most
        self.overflows = 0
        """Gaps given up because too many waited for them."""
        self._conversations: dict[int, _Conversation] = {}
        self._holding: set[int] = set()

    @property
    def held(self) -> int:
        """Conversations with pushes that wait."""
        return len(self._holding)

    @property
    def held_pushes(self) -> int:
        """Pushes that wait."""
        return sum(len(self._conversations[conversation_id].waiting or ()) for conversation_id in self._holding)

    def join(self, conversation_id: int, head: int) -> None:
        """A session of this node follows the conversation; the log's head was `head` a moment ago."""
        found = self._conversations.get(conversation_id)
        if found is None:
            found = self._conversations[conversation_id] = _Conversation(head)
        found.sessions += 1

    def leave(self, conversation_id: int) -> None:
        """One session less."""
        found = self._conversations.get(conversation_id)
        if found is not None:
            found.sessions -= 1
            self._forget_unused(conversation_id, found)

    def is_early(self, push: NodePush) -> bool:
        """Whether its predecessor was not pushed here."""
        found = self._conversations.get(push.conversation_id)
        return found is not None and push.seq > found.last + 1

    def offer(self, push: NodePush, now: float) -> list[NodePush]:
        """A push arrived: what may go out now, in order. Late repetitions go out as they come; sessions know what they
        had."""
        found = self._conversations.get(push.conversation_id)
        if found is None or push.seq <= found.last:
            return [push]
        if push.seq == found.last + 1 and not found.waiting:
            found.last = push.seq
            return [push]
        if found.waiting is None:
            found.waiting = {}
            self._holding.add(push.conversation_id)
        known, since = found.waiting.get(push.seq, (None, now))
        found.waiting[push.seq] = (push if known is None else _joined(known, push), since)
        if len(found.waiting) > self._most:
            self.overflows += 1
            return self.passed(push.conversation_id, max(found.waiting))
        return self._released(push.conversation_id, found)

    def passed(self, conversation_id: int, seq: int) -> list[NodePush]:
        """No session here needs anything up to `seq`: what waited for that, in order."""
        found = self._conversations.get(conversation_id)
        if found is None:
            return []
        waiting = found.waiting or {}
        out = [waiting.pop(key)[0] for key in sorted(waiting) if key <= seq]
        found.last = max(found.last, seq)
        return out + self._released(conversation_id, found)

    def first_waiting(self) -> list[NodePush]:
        """The first push that waits, of each conversation that has some."""
        waiting = [self._conversations[conversation_id].waiting or {} for conversation_id in self._holding]
        return [pushes[min(pushes)][0] for pushes in waiting if pushes]

    def overdue(self, now: float) -> list[NodePush]:
        """Pushes whose predecessors have not come in time, in order: their sessions fill the gap from the log."""
        out: list[NodePush] = []
        for conversation_id in list(self._holding):
            found = self._conversations[conversation_id]
            waiting = found.waiting or {}
            late = [seq for seq, (_, since) in waiting.items() if now - since >= self._hold]
            if late:
                out += self.passed(conversation_id, max(late))
        return out

    def _released(self, conversation_id: int, found: _Conversation) -> list[NodePush]:
        out: list[NodePush] = []
        waiting = found.waiting
        while waiting and (first := waiting.pop(found.last + 1, None)) is not None:
            found.last += 1
            out.append(first[0])
        if not waiting:
            found.waiting = None
            self._holding.discard(conversation_id)
            self._forget_unused(conversation_id, found)
        return out

    def _forget_unused(self, conversation_id: int, found: _Conversation) -> None:
        if found.sessions <= 0 and not found.waiting:
            self._conversations.pop(conversation_id, None)


def _joined(a: NodePush, b: NodePush) -> NodePush:
    sessions = {target.session_id: target for target in (*a.sessions, *b.sessions)}
    return NodePush(a.conversation_id, a.seq, list(sessions.values()), a.payload, a.trace_id)
