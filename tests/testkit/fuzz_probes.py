"""Clients without scruples: bytes to a port and what comes back, over plain blocking sockets."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from xinyu.rpc.handshake import DiallingHandshake, Identity
from xinyu.rpc.wire import Frame, FrameDecoder, Notify, Response, encode_request

ANSWER_SECONDS = 10.0
LINGER_SECONDS = 0.05
"""An answer that needs more of the request than was sent is not waited for longer."""
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def place_of(url: str) -> tuple[str, int]:
    """Host and port of a URL, or of "host:port"."""
    parts = urlsplit(url if "://" in url else f"tcp://{url}")
    return parts.hostname or "", parts.port or 0


def exchange(url: str, data: bytes) -> bytes:
    """All that a port says to these bytes before it hangs up; it is told when there are no more."""
    with socket.create_connection(place_of(url), ANSWER_SECONDS) as link, contextlib.suppress(ConnectionError):
        link.settimeout(LINGER_SECONDS)
        found = bytearray()
        with contextlib.suppress(ConnectionError):  # what it said before it hung up is still there to be read
            link.sendall(data)
        half = False
        while True:
            try:
                piece = link.recv(65_536)
            except TimeoutError:
                assert not half, f"{url} neither answers nor hangs up after {data[:200]!r}"
                half = True
                link.shutdown(socket.SHUT_WR)
                link.settimeout(ANSWER_SECONDS)
                continue
            except ConnectionError:
                return bytes(found)
            if not piece:
                return bytes(found)
            found += piece
    return b""


class Answer(NamedTuple):
    """What REST answered."""

    status: int
    body: bytes
    headers: dict[str, str]


class HttpProbe:
    """A kept connection to a REST port."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self.token = token
        self._connection = http.client.HTTPConnection(*place_of(url), timeout=ANSWER_SECONDS)

    def ask(self, path: str, body: bytes | None = b"", method: str = "POST", **headers: Any) -> Answer:
        """One request; the headers' names are written with `_` for `-`, their values are text or bytes."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        for again in (True, False):
            try:
                self._connection.request(method, path, body, sent)
                answer = self._connection.getresponse()
                return Answer(answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()})
            except (http.client.RemoteDisconnected, ConnectionError):
                self._connection.close()
                if not again:
                    raise
        raise AssertionError

    def close(self) -> None:
        self._connection.close()


class Refused(Exception):
    """A handshake came to nothing; with the status."""


class SocketFrame(NamedTuple):
    """A frame as it came."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """Of a close frame; 1005 for one without."""
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else 1005


def ws_frame(
    payload: bytes, opcode: int = TEXT, first: int = 0x80, masked: bool = True, size: int | None = None
) -> bytes:
    """A client's frame; `first` holds the other bits of its first byte, `size` is what it says of its length."""
    length, bit = len(payload) if size is None else size, 0x80 if masked else 0
    if length < 126:
        head = struct.pack("!BB", first | opcode, bit | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first | opcode, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first | opcode, bit | 127, length)
    mask = b"\x01\x02\x03\x04"
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if masked else payload
    return head + (mask if masked else b"") + body


class SocketProbe:
    """A WebSocket of which every byte is ours to choose."""

    def __init__(self, url: str, **query: str) -> None:
        """Raises Refused."""
        self._link = socket.create_connection(place_of(url), ANSWER_SECONDS)
        self._held = b""
        path = urlsplit(url).path + "?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())
        key = base64.b64encode(os.urandom(16)).decode()
        self._link.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        try:
            head = self._until(b"\r\n\r\n")
            if b" 101 " not in head:
                raise Refused(int(head.split()[1]))
        except BaseException:
            self._link.close()
            raise

    def send(self, data: bytes) -> None:
        """Raw bytes; a server that hung up already is no trouble."""
        with contextlib.suppress(ConnectionError):
            self._link.sendall(data)

    def say(self, text: str | bytes) -> None:
        """A text frame."""
        self.send(ws_frame(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")))

    def hang_up(self) -> None:
        """No more will be sent; what was said to it may still be read."""
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)

    def frames(self) -> Iterator[SocketFrame]:
        """Frames until the server hangs up."""
        while True:
            try:
                first, length = self._exactly(2)
                size = length & 0x7F
                if size > 125:
                    size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
                assert first & 0x70 == 0 and length < 128, "a server's frame that is none"
                yield SocketFrame(first & 0x0F, self._exactly(size))
            except (ConnectionError, EOFError):
                return

    def answer_to(self, id_: str) -> dict[str, Any] | None:
        """The answer to a request; None when the server closed instead."""
        for frame in self.frames():
            if frame.opcode != TEXT:
                return None
            told: dict[str, Any] = json.loads(frame.payload)
            if told.get("id") == id_:
                return told
        return None

    def close(self) -> None:
        self._link.close()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            self._more()
        found, _, self._held = self._held.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        found, self._held = self._held[:size], self._held[size:]
        return found

    def _more(self) -> None:
        piece = self._link.recv(65_536)
        if not piece:
            raise EOFError
        self._held += piece


class RockProbe:
    """A caller on a Rock port, with a proof or without."""

    def __init__(self, address: str, secret: str = "") -> None:
        self._link = socket.create_connection(place_of(address), ANSWER_SECONDS)
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []
        self._sn = 0
        if secret:
            handshake = DiallingHandshake(Identity("fuzzer", 1, secret.encode()), True)
            self.send(handshake.hello(self._notify()))
            handshake.finish(self._notify())

    def send(self, data: bytes) -> None:
        """Raw bytes; a server that hung up already is no trouble."""
        with contextlib.suppress(ConnectionError):
            self._link.sendall(data)

    def call(self, command: int, body: bytes, trace_id: str = "") -> Response | None:
        """The answer to a request; None when the server hung up instead."""
        self._sn += 1
        self.send(encode_request(self._sn, command, trace_id, body))
        while (frame := self.next()) is not None:
            if isinstance(frame, Response):
                assert (frame.sn, frame.command) == (self._sn, command)
                return frame
        return None

    def next(self) -> Frame | None:
        """The next frame; None when the server hung up."""
        while not self._frames:
            try:
                piece = self._link.recv(65_536)
            except ConnectionError:
                return None
            if not piece:
                return None
            self._frames += self._decoder.feed(piece)
        return self._frames.pop(0)

    def hang_up(self) -> None:
        """No more will be sent."""
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._link.close()

    def _notify(self) -> Notify:
        frame = self.next()
        assert isinstance(frame, Notify), frame
        return frame
