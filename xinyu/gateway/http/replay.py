"""Repeated POSTs: web clients send any request once more after a network error (CONTRACT.md section 1.0).

Creates are answered from this window, so that a repetition makes no second group.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial

from cachetools import TTLCache


def request_id_of(user_id: int | None, path: str, body: bytes) -> str:
    """32 hex characters that are the same for the same request of the same user."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{user_id or 0}\n{path}\n".encode())
    digest.update(body)
    return digest.hexdigest()


class ReplayWindow:
    """Remembers answers for some seconds. A repetition that comes while the first still runs waits for it."""

    def __init__(self, seconds: float, size: int) -> None:
        self._answers: TTLCache[str, asyncio.Future[bytes]] = TTLCache(size, seconds)

    async def once(self, request_id: str, run: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer of the first run. A run that fails is forgotten, so that it may be tried again; a caller who
        leaves does not end it."""
        running = self._answers.get(request_id)
        if running is None:
            running = self._answers[request_id] = asyncio.ensure_future(run())
            running.add_done_callback(partial(self._forget_failure, request_id))
        return await asyncio.shield(running)

    def _forget_failure(self, request_id: str, done: asyncio.Future[bytes]) -> None:
        failed = done.cancelled() or done.exception() is not None
        if failed and self._answers.get(request_id) is done:
            del self._answers[request_id]
