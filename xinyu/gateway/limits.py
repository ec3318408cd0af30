"""How much one user or one address may ask for. Checked before a body is read.

With `gateway.limits_store: redis` all gateways of a cluster count together. Who is far below his limit is counted by
his gateway alone: it asks for the common count only when what it has not told yet comes to an eighth of what is left.
So common requests cost no round trip, and near the limit each one is counted exactly.
"""

from __future__ import annotations

import abc

from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.clock import Clock, SystemClock
from xinyu.kernel.errors import Overloaded
from xinyu.telemetry.readings import Reading

MAX_KEYS = 100_000
UNTOLD_SHARE = 8
"""One part in so many of what is left may be used before the others are told."""


class SharedCounts(abc.ABC):
    """Counts that all gateways add to."""

    @abc.abstractmethod
    async def add(self, window: str, amount: int, seconds: int) -> int | None:
        """Add to the count of a window that lasts `seconds`; its sum, or None while nobody can tell. Never raises."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of connections. Idempotent."""


class _Window:
    """One key's count until `ends`."""

    __slots__ = ("asking", "ends", "known", "name", "untold")

    def __init__(self, name: str, ends: float) -> None:
        self.name = name
        self.ends = ends
        """In the seconds of the monotonic clock."""
        self.known = 0
        """All gateways' sum, as far as this one knows."""
        self.untold = 0
        """Counted here since the others were told."""
        self.asking = 0
        """Questions for the sum without an answer yet. Until it is there, nothing is taken for granted."""


class Rate:
    """At most `limit` within `seconds`, per key; 0 is no limit.

    A window of this process alone begins with its first hit, a common one with a multiple of `seconds`, the same for
    all gateways. None ends later because the time of day was set back. Beyond MAX_KEYS all windows are forgotten, so
    that memory is bounded.
    """

    def __init__(self, name: str, limit: int, seconds: int, clock: Clock, shared: SharedCounts | None) -> None:
        self._name = name
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._shared = shared
        self._windows: dict[str | int, _Window] = {}
        self.refused = 0

    @property
    def windows(self) -> int:
        """How many are remembered, those that ended among them."""
        return len(self._windows)

    async def hit(self, key: str | int, amount: int = 1) -> None:
        """Count. Raises Overloaded with `retry_after_ms`. Many at once may go over the limit, and are paid for by a
        longer window at this gateway."""
        if not self._limit:
            return
        now = self._clock.monotonic()
        window = self._windows.get(key)
        if window is None or now >= window.ends:
            window = self._begin(key, now)
        used = window.known + window.untold
        if used >= self._limit:
            raise self._refusal(window, now)
        window.untold += amount
        if used + amount > self._limit:
            window.ends += (used + amount - self._limit) / self._limit * self._seconds
        if self._shared is None:
            return
        if window.asking or window.untold > (self._limit - window.known) // UNTOLD_SHARE:
            await self._tell(self._shared, window, amount, now)

    def _begin(self, key: str | int, now: float) -> _Window:
        if len(self._windows) > MAX_KEYS:
            self._windows.clear()
        begins = gone = 0.0
        if self._shared is not None:
            begins, gone = divmod(self._clock.now_ms() / 1000, self._seconds)
        name = f"{self._name}:{key}:{begins * self._seconds:.0f}"
        window = self._windows[key] = _Window(name, now + self._seconds - gone)
        return window

    async def _tell(self, shared: SharedCounts, window: _Window, amount: int, now: float) -> None:
        """Add what was not told to the common count. Raises Overloaded where the others had used all of it up."""
        told, window.untold = window.untold, 0
        window.known += told
        window.asking += 1
        try:
            total = await shared.add(window.name, told, self._seconds)
        finally:
            window.asking -= 1
        if total is None:
            return  # each gateway by itself, meanwhile
        window.known = max(window.known, total)
        if total - amount >= self._limit:
            raise self._refusal(window, now)

    def _refusal(self, window: _Window, now: float) -> Overloaded:
        self.refused += 1
        return Overloaded(retry_after_ms=max(1, round((window.ends - now) * 1000)))


class RateLimits:
    """All limits of a gateway. Every check raises Overloaded with `retry_after_ms`."""

    def __init__(
        self, settings: GatewaySettings, shared: SharedCounts | None = None, clock: Clock | None = None
    ) -> None:
        clock = clock or SystemClock()
        self._addresses = Rate("address", settings.requests_per_minute_per_ip, 60, clock, shared)
        self._users = Rate("user", settings.requests_per_minute_per_user, 60, clock, shared)
        self._handshakes = Rate("handshake", settings.handshakes_per_minute_per_ip, 60, clock, shared)
        self._sends = Rate("send", settings.sends_per_second_per_user, 1, clock, shared)
        self._sockets = Rate("socket", settings.socket_requests_per_second_per_user, 1, clock, shared)

    async def check_address(self, ip: str) -> None:
        """Count a REST request of an address, whoever makes it: before its token is looked at."""
        if ip:
            await self._addresses.hit(ip)

    async def check_handshake(self, ip: str) -> None:
        """Count a socket of an address, whoever begins it."""
        if ip:
            await self._handshakes.hit(ip)

    async def check_user(self, user_id: int) -> None:
        """Count a REST request of a user."""
        await self._users.hit(user_id)

    async def check_send(self, user_id: int, messages: int = 1) -> None:
        """Count messages of a user, however they come."""
        await self._sends.hit(user_id, messages)

    async def check_socket_request(self, user_id: int) -> None:
        """Count a request on a socket that does not count as a message."""
        await self._sockets.hit(user_id)

    def readings(self) -> list[Reading]:
        """For metrics."""
        rates = (self._addresses, self._users, self._handshakes, self._sends, self._sockets)
        refused, windows = sum(rate.refused for rate in rates), sum(rate.windows for rate in rates)
        return [
            ("xinyu_limited_total", "Requests, messages and sockets refused because of a rate limit.", refused),
            ("xinyu_limit_windows", "Windows of rate limits that are remembered, of all five kinds.", windows),
        ]
