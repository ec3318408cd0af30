"""Calls between processes: what `xinyu.rpc` does over TCP, its pools, retries and deadlines included, over made-up
connections.

A connection keeps the order of what is sent on it. When it breaks, neither side knows what became of a call under way:
its request may have arrived and run, its answer may be lost. The called side calls off what nobody waits for any more.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from asyncio import Future, Task
from dataclasses import dataclass

from xinyu.kernel.errors import DeadlineExceeded, Unavailable, XinyuError
from xinyu.rpc.client import Connected, Dial, NotSent
from xinyu.rpc.deadline import adopt_deadline
from xinyu.rpc.dispatch import Dispatcher, Prepared, Reply, error_reply
from xinyu.rpc.handshake import Identity, Peer
from xinyu.rpc.server import DRAINING
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.wire import Response
from xinyu.simulation.world.loop import Place, SimulationLoop
from xinyu.simulation.world.paths import Paths
from xinyu.telemetry.trace import adopt_trace

_LEAVING = error_reply(Unavailable("this node is leaving"))._replace(result_str=DRAINING)
_CRASHED = error_reply(XinyuError())


@dataclass(slots=True)
class Host:
    """A process that answers calls."""

    place: Place
    peer: Peer
    dispatcher: Dispatcher
    leaving: bool = False


class Network:
    """Who listens where, and which connections there are."""

    def __init__(self, loop: SimulationLoop, paths: Paths) -> None:
        self.loop = loop
        self.paths = paths
        self._hosts: dict[str, Host] = {}
        self._connections: list[Connection] = []

    def listen(self, address: str, host: Host) -> None:
        """Answer calls to `address` from now on."""
        self._hosts[address] = host

    def close(self, address: str, place: Place) -> None:
        """Answer no more, if it is that place which does."""
        host = self._hosts.get(address)
        if host is not None and host.place is place:
            del self._hosts[address]

    def dialler(self, caller: Place) -> Dial:
        """How a process connects with others."""

        async def dial(
            address: str, settings: RpcSettings, _identity: Identity | None, _tls: ssl.SSLContext | None
        ) -> Connected:
            host = self._hosts.get(address)
            stalled = self.paths.arrival(caller.name, host.place.name if host else "", 0.0) - self.loop.time()
            await asyncio.sleep(min(2 * stalled, settings.connect_seconds))
            host = self._hosts.get(address)
            if host is None or host.place.paused or self.paths.is_cut(caller.name, host.place.name):
                if host is not None and host.place.paused:
                    await asyncio.sleep(settings.connect_seconds)
                raise NotSent(f"no connection to {address}: refused")
            if 2 * stalled > settings.connect_seconds:
                raise NotSent(f"no connection to {address}: not ready in time")
            connection = Connection(self, caller, host, address)
            self._connections.append(connection)
            return connection

        return dial

    def crash(self, place: Place) -> None:
        """A process has ended: the others hear of it after a moment."""
        self._break(lambda connection: place in (connection.caller, connection.host.place))

    def cut(self, a: str, b: str) -> None:
        """Break the connections between two processes, and refuse new ones until `paths.mend`."""
        self.paths.cut(a, b)
        self._break(lambda connection: {connection.caller.name, connection.host.place.name} == {a, b})

    def _break(self, concerned: object) -> None:
        kept = []
        for connection in self._connections:
            if not connection.open:
                continue
            if concerned(connection):  # type: ignore[operator]
                connection.break_off()
            else:
                kept.append(connection)
        self._connections = kept


class Connection:
    """One process's way to another."""

    def __init__(self, network: Network, caller: Place, host: Host, address: str) -> None:
        self.caller = caller
        self.host = host
        self.peer: Peer | None = host.peer
        self.open = True
        self._paths = network.paths
        self._loop = network.loop
        self._address = address
        self._sn = 0
        self._waiting: dict[int, Future[Response]] = {}
        self._running: dict[int, Task[None]] = {}
        self._there = self._back = 0.0
        self._usable = True

    @property
    def in_flight(self) -> int:
        """Calls without an answer yet."""
        return len(self._waiting)

    @property
    def usable(self) -> bool:
        """Whether new calls may go this way."""
        return self._usable

    async def call(self, command: int, trace_id: str, body: bytes, deadline: float = math.inf) -> Response:
        """Ask, as `ClientConnection.call` does."""
        if not self._usable:
            raise NotSent(f"{self._address} takes no calls any more")
        self._sn += 1
        sn = self._sn
        answer: Future[Response] = self._loop.create_future()
        self._waiting[sn] = answer
        self._send(self._request, sn, command, trace_id, body)
        try:
            async with asyncio.timeout(None if deadline == math.inf else deadline - self._loop.time()):
                return await answer
        except TimeoutError:
            self._send(self._call_off, sn)
            raise DeadlineExceeded() from None
        except asyncio.CancelledError:
            self._send(self._call_off, sn)
            raise
        finally:
            self._waiting.pop(sn, None)

    def close(self) -> None:
        """Take no calls any more, and end."""
        self.break_off()

    async def wait_closed(self) -> None:
        """Return when it has ended."""

    def abort(self, _why: str) -> None:
        """End at once."""
        self.break_off()

    def break_off(self) -> None:
        """Both sides hear of it, each at its own time. What has not arrived by then never does."""
        if self.open:
            self.open = False
            self.caller.call_at(self._loop.time() + self._paths.latency(), self._lost_here)
            self.host.place.call_at(self._loop.time() + self._paths.latency(), self._lost_there)

    def _lost_here(self) -> None:
        self._usable = False
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Unavailable(f"no answer from {self._address}: connection lost"))

    def _lost_there(self) -> None:
        for task in self._running.values():
            task.cancel()

    def _send(self, receive: object, *message: object) -> None:
        """To the host."""
        if self.open:
            self._there = self._paths.arrival(self.caller.name, self.host.place.name, self._there)
            self.host.place.call_at(self._there, self._arrive, receive, message)

    def _arrive(self, receive: object, message: tuple[object, ...]) -> None:
        if self.open:
            receive(*message)  # type: ignore[operator]

    # At the host.

    def _request(self, sn: int, command: int, trace_id: str, body: bytes) -> None:
        call = _LEAVING if self.host.leaving else self.host.dispatcher.prepare(command, body)
        if isinstance(call, Reply):
            self._answer(sn, command, trace_id, call)
            return
        task = self._running[sn] = self._loop.create_task(self._run(sn, command, trace_id, call))
        task.add_done_callback(lambda _: self._running.pop(sn, None))

    async def _run(self, sn: int, command: int, trace_id: str, call: Prepared) -> None:
        adopt_trace(trace_id)
        adopt_deadline(None if call.deadline_ms is None else self._loop.time() + call.deadline_ms / 1000)
        self._answer(sn, command, trace_id, await call.run())

    def _call_off(self, sn: int) -> None:
        task = self._running.get(sn)
        if task is not None:
            task.cancel()

    def _answer(self, sn: int, command: int, trace_id: str, reply: Reply) -> None:
        if self.open:
            self._back = self._paths.arrival(self.host.place.name, self.caller.name, self._back)
            response = Response(sn, command, reply.result, reply.result_str, trace_id, reply.body)
            self.caller.call_at(self._back, self._arrive, self._take, (response,))

    # At the caller.

    def _take(self, response: Response) -> None:
        answer = self._waiting.get(response.sn)
        if answer is not None and not answer.done():
            answer.set_result(response)
