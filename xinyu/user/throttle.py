"""How often something may be tried."""

from __future__ import annotations

from cachetools import TTLCache

from xinyu.kernel.clock import Clock
from xinyu.user.errors import TooManyAttempts

MAX_KEYS = 100_000


class Throttle:
    """Counts per key within a window that begins with the first attempt. In memory, so per process.

    A limit of 0 is none. Beyond MAX_KEYS the oldest windows are forgotten: memory is bounded, and an attacker who fills
    it from many addresses is past what a throttle can do.
    """

    def __init__(self, limit: int, window_seconds: float, clock: Clock) -> None:
        self._limit = limit
        self._window = window_seconds
        self._clock = clock
        self._windows: TTLCache[str, list[float]] = TTLCache(MAX_KEYS, window_seconds, timer=clock.monotonic)

    def hit(self, key: str) -> None:
        """Count an attempt. Raises TooManyAttempts with `retry_after_ms`; what was refused does not count."""
        if not self._limit:
            return
        window = self._windows.get(key)
        if window is None:
            self._windows[key] = [self._clock.monotonic(), 1]
            return
        if window[1] >= self._limit:
            left = window[0] + self._window - self._clock.monotonic()
            raise TooManyAttempts(retry_after_ms=max(1, int(left * 1000)))
        window[1] += 1

    def clear(self, key: str) -> None:
        """Forget the attempts of `key`: the last one was right."""
        self._windows.pop(key, None)
