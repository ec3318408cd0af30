"""Between clients and gateways: WebSockets into the real endpoint, and requests of the kind that REST brings."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from xinyu.gateway.auth import Caller
from xinyu.gateway.ws.endpoint import WRITER_EXTENSION
from xinyu.gateway.ws.send_queue import FrameWriter
from xinyu.rpc.deadline import within
from xinyu.sdk.dialing import ConnectionClosed
from xinyu.sdk.errors import ConnectionLost
from xinyu.simulation.node import Life
from xinyu.simulation.world.loop import Place, SimulationLoop
from xinyu.simulation.world.paths import Paths

T = TypeVar("T")
ABNORMAL = 1006
Request = Callable[[Life, Caller], Awaitable[T]]
"""What a REST handler does for its caller."""


class Doors:
    """Where clients come in."""

    def __init__(self, loop: SimulationLoop, paths: Paths) -> None:
        self._loop = loop
        self._paths = paths
        self._open: dict[str, Life] = {}
        self.sockets: list[SimulatedSocket] = []
        self._exchanges: list[_Exchange] = []

    def open(self, life: Life) -> None:
        """A gateway listens, in place of its earlier life."""
        if "gateway_ws" in life.roles:
            self._open[life.name] = life

    def shut(self, life: Life) -> None:
        """It takes no new connections."""
        if self._open.get(life.name) is life:
            del self._open[life.name]

    def crash(self, life: Life) -> None:
        """It has ended, and its connections with it."""
        self.shut(life)
        for socket in self.sockets:
            if socket.life is life:
                socket.break_off()
        for exchange in self._exchanges:
            if exchange.life is life:
                exchange.lose()
        self.sockets = [socket for socket in self.sockets if socket.open]
        self._exchanges = [exchange for exchange in self._exchanges if not exchange.answer.done()]

    def strand(self, life: Life) -> None:
        """Its clients lose it, and it hears nothing of that."""
        self.shut(life)
        for socket in self.sockets:
            if socket.life is life:
                socket.vanish()

    async def dial(self, device: Place, gateway: str, query: str, timeout: float) -> SimulatedSocket:
        """A socket of a device at a gateway. Raises ConnectionLost."""
        life = await self._reach(device, gateway, timeout)
        socket = SimulatedSocket(device, life, self._loop, self._paths)
        self.sockets.append(socket)
        socket.begin(query)
        return socket

    async def post(self, device: Place, gateway: str, token: str, request: Request[T], timeout: float) -> T:
        """Have a gateway do something for the owner of a token. Raises ConnectionLost, TimeoutError, and what the
        request raises."""
        async with asyncio.timeout(timeout):
            life = await self._reach(device, gateway, timeout)
            exchange = _Exchange(device, life, self._loop, self._paths)
            self._exchanges.append(exchange)
            life.place.spawn(exchange.run(token, request, timeout))
            result: T = await exchange.answer
            return result

    async def _reach(self, device: Place, gateway: str, timeout: float) -> Life:
        await asyncio.sleep(self._paths.latency())
        life = self._open.get(gateway)
        if life is None or self._paths.is_cut(device.name, gateway):
            raise ConnectionLost(f"cannot connect with {gateway}")
        if life.place.paused:
            await asyncio.sleep(timeout)
            raise ConnectionLost(f"{gateway} does not answer")
        return life


class _Exchange:
    """One request and its answer."""

    def __init__(self, device: Place, life: Life, loop: SimulationLoop, paths: Paths) -> None:
        self.life = life
        self.answer: Future[Any] = loop.create_future()
        self._device = device
        self._loop = loop
        self._paths = paths

    async def run(self, token: str, request: Request[object], timeout: float) -> None:
        """At the gateway."""
        try:
            with within(timeout):
                caller = await self.life.container.authenticator().authenticate(token)
                result = await request(self.life, caller)
        except Exception as error:
            self._give(lambda error=error: self.answer.set_exception(error))  # type: ignore[misc]
        else:
            self._give(lambda: self.answer.set_result(result))

    def lose(self) -> None:
        """The connection broke."""
        self._give(lambda: self.answer.set_exception(ConnectionLost()))

    def _give(self, settle: Callable[[], None]) -> None:
        def arrive() -> None:
            if not self.answer.done():
                settle()

        self._device.call_at(self._paths.arrival(self.life.name, self._device.name, 0.0), arrive)


class SimulatedSocket(FrameWriter):
    """One WebSocket. Its client has it as the SDK's `OpenSocket`, the gateway as ASGI and a frame writer."""

    def __init__(self, device: Place, life: Life, loop: SimulationLoop, paths: Paths) -> None:
        self.device = device
        self.life = life
        self.open = True
        """Whether anything passes."""
        self.swallows = False
        """Whether what the gateway writes is lost on the way, as a bad proxy would have it."""
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._loop = loop
        self._paths = paths
        self._up = self._down = 0.0
        self._inbox: deque[str] = deque()
        self._received: Future[None] | None = None
        self._ended = False  # the client knows
        self._frames: deque[dict[str, Any]] = deque([{"type": "websocket.connect"}])
        self._asked: Future[None] | None = None
        self._gone = False  # the gateway knows

    def begin(self, query: str) -> None:
        """Hand the connection to the gateway."""
        scope = {
            "type": "websocket", "path": "/wss/default.io", "query_string": query.encode(), "headers": [],
            "raw_path": b"", "extensions": {WRITER_EXTENSION: self},
        }  # fmt: skip
        self.life.place.spawn(self.life.container.ws_endpoint()(scope, self._receive, self._send))

    # The client's side.

    @property
    def transport(self) -> SimulatedSocket:
        """For `abort`."""
        return self

    def __aiter__(self) -> SimulatedSocket:
        return self

    async def __anext__(self) -> str:
        while not self._inbox:
            if self._ended:
                raise StopAsyncIteration
            self._received = self._loop.create_future()
            await self._received
        return self._inbox.popleft()

    async def send(self, message: str) -> None:
        """Raises ConnectionClosed."""
        if self._ended:
            raise ConnectionClosed(None, None)
        self._to_gateway({"type": "websocket.receive", "text": message})

    async def close(self) -> None:
        """Say good-bye."""
        if not self._ended:
            self._end(1000, "")
            self._to_gateway({"type": "websocket.disconnect", "code": 1000})

    def abort(self) -> None:
        """Cut it off."""
        self.break_off()

    def vanish(self) -> None:
        """The client is gone and nobody tells the gateway: its side stays open."""
        self.open = False
        self._end(ABNORMAL, "")

    def break_off(self) -> None:
        """The connection breaks, and both sides hear of it."""
        if self.open:
            self.open = False
            self.device.call_at(self._loop.time() + self._paths.latency(), self._end, ABNORMAL, "")
            gone = {"type": "websocket.disconnect", "code": ABNORMAL}
            self.life.place.call_at(self._loop.time() + self._paths.latency(), self._put, gone)

    def _to_gateway(self, frame: dict[str, Any]) -> None:
        if self.open:
            self._up = self._paths.arrival(self.device.name, self.life.name, self._up)
            self.life.place.call_at(self._up, self._arrived, frame)

    def _take(self, text: str) -> None:
        if not self._ended and self.open:
            self._inbox.append(text)
            _settle(self._received)

    def _end(self, code: int, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self.close_code, self.close_reason = code, reason
            _settle(self._received)

    def _closed_by_gateway(self, code: int, reason: str) -> None:
        self._end(code, reason)
        self._to_gateway({"type": "websocket.disconnect", "code": code})

    # The gateway's side.

    def write(self, payload: bytes) -> bool:
        if self._gone:
            return False
        self._to_client(self._take, payload.decode())
        return True

    def on_writable(self, resume: Callable[[], None]) -> None:
        """It always is, while there is a peer."""

    async def _receive(self) -> dict[str, Any]:
        while not self._frames:
            self._asked = self._loop.create_future()
            await self._asked
        return self._frames.popleft()

    async def _send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            self._to_client(self._take, message["text"])
        elif message["type"] == "websocket.close":
            self._to_client(self._closed_by_gateway, message["code"], message.get("reason", ""))

    def _to_client(self, receive: Callable[..., None], *message: object) -> None:
        if self.open and not self.swallows:
            self._down = self._paths.arrival(self.life.name, self.device.name, self._down)
            self.device.call_at(self._down, receive, *message)

    def _arrived(self, frame: dict[str, Any]) -> None:
        if self.open:
            self._put(frame)

    def _put(self, frame: dict[str, Any]) -> None:
        if not self._gone:
            if frame["type"] == "websocket.disconnect":
                self._gone, self.open = True, False
            self._frames.append(frame)
            _settle(self._asked)


def _settle(waiting: Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
