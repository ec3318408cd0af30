"""Calls to the predecessor's processes."""

from __future__ import annotations

import asyncio
import time

from xinyu.rpc.pool import RpcClient, Target
from xinyu.rpc.wire import Response

CALLS_AT_ONCE = 64
"""Its servers run each call on one of a few threads."""


class Caller:
    """Asks over bare Rock, once, a bounded number at a time: its clients do not repeat either."""

    def __init__(self, client: RpcClient, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._at_once = asyncio.Semaphore(CALLS_AT_ONCE)

    def resting(self, address: str) -> bool:
        """Whether a call to `address` would be refused now without being sent."""
        return self._client.resting(address)

    async def ask(self, address: str, command: int, body: bytes, trace_id: str = "") -> Response:
        """Its answer, whatever the result. Raises Unavailable, DeadlineExceeded or Overloaded when there is none."""
        async with self._at_once:
            deadline = time.monotonic() + self._seconds
            return await self._client.call(Target(address), command, trace_id, body, deadline)

    async def close(self) -> None:
        """Hang up. Idempotent."""
        await self._client.close()
