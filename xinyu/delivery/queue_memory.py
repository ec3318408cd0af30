"""Pushes in the memory of the process that fans them out. Its end loses them, and the outbox brings them again."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable

from xinyu.delivery.queue import PushQueue
from xinyu.delivery.types import Push, PushKey, QueueState
from xinyu.kernel.errors import Overloaded
from xinyu.telemetry.readings import Reading

RETRY_MS = 1000
INCARNATION = "memory"
"""It lives as long as whoever asks."""


class MemoryPushQueue(PushQueue):
    """One process's own. What is in hand is not remembered: whoever took it is in the same process."""

    def __init__(self, limit: int, limit_bytes: int = 64_000_000) -> None:
        """`limit`: pushes that wait here; nor do more once their payloads have `limit_bytes`."""
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._batches: deque[tuple[float, int]] = deque()
        self._waiting: deque[Push] = deque()
        self._wake = asyncio.Event()

    async def put(self, pushes: list[Push]) -> None:
        if len(self._waiting) + len(pushes) > self._limit or self._bytes >= self._limit_bytes:
            raise Overloaded("the delivery queue is full", retry_after_ms=RETRY_MS)
        if pushes:
            self._waiting += pushes
            self._bytes += sum(len(push.payload) for push in pushes)
            self._batches.append((time.monotonic(), len(pushes)))
            self._wake.set()

    async def take(self, limit: int) -> list[Push]:
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), limit))]
        self._bytes -= sum(len(push.payload) for push in taken)
        self._age(len(taken))
        return taken

    def settled(self, keys: Iterable[PushKey]) -> None:
        pass

    def abandon(self) -> None:
        pass

    async def leave(self) -> None:
        """Nothing: nobody else could take what waits here."""

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def backlog(self) -> QueueState:
        age = time.monotonic() - self._batches[0][0] if self._batches else 0.0
        return QueueState(INCARNATION, len(self._waiting), 0, int(age * 1000))

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def readings(self) -> list[Reading]:
        return [
            ("xinyu_delivery_queue", "Pushes waiting for their fan-out.", len(self._waiting)),
            ("xinyu_delivery_queue_bytes", "Bytes of their payloads.", self._bytes),
        ]

    def _age(self, taken: int) -> None:
        """The batches that these were put with are the oldest."""
        while taken:
            since, count = self._batches.popleft()
            if count > taken:
                self._batches.appendleft((since, count - taken))
            taken -= min(count, taken)
