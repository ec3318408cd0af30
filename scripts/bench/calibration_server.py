"""The servers of the calibrations, each a process of its own: `calibration_server.py echo|fan PORT`.

`echo` answers each frame after a msgspec decode and encode; `fan` sends one prepared frame to every `/sink` socket for
each frame that comes in on `/source`. Bare ASGI on uvicorn, no framework: what a gateway cannot be faster than.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvicorn

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

SINK_FRAME = '{"event":"im.message","payload":{"to_from_id":1,"from_id":2,"talk_mode":1,"body":{"text":"%s"}}}' % (
    "x" * 60
)


class EchoFrame(msgspec.Struct):
    """The calibration's frame, shaped like a client request."""

    event: str
    id: str
    payload: dict[str, Any]


async def echo(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Decode and encode each text frame and send it back."""
    decode = msgspec.json.Decoder(EchoFrame).decode
    encode = msgspec.json.Encoder().encode
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": encode(decode(message["text"])).decode()})


class Fan:
    """One frame from a source goes to all sinks."""

    def __init__(self) -> None:
        self._sinks: set[Send] = set()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        sink = scope["path"] == "/sink"
        if sink:
            self._sinks.add(send)
        while (await receive())["type"] == "websocket.receive":
            frame = {"type": "websocket.send", "text": SINK_FRAME}
            for other in self._sinks:
                await other(frame)
        self._sinks.discard(send)


APPS: dict[str, App] = {"echo": echo, "fan": Fan()}


def main(name: str, port: int) -> None:
    """Serve `name` on loopback until SIGTERM."""
    uvicorn.run(
        APPS[name],
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_level="error",
        access_log=False,
        backlog=4096,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
