"""The order of one conversation, free of I/O: entries come in any order, twice or not at all, and leave dense and once.

`seq` is dense (1, 2, 3 …) in the log, but a member need not be able to read every number: his membership has intervals.
So a missing number is either not here yet or not for us, and only the log can tell: a *page* read from it is
authoritative for the range that it covers. Between pages, pushes are taken as they come and held back while a
predecessor is missing.

What is held is bounded. What does not fit is forgotten, except that it exists (`head`): it is read from the log later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Gap(NamedTuple):
    """What to read from the log: everything readable after `after`. The log is known to go up to `target`."""

    after: int
    target: int


class Sequencer(Generic[T]):
    """One conversation. Numbers up to `cursor` have been taken; later ones are taken by `pop` in order."""

    def __init__(self, cursor: int | None, room: int = 512) -> None:
        """`cursor` None: where to begin is not known yet; pushes are held until `begin`. `room` bounds what is held."""
        self._cursor = cursor or 0
        self._begun = cursor is not None
        self._room = room
        self._covered = self._cursor  # in (cursor, covered], what is not held does not exist for us
        self._head = self._cursor
        self._held: dict[int, T] = {}

    @property
    def begun(self) -> bool:
        """Whether it is known where to begin."""
        return self._begun

    @property
    def cursor(self) -> int:
        """Everything up to here was taken or is not readable."""
        return self._cursor

    @property
    def head(self) -> int:
        """The highest number known to exist."""
        return self._head

    @property
    def held(self) -> int:
        """How many entries wait here."""
        return len(self._held)

    @property
    def frontier(self) -> int:
        """Up to here nothing is missing: taken, held or known to be unreadable."""
        frontier = max(self._cursor, self._covered)
        while frontier + 1 in self._held:
            frontier += 1
        return frontier

    @property
    def ready(self) -> bool:
        """Whether `pop` would give an entry."""
        return self._begun and self._cursor + 1 in self._held

    def begin(self, cursor: int | None) -> None:
        """Begin after `cursor`, or before the first push that came meanwhile; None: just there.

        Without effect when already begun.
        """
        if self._begun:
            return
        if cursor is None:
            cursor = max(self._head, 1) - 1
        if self._held:
            cursor = min(cursor, min(self._held) - 1)
        self._cursor = self._covered = cursor
        self._head = max(self._head, cursor)
        self._begun = True
        self._settle()

    def note(self, head: int) -> None:
        """Entries up to `head` exist, though they are not here."""
        self._head = max(self._head, head)

    def push(self, seq: int, item: T) -> None:
        """One entry by itself. Duplicates are dropped; what does not fit is forgotten and becomes a gap."""
        self.note(seq)
        if (self._begun and seq <= self._cursor) or seq in self._held:
            return
        if len(self._held) >= self._room and not self._evict_above(seq):
            return
        self._held[seq] = item
        self._settle()

    def page(self, after: int, items: Sequence[tuple[int, T]], upto: int) -> None:
        """What the log has readable in (after, upto]: `items`, ascending, and nothing else.

        A page that starts beyond what is known to be complete proves nothing about the numbers before it; its entries
        are then taken like pushes.
        """
        if not self._begun:
            self.begin(after)
        if self.ready and len(self._held) >= self._room:
            self.note(upto)  # the reader has enough to do; it is read again when he gets there
            return
        if after > self.frontier:
            for seq, item in items:
                self.push(seq, item)
            self.note(upto)
            return
        self._covered = max(self._covered, upto)
        for seq, item in items:
            self.note(seq)
            if seq > self._cursor:
                self._held.setdefault(seq, item)
        self.note(upto)
        while len(self._held) > self._room and self._evict_above(self._covered):
            pass
        self._settle()

    def pop(self) -> T | None:
        """The next entry in order, None while it is missing."""
        if not self.ready:
            return None
        self._cursor += 1
        item = self._held.pop(self._cursor)
        self._settle()
        return item

    def gap(self) -> Gap | None:
        """What must be read from the log to go on. None while there is something to take: reading ahead costs room."""
        if not self._begun or self.ready or self._cursor >= self._head:
            return None
        return Gap(self._cursor, self._head)

    def _settle(self) -> None:
        """Step over numbers that are known to be unreadable."""
        while self._begun and self._cursor < self._covered and self._cursor + 1 not in self._held:
            self._cursor = min((seq for seq in self._held if seq <= self._covered), default=self._covered + 1) - 1

    def _evict_above(self, seq: int) -> bool:
        """Forget the highest entry above `seq` that a later page will bring again; False when there is none."""
        highest = max(self._held)
        if highest <= max(seq, self._covered):
            return False
        del self._held[highest]
        return True
