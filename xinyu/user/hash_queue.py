"""Threads that passwords are hashed on, and how many may wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from xinyu.kernel.errors import Overloaded
from xinyu.telemetry.readings import Reading

T = TypeVar("T")
RETRY_MS = 1000


class HashQueue:
    """Bounded, for each hash takes tens of milliseconds and megabytes."""

    def __init__(self, threads: int = 2, queue: int = 200) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._limit = threads + queue
        self._running = 0
        self._refused = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Do this on a thread. Raises Overloaded when too many wait."""
        if self._running >= self._limit:
            self._refused += 1
            raise Overloaded(retry_after_ms=RETRY_MS)
        self._running += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(self._done)  # not in a finally: a cancelled caller does not stop the thread
        return await future

    def close(self) -> None:
        """Let what runs finish and end the threads."""
        self._executor.shutdown()

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_passwords_waiting", "Passwords that are hashed or wait for it.", self._running),
            ("xinyu_passwords_refused_total", "Requests refused because too many passwords waited.", self._refused),
        ]

    def _done(self, _future: asyncio.Future[T]) -> None:
        self._running -= 1
