"""The WebSocket endpoint: bytes off the socket, one task per connection and no more.

A bare ASGI application, for Starlette's WebSocket class costs a third of the throughput and 5 KB per connection
(docs/explanation/performance.md).
"""

from __future__ import annotations

import asyncio
from functools import partial
from urllib.parse import unquote

import msgspec
from starlette.types import Receive, Scope, Send

from xinyu.gateway.auth import Caller, Door
from xinyu.gateway.settings import GatewaySettings
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.frames import event_frame, unauthorized_frame
from xinyu.gateway.ws.hub import Connection, Hub
from xinyu.gateway.ws.requests import Requests
from xinyu.gateway.ws.send_queue import AsgiFrameWriter, FrameWriter, SendQueue
from xinyu.gateway.ws.session import Session, State
from xinyu.gateway.ws.sessions.opening import Sessions
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Overloaded, Unauthenticated, XinyuError
from xinyu.kernel.ids import SessionId, new_hex_id
from xinyu.presence.types import NodeRef
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
WRITER_EXTENSION = "xinyu.frame_writer"
"""A server may put a FrameWriter of its own into the scope's extensions: the direct way to the socket."""
PATH_PREFIX = "/wss/"
CLOSE_SECONDS = 2.0
"""A client that does not read for so long is cut off without a close frame."""
LINGER_SECONDS = 15.0
"""And one that does not end the connection for so long after its close frame."""
RETRY_MS = 5000
MAX_PLATFORM = 20


class WebSocketEndpoint:
    """Serves `/wss/*` (CONTRACT.md section 2.1)."""

    def __init__(
        self,
        settings: GatewaySettings,
        door: Door,
        hub: Hub,
        sessions: Sessions,
        requests: Requests,
        clock: Clock,
        here: NodeRef,
    ) -> None:
        self._settings = settings
        self._door = door
        self._hub = hub
        self._sessions = sessions
        self._requests = requests
        self._clock = clock
        self._here = here
        self._closing: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection from its handshake to its end."""
        await receive()  # websocket.connect
        if not scope["path"].startswith(PATH_PREFIX):
            await send({"type": "websocket.close", "code": 1000})
            return
        query = _parameters(scope["query_string"])
        ip = scope["client"][0] if scope.get("client") else ""
        writer: FrameWriter = scope.get("extensions", {}).get(WRITER_EXTENSION) or AsgiFrameWriter(send)
        scope["headers"], scope["query_string"], scope["raw_path"] = [], b"", b""  # the token stays nowhere
        await send({"type": "websocket.accept"})
        try:
            connection = await self._admit(query, ip, writer, send)
            if connection is not None:
                await self._serve(connection, writer, receive)
        except OSError:
            return  # the client vanished in the middle of a write

    async def _admit(self, query: dict[str, str], ip: str, writer: FrameWriter, send: Send) -> Connection | None:
        """The connection of a caller with a good token; None when it was sent away."""
        sync = query.get("sync") == "1"
        try:
            caller = await self._door.admit(query.get("token", ""), ip)
        except Unauthenticated:
            self._hub.refused += 1
            await send({"type": "websocket.send", "text": unauthorized_frame().decode()})
            code = CloseCode.LOGIN_ENDED if sync else CloseCode.NORMAL
            await send({"type": "websocket.close", "code": int(code), "reason": "unauthorized"})
            return None
        except Overloaded as error:
            await self._turn_away(send, sync, "too many connections", error.retry_after_ms or RETRY_MS)
            return None
        except XinyuError as error:
            log.warning("a token could not be checked; the client is asked to come back", error=error.code)
            await send({"type": "websocket.close", "code": int(CloseCode.UNAVAILABLE), "reason": "reconnect later"})
            return None
        if self._hub.is_draining:
            await send({"type": "websocket.close", "code": int(CloseCode.DRAIN), "reason": "the node is leaving"})
            return None
        if self._hub.is_full:
            self._hub.turned_away += 1
            await self._turn_away(send, sync, "too many sessions", RETRY_MS)
            return None
        return self._connection(caller, query, sync, writer, send)

    async def _turn_away(self, send: Send, sync: bool, reason: str, retry_after_ms: int) -> None:
        self._hub.refused += 1
        if sync:  # to a page it would be a message on the screen at every attempt
            told = {"error_code": 429, "error_message": reason, "retry_after_ms": retry_after_ms}
            await send({"type": "websocket.send", "text": event_frame("event_error", told).decode()})
        await send({"type": "websocket.close", "code": int(CloseCode.OVERLOADED), "reason": reason})

    def _connection(
        self, caller: Caller, query: dict[str, str], sync: bool, writer: FrameWriter, send: Send
    ) -> Connection:
        platform = query.get("platform", "")
        if not (platform.isascii() and platform.isalnum() and len(platform) <= MAX_PLATFORM):
            platform = caller.platform or "web"
        session = Session(
            session_id=SessionId(new_hex_id()),
            caller=msgspec.structs.replace(caller, platform=platform),
            device_id=caller.device(query.get("device_id", "")),
            sync=sync,
            at=self._here,
            now=self._clock.monotonic(),
        )
        queue = SendQueue(writer, self._settings.send_queue_frames, self._settings.send_queue_bytes)

        def close(code: int, reason: str) -> None:
            self._hub.closes[code] += 1
            task = asyncio.ensure_future(_close(send, writer, code, reason))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

        return Connection(session, queue, close)

    async def _serve(self, connection: Connection, writer: FrameWriter, receive: Receive) -> None:
        catching_up: asyncio.Task[None] | None = None
        try:
            catching_up = await self._sessions.open(connection)
            writer.hand_to(partial(self._take_guarded, connection))
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    return
                self._take(connection, message.get("text"))
        except XinyuError as error:
            log.warning("a session could not be set up; the client is asked to come back", error=error.code)
            connection.close(CloseCode.UNAVAILABLE, "reconnect later")
        finally:
            if catching_up is not None:
                catching_up.cancel()
                await asyncio.wait([catching_up])
            await self._sessions.close(connection)

    def _take_guarded(self, connection: Connection, text: str | None) -> None:
        """Straight from the socket's own callback, which must not be left by an exception."""
        try:
            self._take(connection, text)
        except Exception:
            log.exception("a frame could not be taken; the stack below says where")
            connection.close(CloseCode.UNAVAILABLE, "reconnect later")

    def _take(self, connection: Connection, text: str | None) -> None:
        self._hub.frames += 1
        if text is None or connection.session.state is State.CLOSED:
            connection.session.heard_at = self._clock.monotonic()
            return  # binary frames are ignored (CONTRACT.md section 2.1), and still a sign of life
        frame = connection.session.receive(text, self._clock.monotonic())
        if frame is None:
            return
        if frame.id is not None:  # whatever it is, it gets one answer
            self._requests.begin(connection, frame)
        elif frame.event == "ping":
            connection.put(event_frame("pong", {"ts": self._clock.now_ms()}))
        elif frame.event == "echo":
            connection.put(event_frame("echo", frame.payload))
        elif frame.event not in ("ack", "pong"):
            self._requests.begin(connection, frame)


async def _close(send: Send, writer: FrameWriter, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await send({"type": "websocket.close", "code": code, "reason": reason})
    except TimeoutError:
        writer.abort()
    except (OSError, RuntimeError):
        return  # closed already
    else:
        asyncio.get_running_loop().call_later(LINGER_SECONDS, writer.abort)


def _parameters(query: bytes) -> dict[str, str]:
    """Query parameters, the last of a name. The token is taken as it comes (CONTRACT.md section 2.1)."""
    found: dict[str, str] = {}
    for part in query.decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        found[name] = value if name == "token" else unquote(value)
    return found
