"""By when the caller wants its answer. Set once at the edge, carried by every call, kept by the transports."""

from __future__ import annotations

import time
from collections.abc import Iterator
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


def remaining_seconds() -> float | None:
    """Seconds left, None when nobody set a deadline."""
    deadline = _DEADLINE.get()
    return None if deadline is None else deadline - time.monotonic()


def check_deadline() -> None:
    """Raise DeadlineExceeded when the caller has stopped waiting: its work would be for nobody."""
    left = remaining_seconds()
    if left is not None and left <= 0:
        raise DeadlineExceeded()
