"""When to leave a target alone, when to try again, how long to pause: pure, the time is handed in."""

from __future__ import annotations

import random
from enum import StrEnum

from xinyu.rpc.settings import RpcSettings


class BreakerState(StrEnum):
    """Closed: calls go through. Open: none. Half-open: one at a time, to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Gives a target that only fails a rest. Any answer, an error of the service's too, is a success."""

    def __init__(self, settings: RpcSettings) -> None:
        self._limit = settings.breaker_failures
        self._first = settings.breaker_first_seconds
        self._longest = settings.breaker_longest_seconds
        self._failures = 0
        self._rest = 0.0
        self._until = 0.0
        self._probing = False
        self.opened_times = 0

    @property
    def closed(self) -> bool:
        """Whether calls go through, as is usual."""
        return not self._rest

    def state(self, now: float) -> BreakerState:
        """Where it stands at `now` (seconds of one monotonic clock, as everywhere here)."""
        if not self._rest:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._until else BreakerState.HALF_OPEN

    def admits(self, now: float) -> bool:
        """Whether a call may go. Half-open, the one that asks is the probe; when nothing is heard of it, the next may
        go after another rest."""
        state = self.state(now)
        if state is BreakerState.HALF_OPEN:
            self._until, self._probing = now + self._rest, True
        return state is not BreakerState.OPEN

    def succeeded(self) -> None:
        """The target answered."""
        self._failures = 0
        self._rest = 0.0
        self._probing = False

    def failed(self, now: float) -> None:
        """A call was sent and nothing came back. While open, only the probe's failure counts: others are older."""
        self._failures += 1
        if self._rest:
            if self._probing:
                self._open(now, min(self._rest * 2, self._longest))
        elif self._failures >= self._limit:
            self._open(now, self._first)

    def _open(self, now: float, rest: float) -> None:
        self._rest = rest
        self._until = now + rest * random.uniform(0.8, 1.0)
        self._probing = False
        self.opened_times += 1


class RetryBudget:
    """Token bucket: each first attempt saves a share of a further one, so trouble never multiplies the load by much."""

    def __init__(self, share: float, burst: int) -> None:
        self._share = share
        self._burst = float(burst)
        self._tokens = float(burst)

    def earn(self) -> None:
        """A first attempt was made."""
        if self._tokens < self._burst:
            self._tokens = min(self._burst, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a further attempt may be made; it is paid with this."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def pause(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after the n-th failure in a row (from 1): doubling up to `longest`, with jitter of a half, so
    that many who failed together do not come back together."""
    whole: float = min(longest, first * 2 ** min(failures - 1, 30))
    return whole * random.uniform(0.5, 1.0)
