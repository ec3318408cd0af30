"""Was the run right? Free of I/O: compares what was acked with what arrived, per conversation.

A fast wrong run is no result, so every run ends here (GUARANTEES G1, G3 and G4, as far as connected clients can see).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_EXAMPLES = 3  # message ids named per kind of violation


@dataclass(slots=True)
class Conversation:
    """What the two ends of one private chat saw of this run."""

    name: str
    sent: set[str] = field(default_factory=set)
    acked: list[tuple[str, int]] = field(default_factory=list)
    """(msg_id, seq) of each reply, in order of arrival."""
    refused: set[str] = field(default_factory=set)
    """msg_ids that were answered with an error which says that nothing was stored."""
    delivered: list[tuple[str, int]] = field(default_factory=list)
    """(msg_id, seq) of each push, in order of arrival."""
    doubtful: set[str] = field(default_factory=set)
    """msg_ids that were answered with an error which leaves it open, as a passed deadline does."""

    @property
    def begins_after(self) -> int:
        """The seq before the first that was acked: replies to several at a time may come in any order."""
        return min((seq for _, seq in self.acked), default=1) - 1


@dataclass(slots=True)
class Verdict:
    """Counts of violations; `wrong` when there is any."""

    acked: int = 0
    delivered: int = 0
    refused: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Whether the run is no result."""
        return bool(self.violations)

    def add(self, kind: str, example: str) -> None:
        """Count one violation."""
        self.violations[kind] = self.violations.get(kind, 0) + 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            examples.append(example)

    def describe(self) -> str:
        """One line."""
        if not self.wrong:
            return f"{self.acked} acked, {self.delivered} delivered, each once and in order"
        return ", ".join(
            f"{kind} {count} ({', '.join(self.examples[kind])})" for kind, count in self.violations.items()
        )


def check(conversations: Iterable[Conversation]) -> Verdict:
    """Judge a run after everything in flight has settled.

    `lost`: acked, never delivered. `duplicated`: delivered twice. `reordered`: a seq not above the one before.
    `gap`: a seq left out. `seq`: acked and delivered under two numbers, or one number for two messages.
    `unanswered`: sent, without an answer. `foreign`: delivered, not sent by this run. `phantom`: refused, yet
    delivered.
    """
    verdict = Verdict()
    for conversation in conversations:
        _check_acks(conversation, verdict)
        _check_deliveries(conversation, verdict)
    return verdict


def _check_acks(conversation: Conversation, verdict: Verdict) -> None:
    seq_of = dict(conversation.acked)
    arrived = {msg_id for msg_id, _ in conversation.delivered}
    verdict.acked += len(seq_of)
    verdict.refused += len(conversation.refused) + len(conversation.doubtful)
    if len(seq_of) != len(conversation.acked):
        verdict.add("acked twice", conversation.name)
    if len(set(seq_of.values())) != len(seq_of):
        verdict.add("seq", f"{conversation.name}: one number for two acked messages")
    for msg_id, seq in seq_of.items():
        if msg_id not in arrived:
            verdict.add("lost", f"{conversation.name} seq {seq} {msg_id}")
    for msg_id in conversation.sent - seq_of.keys() - conversation.refused - conversation.doubtful:
        verdict.add("unanswered", f"{conversation.name} {msg_id}")


def _check_deliveries(conversation: Conversation, verdict: Verdict) -> None:
    seq_of = dict(conversation.acked)
    seen: set[str] = set()
    last: int | None = None
    for msg_id, seq in conversation.delivered:
        where = f"{conversation.name} seq {seq} {msg_id}"
        if msg_id not in conversation.sent:
            if not seen:
                continue  # from before this run, such as the greeting of new friends
            verdict.add("foreign", where)
        elif msg_id in conversation.refused:
            verdict.add("phantom", where)
        if msg_id in seen:
            verdict.add("duplicated", where)
            continue
        seen.add(msg_id)
        verdict.delivered += 1
        if seq_of.get(msg_id, seq) != seq:
            verdict.add("seq", f"{where}, acked as {seq_of[msg_id]}")
        if last is not None and seq <= last:
            verdict.add("reordered", f"{where} after {last}")
        elif last is not None and seq != last + 1:
            verdict.add("gap", f"{where} after {last}")
        last = seq if last is None else max(last, seq)
