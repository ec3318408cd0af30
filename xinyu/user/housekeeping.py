"""Removing what has expired."""

from __future__ import annotations

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Unavailable
from xinyu.telemetry.logs import get_logger
from xinyu.user.store import CodeStore, LoginStore

log = get_logger(__name__)
PAUSE_SECONDS = 600.0
KEPT_MS = 86_400_000
"""Expired rows stay a day, for whoever looks into an incident."""
BATCH = 500


class Housekeeping:
    """A background run. Several processes may run it at once."""

    def __init__(self, logins: LoginStore, codes: CodeStore, clock: Clock) -> None:
        self._logins = logins
        self._codes = codes
        self._clock = clock

    async def run(self) -> None:
        """For ever: remove, wait ten minutes."""
        while True:
            try:
                await self.remove_expired()
            except Unavailable as error:
                log.warning("expired rows not removed; trying again later", error=error.code)
            await self._clock.sleep(PAUSE_SECONDS)

    async def remove_expired(self) -> int:
        """Remove expired log-ins and codes, in small transactions; how many rows."""
        before = self._clock.now_ms() - KEPT_MS
        removed = 0
        for store in (self._logins, self._codes):
            while True:
                part = await store.remove_expired(before, BATCH)
                removed += part
                if part < BATCH:
                    break
        return removed
