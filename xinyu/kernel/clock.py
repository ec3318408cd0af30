"""Time as a dependency, so that tests and the simulation can own it."""

from __future__ import annotations

import abc
import asyncio
import time


class Clock(abc.ABC):
    """Where the server reads the time and waits."""

    @abc.abstractmethod
    def now_ms(self) -> int:
        """UTC, milliseconds since 1970."""

    @abc.abstractmethod
    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    @abc.abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""


class SystemClock(Clock):
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
