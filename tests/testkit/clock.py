"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from xinyu.kernel.clock import Clock

START_MS = 1_700_000_000_000
SETTLE_TURNS = 25
"""Loop turns given to what a sleeper's waking sets off. Work that waits for I/O or threads needs `eventually`."""


class ManualClock(Clock):
    """Time for tests: `sleep` returns when a test has moved the clock far enough, earlier deadlines first."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._start_ms = now_ms
        self._seconds = 0.0
        self._order = itertools.count()
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._start_ms + round(self._seconds * 1000)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (self._seconds + seconds, next(self._order), waiting))
        await waiting

    @property
    def sleepers(self) -> int:
        """How many are asleep."""
        return sum(not waiting.done() for _, _, waiting in self._sleeping)

    def jump(self, seconds: float) -> None:
        """Move on at once, for code that only reads the time; who is due wakes at the loop's next turn."""
        self._seconds += seconds
        while self._sleeping and self._sleeping[0][0] <= self._seconds:
            self._wake(heapq.heappop(self._sleeping)[2])

    def step(self, seconds: float) -> None:
        """The time of day is set, forward or back; nothing else has moved."""
        self._start_ms += round(seconds * 1000)

    async def advance(self, seconds: float) -> None:
        """Move on, stopping at each deadline on the way until its sleeper has run on (and perhaps sleeps again).

        What is ready to run when this is called runs first, so a task just created gets to its first sleep.
        """
        await _settle()
        end = self._seconds + seconds
        while self._sleeping and self._sleeping[0][0] <= end:
            deadline, _, waiting = heapq.heappop(self._sleeping)
            self._seconds = max(self._seconds, deadline)
            if self._wake(waiting):
                await _settle()
        self._seconds = end

    @staticmethod
    def _wake(waiting: asyncio.Future[None]) -> bool:
        if waiting.done():  # cancelled in its sleep
            return False
        waiting.set_result(None)
        return True


async def _settle() -> None:
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)
