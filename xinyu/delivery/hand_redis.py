"""What one process has taken out of the streams: pushes that are not through yet, entries that are to be removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from xinyu.delivery.types import PushKey
from xinyu.kernel.clock import Clock

OVERDUE_SECONDS = 30.0
"""No fan-out takes so long: what is in hand still has been lost, and would hold up what its outbox row waits for."""


@dataclass(slots=True)
class Partition:
    """A stream that this process owns."""

    number: int
    claim_from: str = "0-0"
    """Where to go on claiming what its former owner had in hand; empty when that is done."""
    seen: str = ""
    """There is nothing new up to this id; empty when there may be."""
    leaving: bool = False
    """It is more than a fair share: nothing more is taken from it."""


@dataclass(slots=True)
class _Held:
    partition: int
    since: float
    ids: list[str] = field(default_factory=list)


class Hand:
    """Bounded: `room_in` waits until some pushes are through."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self.overdue = 0
        self._limit = limit
        self._clock = clock
        self._held: dict[PushKey, _Held] = {}
        self._done: dict[int, list[str]] = {}
        self._dropped = asyncio.Event()
        self._to_remove = asyncio.Event()

    @property
    def size(self) -> int:
        """Pushes in hand."""
        return len(self._held)

    @property
    def room(self) -> int:
        """How many more it may be."""
        return max(0, self._limit - len(self._held))

    @property
    def busy(self) -> bool:
        """Whether anything is in hand or still to be removed from its stream."""
        return bool(self._held or self._done)

    def keys(self) -> list[PushKey]:
        """What is in hand."""
        return list(self._held)

    def take(self, key: PushKey, partition: int, entry_id: str) -> bool:
        """Take a push; False when it is in hand already, by this or another entry, or this entry is to be removed."""
        if entry_id in self._done.get(partition, ()):
            return False
        held = self._held.get(key)
        if held is None:
            self._held[key] = _Held(partition, self._clock.monotonic(), [entry_id])
            return True
        if entry_id not in held.ids:
            held.ids.append(entry_id)
        return False

    def drop(self, keys: Iterable[PushKey]) -> None:
        """Their entries are to be removed."""
        for key in keys:
            if (held := self._held.pop(key, None)) is not None:
                self._done.setdefault(held.partition, []).extend(held.ids)
        self._dropped.set()
        if self._done:
            self._to_remove.set()

    def holds_of(self, partition: int) -> bool:
        """Whether anything of a stream is in hand or to be removed from it."""
        return partition in self._done or any(held.partition == partition for held in self._held.values())

    def give_up_overdue(self) -> int:
        """Drop what nobody answered for; how many."""
        before = self._clock.monotonic() - OVERDUE_SECONDS
        late = [key for key, held in self._held.items() if held.since < before]
        self.drop(late)
        self.overdue += len(late)
        return len(late)

    async def room_in(self) -> None:
        """Wait for room."""
        while not self.room:
            self._dropped.clear()
            await self._dropped.wait()

    async def done(self) -> dict[int, list[str]]:
        """Wait for entries to remove: a copy, by stream."""
        while not self._done:
            self._to_remove.clear()
            await self._to_remove.wait()
        return {number: list(ids) for number, ids in self._done.items()}

    def removed(self, entries: dict[int, list[str]]) -> None:
        """They are gone."""
        for number, ids in entries.items():
            left = self._done[number][len(ids) :]
            if left:
                self._done[number] = left
            else:
                del self._done[number]
