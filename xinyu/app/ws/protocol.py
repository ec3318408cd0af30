"""uvicorn's WebSocket protocol, bounded, and with three shortcuts that plain ASGI has no words for
(docs/explanation/performance.md).

- Writes of one loop turn are joined: uvloop would make a system call of each frame, and that call costs more than
  everything else about sending.
- A `FrameWriter` in the scope's extensions puts whole frames on the transport without an ASGI message or a task.
- It hands texts to who takes them as they come: without a queue, a wake-up of the application and a pause of reading
  for each; and whole plain ones without the general parser, while that has nothing begun.

They use what uvicorn and websockets offer publicly: `Config(ws=<class>)`, the protocols' callbacks and attributes.
"""

from __future__ import annotations

import asyncio
import struct
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from xinyu.app.ws.frames import FINAL_TEXT, FrameBounds, plain_texts
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.endpoint import WRITER_EXTENSION
from xinyu.gateway.ws.send_queue import FrameWriter

JOIN_AT_MOST = 32_768
"""Bytes; more is handed to the transport at once, so that its high-water mark still means something."""


def _is_utf_8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class JoinedTransport(asyncio.Transport):
    """A transport whose writes of one loop turn go out together."""

    __slots__ = ("_loop", "_parts", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] | None = None
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._parts is None:
            self._parts = []
            self._loop.call_soon(self.flush)
        self._parts.append(bytes(data))
        self._size += len(data)
        if self._size > JOIN_AT_MOST:
            self.flush()

    def flush(self) -> None:
        """Hand over what is joined. Idempotent."""
        parts, self._parts, self._size = self._parts, None, 0
        if parts and not self._transport.is_closing():
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._parts = None
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


class SocketProtocol(WebSocketsSansIOProtocol, FrameWriter):
    """One WebSocket connection."""

    _resume: Callable[[], None] | None = None
    _take: Callable[[str | None], None] | None = None
    _parsed: FrameBounds | None = None
    """Of what the general parser was given; None before the handshake."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(JoinedTransport(cast(asyncio.Transport, transport), self.loop))

    def data_received(self, data: bytes) -> None:
        if self._parsed is None:
            self._parsed = FrameBounds()  # uvicorn's HTTP protocol gives the head of the handshake, whole and alone
        else:
            data = self._past_plain_texts(data) if self._may_skip_parser(self._parsed) else data
            if not data:
                return
            self._parsed.feed(data)
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # Refused by the library, which has its answer ready; uvicorn would neither send it nor hang up.
            self.close_sent = self.handshake_initiated = True
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # the handshake was accepted; its application starts in the next loop turn
            cast(dict[str, Any], self.scope["extensions"])[WRITER_EXTENSION] = self

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._resume is not None:
            self._resume()

    def handle_ping(self) -> None:
        """The pong, unless the client does not read: only the last ping need be answered (RFC 6455 section 5.5.3)."""
        pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(pong)
        self._give(None)

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        self._give(None)

    def handle_cont(self, event: Frame) -> None:
        """A fragment more: joined at once, for a list of a message's tiny fragments is many times its size."""
        joined: Any = self.frames[0]
        if not isinstance(joined, bytearray):
            joined = bytearray(joined)
        joined += event.data
        self.frames = [joined]
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """A whole message. Text that is none ends the connection; uvicorn would write a stack into the log as well."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf_8(self.frames[0]):
            self.frames = []
            self.conn.send_close(CloseCode.NOT_TEXT)
            self.handle_parser_exception()
            return
        if self._take is not None and self.curr_msg_data_type == "text" and self.queue.empty():
            text, self.frames = bytes(self.frames[0]).decode(), []
            self._give(text)
            return
        super().send_receive_event_to_app()

    def _may_skip_parser(self, parsed: FrameBounds) -> bool:
        """Whether a new frame begins here, in no message's middle, and nothing waits that came before it."""
        return (
            self._take is not None
            and parsed.between
            and self.conn.state is State.OPEN
            and self.conn.current_size is None
            and self.queue.empty()
        )

    def _past_plain_texts(self, data: bytes) -> bytes:
        """Hand over the texts at the start of `data`; the rest."""
        texts, size = plain_texts(data, self.config.ws_max_size)
        for text in texts:
            self._give(text)
        return data[size:]

    def _give(self, text: str | None) -> None:
        if self._take is not None and not self.close_sent:
            self._take(text)

    def hand_to(self, take: Callable[[str | None], None]) -> None:
        self._take = take

    def write(self, payload: bytes) -> bool:
        if not self.writable.is_set() or self.close_sent or self.disconnected or not self.handshake_complete:
            return False
        size = len(payload)
        if size < 126:
            head = bytes((FINAL_TEXT, size))
        elif size < 65_536:
            head = struct.pack("!BBH", FINAL_TEXT, 126, size)
        else:
            head = struct.pack("!BBQ", FINAL_TEXT, 127, size)
        self.transport.write(head + payload)
        return True

    def on_writable(self, resume: Callable[[], None]) -> None:
        self._resume = resume

    def abort(self) -> None:
        self.transport.abort()
