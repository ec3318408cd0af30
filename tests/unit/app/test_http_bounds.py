"""What a stranger may make an HTTP listener gather (GUARANTEES.md G8, G12)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from xinyu.app import listeners
from xinyu.app.listeners import MAX_HEAD_BYTES, HttpListener

CHUNK = b"a" * 16_384
FAR_TOO_MUCH = 64 * 1024 * 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def size_of_body(scope: Scope, receive: Receive, send: Send) -> None:
    size = len(await Request(scope, receive).body())
    await PlainTextResponse(str(size))(scope, receive, send)


@pytest.fixture
async def listener() -> AsyncIterator[HttpListener]:
    made = HttpListener("http_port", "127.0.0.1", 0, size_of_body, 1000)
    made.bind()
    await made.start()
    yield made
    await made.stop()


async def dial(listener: HttpListener) -> Streams:
    return await asyncio.open_connection(*listener.address)


async def pour(streams: Streams, begin: bytes, more: bytes) -> tuple[int, bytes]:
    """Send `begin` and then `more` again and again until it is cut off: bytes sent, and what was answered."""
    reader, writer = streams
    sent, answer = 0, b""
    try:
        writer.write(begin)
        while sent < FAR_TOO_MUCH and not reader.at_eof():
            writer.write(more)
            sent += len(more)
            await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return sent, answer


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET / HTTP/1.1\r\n", b"X-A: " + CHUNK + b"\r\n"),
        (b"GET / HTTP/1.1\r\nX-A: ", CHUNK),
        (b"GET /", CHUNK),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: " + CHUNK + b"\r\n"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;", CHUNK),
        (b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nX-A: ", CHUNK),
    ],
    ids=["fields", "one field", "path", "trailers", "extension", "the second head"],
)
async def test_what_never_ends_is_cut_off(listener: HttpListener, begin: bytes, more: bytes) -> None:
    sent, _ = await pour(await dial(listener), begin, more)
    assert sent < FAR_TOO_MUCH // 4


async def test_a_large_head_and_a_large_body_are_fine(listener: HttpListener) -> None:
    reader, writer = await dial(listener)
    for _ in range(2):
        head = b"X-A: " + b"a" * (MAX_HEAD_BYTES - 2000)
        writer.write(b"POST / HTTP/1.1\r\n" + head + b"\r\nContent-Length: 3000000\r\n\r\n")
        for _ in range(30):
            writer.write(b"b" * 100_000)
            await writer.drain()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(7) == b"3000000"
    writer.close()


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\n\r\nGET / "])
async def test_a_head_that_does_not_come_is_not_waited_for(
    listener: HttpListener, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(listeners, "HEAD_SECONDS", 0.05)
    reader, writer = await dial(listener)
    writer.write(begin)
    await asyncio.wait_for(reader.read(), 5)
    writer.close()
