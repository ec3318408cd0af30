"""Repeated POSTs: web clients send any request once more after a network error (CONTRACT.md section 1.0).

Creates are answered from this window, so that a repetition makes no second group. What cannot take twice is run again,
for it may be meant (leave, come back, leave), and only its refusal is answered as the first time was.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from cachetools import TTLCache

from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import UserId

Run = Callable[[], Awaitable[bytes]]


class RequestKey(NamedTuple):
    """The same for the same request of the same user."""

    user_id: UserId
    path: str
    digest: bytes


def request_key(user_id: UserId, path: str, body: bytes) -> RequestKey:
    """What tells a repetition of a request from another one."""
    return RequestKey(user_id, path, hashlib.blake2b(body, digest_size=16).digest())


class ReplayWindow:
    """Remembers answers for some seconds. A repetition that comes while the first still runs waits for it."""

    def __init__(self, seconds: float, size: int) -> None:
        self._answers: TTLCache[RequestKey, asyncio.Future[bytes]] = TTLCache(size, seconds)

    async def once(self, key: RequestKey, run: Run) -> bytes:
        """The answer of the first run. A run that fails is forgotten, so that it may be tried again; a caller who
        leaves does not end it."""
        running = self._answers.get(key)
        if running is None:
            running = self._answers[key] = asyncio.ensure_future(run())
            running.add_done_callback(partial(self._forget_failure, key))
        return await asyncio.shield(running)

    async def again(self, key: RequestKey, run: Run, taken: tuple[type[XinyuError], ...]) -> bytes:
        """The answer of this run; of the last one where that still runs, or where this one is refused by one of
        `taken` because the last one took."""
        last = self._answers.get(key)
        if last is None or not last.done():
            return await self.once(key, run)

        async def anew() -> bytes:
            try:
                return await run()
            except taken:
                return last.result()

        self._answers.pop(key, None)  # it may have run out by now
        return await self.once(key, anew)

    def forget(self, user_id: UserId, path: str) -> None:
        """What this user did at `path` was undone: asked for once more, it is run."""
        for key in [key for key in self._answers if (key.user_id, key.path) == (user_id, path)]:
            self._answers.pop(key, None)

    def _forget_failure(self, key: RequestKey, done: asyncio.Future[bytes]) -> None:
        failed = done.cancelled() or done.exception() is not None
        if failed and self._answers.get(key) is done:
            del self._answers[key]
