"""By when the caller wants its answer. Set once at the edge, carried by every call, kept by the transports."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from xinyu.kernel.errors import DeadlineExceeded

_DEADLINE: ContextVar[float | None] = ContextVar("xinyu_deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound the calls made inside to `seconds` from now; an earlier deadline that is already set stays."""
    wanted = time.monotonic() + seconds
    current = _DEADLINE.get()
    token = _DEADLINE.set(wanted if current is None else min(wanted, current))
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def current_deadline() -> float | None:
    """By when, in the seconds of `time.monotonic`; None when nobody set a deadline."""
    return _DEADLINE.get()


def adopt_deadline(at: float | None) -> None:
    """Make `at` (`time.monotonic`) the running task's deadline: for a callee, whose caller's own is elsewhere."""
    _DEADLINE.set(at)


def remaining_seconds() -> float | None:
    """Seconds left, None when nobody set a deadline."""
    deadline = _DEADLINE.get()
    return None if deadline is None else deadline - time.monotonic()


def check_deadline() -> None:
    """Raise DeadlineExceeded when the caller has stopped waiting: its work would be for nobody."""
    left = remaining_seconds()
    if left is not None and left <= 0:
        raise DeadlineExceeded()


class Overdue:
    """One timer for many deadlines: most calls are over long before theirs, so none of them sets a timer of its own."""

    def __init__(self, sweep: Callable[[float], float]) -> None:
        """`sweep(now)` ends what is due by `now` and returns the earliest deadline left, `math.inf` for none."""
        self._sweep = sweep
        self._earliest = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def note(self, deadline: float) -> None:
        """There is something due at `deadline` (`time.monotonic`, or `math.inf` for never)."""
        if deadline < self._earliest:
            self._arm(deadline)

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._earliest, self._timer = math.inf, None

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._earliest = deadline
        pause = max(0.001, deadline - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(pause, self._due)

    def _due(self) -> None:
        self._earliest, self._timer = math.inf, None
        self.note(self._sweep(time.monotonic()))
