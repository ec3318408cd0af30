"""A WebSocket client for load: RFC 6455, only what a benchmark needs, much cheaper than any server.

Frames are masked with the key 0: legal on the wire (section 5.3 asks for an unpredictable key to protect proxies, and
there is none on loopback), the server does the same work, and a prepared frame can be patched in place and sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

_KEY = "eGlueXUgYmVuY2htYXJrIQ=="  # any 16 bytes; the accept value below is that of this key (section 4.2.2)
_ACCEPT = b"knymtxKqDO2o+RgHY/4ddqjBBxM="
_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
_HEAD_LIMIT = 16_384


class HandshakeRefused(Exception):
    """The server did not switch to WebSocket."""


class SocketClosed(ConnectionError):
    """The server closed the socket."""


def text_frame(payload: bytes) -> bytes:
    """`payload` as one masked text frame (key 0)."""
    return _head(0x81, len(payload)) + payload


def close_frame(code: int = 1000) -> bytes:
    """A masked close frame."""
    return _head(0x88, 2) + code.to_bytes(2, "big")


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, 0x80 | size, 0, 0, 0, 0))
    if size < 65_536:
        return bytes((first, 0xFE)) + size.to_bytes(2, "big") + bytes(4)
    return bytes((first, 0xFF)) + size.to_bytes(8, "big") + bytes(4)


class Socket(asyncio.Protocol):
    """One client connection; `on_text` gets the payload of every text frame."""

    __slots__ = (
        "_out",
        "_reading",
        "_request",
        "_tail",
        "_upgraded",
        "close_code",
        "closed",
        "on_text",
        "opened",
        "transport",
    )

    def __init__(self, request: bytes, on_text: Callable[[bytes], None]) -> None:
        self._request = request
        self._tail = b""
        self._upgraded = False
        self._reading = False
        self._out: list[bytes] = []
        self.on_text = on_text
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.close_code: int | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a TCP connection gives a Transport
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._reading = True
        try:
            self._parse(data)
        finally:
            self._reading = False
            if self._out:
                self.transport.write(b"".join(self._out))
                self._out.clear()

    def _parse(self, data: bytes) -> None:
        if self._tail:
            data = self._tail + data
        position = 0
        if not self._upgraded:
            position = self._read_head(data)
            if not self._upgraded:
                return
        end = len(data)
        while end - position >= 2:
            first, size = data[position], data[position + 1]
            start = position + 2
            if size == 126:
                if end < start + 2:
                    break
                size = data[start] << 8 | data[start + 1]
                start += 2
            elif size == 127:
                if end < start + 8:
                    break
                size = int.from_bytes(data[start : start + 8], "big")
                start += 8
            position_after = start + size
            if position_after > end:
                break
            position = position_after
            if first == _TEXT:
                self.on_text(data[start:position])
            else:
                self._control(first, data[start:position])
        self._tail = data[position:] if position < end else b""

    def _read_head(self, data: bytes) -> int:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._tail = data
            if len(data) > _HEAD_LIMIT:
                self._refuse("no end of the response's head")
            return 0
        head = data[:end]
        if not head.startswith(b"HTTP/1.1 101") or _ACCEPT not in head:
            self._refuse(head.split(b"\r\n")[0].decode("latin-1"))
            return 0
        self._upgraded = True
        self._tail = b""
        if not self.opened.done():
            self.opened.set_result(None)
        return end + 4

    def _refuse(self, why: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(HandshakeRefused(why))
        self.transport.close()

    def _control(self, first: int, payload: bytes) -> None:
        if first == _PING:
            self.transport.write(_head(0x8A, len(payload)) + payload)
        elif first == _CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            self.transport.write(close_frame())
            self.transport.close()
        elif first != 0x8A:
            raise ValueError(f"a frame starting with 0x{first:02x}, which this server family never sends")

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.opened.done():
            self.opened.set_exception(HandshakeRefused("closed during the handshake"))

    def send(self, frame: bytes) -> None:
        """Write an encoded frame; those sent while this socket's data is being read go out in one write."""
        if self._reading:
            self._out.append(frame)
        else:
            self.transport.write(frame)

    def close(self) -> None:
        """Close politely, without waiting for the answer."""
        if not self.closed:
            self.transport.write(close_frame())
            self.transport.close()


async def connect(url: str, on_text: Callable[[bytes], None]) -> Socket:
    """Open `url` (ws://host:port/path?query). Raises HandshakeRefused, OSError."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(
        lambda: Socket(request, on_text), parts.hostname or "127.0.0.1", parts.port or 80
    )
    await socket.opened
    return socket
