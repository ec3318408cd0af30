"""The one way to a socket: bounds, order under back-pressure, writers that refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

from testkit.waiting import eventually
from xinyu.gateway.ws.send_queue import AsgiFrameWriter, FrameWriter, SendQueue


class Writer(FrameWriter):
    """Takes `room` frames at a time."""

    def __init__(self, room: int = 10**9) -> None:
        self.room = room
        self.written: list[bytes] = []
        self.resume: Callable[[], None] = lambda: None

    def write(self, payload: bytes) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.written.append(payload)
        return True

    def on_writable(self, resume: Callable[[], None]) -> None:
        self.resume = resume

    def drain(self, room: int) -> None:
        self.room = room
        self.resume()


def frames(count: int, start: int = 0) -> list[bytes]:
    return [b"%04d" % number for number in range(start, start + count)]


def test_while_the_peer_keeps_up_nothing_is_queued() -> None:
    writer = Writer()
    queue = SendQueue(writer, 10, 1000)
    assert all(queue.put(frame) for frame in frames(100))
    assert (writer.written, queue.queued_frames, queue.queued_bytes) == (frames(100), 0, 0)


def test_under_back_pressure_frames_keep_their_order() -> None:
    writer = Writer(room=3)
    queue = SendQueue(writer, 100, 1000)
    assert all(queue.put(frame) for frame in frames(10))
    assert (writer.written, queue.queued_frames, queue.queued_bytes) == (frames(3), 7, 28)
    writer.drain(2)
    writer.room = 5  # room, but nobody said so: what comes now stays behind what waits
    assert queue.put(b"0010")
    assert writer.written == frames(5)
    writer.drain(100)
    assert (writer.written, queue.queued_frames, queue.queued_bytes) == (frames(11), 0, 0)


def test_the_bound_in_frames() -> None:
    writer = Writer(room=0)
    queue = SendQueue(writer, 5, 1000)
    assert [queue.put(frame) for frame in frames(7)] == [True] * 5 + [False] * 2
    assert (queue.queued_frames, queue.max_frames) == (5, 5)
    writer.drain(1)
    assert queue.put(b"more")
    assert not queue.put(b"over")


def test_the_bound_in_bytes() -> None:
    writer = Writer(room=0)
    queue = SendQueue(writer, 1000, 10)
    assert queue.put(b"123456") and queue.put(b"1234")
    assert not queue.put(b"x")
    assert queue.queued_bytes == 10
    writer.drain(1)
    assert queue.queued_bytes == 4
    assert queue.put(b"123456")


def test_a_frame_over_the_bound_goes_out_when_it_need_not_wait() -> None:
    assert SendQueue(Writer(), 1, 10).put(b"x" * 1000)
    assert not SendQueue(Writer(room=0), 1, 10).put(b"x" * 1000)


class Peer:
    """The `send` of an ASGI server, which may hang or fail."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.goes_on = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        self.texts.append(message["text"])


async def test_over_plain_asgi_one_frame_is_under_way_at_a_time() -> None:
    peer = Peer()
    queue = SendQueue(AsgiFrameWriter(peer), 3, 1000)
    assert [queue.put(frame) for frame in frames(5)] == [True] * 4 + [False]
    peer.goes_on.set()
    await eventually(lambda: peer.texts == [frame.decode() for frame in frames(4)])
    assert queue.put(b"again")
    await eventually(lambda: peer.texts[-1] == "again")


async def test_over_plain_asgi_a_peer_that_is_gone_takes_nothing_more() -> None:
    peer = Peer()
    peer.error = OSError("gone")
    writer = AsgiFrameWriter(peer)
    queue = SendQueue(writer, 2, 1000)
    queue.put(b"one")
    peer.goes_on.set()
    await eventually(lambda: writer._task is not None and writer._task.done())
    assert [queue.put(b"x") for _ in range(3)] == [True, True, False]
    assert peer.texts == []
    writer.abort()
