"""Whose unit of work is next where all wait for the one writer, or for a connection: a send does not wait behind all
that a thousand clients who connect at once have to read and write."""

from __future__ import annotations

import asyncio
from collections import deque

from xinyu.storage.errors import StorageUnavailable


class Turns:
    """A lock, or a semaphore, with two queues. Whoever is urgent goes before the others, but never two in a row while
    others wait: the first of the urgent ones is the next but one at the latest.

    `async with turns.urgent:` and `async with turns.other:`; who is cancelled while he waits has no turn.
    """

    def __init__(self, at_once: int = 1, seconds: float | None = None, busy: str = "") -> None:
        """Who waits for `seconds` gets StorageUnavailable, which says `busy`."""
        self.urgent = _Kind(self)
        self.other = _Kind(self)
        self._free = at_once
        self._seconds = seconds
        self._busy = busy
        self._last = self.other

    async def _take(self, kind: _Kind) -> None:
        if self._free:
            self._free -= 1
            self._last = kind
            return
        turn = asyncio.get_running_loop().create_future()
        kind.queue.append(turn)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except (asyncio.CancelledError, TimeoutError) as error:
            if turn in kind.queue:
                kind.queue.remove(turn)
            elif not turn.cancelled():  # it had just come
                self._leave()
            if isinstance(error, TimeoutError):
                raise StorageUnavailable(self._busy) from None
            raise

    def _leave(self) -> None:
        for kind in (self.other, self.urgent) if self._last is self.urgent else (self.urgent, self.other):
            while kind.queue:
                turn = kind.queue.popleft()
                if not turn.done():  # not given up in this moment
                    self._last = kind
                    turn.set_result(None)
                    return
        self._free += 1


class _Kind:
    """The queue of one kind, and the turns it gets."""

    __slots__ = ("_turns", "queue")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.queue: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        await self._turns._take(self)

    async def __aexit__(self, *_: object) -> None:
        self._turns._leave()
