"""What a session needs before it can go on, asked for until it is told: while a service is away the session waits, and
its client keeps its socket (G10)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from xinyu.gateway.ws.session import Session, State
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Category, XinyuError
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
T = TypeVar("T")
FIRST_SECONDS = 0.1
LONGEST_SECONDS = 2.0
"""A session goes on so long after the service at the latest."""
_PASSING = frozenset({Category.UNAVAILABLE, Category.DEADLINE, Category.EXHAUSTED})


async def until_told(session: Session, clock: Clock, ask: Callable[[], Awaitable[T]]) -> T | None:
    """What `ask` returns, which may be called several times; None when the session was closed before. Raises its
    errors but those that pass by themselves: of a service that is away, late or overloaded."""
    pause = FIRST_SECONDS
    while session.state is not State.CLOSED:
        try:
            return await ask()
        except XinyuError as error:
            if error.category not in _PASSING:
                raise
            if pause == FIRST_SECONDS:
                log.warning("a session waits for what cannot be read now; it is asked for again", error=error.code)
        await clock.sleep(pause)
        pause = min(2 * pause, LONGEST_SECONDS)
    return None
