"""The calling side of a connection: requests in flight by their number, answers in any order."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol

from xinyu.kernel.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable
from xinyu.rpc.connection import CANCEL, LEAVING, RockConnection
from xinyu.rpc.deadline import Overdue
from xinyu.rpc.handshake import CHALLENGE, DiallingHandshake, HandshakeFailed, Identity, Peer
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.wire import Frame, FrameTooLong, Notify, Response, WireError, encode_notify, encode_request

_LAST_SN = 2**32 - 1
RETRY_MS = 100
"""After which a call may be tried again that too many others waited before."""


class NotSent(Unavailable):
    """The call never left this process, so it has not run anywhere."""


class Connected(Protocol):
    """What callers have of a connection."""

    @property
    def in_flight(self) -> int:
        """Calls without an answer yet."""

    @property
    def usable(self) -> bool:
        """Whether new calls may go this way."""

    @property
    def peer(self) -> Peer | None:
        """Who is at the other end."""

    async def call(self, command: int, trace_id: str, body: bytes, deadline: float = math.inf) -> Response:
        """See ClientConnection.call."""

    def close(self) -> None:
        """Take no calls any more, and end."""

    async def wait_closed(self) -> None:
        """Return when it has ended."""

    def abort(self, why: str) -> None:
        """End at once."""


Dial = Callable[[str, RpcSettings, Identity | None, ssl.SSLContext | None], Awaitable[Connected]]
"""Makes connections, as `dial` does over TCP."""


class ClientConnection(RockConnection):
    """Calls over one connection. Every call ends: with an answer, its deadline, or the end of the connection."""

    def __init__(self, settings: RpcSettings, identity: Identity | None = None) -> None:
        """Without an `identity` nothing is proved: for the predecessor's servers only."""
        super().__init__(settings, identity is not None)
        self.leaving = False
        """The peer finishes what it has and takes nothing new."""
        self.ready: asyncio.Future[Peer | None] = self._loop.create_future()
        """Done when calls may be made; fails with NotSent."""
        self._handshake = None if identity is None else DiallingHandshake(identity, settings.gzip)
        self._calls: dict[int, tuple[asyncio.Future[Response], float]] = {}
        self._overdue = Overdue(self._expire)
        self._sn = self._sn_at_tick = 0
        self._unused_ticks = 0

    @property
    def in_flight(self) -> int:
        """Calls without an answer yet."""
        return len(self._calls)

    @property
    def usable(self) -> bool:
        """Whether new calls may go this way."""
        return not self._closing and not self.leaving

    async def call(self, command: int, trace_id: str, body: bytes, deadline: float = math.inf) -> Response:
        """Ask, and wait for the answer until `deadline` (`time.monotonic`).

        Raises DeadlineExceeded or Unavailable when there is none (it may or may not have run), NotSent or Overloaded
        when it was not sent, InvalidInput for a body of 64 MiB. A cancelled call is called off at the peer too.
        """
        if not self.usable:
            raise NotSent(f"{self.address} takes no calls any more")
        limits = self.settings
        if len(self._calls) >= limits.calls_per_connection or self.pending_bytes >= limits.pending_bytes:
            raise Overloaded(f"too many calls wait for {self.address}", retry_after_ms=RETRY_MS)
        sn = self._sn = self._sn % _LAST_SN + 1
        try:
            self.send(encode_request(sn, command, trace_id, body, self.gzip_to_peer))
        except FrameTooLong as error:
            raise InvalidInput(f"command {command}: {error}") from error
        future: asyncio.Future[Response] = self._loop.create_future()
        self._calls[sn] = (future, deadline)
        self._overdue.note(deadline)
        try:
            return await future
        except asyncio.CancelledError:
            if self._calls.pop(sn, None) is not None:
                self._call_off(sn)
            raise

    def opened(self) -> None:
        if self._handshake is None:
            self._begin(None)

    def shake(self, frame: Notify) -> None:
        assert self._handshake is not None
        if frame.notify == CHALLENGE:
            self.send(self._handshake.hello(frame))
        else:
            self._begin(self._handshake.finish(frame))

    def received(self, frame: Frame) -> None:
        if isinstance(frame, Response):
            entry = self._calls.pop(frame.sn, None)
            if entry is not None and not entry[0].done():
                entry[0].set_result(frame)
            if self.leaving and not self._calls:
                self.close()
        elif isinstance(frame, Notify) and frame.notify == LEAVING and self.authenticates:
            self.leaving = True
            if not self._calls:
                self.close()

    def refused(self, error: WireError | HandshakeFailed) -> None:
        self._fail(f"{self.address} is no node of this cluster: {error}")

    def lost(self, why: str) -> None:
        hint = "" if self.ready.done() or not self.authenticates else " (before its welcome: is the secret the same?)"
        self._fail(f"{self.address}: {why}{hint}")

    def ticked(self) -> None:
        self._unused_ticks = 0 if self._calls or self._sn != self._sn_at_tick else self._unused_ticks + 1
        self._sn_at_tick = self._sn
        if self._unused_ticks * self.settings.keepalive_seconds >= self.settings.idle_seconds:
            self.close()

    def _begin(self, peer: Peer | None) -> None:
        self.admit(peer)
        if not self.ready.done():
            self.ready.set_result(peer)

    def _fail(self, why: str) -> None:
        self._overdue.stop()
        if not self.ready.done():
            self.ready.set_exception(NotSent(f"no connection to {why}"))
            self.ready.exception()  # whoever dialled may have gone
        calls, self._calls = self._calls, {}
        for future, _ in calls.values():
            if not future.done():
                future.set_exception(Unavailable(f"no answer from {why}"))

    def _expire(self, now: float) -> float:
        earliest = math.inf
        for sn, (future, deadline) in list(self._calls.items()):
            if deadline > now:
                earliest = min(earliest, deadline)
                continue
            del self._calls[sn]
            if not future.done():
                future.set_exception(DeadlineExceeded())
            self._call_off(sn)
        return earliest

    def _call_off(self, sn: int) -> None:
        if self.authenticates:
            self.send(encode_notify(CANCEL, "", b'{"sn":%d}' % sn))
        if self.leaving and not self._calls:
            self.close()


async def dial(
    address: str, settings: RpcSettings, identity: Identity | None, tls: ssl.SSLContext | None = None
) -> ClientConnection:
    """A connection to "host:port" that is ready for calls. Raises NotSent, within `connect_seconds`."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    connection = None
    try:
        async with asyncio.timeout(settings.connect_seconds):
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(
                lambda: ClientConnection(settings, identity),
                host,
                int(port),
                ssl=tls,
                server_hostname=host if tls else None,
            )
            await connection.ready
    except BaseException as error:
        if connection is not None:
            connection.abort("not ready in time")
        if isinstance(error, OSError | ValueError | TimeoutError):
            raise NotSent(f"no connection to {address}: {str(error) or 'not ready in time'}") from error
        raise
    return connection
