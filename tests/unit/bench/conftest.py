"""A small server that speaks just enough of the contract for the load generator, and can be told to be wrong."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
import uvicorn

from testkit.waiting import eventually

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class FakeServer:
    """In memory, in this process; a fault strikes once, at the fifth message of the receiver it is set for."""

    def __init__(self) -> None:
        self.fault = ""
        self.fault_for: dict[int, str] = {}
        self.url = ""
        self.acks: list[Message] = []
        self.admin_tokens: set[str] = set()
        self._sockets: dict[int, Send] = {}
        self._seq: dict[int, int] = {}
        self._held: dict[int, Message] = {}
        self._mobiles: list[str] = []
        self._applications: dict[int, int] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await (self._rest if scope["type"] == "http" else self._socket)(scope, receive, send)

    async def _rest(self, scope: Message, receive: Receive, send: Send) -> None:
        body = msgspec.json.decode((await receive())["body"])
        token = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
        if scope["path"] == "/admin/user-create":
            self.admin_tokens.add(token)
            token = ""
        answer = self._answer(scope["path"].removeprefix("/api/v1"), body, uid_in(token) if token else 0)
        data = msgspec.json.encode(answer)
        headers = [(b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": 404 if answer is None else 200, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    def _answer(self, path: str, body: Message, uid: int) -> Message | None:
        if path == "/common/send-sms":
            return {"sms_code": "" if self.fault == "secretive" else "123456"}
        if path == "/admin/user-create":
            return {}
        if path in ("/auth/register", "/auth/login"):
            self._mobiles.append(body["mobile"])
            return {"type": "Bearer", "access_token": token_of(len(self._mobiles)), "expires_in": 60}
        if path == "/contact-apply/create":
            self._applications[body["user_id"]] = uid
            return {}
        if path == "/contact-apply/list":
            return {"items": [{"id": uid * 1000, "user_id": self._applications[uid]}]}
        if path == "/contact-apply/accept":
            return {"session": {"id": body["apply_id"] + 7}}
        return None

    async def _socket(self, scope: Message, receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode())
        uid = uid_in(query["token"][0])
        assert query["sync"] == ["1"]
        await receive()
        await send({"type": "websocket.accept"})
        if self.fault == "unauthorized":
            await push(send, {"event": "event_error", "payload": {"error_code": 401, "error_message": "no"}})
            return
        await push(send, {"event": "connect", "payload": {"uid": uid, "platform": "web", "ts": 1}})
        self._sockets[uid] = send
        while (message := await receive())["type"] == "websocket.receive":
            frame = msgspec.json.decode(message["text"])
            if frame["event"] == "message.send":
                await self._message(uid, frame, send)
            elif frame["event"] == "ack":
                self.acks.append(frame["cursors"])
            elif frame["event"] == "ping" and self.fault != "deaf":
                await push(send, {"event": "pong", "payload": {"ts": 1}})

    async def _message(self, uid: int, frame: Message, send: Send) -> None:
        body = frame["payload"]
        to = body["to_from_id"]
        seq = self._seq[to] = self._seq.get(to, 10) + 1
        fault = self.fault_for.get(to, "") if seq == 15 else ""
        if fault == "skip":
            seq = self._seq[to] = seq + 1
        record = {"msg_id": body["msg_id"], "sequence": seq}
        notice = {"event": "im.message", "payload": {"to_from_id": uid, "talk_mode": 1, "body": record}}
        if fault == "refuse":
            error = {"code": 429, "error": "request.overloaded", "message": "later"}
            self._seq[to] -= 1
            await push(send, {"event": "error", "id": frame["id"], "payload": error})
            return
        if fault != "silent":
            await push(send, {"event": "reply", "id": frame["id"], "payload": record})
        receiver = self._sockets[to]
        if fault == "close":
            await receiver({"type": "websocket.close", "code": 1011})
            return
        if fault == "swap":
            self._held[to] = notice
        elif fault != "drop":
            await push(receiver, notice)
        if fault == "duplicate":
            await push(receiver, notice)
        if seq > 15 and to in self._held:
            await push(receiver, self._held.pop(to))


async def push(send: Send, frame: Message) -> None:
    """One text frame; a peer that is gone does not matter here."""
    with contextlib.suppress(OSError, RuntimeError):
        await send({"type": "websocket.send", "text": msgspec.json.encode(frame).decode()})


def token_of(uid: int) -> str:
    """A token that carries `uid` as the contract's does, unsigned."""
    claims = base64.urlsafe_b64encode(msgspec.json.encode({"uid": str(uid)})).rstrip(b"=")
    return f"head.{claims.decode()}.signature"


def uid_in(token: str) -> int:
    """The user of `token_of`."""
    claims = token.split(".")[1]
    return int(msgspec.json.decode(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["uid"])


class _Quiet(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@pytest.fixture
async def fake_server() -> AsyncIterator[FakeServer]:
    app = FakeServer()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # without its protocol: Nagle
    listener.bind(("127.0.0.1", 0))
    app.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_level="critical", ws_ping_interval=None)
    server = _Quiet(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await eventually(lambda: server.started)
    yield app
    server.should_exit = server.force_exit = True
    await task
