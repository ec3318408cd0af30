"""What a client may make a socket gather by WebSocket's own means, below the frames of xinyu (G8, G12)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
from starlette.types import Receive, Scope, Send

from testkit.waiting import eventually
from xinyu.app.listeners import HttpListener, with_websocket
from xinyu.app.ws.protocol import SocketProtocol

TEXT, CONTINUED, PING, FINAL = 0x1, 0x0, 0x9, 0x80
MANY = 4000


def frame(opcode: int, payload: bytes) -> bytes:
    return bytes([opcode, 0x80 | len(payload)]) + bytes(4) + payload  # a mask of zeros changes nothing


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


@pytest.fixture
async def listener() -> AsyncIterator[HttpListener]:
    made = HttpListener("ws_port", "127.0.0.1", 0, with_websocket(None, echo), 1_000_000)
    made.bind()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def streams(listener: HttpListener) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*listener.address, limit=4096)
    key = base64.b64encode(bytes(16))
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    yield reader, writer
    writer.close()


async def test_pings_of_a_client_that_does_not_read_are_not_all_answered(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    reader, writer = streams
    sent = 0
    for _ in range(MANY):
        writer.write(frame(FINAL | PING, b"a" * 125) * 100)
        sent += 127 * 100
        await writer.drain()
    writer.write(frame(FINAL | TEXT, b"over"))
    got, tail = 0, b""
    while not tail.endswith(b"\x81\x04over"):
        tail = tail[-10:] + (piece := await asyncio.wait_for(reader.read(1 << 20), 5))
        assert piece
        got += len(piece)
    assert got < sent / 2


async def test_fragments_without_end_are_no_list(
    listener: HttpListener, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    reader, writer = streams
    writer.write(frame(TEXT, b"a") + frame(CONTINUED, b"") * MANY + frame(CONTINUED, b"b") * MANY)
    (protocol,) = listener._server.server_state.connections
    assert isinstance(protocol, SocketProtocol)
    await eventually(lambda: sum(map(len, protocol.frames)) == MANY + 1)
    assert len(protocol.frames) == 1
    writer.write(frame(FINAL | CONTINUED, b"c"))
    answer = await asyncio.wait_for(reader.readexactly(4 + MANY + 2), 5)
    assert answer == b"\x81\x7e" + (MANY + 2).to_bytes(2, "big") + b"a" + b"b" * MANY + b"c"


@pytest.mark.parametrize("parts", [[b"\xff"], [b'"\xed\xa0\x80"'], [b"\xe4\xb8", b"\xad", b"\xff"], [b"\xe4", b""]])
async def test_text_that_is_no_utf_8_is_closed_with_its_code_and_without_a_stack(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], parts: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = streams
    for at, part in enumerate(parts):
        final = FINAL if at == len(parts) - 1 else 0
        writer.write(frame(final | (CONTINUED if at else TEXT), part))
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer[:4] == b"\x88" + bytes([len(answer) - 2]) + (1007).to_bytes(2, "big")
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [("/" + "x" * 9000, "", 414), ("/", "X: " + "y" * 9000 + "\r\n", 431), ("/", "X: y\r\n" * 200, 431)],
    ids=["address", "field", "fields"],
)
async def test_a_handshake_that_is_too_long_is_answered_and_ends(
    listener: HttpListener, path: str, more: str, status: int
) -> None:
    """The bounds of the WebSocket library lie below those of HTTP; what is between must not stay connected for ever."""
    reader, writer = await asyncio.open_connection(*listener.address)
    head = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    writer.write(f"GET {path} HTTP/1.1\r\n{head}{more}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    writer.close()
