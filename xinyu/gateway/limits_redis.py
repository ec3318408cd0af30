"""The gateways' common counts in Redis."""

from __future__ import annotations

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from xinyu.gateway.limits import SharedCounts
from xinyu.kernel.clock import Clock
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
TIMEOUT_SECONDS = 0.25
"""A limit is not worth a longer wait."""
REST_SECONDS = 1.0
"""A Redis that is away is not asked again for so long."""


class RedisCounts(SharedCounts):
    """One script call per addition, on keys that end by themselves. While Redis is away nothing is refused for it:
    the gateways count on by themselves, told once in the log."""

    def __init__(self, url: str, prefix: str, clock: Clock, pool_size: int = 10) -> None:
        self._pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=pool_size,
            timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._storage = RedisStorage(
            "redis://",
            implementation="redispy",
            key_prefix=prefix.rstrip(":"),
            connection_pool=self._pool,  # type: ignore[arg-type]  # as its documentation says
        )
        self._clock = clock
        self._ask_at = 0.0
        self._away = False

    async def add(self, window: str, amount: int, seconds: int) -> int | None:
        if self._clock.monotonic() < self._ask_at:
            return None
        try:
            total = await self._storage.incr(window, seconds, amount)
        except (RedisError, OSError, TimeoutError) as error:
            self._ask_at = self._clock.monotonic() + REST_SECONDS
            if not self._away:
                log.warning("limits count at each gateway alone, Redis is away", reason=str(error) or repr(error))
            self._away = True
            return None
        if self._away:
            log.info("limits count for all gateways together again")
            self._away = False
        return total

    async def close(self) -> None:
        await self._pool.disconnect()
