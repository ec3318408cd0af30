"""When to try again: exponential back-off with full jitter, and what a close code says about reconnecting."""

from __future__ import annotations

import random
from enum import Enum

TOKEN_REFUSED = 4401
"""Close code for a bad token, to clients that sync (CONTRACT.md 2.6)."""


class Verdict(Enum):
    """What to do after the connection closed."""

    RECONNECT = "reconnect"
    STOP = "stop"
    LOG_IN_AGAIN = "log in again"


def verdict_on(close_code: int | None) -> Verdict:
    """Close codes by range say whether to reconnect: 3000-3499 and 4000-4499 yes, 3500-3999 and 4500-4999 no.

    4401 is a bad token. Everything else (1000, 1006, no code) is trouble on the way: reconnect.
    """
    if close_code == TOKEN_REFUSED:
        return Verdict.LOG_IN_AGAIN
    if close_code is not None and (3500 <= close_code <= 3999 or 4500 <= close_code <= 4999):
        return Verdict.STOP
    return Verdict.RECONNECT


class Backoff:
    """Delays for one series of attempts: uniform between 0 and `base * 2**n`, at most `cap` (seconds).

    Full jitter spreads the clients of a dead gateway over the whole window instead of in waves.
    """

    def __init__(self, base_seconds: float, cap_seconds: float, rng: random.Random) -> None:
        self._base = base_seconds
        self._cap = cap_seconds
        self._rng = rng
        self._attempt = 0

    def reset(self) -> None:
        """Start over, after a success."""
        self._attempt = 0

    def next_delay(self, at_least_ms: int | None = None) -> float:
        """Seconds to wait before the next attempt; `at_least_ms` is what the server asked for."""
        ceiling = min(self._cap, self._base * 2.0 ** min(self._attempt, 32))
        self._attempt += 1
        return (at_least_ms or 0) / 1000 + self._rng.uniform(0, ceiling)
