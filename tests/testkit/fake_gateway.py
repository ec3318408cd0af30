"""A WebSocket server that a test plays by hand, frame by frame, to see how a client keeps the contract."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

PATIENCE = 5.0
HELLO_MS = 1_700_000_000_000


@dataclass
class Request:
    id: str
    event: str
    payload: dict[str, Any]


class Peer:
    """One connection of the client under test."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        assert socket.request is not None
        address = urlsplit(socket.request.path)
        self.path = address.path
        self.query = {name: values[0] for name, values in parse_qs(address.query).items()}
        self.pings = 0
        self._asked: list[Request] = []

    async def send(self, event: str, payload: Any = None, **more: Any) -> None:
        await self._socket.send(json.dumps({"event": event, "payload": {} if payload is None else payload, **more}))

    async def send_raw(self, text: str) -> None:
        await self._socket.send(text)

    async def hello(self, uid: int = 1) -> None:
        await self.send("connect", {"uid": uid, "platform": "app", "ts": HELLO_MS})

    async def frame(self) -> dict[str, Any]:
        """The next frame that is no heartbeat; heartbeats are answered."""
        while True:
            frame: dict[str, Any] = json.loads(await asyncio.wait_for(self._socket.recv(), PATIENCE))
            if frame["event"] != "ping":
                return frame
            self.pings += 1
            await self.send("pong", {"ts": 1})

    async def request(self, event: str) -> Request:
        """The next request of that kind; acks on the way are passed over, other requests are kept for later."""
        for waiting in self._asked:
            if waiting.event == event:
                self._asked.remove(waiting)
                return waiting
        while True:
            frame = await self.frame()
            if frame["event"] == event:
                return Request(frame["id"], event, frame["payload"])
            if frame["event"] != "ack":
                self._asked.append(Request(frame["id"], frame["event"], frame["payload"]))

    async def ack(self) -> dict[str, int]:
        """The next frame, which must be a cumulative ack."""
        frame = await self.frame()
        assert frame["event"] == "ack", frame
        cursors: dict[str, int] = frame["cursors"]
        return cursors

    async def reply(self, request: Request, payload: Any) -> None:
        await self.send("reply", payload, id=request.id)

    async def refuse(self, request: Request, code: int, error: str, **more: Any) -> None:
        await self.send("error", {"code": code, "error": error, "message": "no", **more}, id=request.id)

    async def serve_sync(self, *items: dict[str, Any]) -> Request:
        request = await self.request("sync")
        await self.reply(request, {"items": list(items), "more": False})
        return request

    async def greet(self, *items: dict[str, Any], first: bool = False) -> Request:
        """Hello and sync; at the `first` connection of a client with history="none" it asks twice."""
        await self.hello()
        if first:
            await self.serve_sync(*items)
        return await self.serve_sync(*items)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def abort(self) -> None:
        """As a killed process: without a close frame."""
        self._socket.transport.abort()

    async def gone(self) -> int | None:
        """Wait until the client has left; its close code."""
        await asyncio.wait_for(self._socket.wait_closed(), PATIENCE)
        return self._socket.close_code


class FakeGateway:
    """Hands each connection to the test."""

    def __init__(self) -> None:
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.port = 0

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/wss/default.io"

    async def accept(self) -> Peer:
        return await asyncio.wait_for(self._peers.get(), PATIENCE)

    @property
    def waiting(self) -> int:
        """Connections that the test has not accepted."""
        return self._peers.qsize()

    async def _serve(self, socket: ServerConnection) -> None:
        self._peers.put_nowait(Peer(socket))
        await socket.wait_closed()


@asynccontextmanager
async def fake_gateway() -> AsyncIterator[FakeGateway]:
    gateway = FakeGateway()
    async with serve(gateway._serve, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=1) as server:
        gateway.port = next(iter(server.sockets)).getsockname()[1]
        yield gateway


def record(seq: int, *, from_id: int = 2, text: str = "", msg_type: int = 1, **more: Any) -> dict[str, Any]:
    """A MessageRecord of CONTRACT.md 1.5."""
    return {
        "msg_id": f"{seq:032x}", "sequence": seq, "msg_type": msg_type, "from_id": from_id, "nickname": "n",
        "avatar": "", "is_revoked": 2, "status": 1, "send_time": "2024-01-01 00:00:00",
        "extra": json.dumps({"content": text or f"m{seq}"}), "quote": "{}", **more,
    }  # fmt: skip


def push(talk_id: int, seq: int, *, mode: int = 1, peer: int = 2, **more: Any) -> dict[str, Any]:
    """The payload of an `im.message` to a syncing session."""
    body = record(seq, **more)
    return {"to_from_id": peer, "from_id": body["from_id"], "talk_mode": mode, "talk_id": talk_id, "body": body}


def item(
    talk_id: int,
    last_seq: int,
    *messages: dict[str, Any],
    more: bool = False,
    mode: int = 1,
    peer: int = 2,
    cursor: int = 0,
) -> dict[str, Any]:
    """One conversation of a `sync` reply."""
    return {
        "talk_id": talk_id, "talk_mode": mode, "to_from_id": peer, "last_seq": last_seq, "read_seq": 0,
        "unread_num": 0, "messages": list(messages), "more": more, "cursor": cursor,
    }  # fmt: skip
