"""RPC over real sockets for tests: a port to call, servers and callers on loopback, a network that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from xinyu.kernel.errors import InvalidInput, Unavailable
from xinyu.kernel.port import Port, rpc
from xinyu.rpc.deadline import remaining_seconds
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.handshake import Identity
from xinyu.rpc.pool import RpcClient, Target
from xinyu.rpc.server import RpcServer
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.spec import MethodSpec
from xinyu.rpc.stub import Call, Transport, make_stub
from xinyu.rpc.transport_local import LocalTransport
from xinyu.rpc.transport_loopback import LoopbackTransport
from xinyu.rpc.transport_tcp import FixedPicker, Picker, TcpTransport
from xinyu.telemetry.trace import current_trace_id

PortT = TypeVar("PortT", bound=Port)
SECRET = b"the secret of a test's cluster"
SETTINGS = RpcSettings()


def identity(node: str = "caller", epoch: int = 1, secret: bytes = SECRET) -> Identity:
    """Who a process of a test says it is."""
    return Identity(node, epoch, secret)


class Context(msgspec.Struct, frozen=True):
    """What a callee knows of its caller."""

    trace_id: str
    seconds_left: float | None


class ProbePort(Port):
    """Does what a test tells it to."""

    @rpc(901, idempotent=True)
    async def echo(self, text: str, times: int = 1) -> str:
        """`text`, as often as asked."""

    @rpc(902, idempotent=True)
    async def wait(self, name: str) -> str:
        """Return `name` when the test opens that gate."""

    @rpc(903)
    async def add(self, amount: int) -> int:
        """The sum so far: twice is not as good as once."""

    @rpc(904, idempotent=True)
    async def context(self) -> Context:
        """What came along with the call."""

    @rpc(905, idempotent=True)
    async def fail(self, how: str) -> None:
        """Raise InvalidInput, Unavailable or something unforeseen."""


class Probe(ProbePort):
    """The service: gates that a test opens, and what was called."""

    def __init__(self) -> None:
        self.gates: dict[str, asyncio.Event] = {}
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.echoed = 0
        self.total = 0

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    async def echo(self, text: str, times: int = 1) -> str:
        self.echoed += 1
        return text * times

    async def wait(self, name: str) -> str:
        self.started.append(name)
        try:
            await self.gate(name).wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        return name

    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    async def context(self) -> Context:
        return Context(current_trace_id(), remaining_seconds())

    async def fail(self, how: str) -> None:
        if how == "invalid":
            raise InvalidInput("not like this", field="how")
        if how == "unavailable":
            raise Unavailable("my database is away")
        raise RuntimeError("unforeseen")


def dispatcher_of(*ports: tuple[type[Port], Port]) -> Dispatcher:
    """Serves (port, service) pairs."""
    dispatcher = Dispatcher()
    for port, service in ports:
        dispatcher.add(port, service)
    return dispatcher


@asynccontextmanager
async def serving(
    service: Probe, settings: RpcSettings = SETTINGS, me: Identity | None = None, **more: Any
) -> AsyncIterator[RpcServer]:
    """`service` on loopback."""
    server = RpcServer(dispatcher_of((ProbePort, service)), settings, me or identity("server"), **more)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def calling(
    settings: RpcSettings = SETTINGS, me: Identity | None = None, **more: Any
) -> AsyncIterator[RpcClient]:
    """A process that calls others."""
    client = RpcClient(settings, me or identity(), **more)
    try:
        yield client
    finally:
        await client.close()


def probe(client: RpcClient, *addresses: str) -> ProbePort:
    """A stub; with several addresses the first that is not to be avoided."""
    return make_stub(ProbePort, TcpTransport(client, InOrder(addresses)))


class InOrder(Picker):
    """The first target that has not failed the call; else the first."""

    def __init__(self, addresses: Collection[str]) -> None:
        self.targets = [Target(address) for address in addresses]
        self.asked = 0
        self.busy: list[Target] = []

    def pick(self, method: MethodSpec, arguments: dict[str, Any], avoid: Collection[Target]) -> Target:
        self.asked += 1
        if not self.targets:
            raise Unavailable("nobody serves that")
        target = next((target for target in self.targets if target not in avoid), self.targets[0])
        self.busy.append(target)
        return target

    def ended(self, target: Target) -> None:
        self.busy.remove(target)


class Twice(Transport):
    """Makes idempotent calls twice and gives the second answer, as a transport that lost the first may."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    def bind(self, method: MethodSpec) -> Call:
        call = self._inner.bind(method)

        async def twice(*args: Any, **kwargs: Any) -> Any:
            if method.idempotent:
                await call(*args, **kwargs)
            return await call(*args, **kwargs)

        return twice


TRANSPORTS = ("direct", "loopback", "tcp")
"""What port suites run over."""


class Wires:
    """Stubs of services over one of TRANSPORTS, for port suites: `over` as a fixture's parameter, then `stub`."""

    def __init__(self, over: str, wrap: Callable[[Transport], Transport]) -> None:
        self._over = over
        self._wrap = wrap
        self._dispatcher = Dispatcher()
        self._client: RpcClient | None = None
        self._address = ""

    def stub(self, port: type[PortT], service: Port) -> PortT:
        """A caller's side of `service`."""
        if self._over == "direct":
            return make_stub(port, self._wrap(LocalTransport(lambda: service)))
        if self._client is None:
            own = dispatcher_of((port, service))  # several may share commands, as two worlds of one test do
            return make_stub(port, self._wrap(LoopbackTransport(own)))
        self._dispatcher.add(port, service)
        return make_stub(port, self._wrap(TcpTransport(self._client, FixedPicker(Target(self._address)))))

    @classmethod
    @asynccontextmanager
    async def open(
        cls, over: str, wrap: Callable[[Transport], Transport] = lambda inner: inner
    ) -> AsyncIterator[Wires]:
        """Wires over "direct", "loopback" or "tcp"; `wrap` goes around each transport."""
        wires = cls(over, wrap)
        if over != "tcp":
            yield wires
            return
        server = RpcServer(wires._dispatcher, SETTINGS, identity("server"))
        await server.start()
        async with calling() as client:
            wires._client, wires._address = client, server.address
            yield wires
        await server.close()


class Relay:
    """A network between caller and server that a test may break: `address` leads to `to`."""

    def __init__(self, to: str) -> None:
        self._to = to
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallow_answers = False
        self.connections = 0
        self.upstream_bytes = 0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Reset every connection, as a peer does that is killed."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        host, port = self._to.rsplit(":", 1)
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, far_writer]
        for source, sink, answers in ((reader, far_writer, False), (far_reader, writer, True)):
            task = asyncio.create_task(self._copy(source, sink, answers))
            self._tasks.add(task)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        try:
            while data := await source.read(65536):
                if answers and self.swallow_answers:
                    continue
                if not answers:
                    self.upstream_bytes += len(data)
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.transport.abort()
