"""What a session needs before it can go on, asked for again while a service is away: the session waits, and its client
keeps its socket (G10)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from xinyu.gateway.ws.session import Session, State
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Category, XinyuError
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
T = TypeVar("T")
FIRST_SECONDS = 0.1
LONGEST_SECONDS = 1.5
"""Between two tries, give or take a half: with G4's 5 s in mind."""
LONGEST_WAIT_SECONDS = 60.0
"""Then the client is better off elsewhere: another gateway may reach what this one does not."""
AGAIN_AT_ONCE = 16
"""All that wait do so for the same service; when it is back it is not to be overrun."""
_PASSING = frozenset({Category.UNAVAILABLE, Category.DEADLINE, Category.EXHAUSTED})


class Patience:
    """The sessions of a node that wait."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.again = asyncio.Semaphore(AGAIN_AT_ONCE)
        self.waiting = 0
        """How many ask again and again now."""

    def of(self, session: Session) -> Asker:
        """For one thing that a session does."""
        return Asker(self, session)

    def begin(self, error: XinyuError) -> None:
        """One more waits."""
        if not self.waiting:
            log.warning("sessions wait for what cannot be read now; it is asked for again", error=error.code)
        self.waiting += 1

    def end(self) -> None:
        """It waits no more."""
        self.waiting -= 1
        if not self.waiting:
            log.info("no session waits any more for what could not be read")


class Asker:
    """Asks for one session, and knows whether it had to wait."""

    def __init__(self, patience: Patience, session: Session) -> None:
        self.was_late = False
        """Whether any answer came later than at the first try: what the client counted meanwhile may be wrong."""
        self._patience = patience
        self._session = session

    async def told(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What `ask` returns, which may be called several times and is to keep nothing between them; None when the
        session was closed before. Raises its errors but those that pass by themselves (of a service that is away, late
        or overloaded), and those too after LONGEST_WAIT_SECONDS."""
        try:
            return await ask()
        except XinyuError as error:
            if error.category not in _PASSING:
                raise
            first = error
        self.was_late = True
        self._patience.begin(first)
        try:
            return await self._ask_again(ask, first)
        finally:
            self._patience.end()

    async def _ask_again(self, ask: Callable[[], Awaitable[T]], error: XinyuError) -> T | None:
        clock, pause = self._patience.clock, FIRST_SECONDS
        give_up = clock.monotonic() + LONGEST_WAIT_SECONDS
        while True:
            await clock.sleep(max(pause * random.uniform(0.5, 1.5), (error.retry_after_ms or 0) / 1000))
            async with self._patience.again:
                if self._session.state is State.CLOSED:
                    return None
                try:
                    return await ask()
                except XinyuError as again:
                    if again.category not in _PASSING or clock.monotonic() >= give_up:
                        raise
                    error = again
            pause = min(2 * pause, LONGEST_SECONDS)
