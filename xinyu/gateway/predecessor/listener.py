"""The listener for the predecessor's processes: bare Rock, from allowed addresses alone."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

from xinyu.gateway.predecessor.bodies import (
    DELIVER_TO_USER,
    GET_ROUTE,
    HEARTBEAT,
    SET_OFFLINE,
    SET_ONLINE,
    UNHANDLED,
)
from xinyu.gateway.predecessor.places import Allowed, split
from xinyu.gateway.predecessor.relay import Relay
from xinyu.gateway.predecessor.route import RouteDesk
from xinyu.gateway.predecessor.settings import PredecessorSettings
from xinyu.rpc.dispatch import Reply
from xinyu.rpc.server import RpcServer, ServerConnection
from xinyu.rpc.settings import RpcSettings
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import Reading

log = get_logger(__name__)
CRASHED = Reply(500, "internal error", b"")
Handler = Callable[[bytes], Awaitable[Reply]]


class _Call:
    """A request to one of the handlers."""

    __slots__ = ("_body", "_handler", "deadline_ms")
    label = "predecessor"

    def __init__(self, handler: Handler, body: bytes, deadline_ms: int) -> None:
        self._handler = handler
        self._body = body
        self.deadline_ms: int | None = deadline_ms

    async def run(self) -> Reply:
        try:
            return await self._handler(self._body)
        except Exception:
            log.exception("a call of the predecessor's failed; the stack below says where")
            return CRASHED


class _Handlers:
    """Commands → who answers them."""

    def __init__(self, handlers: dict[int, Handler], seconds: float) -> None:
        self._handlers = handlers
        self._deadline_ms = int(seconds * 1000)

    def prepare(self, command: int, body: bytes) -> _Call | Reply:
        handler = self._handlers.get(command)
        return UNHANDLED if handler is None else _Call(handler, body, self._deadline_ms)


class _Server(RpcServer):
    """Knows its callers by their address, for they prove nothing."""

    def __init__(self, handlers: _Handlers, settings: RpcSettings, allowed: Allowed) -> None:
        super().__init__(handlers, settings, identity=None)
        self._allowed = allowed
        self.strangers = 0

    def accept(self, connection: ServerConnection) -> bool:
        known = split(connection.address)[0] in self._allowed
        if not known:
            self.strangers += 1
            log.warning("connection closed: its address is not in predecessor.allowed", address=connection.address)
        return super().accept(connection) and known


class PredecessorListener:
    """Serves 101 and 201 to 204. Whatever else is asked gets 404, and the connection stays."""

    def __init__(self, settings: PredecessorSettings, rpc: RpcSettings, desk: RouteDesk, relay: Relay) -> None:
        self._settings = settings
        self._desk = desk
        handlers: dict[int, Handler] = {
            DELIVER_TO_USER: relay.deliver,
            SET_ONLINE: desk.set_online,
            SET_OFFLINE: desk.set_offline,
            HEARTBEAT: desk.set_online,
            GET_ROUTE: desk.get_route,
        }
        self._server = _Server(_Handlers(handlers, rpc.call_seconds), rpc, Allowed(settings.allowed))

    @property
    def address(self) -> str:
        """The "host:port" that the predecessor's processes are told; "" before the start."""
        return self._desk.address

    async def start(self, sock: socket.socket | None = None) -> None:
        """Listen, on a socket that is bound already where there is one. Raises OSError, as for a port that is taken."""
        await self._server.start(self._settings.host, self._settings.port, sock)
        host, (_, port) = self._settings.told_host, split(self._server.address)
        self._desk.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self, seconds: float) -> None:
        """Finish what runs, within `seconds`, and end every connection."""
        await self._server.drain(seconds)
        await self._server.close()

    def readings(self) -> list[Reading]:
        """For metrics."""
        counts = self._server.counts
        return [
            ("xinyu_predecessor_calls_total", "Calls of the predecessor's processes.", counts.calls),
            ("xinyu_predecessor_bad_peers_total", "Connections ended because they were not Rock.", counts.bad_peers),
            ("xinyu_predecessor_strangers_total", "Connections from other addresses.", self._server.strangers),
        ]
