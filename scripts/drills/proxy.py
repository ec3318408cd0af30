"""A TCP proxy that misbehaves on demand: it drops connections, swallows bytes, refuses, and stops reading.

The stage's clients connect through one, as through a balancer; another stands before one gateway's RPC address.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")
Address = tuple[str, int]
CHUNK = 65_536
PART_SECONDS = 2.0
CALL_SECONDS = 30.0


class Mode(Enum):
    """What happens to connections. SWALLOW: bytes vanish, ends of connections too, nobody notices. REFUSE: all are
    reset, new ones at once. STALL: nothing is read from the targets, as by a client that does not read its socket."""

    PASS = "pass"
    SWALLOW = "swallow"
    REFUSE = "refuse"
    STALL = "stall"


class _Pair:
    """A connection of a client and the one that was made for it."""

    def __init__(self, client: StreamWriter) -> None:
        self.client = client
        self.target: StreamWriter | None = None
        self.linger = 0.0
        """How long the target's side outlives the client's."""


class Proxy:
    """Listens on loopback; each connection goes to one of the targets at random, to the next where it answers not.

    Everything happens in the loop that started it.
    """

    def __init__(self, targets: Callable[[], Sequence[Address]], rng: random.Random) -> None:
        self._targets = targets
        self._rng = rng
        self._server: asyncio.Server | None = None
        self._pairs: dict[_Pair, asyncio.Task[None]] = {}
        self._mode = Mode.PASS
        self._changed = asyncio.Event()
        self.swallowed = 0
        """Bytes that vanished."""
        self.refused = 0
        """Connections that were reset: those that were open, and those that came."""

    async def start(self, port: int = 0) -> None:
        """Take a port. Raises OSError."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, limit=CHUNK)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "start first"
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._pairs.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many are open, those that linger among them."""
        return len(self._pairs)

    def set_mode(self, mode: Mode) -> None:
        """Treat connections so from now on. What was swallowed cannot be made up for: those connections are reset."""
        spoiled = self._mode is Mode.SWALLOW or mode is Mode.REFUSE
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()
        if spoiled and mode is not Mode.SWALLOW:
            self.refused += self.drop(len(self._pairs))

    def drop(self, count: int, linger: float = 0.0) -> int:
        """Reset the clients' sides of so many connections; the targets hear of it `linger` seconds later. How many
        there were."""
        open_ones = [pair for pair in self._pairs if not pair.client.transport.is_closing()]
        chosen = self._rng.sample(open_ones, min(count, len(open_ones)))
        for pair in chosen:
            pair.linger = linger
            pair.client.transport.abort()
        return len(chosen)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._mode is Mode.REFUSE:
            self.refused += 1
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None, "a server's callback runs in one"
        pair = _Pair(writer)
        self._pairs[pair] = task
        try:
            await self._serve(pair, reader)
        except (OSError, asyncio.CancelledError):
            pass  # a target that is gone, or the end of the proxy: asyncio would tell of a defect
        finally:
            del self._pairs[pair]
            for side in filter(None, (pair.client, pair.target)):
                side.transport.abort()

    async def _serve(self, pair: _Pair, reader: StreamReader) -> None:
        if self._mode is Mode.SWALLOW:
            await self._pump(reader, None)
            return
        found, target = await self._dial()
        pair.target = target
        pumps = [
            asyncio.create_task(self._pump(reader, target)),
            asyncio.create_task(self._pump(found, pair.client, stalls=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(pair.linger)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        for side in (pair.client, target):
            await _part(side)

    async def _dial(self) -> tuple[StreamReader, StreamWriter]:
        error = OSError("no targets")
        targets = list(self._targets())
        for host, port in self._rng.sample(targets, len(targets)):
            try:
                return await asyncio.open_connection(host, port, limit=CHUNK)
            except OSError as refused:
                error = refused
        raise error

    async def _pump(self, source: StreamReader, sink: StreamWriter | None, stalls: bool = False) -> None:
        """Until one of the two ends; where bytes vanish, an end does too."""
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                while stalls and self._mode is Mode.STALL:
                    await self._changed.wait()
                if sink is None or self._mode is Mode.SWALLOW:
                    self.swallowed += len(data)
                else:
                    sink.write(data)
                    await sink.drain()
        while self._mode is Mode.SWALLOW:
            await self._changed.wait()


async def _part(side: StreamWriter) -> None:
    """Let what was written go out, then close."""
    side.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PART_SECONDS):
            await side.wait_closed()


class ProxyThread:
    """A loop in a thread of its own, for proxies that outlive a drill and work while it waits. Its methods may be
    called by any other thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="drill-proxies", daemon=True)
        self._thread.start()
        self._proxies: list[Proxy] = []

    def add(self, targets: Callable[[], Sequence[Address]], rng: random.Random, port: int = 0) -> Proxy:
        """A proxy that has started. Raises OSError."""
        proxy = Proxy(targets, rng)
        self._run(proxy.start(port))
        self._proxies.append(proxy)
        return proxy

    def call(self, work: Callable[[], T]) -> T:
        """What `work` returns, done where the proxies are."""

        async def done() -> T:
            return work()

        return self._run(done())

    def stop(self) -> None:
        """Close all of them."""
        for proxy in self._proxies:
            self._run(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)
