"""The part of a batch that each node gets, and which pushes of a batch every node took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from xinyu.delivery.outcomes import Outcomes
from xinyu.delivery.types import NodePush, NodeSignal, Push, PushKey, Receipt, Signal
from xinyu.kernel.ids import UserId
from xinyu.presence.types import NodeSessions, SessionTarget


class Tally:
    """Counts down the nodes that still have to take the pushes of a batch. A push is complete when all of them took
    it; one failure, and it is left to the outbox."""

    def __init__(self, pushes: Sequence[Push], batches: Iterable[list[NodePush]], outcomes: Outcomes) -> None:
        """Pushes that no node has to take are complete at once."""
        self._outcomes = outcomes
        self._open = Counter((push.conversation_id, push.seq) for batch in batches for push in batch)
        self._failed: set[PushKey] = set()
        outcomes.done([push.key for push in pushes if push.key not in self._open])

    def told(self, push: NodePush, receipt: Receipt | None) -> None:
        """What one of its nodes said to the batch it was in; None when it took nothing."""
        if receipt is None or push.key in receipt.refused:
            self.failed(push)
        else:
            self.took(push)

    def took(self, push: NodePush) -> None:
        """One of its nodes has it."""
        key = (push.conversation_id, push.seq)
        self._open[key] -= 1
        if not self._open[key] and key not in self._failed:
            self._outcomes.done([key])

    def failed(self, push: NodePush) -> None:
        """One of its nodes did not take it."""
        key = (push.conversation_id, push.seq)
        self._open[key] -= 1
        if key not in self._failed:
            self._failed.add(key)
            self._outcomes.failed([key])


def for_node(pushes: Sequence[Push], found: NodeSessions) -> list[NodePush]:
    """The part of a batch that concerns one node, in the order given."""
    held: dict[UserId, list[SessionTarget]] = {}
    for target in found.sessions:
        held.setdefault(target.user_id, []).append(target)
    batch: list[NodePush] = []
    for push in pushes:
        targets = [
            target
            for user_id in (push.recipients if len(push.recipients) <= len(held) else held.keys() & push.recipients)
            for target in held.get(user_id, ())
            if target.session_id != push.origin_session
        ]
        if targets:
            batch.append(NodePush(push.conversation_id, push.seq, targets, push.payload, push.trace_id))
    return batch


def signals_for_node(signals: Sequence[Signal], found: NodeSessions) -> list[NodeSignal]:
    """The part of the signals that concerns one node."""
    batch: list[NodeSignal] = []
    for signal in signals:
        wanted = set(signal.recipients)
        targets = [t for t in found.sessions if t.user_id in wanted and t.session_id != signal.origin_session]
        if targets:
            batch.append(NodeSignal(signal.name, targets, signal.payload))
    return batch
