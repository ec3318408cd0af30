"""The predecessor's processes, played with raw bytes: frames put together by hand as CONTRACT.md section 5.2 has them.

Nothing of `xinyu.rpc` is used here: what these say and understand is the published layout.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

PATIENCE = 5.0
REQUEST, RESPONSE = 1, 2


class Frame(NamedTuple):
    """A REQUEST (`result` 0) or a RESPONSE."""

    kind: int
    sn: int
    command: int
    result: int
    result_str: str
    trace_id: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def text(value: bytes) -> bytes:
    return varint(len(value)) + value


def framed(payload: bytes) -> bytes:
    return b"\xab\xcd\x01\x00" + len(payload).to_bytes(4, "big") + payload


def request_bytes(sn: int, command: int, body: bytes, trace_id: str = "") -> bytes:
    return framed(b"\x01" + varint(sn) + varint(command) + text(trace_id.encode()) + text(body))


def response_bytes(asked: Frame, result: int, result_str: str, body: bytes = b"") -> bytes:
    head = b"\x02" + varint(asked.sn) + varint(asked.command) + varint(result) + text(result_str.encode())
    return framed(head + text(asked.trace_id.encode()) + text(body))


def line(**fields: object) -> bytes:
    """As its JSON writer puts it."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def bytes(self) -> bytes:
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self) -> str:
        return self.bytes().decode()


def parsed(payload: bytes) -> Frame:
    cursor = _Cursor(payload)
    kind, sn, command = cursor.number(), cursor.number(), cursor.number()
    result, result_str = (cursor.number(), cursor.text()) if kind == RESPONSE else (0, "")
    frame = Frame(kind, sn, command, result, result_str, cursor.text(), cursor.bytes())
    assert cursor.at == len(payload)
    return frame


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame. Raises IncompleteReadError at the end of the connection."""
    header = await asyncio.wait_for(reader.readexactly(8), PATIENCE)
    assert header[:4] == b"\xab\xcd\x01\x00", header
    return parsed(await reader.readexactly(int.from_bytes(header[4:], "big")))


class RawPeer:
    """A connection of one of its processes to us."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._sn = 0

    async def ask(self, command: int, body: bytes = b"", trace_id: str = "", **fields: object) -> Frame:
        """Our answer to a request with these bytes or these fields."""
        self._sn += 1
        self.writer.write(request_bytes(self._sn, command, body or line(**fields), trace_id))
        answer = await read_frame(self.reader)
        assert (answer.kind, answer.sn, answer.command) == (RESPONSE, self._sn, command)
        assert answer.trace_id == trace_id
        return answer

    async def is_closed(self) -> bool:
        with suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(1), PATIENCE) == b""
        return True


@asynccontextmanager
async def raw_peer(address: str) -> AsyncIterator[RawPeer]:
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield RawPeer(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


class RawServer:
    """One of its servers: remembers what it was asked; `answer` says (result, result_str, body)."""

    def __init__(self, answer: Callable[[Frame], tuple[int, str, bytes]]) -> None:
        self.asked: list[Frame] = []
        self.address = ""
        self._answer = answer
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            while True:
                frame = await read_frame(reader)
                assert frame.kind == REQUEST
                self.asked.append(frame)
                writer.write(response_bytes(frame, *self._answer(frame)))
        writer.close()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def events(self, uid: int) -> list[tuple[str, Any]]:
        """What a gateway was told to deliver to a user, (event, payload), in order."""
        told = [frame.json for frame in self.asked if frame.command == 101]
        return [(body["event"], body["payload"]) for body in told if body["uid"] == uid]

    def commands(self) -> list[tuple[int, int]]:
        """What a presence service was asked: (command, uid)."""
        return [(frame.command, frame.json["uid"]) for frame in self.asked]


@asynccontextmanager
async def raw_server(answer: Callable[[Frame], tuple[int, str, bytes]], port: int = 0) -> AsyncIterator[RawServer]:
    played = RawServer(answer)
    server = await asyncio.start_server(played.serve, "127.0.0.1", port)
    played.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield played
    finally:
        server.close()
        played.hang_up()


def as_gateway(_frame: Frame) -> tuple[int, str, bytes]:
    """How its gateway answers 101: with a fresh response, the result apart."""
    return 200, "unhandle", b""


class PlayedPresence:
    """Its presence service: one route for each user."""

    def __init__(self) -> None:
        self.routes: dict[int, str] = {}

    def __call__(self, frame: Frame) -> tuple[int, str, bytes]:
        told = frame.json
        uid = told["uid"]
        if frame.command in (201, 203):
            self.routes[uid] = told["gateway_rpc"]
            return 200, "ok", line(**told, last_seen_ms=1)
        if frame.command == 202:
            self.routes.pop(uid, None)
            return 200, "ok", line(uid=uid)
        if uid not in self.routes:
            return 404, "not found", line(uid=uid)
        return 200, "ok", line(uid=uid, gateway_rpc=self.routes[uid], last_seen_ms=1, ttl_sec=120)
