"""Order at the socket: per conversation the pushes of this node leave in order of `seq`.

Two commits of one conversation may be dispatched by different tasks or nodes, the second first. The later entry waits
here for its predecessor for a moment; when that does not come, who needs it reads the gap from the log
(DESIGN.md section 5, *Order at the socket*).
"""

from __future__ import annotations

from xinyu.delivery.types import NodePush


class _Conversation:
    __slots__ = ("last", "sessions", "since", "waiting")

    def __init__(self, last: int) -> None:
        self.last = last
        self.sessions = 0
        self.waiting: dict[int, NodePush] | None = None
        self.since = 0.0


class PushOrder:
    """What this node pushed last in each conversation that one of its sessions is in."""

    def __init__(self, hold_seconds: float) -> None:
        self._hold = hold_seconds
        self._conversations: dict[int, _Conversation] = {}
        self._holding: set[int] = set()

    @property
    def held(self) -> int:
        """Conversations with pushes that wait."""
        return len(self._holding)

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
            if found.sessions <= 0 and not found.waiting:
                del self._conversations[conversation_id]

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
            found.waiting, found.since = {}, now
            self._holding.add(push.conversation_id)
        known = found.waiting.get(push.seq)
        found.waiting[push.seq] = push if known is None else _joined(known, push)
        return self._released(push.conversation_id, found)

    def overdue(self, now: float) -> list[NodePush]:
        """Pushes whose predecessors have not come in time, in order: their sessions fill the gap from the log."""
        out: list[NodePush] = []
        for conversation_id in list(self._holding):
            found = self._conversations[conversation_id]
            if now - found.since >= self._hold and found.waiting:
                out += [found.waiting[seq] for seq in sorted(found.waiting)]
                found.last = max(found.last, *found.waiting)
                found.waiting = None
                self._holding.discard(conversation_id)
        return out

    def _released(self, conversation_id: int, found: _Conversation) -> list[NodePush]:
        out: list[NodePush] = []
        waiting = found.waiting
        assert waiting is not None
        while (push := waiting.pop(found.last + 1, None)) is not None:
            found.last = push.seq
            out.append(push)
        if not waiting:
            found.waiting = None
            self._holding.discard(conversation_id)
        return out


def _joined(a: NodePush, b: NodePush) -> NodePush:
    sessions = {target.session_id: target for target in (*a.sessions, *b.sessions)}
    return NodePush(a.conversation_id, a.seq, list(sessions.values()), a.payload, a.trace_id)
