"""Requests under way on a socket, by id (CONTRACT.md 2.6: each gets exactly one reply, in any order)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import msgspec

from xinyu.sdk.errors import ApiError, ConnectionLost
from xinyu.sdk.types import Frame, Refusal

TakeLate = Callable[[Frame], None]
"""What is done with a reply, or an error, that came when nobody waited for it any more."""
MOST_LATE = 1000
"""Late replies that are waited for; beyond, the first are forgotten."""


class Requests:
    """The table of requests without a reply yet. Bounded by their callers, who wait."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._pending: dict[str, asyncio.Future[msgspec.Raw]] = {}
        self._takers: dict[str, TakeLate] = {}
        self._late: dict[str, TakeLate] = {}  # of those that nobody waits for any more
        self._quiet = asyncio.Event()
        self._quiet.set()

    def open(self, take_late: TakeLate | None = None) -> tuple[str, asyncio.Future[msgspec.Raw]]:
        """A new id and where its reply will be; `close` it whatever happens. A reply after that is for `take_late`."""
        request_id = str(next(self._ids))
        answer: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = answer
        if take_late is not None:
            self._takers[request_id] = take_late
        self._quiet.clear()
        return request_id, answer

    def close(self, request_id: str, taken: bool = True) -> None:
        """The caller waits no longer; a failure that he did not wait for is no news. `taken`: he has the reply, where
        there is one; it may come just when his time is up."""
        answer, take_late = self._pending.pop(request_id), self._takers.pop(request_id, None)
        if answer.done() and not answer.cancelled():
            if answer.exception() is None and not taken and take_late is not None:
                take_late(Frame(event="reply", id=request_id, payload=answer.result()))
        elif take_late is not None:
            self._late[request_id] = take_late
            if len(self._late) > MOST_LATE:
                del self._late[next(iter(self._late))]
        if not self._pending:
            self._quiet.set()

    def answer(self, frame: Frame) -> None:
        """A `reply` or `error` frame. Raises msgspec.DecodeError when it is malformed, and what `take_late` does."""
        answer = self._pending.get(frame.id or "")
        if answer is None or answer.done():
            take_late = self._late.pop(frame.id or "", None) or self._takers.pop(frame.id or "", None)
            if take_late is not None:
                take_late(frame)
            return
        if frame.event == "reply":
            answer.set_result(frame.payload)
            return
        refusal = msgspec.json.decode(frame.payload, type=Refusal)
        answer.set_exception(
            ApiError(refusal.code, refusal.message, error=refusal.error, retry_after_ms=refusal.retry_after_ms)
        )

    def fail(self) -> None:
        """The socket is gone: nobody knows what became of them, and nothing comes late."""
        self._late.clear()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(ConnectionLost())

    async def quiet(self) -> None:
        """Return when none is under way."""
        await self._quiet.wait()
