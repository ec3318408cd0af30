"""Background runs: each a coroutine that goes on for ever, restarted with back-off when it fails, and soon when what it
needs is away."""

from __future__ import annotations

import asyncio
from typing import Protocol

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Unavailable
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import Reading

log = get_logger(__name__)
FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 10.0
AWAY_BACKOFF_SECONDS = 1.0
"""Where a service or an engine was away: what waits for it is promised soon after it is back (G4)."""
TOLD_SECONDS = 60.0
"""How often the log tells of it."""


class Run(Protocol):
    """Something that works in the background until it is cancelled."""

    async def run(self) -> None:
        """Work for ever."""


class Runs:
    """The background runs of a process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, int] = {}
        self._told: dict[str, float] = {}
        self._failing: set[str] = set()

    def start(self, name: str, run: Run) -> None:
        """Begin `run`; it is restarted whenever it fails or ends."""
        self._tasks[name] = asyncio.create_task(self._keep(name, run), name=name)

    async def stop(self) -> None:
        """Cancel all and wait for their end, last started first."""
        for task in reversed(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    @property
    def failing(self) -> set[str]:
        """Runs that are waiting for their restart."""
        return set(self._failing)

    def readings(self) -> list[Reading]:
        """For metrics."""
        failures = sum(self._failures.values())
        return [
            ("xinyu_run_failures_total", "Background runs that failed and were restarted.", failures),
            ("xinyu_runs_failing", "Background runs waiting for their restart.", len(self._failing)),
        ]

    async def _keep(self, name: str, run: Run) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            begin = self._clock.monotonic()
            longest = LONGEST_BACKOFF_SECONDS
            try:
                await run.run()
                log.warning("a background run ended; restarting it", run=name)
            except Unavailable as error:
                longest = AWAY_BACKOFF_SECONDS
                self._tell_away(name, error)
            except Exception:
                log.exception("a background run failed; it restarts by itself, the stack below says why", run=name)
            self._failures[name] = self._failures.get(name, 0) + 1
            if self._clock.monotonic() - begin > 60:
                backoff = FIRST_BACKOFF_SECONDS
            self._failing.add(name)
            backoff = min(backoff, longest)
            await self._clock.sleep(backoff)
            self._failing.discard(name)
            backoff *= 2

    def _tell_away(self, name: str, error: Unavailable) -> None:
        now = self._clock.monotonic()
        if now >= self._told.get(name, -TOLD_SECONDS) + TOLD_SECONDS:
            self._told[name] = now
            log.warning("a background run waits for a service or an engine that is away", run=name, error=error.code)
