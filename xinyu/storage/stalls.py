"""Units of work without an end. The driver waits for an answer as long as the connection stands, and that stands for
hours where packets vanish on the way, and for ever where the server's process stands still (G10)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiomysql

from xinyu.telemetry.logs import get_logger, in_ms

log = get_logger(__name__)
LOOK_SECONDS = 0.5
HANDSHAKE_SECONDS = 5.0
"""From the first packet to a usable connection."""
_CANNOT_CONNECT = 2003  # CR_CONN_HOST_ERROR
Driver = Any  # aiomysql has no types


class Stalls:
    """Cuts the connection of a unit of work that has run for too long. What waited for an answer then fails as when the
    server had closed it."""

    def __init__(self, seconds: float, address: str) -> None:
        """`seconds`: how long a unit of work may take on one connection; 0 for ever."""
        self.seconds = seconds
        self._address = address
        self._begun: dict[Driver, float] = {}
        """The oldest first."""
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def limited(self, driver: Driver) -> Iterator[None]:
        """Around whatever waits for answers on a connection."""
        self._begun[driver] = time.monotonic()
        if self._timer is None and self.seconds:
            self._look_later()
        try:
            yield
        finally:
            del self._begun[driver]

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        for driver, begun in self._begun.items():
            if now - begun < self.seconds:
                break
            self._cut(driver, now - begun)
        if self._begun:
            self._look_later()

    def _cut(self, driver: Driver, seconds: float) -> None:
        log.warning(
            "the database does not answer; a connection is given up. See its process list, its disk, the way there",
            address=self._address,
            duration_ms=in_ms(seconds),
        )
        if driver._writer is not None:  # its `close` would wait until all is sent, which it never may be
            driver._writer.transport.abort()


async def open_connection(*arguments: Any, **options: Any) -> Driver:
    """What `aiomysql.connect` does, READ COMMITTED, all of it within a time. Raises its OperationalError."""
    driver = aiomysql.Connection(*arguments, **options)
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await driver._connect()
            await driver.query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    except BaseException as error:
        driver.close()
        if not isinstance(error, TimeoutError):
            raise
        raise aiomysql.OperationalError(_CANNOT_CONNECT, "the server said nothing to a new connection") from error
    return driver
