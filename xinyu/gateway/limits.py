"""How much one user or one address may ask for. Checked before a body is read."""

from __future__ import annotations

import time

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import Overloaded


class RateLimits:
    """Windows per user and per address, in memory. A limit of 0 is none."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._per_user = settings.requests_per_minute_per_user
        self._per_ip = settings.requests_per_minute_per_ip
        self._sends = settings.sends_per_second_per_user
        self._user_item = RateLimitItemPerMinute(max(1, self._per_user))
        self._ip_item = RateLimitItemPerMinute(max(1, self._per_ip))
        self._send_windows: dict[int, list[float]] = {}  # user -> when it ends, messages in it

    def check_request(self, ip: str, user_id: int | None) -> None:
        """Count a REST request. Raises Overloaded with `retry_after_ms`."""
        if self._per_ip and ip:
            self._hit(self._ip_item, "ip", ip)
        if self._per_user and user_id is not None:
            self._hit(self._user_item, "user", str(user_id))

    def check_send(self, user_id: int, messages: int = 1) -> None:
        """Count messages of a user (the hot path, so a plain window). Many at once may go over the limit, and are paid
        for by a longer window. Raises Overloaded with `retry_after_ms`."""
        if not self._sends:
            return
        now = time.monotonic()
        window = self._send_windows.get(user_id)
        if window is None or now >= window[0]:
            if len(self._send_windows) > 100_000:
                self._send_windows.clear()
            self._send_windows[user_id] = [now + max(1.0, messages / self._sends), messages]
            return
        if window[1] >= self._sends:
            raise Overloaded(retry_after_ms=max(1, int((window[0] - now) * 1000)))
        window[1] += messages
        if window[1] > self._sends:
            window[0] += (window[1] - self._sends) / self._sends

    def _hit(self, item: RateLimitItemPerMinute | RateLimitItemPerSecond, *key: str) -> None:
        if not self._limiter.hit(item, *key):
            reset = self._limiter.get_window_stats(item, *key).reset_time
            raise Overloaded(retry_after_ms=max(1, int((reset - time.time()) * 1000)))
