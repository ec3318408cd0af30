"""The short way in: texts handed over as they come are those that the general parser would have given, in order."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from testkit.waiting import eventually
from xinyu.app.listeners import HttpListener, with_websocket
from xinyu.app.ws.frames import FINAL_TEXT, FrameBounds, plain_texts
from xinyu.gateway.ws.endpoint import WRITER_EXTENSION

LIMIT = 70_000
TEXT, BINARY, CONTINUED, CLOSE, PING, PONG, FINAL = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA, 0x80
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def frame(head: int, payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + size.to_bytes(2, "big") if size < 65_536 else b"\xff" + size.to_bytes(8, "big")
    return bytes([head]) + length + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def text(words: str) -> bytes:
    return frame(FINAL | TEXT, words.encode())


@pytest.mark.parametrize(
    ("data", "texts", "left"),
    [
        (b"", [], 0),
        (text("") + text("a") + text("x" * 125) + text("y" * 126), ["", "a", "x" * 125, "y" * 126], 0),
        (text("z" * 300), ["z" * 300], 0),
        (text("a") + text("bc")[:-1], ["a"], 7),
        (text("a") + frame(FINAL | PING, b"p") + text("b"), ["a"], 14),
        (text("a") + text("é中"), ["a", "é中"], 0),
        (text("a") + frame(FINAL | TEXT, b"\xff") + text("b"), ["a"], 14),
        (text("a") + b"\x81\x01b", ["a"], 3),  # not masked
        (text("a") + frame(TEXT, b"b"), ["a"], 7),
        (text("a") + b"\xc1\x80abcd", ["a"], 6),  # a reserved bit
        (b"\x81\xfe\x00\x01abcdx", [], 9),  # a length that one byte could say
        (text("q" * 1001), [], 1009),
        (b"\x81\xfe\x00", [], 3),
        (b"\x81\xfe\x01\x00ab", [], 6),
    ],
)
def test_plain_texts_are_taken_from_the_front(data: bytes, texts: list[str], left: int) -> None:
    found, size = plain_texts(data, 1000)
    assert (found, len(data) - size) == (texts, left)
    assert FINAL_TEXT == FINAL | TEXT


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 8, 64, 100_000])
def test_the_bounds_of_frames_are_known_whatever_the_pieces(piece: int) -> None:
    frames = [text("a" * size) for size in (0, 1, 125, 126, 300, 66_000)]
    frames += [
        frame(FINAL | PING, b""),
        frame(TEXT, b"be"),
        frame(FINAL | CONTINUED, b"gun"),
        b"\x81\x01b",
    ]  # not masked
    stream, ends, at = b"".join(frames), set[int](), 0
    for one in frames:
        ends.add(at := at + len(one))
    bounds, found = FrameBounds(), set()
    for begin in range(0, len(stream), piece):
        bounds.feed(stream[begin : begin + piece])
        if bounds.between:
            found.add(min(begin + piece, len(stream)))
    assert found == {end for end in ends if end % piece == 0 or end == len(stream)}


class Heard:
    """An application that keeps what it hears, handed over or not."""

    def __init__(self, handed: bool) -> None:
        self.handed = handed
        self.texts: list[str | None] = []
        self.by_hand = 0
        self.signs = 0
        """Frames that are no messages."""
        self.ended: object = None
        self.protocol: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0)  # what comes now waits
        self.protocol = scope["extensions"][WRITER_EXTENSION]
        if self.handed:
            self.protocol.hand_to(self.take)
        while (message := await receive())["type"] == "websocket.receive":
            self.texts.append(message.get("text"))
        self.ended = message.get("code")

    def take(self, words: str | None) -> None:
        if words is None:
            self.signs += 1
            return
        self.by_hand += 1
        self.texts.append(words)


Listening = Callable[[Heard], Awaitable[Streams]]


@pytest.fixture
async def listening() -> AsyncIterator[Listening]:
    stop: list[Callable[[], Awaitable[None]]] = []

    async def begin(app: Heard) -> Streams:
        made = HttpListener("ws_port", "127.0.0.1", 0, with_websocket(None, app), LIMIT)
        made.bind()
        await made.start()
        reader, writer = await asyncio.open_connection(*made.address)

        async def end() -> None:
            writer.close()
            await made.stop()

        stop.append(end)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    yield begin
    for end in stop:
        await end()


def conversation(chance: random.Random) -> bytes:
    """Frames of all kinds, the last of them a way to end."""
    parts: list[bytes] = []
    for number in range(chance.randint(5, 60)):
        words = f"{number}:" + "wort" * chance.choice([0, 1, 30, 31, 40, 5000])
        parts.append(
            chance.choice(
                [
                    text(words),
                    text(words),
                    text(words),
                    text(words + "é"),
                    frame(TEXT, b"be") + frame(FINAL | PING, b"") + frame(FINAL | CONTINUED, b"gun"),
                    frame(FINAL | BINARY, b"\x00\xff"),
                    frame(FINAL | PING, b"p"),
                ]
            )
        )
    ends = [
        frame(FINAL | CLOSE, (1000).to_bytes(2, "big")),
        frame(FINAL | TEXT, b"\xff"),
        frame(TEXT, b"begun") + text("another"),
        b"\x81\x01b",
        text("e" * (LIMIT + 1)),
    ]
    return b"".join(parts) + chance.choice(ends) + text("too late")


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_heard_is_what_the_parser_gives(listening: Listening, seed: int) -> None:
    results = []
    for handed in (False, True):
        chance = random.Random(seed)
        sent, app = conversation(chance), Heard(handed)
        reader, writer = await listening(app)
        if seed % 3:  # otherwise some of it comes before the hand-over
            writer.write(text("first"))
            await eventually(lambda app=app: app.texts == ["first"])
        while sent and not writer.is_closing():
            size = chance.choice([1, 3, 7, 100, 1000, 30_000])
            writer.write(sent[:size])
            sent = sent[size:]
            await asyncio.sleep(0)
        with contextlib.suppress(ConnectionResetError):  # some ends leave unread what came behind them
            await asyncio.wait_for(reader.read(), 5)
        await eventually(lambda app=app: app.ended is not None)
        results.append((app.texts, app.ended))
        assert app.by_hand > 0 or not handed or seed % 3 == 0
        assert app.by_hand == 0 or handed
    assert results[0] == results[1]


async def test_pings_and_pongs_are_told_as_signs_of_life(listening: Listening) -> None:
    app = Heard(handed=True)
    _, writer = await listening(app)
    writer.write(text("first"))
    await eventually(lambda: app.texts == ["first"])
    for opcode in (PING, PONG, PING):
        writer.write(frame(FINAL | opcode, b"p"))
    await eventually(lambda: app.signs == 3)
    assert app.texts == ["first"]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 6, 7, 8])
async def test_a_frame_that_comes_in_two_pieces_is_not_mistaken_for_others(listening: Listening, cut: int) -> None:
    """The mask, and the text under it, look like short frames."""
    app = Heard(handed=True)
    _, writer = await listening(app)
    writer.write(text("first"))
    await eventually(lambda: app.texts == ["first"])
    words = "\0" * 16
    sent = frame(FINAL | TEXT, words.encode(), mask=b"\x81\x80\x81\x80")
    writer.write(sent[:cut])
    await writer.drain()
    await eventually(lambda: not app.protocol._parsed.between)
    writer.write(sent[cut:] + text("last"))
    await eventually(lambda: app.texts == ["first", words, "last"])
