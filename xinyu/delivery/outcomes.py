"""What became of pushes: reports those that are through, batched, and counts the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from xinyu.delivery.port import CompletionPort
from xinyu.delivery.types import Completion, PushKey
from xinyu.kernel.errors import XinyuError
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import Reading

log = get_logger(__name__)


class Outcomes:
    """Reports completions off the fan-out, so that a slow owner of pushes delays no delivery."""

    def __init__(self, port: CompletionPort, limit: int, settled: Callable[[Sequence[PushKey]], None]) -> None:
        """`limit`: completions that wait here; what does not fit is not reported, and the outbox brings it again.
        `settled` hears of every push that the fan-out has done with, either way."""
        self._port = port
        self._settled = settled
        self._limit = limit
        self._waiting: list[Completion] = []
        self._wake = asyncio.Event()
        self._reporting = False
        self._done = 0
        self._failed = 0
        self._unreported = 0

    @property
    def busy(self) -> bool:
        """Whether completions wait or are being reported."""
        return bool(self._waiting) or self._reporting

    def done(self, keys: Sequence[PushKey]) -> None:
        """Every node took these."""
        completions = [Completion(conversation_id, seq) for conversation_id, seq in keys]
        self._done += len(completions)
        fitting = completions[: self._limit - len(self._waiting)]
        self._unreported += len(completions) - len(fitting)
        if fitting:
            self._waiting += fitting
            self._wake.set()
        self._settled(keys)

    def failed(self, keys: Sequence[PushKey]) -> None:
        """These are left to the outbox."""
        self._failed += len(keys)
        self._settled(keys)

    async def run(self) -> None:
        """Report for ever."""
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch, self._waiting = self._waiting, []
            self._reporting = True
            try:
                await self._port.complete(batch)
            except XinyuError as error:
                self._unreported += len(batch)
                log.warning("completions were lost; the outbox brings these again", count=len(batch), error=error.code)
            finally:
                self._reporting = False

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_delivery_pushes_total", "Pushes that every target node took.", self._done),
            ("xinyu_delivery_failures_total", "Pushes left to the outbox.", self._failed),
            ("xinyu_delivery_completions", "Delivered pushes waiting to be reported.", len(self._waiting)),
            ("xinyu_delivery_unreported_total", "Delivered pushes whose report was lost.", self._unreported),
        ]
