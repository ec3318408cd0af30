"""The serving side: a listener, its connections, and the calls they run on a dispatcher.

A call runs with its caller's trace id and deadline. It is called off when its time is up, when its caller says so and
when its connection ends, as it would be in the caller's own process. What a process cannot run at once it refuses.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from xinyu.kernel.errors import DeadlineExceeded, Overloaded, Unavailable, XinyuError
from xinyu.rpc.connection import CANCEL, LEAVING, RockConnection
from xinyu.rpc.deadline import Overdue, adopt_deadline
from xinyu.rpc.dispatch import Dispatch, Prepared, Reply, error_reply
from xinyu.rpc.handshake import AcceptingHandshake, HandshakeFailed, Identity
from xinyu.rpc.server_counts import ServerCounts
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.wire import (
    UNREADABLE,
    Frame,
    FrameTooLong,
    Notify,
    Request,
    WireError,
    encode_notify,
    encode_response,
)
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import Reading
from xinyu.telemetry.trace import adopt_trace

DRAINING = "rpc.draining"
"""`result_str` of a request that came after the peer was told that this node is leaving; it did not run."""
_OVERLOADED = error_reply(Overloaded("too many calls run on this node; try again later", retry_after_ms=100))
_EXPIRED = error_reply(DeadlineExceeded())
_LEAVING = error_reply(Unavailable("this node is leaving"))._replace(result_str=DRAINING)
_CRASHED = error_reply(XinyuError())
_GRACE_SECONDS = 0.05
"""A caller ends its overdue calls itself and says so; we do where nothing is heard of it."""
_LEAVING_FRAME = encode_notify(LEAVING, "", b"{}")

log = get_logger(__name__)


class _Cancel(msgspec.Struct):
    sn: int


_decode_cancel = msgspec.json.Decoder(_Cancel).decode


class _Running:
    __slots__ = ("deadline", "request", "task")

    def __init__(self, request: Request, deadline: float) -> None:
        self.request: Request | None = request
        """None once nobody waits for the answer."""
        self.deadline = deadline
        self.task: asyncio.Task[None] | None = None


class ServerConnection(RockConnection):
    """One caller's connection."""

    def __init__(self, server: RpcServer) -> None:
        super().__init__(server.settings, server.identity is not None)
        self._server = server
        self._handshake = None if server.identity is None else AcceptingHandshake(server.identity, server.settings.gzip)
        self._calls: dict[int, _Running] = {}
        self._overdue = Overdue(self._expire)

    def opened(self) -> None:
        if not self._server.accept(self):
            self.abort("too many connections")
        elif self._handshake is None:
            self.admit(None)
        else:
            self.send(self._handshake.challenge())

    def shake(self, frame: Notify) -> None:
        assert self._handshake is not None
        peer, welcome = self._handshake.answer(frame)
        self.send(welcome)
        self.admit(peer)
        if self._server.draining:
            self.say_leaving()

    def received(self, frame: Frame) -> None:
        if isinstance(frame, Request):
            self._request(frame)
        elif isinstance(frame, Notify) and frame.notify == CANCEL and self.authenticates:
            try:
                running = self._calls.get(_decode_cancel(frame.body).sn)
            except UNREADABLE as error:
                raise WireError(f"a cancellation of another form: {error}") from error
            if running is not None:
                self._server.counts.called_off += 1
                self._call_off(running)

    def say_leaving(self) -> None:
        """Tell the peer to send nothing new."""
        if self.peer is not None:
            self.send(_LEAVING_FRAME)

    def refused(self, error: WireError | HandshakeFailed) -> None:
        self._server.counts.bad_peers += 1

    def lost(self, why: str) -> None:
        self._overdue.stop()
        for running in self._calls.values():
            self._call_off(running)
        self._server.forget(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.pause_reading()  # who does not read its answers gets to ask nothing more

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.writable:
            self.resume_reading()

    def _request(self, request: Request) -> None:
        server = self._server
        if server.draining:
            self._answer(request, _LEAVING)
            return
        if server.counts.in_flight >= self.settings.concurrent_calls:
            server.counts.refused += 1
            self._answer(request, _OVERLOADED)
            return
        if request.sn in self._calls:
            raise WireError(f"request {request.sn} is in flight already")
        server.counts.calls += 1
        call = server.dispatcher.prepare(request.command, request.body)
        if isinstance(call, Reply):
            self._answer(request, call)
            return
        deadline = math.inf if call.deadline_ms is None else time.monotonic() + call.deadline_ms / 1000
        running = self._calls[request.sn] = _Running(request, deadline)
        server.counts.in_flight += 1
        running.task = self._loop.create_task(self._run(running, call, request))
        self._overdue.note(deadline + _GRACE_SECONDS)

    async def _run(self, running: _Running, call: Prepared, request: Request) -> None:
        adopt_trace(request.trace_id)
        adopt_deadline(None if running.deadline == math.inf else running.deadline)
        begin = time.perf_counter()
        try:
            reply = await call.run()
            if running.request is not None:
                self._answer(request, reply)
            self._server.counts.served(call.label, self.peer, reply, time.perf_counter() - begin)
        finally:
            self._settle(request.sn)

    def _settle(self, sn: int) -> None:
        if self._calls.pop(sn, None) is not None:
            self._server.settled()

    def _answer(self, request: Request, reply: Reply) -> None:
        sn, command, trace_id = request.sn, request.command, request.trace_id
        try:
            frame = encode_response(sn, command, *reply[:2], trace_id, reply.body, self.gzip_to_peer)
        except FrameTooLong as error:
            log.error("an answer is too long; its method has to page", command=command, reason=str(error))
            frame = encode_response(sn, command, *_CRASHED[:2], trace_id, _CRASHED.body)
        self.send(frame)

    def _expire(self, now: float) -> float:
        earliest = math.inf
        for running in list(self._calls.values()):
            if running.request is None:
                continue
            if running.deadline + _GRACE_SECONDS > now:
                earliest = min(earliest, running.deadline + _GRACE_SECONDS)
                continue
            self._server.counts.expired += 1
            self._answer(running.request, _EXPIRED)
            self._call_off(running)
        return earliest

    def _call_off(self, running: _Running) -> None:
        request, running.request = running.request, None
        if request is None or running.task is None:
            return
        running.task.cancel()
        # A task that is cancelled before its first step never gets to its own `finally`.
        running.task.add_done_callback(lambda _: self._settle(request.sn))


class RpcServer:
    """Serves a dispatcher to other processes."""

    def __init__(
        self,
        dispatcher: Dispatch,
        settings: RpcSettings,
        identity: Identity | None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """With `identity` None anybody may call who can connect: for the predecessor's processes only, which prove
        nothing, on a listener of their own."""
        self.dispatcher = dispatcher
        self.settings = settings
        self.identity = identity
        self.draining = False
        self.address = ""
        """Where it listens, "host:port", once it was started."""
        self.counts = ServerCounts()
        self._tls = tls
        self._connections: set[ServerConnection] = set()
        self._listener: asyncio.Server | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self, host: str = "127.0.0.1", port: int = 0, sock: socket.socket | None = None) -> None:
        """Listen, on a socket that is bound already where there is one. Raises OSError, as for a port that is taken."""
        loop = asyncio.get_running_loop()
        patience = self.settings.connect_seconds if self._tls else None
        where: dict[str, Any] = {"sock": sock} if sock is not None else {"host": host, "port": port}
        self._listener = await loop.create_server(
            lambda: ServerConnection(self), ssl=self._tls, ssl_handshake_timeout=patience, **where
        )
        host, port = self._listener.sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def drain(self, seconds: float) -> bool:
        """Accept no connection and no call any more, tell the peers, finish what runs. False when `seconds` were too
        few; what still runs is called off by `close`."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.say_leaving()
        if not self.counts.in_flight:
            return True
        self._idle.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End every connection, answers that are ready sent first. Idempotent; `drain` is the graceful part."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        try:
            async with asyncio.timeout(1.0):
                for connection in connections:
                    await connection.wait_closed()
        except TimeoutError:
            for connection in connections:
                connection.abort("the node stops")

    def accept(self, connection: ServerConnection) -> bool:
        """A connection was made. False when there are too many."""
        self._connections.add(connection)
        fits = len(self._connections) <= self.settings.connections
        self.counts.turned_away += not fits
        return fits

    def forget(self, connection: ServerConnection) -> None:
        """A connection is over."""
        self._connections.discard(connection)

    def settled(self) -> None:
        """A call is over."""
        self.counts.in_flight -= 1
        if not self.counts.in_flight:
            self._idle.set()

    def readings(self) -> Iterable[Reading]:
        """What it counts, for metrics."""
        return self.counts.readings(len(self._connections))
