"""Requests under way on a socket, by id (CONTRACT.md 2.6: each gets exactly one reply, in any order)."""

from __future__ import annotations

import asyncio
import itertools

import msgspec

from xinyu.sdk.errors import ApiError, ConnectionLost
from xinyu.sdk.types import Frame, Refusal


class Requests:
    """The table of requests without a reply yet. Bounded by their callers, who wait."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._pending: dict[str, asyncio.Future[msgspec.Raw]] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()

    def open(self) -> tuple[str, asyncio.Future[msgspec.Raw]]:
        """A new id and where its reply will be; `close` it whatever happens."""
        request_id = str(next(self._ids))
        answer: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = answer
        self._quiet.clear()
        return request_id, answer

    def close(self, request_id: str) -> None:
        """The caller waits no longer; a late reply is dropped, and a failure that he did not wait for is no news."""
        answer = self._pending.pop(request_id)
        if answer.done() and not answer.cancelled():
            answer.exception()
        if not self._pending:
            self._quiet.set()

    def answer(self, frame: Frame) -> None:
        """A `reply` or `error` frame. Raises msgspec.DecodeError when it is malformed."""
        answer = self._pending.get(frame.id or "")
        if answer is None or answer.done():
            return
        if frame.event == "reply":
            answer.set_result(frame.payload)
            return
        refusal = msgspec.json.decode(frame.payload, type=Refusal)
        answer.set_exception(
            ApiError(refusal.code, refusal.message, error=refusal.error, retry_after_ms=refusal.retry_after_ms)
        )

    def fail(self) -> None:
        """The socket is gone: nobody knows what became of them."""
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(ConnectionLost())

    async def quiet(self) -> None:
        """Return when none is under way."""
        await self._quiet.wait()
