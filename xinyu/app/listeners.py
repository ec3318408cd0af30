"""uvicorn servers inside our own event loop, their signals left to the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import cast

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from xinyu.app.settings import ConfigError
from xinyu.app.ws.protocol import SocketProtocol

Application = ASGIApp
BACKLOG = 4096
"""Connections that may wait to be accepted."""
MAX_HEAD_BYTES = 65_536
"""A request line and its header fields; or anything else that is neither a body nor the end of something."""
HEAD_SECONDS = 20.0
"""How long a head may take, the first of a connection from its beginning."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _Server(uvicorn.Server):
    """A server that leaves SIGINT and SIGTERM alone: the supervisor owns them. It waits to be stopped; uvicorn's own
    looks ten times a second whether it is, which wakes an idle process for nothing."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopped = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)  # sets the headers of all answers
        await self._stopped.wait()

    def stop(self) -> None:
        """Leave the main loop."""
        self.should_exit = True
        self._stopped.set()


class BoundedHttpProtocol(HttpToolsProtocol):
    """One HTTP connection, with bounds on what is gathered before an application sees a request: uvicorn's parser keeps
    heads (and trailers of chunked bodies) of any length, for any time. One stranger could fill the memory so, and a few
    thousand slow ones take all file descriptors."""

    _gathered = 0
    _progress = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._progress = False
        super().data_received(data)
        self._gathered = 0 if self._progress else self._gathered + len(data)
        if self._gathered > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._progress = True
        self._head_came()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._progress = True
        super().on_message_complete()

    def _expect_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_came(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class HttpListener:
    """One address that an ASGI application answers on."""

    def __init__(self, setting: str, host: str, port: int, app: ASGIApp, max_frame_bytes: int) -> None:
        self._setting = setting
        self._host = host
        self._port = port
        self._server = _Server(
            uvicorn.Config(
                app,
                ws=SocketProtocol,
                ws_max_size=max_frame_bytes,
                ws_per_message_deflate=False,
                ws_ping_interval=None,
                http=BoundedHttpProtocol,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,  # see with_websocket
                backlog=BACKLOG,
                timeout_keep_alive=120,
                timeout_graceful_shutdown=5,
            )
        )
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; the real port once it is bound."""
        if self._socket is not None:
            self._port = self._socket.getsockname()[1]
        return self._host, self._port

    def bind(self) -> None:
        """Take the port. Raises ConfigError when it is in use or not ours to take."""
        self._socket = bound_socket(self._setting, self._host, self._port)

    async def start(self) -> None:
        """Accept connections from now on."""
        assert self._socket is not None, "bind first"
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not self._task.done():  # uvicorn offers no event
            await asyncio.sleep(0.005)

    async def close_door(self) -> None:
        """Accept no more; what is connected stays."""
        for server in getattr(self._server, "servers", []):
            server.close()

    async def stop(self) -> None:
        """End remaining connections and the server."""
        self._server.stop()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=8)
            if not self._task.done():
                self._task.cancel()
        if self._socket is not None:
            self._socket.close()


def bound_socket(setting: str, host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError, naming `setting`, when the port is in use or not ours to take."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio turns Nagle off by it
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from here on the port is ours alone
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{setting}: cannot listen on {host}:{port} ({reason}); stop what uses it or choose another port "
            "(0 picks a free one)"
        ) from error
    listener.setblocking(False)
    return listener


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Where the proxies' headers lead to: they are read before, and nothing of that stays for as long as a socket."""


def with_websocket(rest: ASGIApp | None, sockets: ASGIApp | None, trusted_proxies: str = "") -> ASGIApp:
    """An application that answers WebSockets by `sockets` and everything else by `rest`, where there are such, with the
    client's address as the proxies of `trusted_proxies` tell it (X-Forwarded-For, X-Forwarded-Proto)."""
    proxies = cast(ASGIApp, ProxyHeadersMiddleware(_nothing, trusted_proxies))  # type: ignore[arg-type]  # uvicorn's own ASGI types

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await proxies(scope, receive, send)
        if scope["type"] == "websocket":
            if sockets is None:
                await receive()
                await send({"type": "websocket.close", "code": 1000})
                return
            await sockets(scope, receive, send)
        elif rest is not None:
            await rest(scope, receive, send)
        else:
            await PlainTextResponse("this port speaks WebSocket: connect to /wss/default.io\n", 426)(
                scope, receive, send
            )

    return app
