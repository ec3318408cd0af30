"""Did the promises hold? Every promise has a function that names what breaks it, with the message ids."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from xinyu.drill.history import (
    G4_SECONDS,
    Acked,
    Fault,
    Forged,
    History,
    Link,
    Online,
    Read,
    Seen,
    Sent,
    Stored,
    Unread,
    Watch,
)

PROMISES = ("G1", "G2", "G3", "G4", "G5", "G6", "G7")


class Violation(NamedTuple):
    """A broken promise: what kind of breach, where, and of which messages."""

    promise: str
    kind: str
    where: str
    msg_ids: tuple[str, ...] = ()


class Outage(NamedTuple):
    """A device was not connected."""

    began: float
    ended: float


class Verdict(NamedTuple):
    """What a run was worth."""

    acked: int
    deliveries: int
    faults: tuple[Fault, ...]
    violations: tuple[Violation, ...]
    recoveries: tuple[tuple[str, float | None], ...]
    """By fault, the seconds from the last send before it to the first delivery of a message sent after it began."""

    @property
    def unproved(self) -> tuple[str, ...]:
        """Faults that never took effect: a run with one says nothing."""
        return tuple(fault.name for fault in self.faults if not fault.proof)

    @property
    def good(self) -> bool:
        """Whether something was said, some of it arrived, every fault took effect and nothing was violated."""
        return bool(self.acked and self.deliveries) and not self.violations and not self.unproved

    def line(self) -> str:
        """One line for people."""
        counts = Counter(violation.promise for violation in self.violations)
        broken = " ".join(f"{promise}:{counts[promise]}" for promise in PROMISES)
        recovered = ", ".join(f"{name} {'never' if s is None else f'{s:.2f} s'}" for name, s in self.recoveries)
        fired = f"{len(self.faults) - len(self.unproved)}/{len(self.faults)} faults fired"
        text = f"{self.acked} acked, {self.deliveries} deliveries, {fired}, violations {broken}"
        return f"{text}; recovery: {recovered}" if recovered else text


def check(history: History) -> Verdict:
    """Judge a run. It must have come to rest: what is not there yet counts as missing."""
    story = _Story(history)
    violations = tuple(
        violation
        for promise in (_durable, _idempotent, _dense, _ordered, _delivered, _agreed, _fenced)
        for violation in promise(story)
    )
    deliveries = sum(len(seen) for seen in story.seen.values())
    recoveries = tuple((fault.name, _recovery(story, fault)) for fault in story.faults)
    return Verdict(len({ack.msg_id for ack in story.acked}), deliveries, tuple(story.faults), violations, recoveries)


class _Story:
    """A history, sorted by what is asked of it."""

    def __init__(self, history: History) -> None:
        self.sent = history.of(Sent)
        self.acked = history.of(Acked)
        self.faults = sorted(history.of(Fault), key=lambda fault: fault.began)
        self.watches = history.of(Watch)
        self.unread = history.of(Unread)
        self.online = history.of(Online)
        self.forged = history.of(Forged)
        self.read = history.of(Read)
        self.log: dict[str, list[Stored]] = defaultdict(list)
        for entry in history.of(Stored):
            self.log[entry.conversation].append(entry)
        self.seen: dict[tuple[str, str], list[Seen]] = defaultdict(list)
        for seen in history.of(Seen):
            self.seen[seen.device, seen.conversation].append(seen)
        self.links: dict[str, list[Link]] = defaultdict(list)
        for link in history.of(Link):
            self.links[link.device].append(link)

    @cached_property
    def own(self) -> dict[tuple[str, str], set[int]]:
        """By device and conversation, the places that receipts told it: those it need not be shown again."""
        found: dict[tuple[str, str], set[int]] = defaultdict(set)
        for ack in self.acked:
            found[ack.device, ack.conversation].add(ack.seq)
        return found

    @cached_property
    def first_ack(self) -> dict[tuple[str, int], Acked]:
        """By place, the first receipt that told it."""
        found: dict[tuple[str, int], Acked] = {}
        for ack in sorted(self.acked, key=lambda ack: ack.at, reverse=True):
            found[ack.conversation, ack.seq] = ack
        return found

    @cached_property
    def outages(self) -> dict[str, list[Outage]]:
        """By device, when it was not connected, in the order of time."""
        return {device: list(_outages(links)) for device, links in self.links.items()}


def _outages(links: list[Link]) -> Iterator[Outage]:
    down: float | None = float("-inf") if links[0].up else None
    for link in links:
        if link.up and down is not None:
            yield Outage(down, link.at)
        if not link.up and down is None:
            down = link.at
        elif link.up:
            down = None
    if down is not None:
        yield Outage(down, float("inf"))


def _durable(story: _Story) -> Iterator[Violation]:
    """G1: what was acked is in the log, where the receipt says."""
    for ack in story.acked:
        places = [entry.seq for entry in story.log[ack.conversation] if entry.msg_id == ack.msg_id]
        if not places:
            yield Violation("G1", "lost", f"{ack.conversation} seq {ack.seq}", (ack.msg_id,))
        elif ack.seq not in places:
            yield Violation("G1", "moved", f"{ack.conversation} acked as {ack.seq}, stored as {places}", (ack.msg_id,))


def _idempotent(story: _Story) -> Iterator[Violation]:
    """G2: however often it is sent, it is stored once and has one place; other content by its id is refused."""
    for forged in story.forged:
        if forged.accepted:
            where = f"{forged.device} in {forged.conversation} was acked for what is another's"
            yield Violation("G2", "conflict accepted", where, (forged.msg_id,))
    places: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for conversation, entries in story.log.items():
        for entry in entries:
            places[entry.msg_id].append((conversation, entry.seq))
    for msg_id, stored in places.items():
        if len(stored) > 1:
            yield Violation("G2", "duplicated", f"stored at {stored}", (msg_id,))
    told: dict[str, set[int]] = defaultdict(set)
    for ack in story.acked:
        told[ack.msg_id].add(ack.seq)
    for msg_id, seqs in told.items():
        if len(seqs) > 1:
            yield Violation("G2", "acked as two", f"seqs {sorted(seqs)}", (msg_id,))


def _dense(story: _Story) -> Iterator[Violation]:
    """G3, the log: 1, 2, 3 and so on."""
    for conversation, entries in story.log.items():
        counts = Counter(entry.seq for entry in entries)
        missing = sorted(set(range(1, max(counts, default=0) + 1)).difference(counts))
        if missing:
            yield Violation("G3", "gap", f"the log of {conversation} lacks {missing[:5]}")
        for entry in entries:
            if counts[entry.seq] > 1:
                yield Violation("G3", "one place for two", f"{conversation} seq {entry.seq}", (entry.msg_id,))


def _ordered(story: _Story) -> Iterator[Violation]:
    """G3, the devices: what the log has, in its order, each once, none left out on the way."""
    for watch in story.watches:
        by_seq = {entry.seq: entry.msg_id for entry in story.log[watch.conversation]}
        where, known, last = f"{watch.device} in {watch.conversation}", set[int](), watch.after
        own = story.own[watch.device, watch.conversation]
        for seen in story.seen[watch.device, watch.conversation]:
            place = f"{where}: {seen.seq} after {last}"
            if by_seq.get(seen.seq) != seen.msg_id:
                yield Violation("G3", "not in the log", place, (seen.msg_id,))
            if seen.seq in known:
                yield Violation("G3", "duplicated", place, (seen.msg_id,))
            elif seen.seq < last:
                yield Violation("G3", "reordered", place, (seen.msg_id,))
            elif skipped := set(range(last + 1, seen.seq)) - own:
                ids = tuple(by_seq.get(seq, "") for seq in sorted(skipped)[:5])
                yield Violation("G3", "gap", place, ids)
            known.add(seen.seq)
            last = max(last, seen.seq)


def _delivered(story: _Story) -> Iterator[Violation]:
    """G4 and G5: everything acked by others is there, and where the device was connected, in time."""
    for watch in story.watches:
        device, conversation = watch.device, watch.conversation
        first: dict[int, float] = {}
        for seen in story.seen[device, conversation]:
            first.setdefault(seen.seq, seen.at)
        for entry in story.log[conversation]:
            ack = story.first_ack.get((conversation, entry.seq))
            if entry.seq <= watch.after or ack is None or entry.seq in story.own[device, conversation]:
                continue
            outages = story.outages.get(device, [])
            away = any(outage.began <= ack.at < outage.ended for outage in outages)
            due = _due(ack.at, story.faults, outages)
            where = f"{device} in {conversation} seq {entry.seq}"
            if entry.seq not in first:
                yield Violation("G5" if away else "G4", "lost", where, (entry.msg_id,))
            elif first[entry.seq] > due:
                late = f"{where}: {first[entry.seq] - due:.1f} s too late"
                yield Violation("G5" if away else "G4", "late", late, (entry.msg_id,))


def _due(acked: float, faults: list[Fault], outages: list[Outage]) -> float:
    """When a message must be there: its bound runs anew from the end of each fault, and of each absence, that fell
    into it."""
    due = acked + G4_SECONDS
    for began, ended, bound in sorted(
        [(fault.began, fault.ended, fault.bound) for fault in faults]
        + [(outage.began, outage.ended, G4_SECONDS) for outage in outages]
    ):
        if began <= due and ended + bound > acked:
            due = max(due, ended + bound)
    return due


def _agreed(story: _Story) -> Iterator[Violation]:
    """G6: unread is what the log has after the read cursor, less one's own; the cursor is where any device put it."""
    uids = {(watch.device, watch.conversation): watch.uid for watch in story.watches}
    read: dict[tuple[int | None, str], int] = defaultdict(int)
    for reading in story.read:
        reader = uids.get((reading.device, reading.conversation)), reading.conversation
        read[reader] = max(read[reader], reading.seq)
    for unread in story.unread:
        uid = uids.get((unread.device, unread.conversation))
        if unread.read_seq < read[uid, unread.conversation]:
            where = f"{unread.device} in {unread.conversation} counts from {unread.read_seq}"
            yield Violation("G6", "reading lost", f"{where}, its user read up to {read[uid, unread.conversation]}")
        missed = [
            entry.msg_id
            for entry in story.log[unread.conversation]
            if entry.seq > unread.read_seq and entry.counts and entry.from_id != uid
        ]
        if unread.count != len(missed):
            where = f"{unread.device} in {unread.conversation} shows {unread.count}, has {len(missed)}"
            yield Violation("G6", "wrong unread", where, tuple(missed[-5:]))


def _fenced(story: _Story) -> Iterator[Violation]:
    """G7: nothing old has taken away a newer session, or kept one alive that is gone."""
    for online in story.online:
        if online.shown != online.connected:
            how = "is connected and shown offline" if online.connected else "is gone and shown online"
            yield Violation("G7", "wrong presence", f"user {online.uid} {how}")


def _recovery(story: _Story, fault: Fault) -> float | None:
    before = max((sent.at for sent in story.sent if sent.at <= fault.began), default=fault.began)
    after = {sent.msg_id for sent in story.sent if sent.at > fault.began}
    after -= {sent.msg_id for sent in story.sent if sent.at <= fault.began}
    arrivals = [
        seen.at for shown in story.seen.values() for seen in shown if seen.msg_id in after and seen.at > fault.began
    ]
    return min(arrivals) - before if arrivals else None
