"""How many requests of clients one gateway runs at once, REST and socket alike (G8)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xinyu.kernel.errors import Overloaded
from xinyu.telemetry.readings import Reading

RETRY_MS = 1000


class Admission:
    """Counts who is inside. Rates bound single users and addresses; this bounds all of them together, and so what
    waits for other services, databases and disks behind a gateway."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0
        self._refused = 0

    def enter(self) -> None:
        """Begin a request, and `leave` at its end. Raises Overloaded with `retry_after_ms`."""
        if self._inside >= self._limit:
            self._refused += 1
            raise Overloaded(retry_after_ms=RETRY_MS)
        self._inside += 1

    def leave(self) -> None:
        """A request has ended."""
        self._inside -= 1

    @contextmanager
    def inside(self) -> Iterator[None]:
        """A request as a block."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_requests_in_flight", "Requests of clients that run now, REST and socket.", self._inside),
            ("xinyu_requests_refused_total", "Requests refused because too many ran.", self._refused),
        ]
