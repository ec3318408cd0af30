"""Frames on their way to one socket: bounded in frames and bytes, one writer, never blocking who puts.

A writer takes a frame at once while the peer keeps up; only when its buffer is over the high-water mark do frames
queue here. A queue at its bound is the sign of a slow client, who is closed and resumes (G8).
"""

from __future__ import annotations

import abc
import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class FrameWriter(abc.ABC):
    """Puts text frames on a socket."""

    @abc.abstractmethod
    def write(self, payload: bytes) -> bool:
        """Send a text frame (UTF-8). False, and nothing is taken, while the peer is behind or gone."""

    @abc.abstractmethod
    def on_writable(self, resume: Callable[[], None]) -> None:
        """Call `resume` whenever writing becomes possible again."""

    def hand_to(self, take: Callable[[str | None], None]) -> None:  # noqa: B027 - what has no such way needs none
        """From now on call `take` with texts of the client as they come, where that is possible; those that are not
        handed over, before the first and at any time, go the way of ASGI. None is a frame that ASGI does not tell of
        (a ping, a pong). `take` raises nothing."""

    def abort(self) -> None:  # noqa: B027 - what has no such way needs none
        """Cut the connection without a close handshake, dropping what its peer has not read. Idempotent."""


class AsgiFrameWriter(FrameWriter):
    """Over plain ASGI: each frame is a `send` in a task of its own. For servers without the direct way."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._task: asyncio.Task[None] | None = None
        self._resume: Callable[[], None] = lambda: None

    def write(self, payload: bytes) -> bool:
        if self._task is not None:
            return False
        self._task = asyncio.ensure_future(self._write(payload))
        return True

    def on_writable(self, resume: Callable[[], None]) -> None:
        self._resume = resume

    async def _write(self, payload: bytes) -> None:
        try:
            await self._send({"type": "websocket.send", "text": payload.decode()})
        except (OSError, RuntimeError):
            return  # the peer is gone: nothing more is ever written
        self._task = None
        self._resume()


class SendQueue:
    """The one way to a socket."""

    __slots__ = ("_bytes", "_max_bytes", "_max_frames", "_queue", "_writer")

    def __init__(self, writer: FrameWriter, max_frames: int, max_bytes: int) -> None:
        self._writer = writer
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._queue: deque[bytes] | None = None
        self._bytes = 0
        writer.on_writable(self._flush)

    @property
    def max_frames(self) -> int:
        """The bound in frames."""
        return self._max_frames

    @property
    def max_bytes(self) -> int:
        """The bound in bytes."""
        return self._max_bytes

    @property
    def queued_frames(self) -> int:
        """Frames that wait."""
        return len(self._queue) if self._queue else 0

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait."""
        return self._bytes

    @property
    def is_half_full(self) -> bool:
        """Whether who can wait should."""
        return 2 * self.queued_frames >= self._max_frames or 2 * self._bytes >= self._max_bytes

    def put(self, payload: bytes) -> bool:
        """Send a frame after all earlier ones. False when the queue is full: the session must be closed."""
        if not self._queue and self._writer.write(payload):
            return True
        if self._queue is None:
            self._queue = deque()
        if len(self._queue) >= self._max_frames or self._bytes + len(payload) > self._max_bytes:
            return False
        self._queue.append(payload)
        self._bytes += len(payload)
        return True

    def _flush(self) -> None:
        while self._queue and self._writer.write(self._queue[0]):
            self._bytes -= len(self._queue.popleft())
        if not self._queue:
            self._queue = None
