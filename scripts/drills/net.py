"""The proxies of a drill: two doors that clients come in by, and the link to one gateway."""

from __future__ import annotations

import random

from drills.proxy import Address, Mode, ProxyThread
from local_cluster.stage import free_port

LINGER_SECONDS = 2.0
"""How much later than its client a gateway hears of a connection's end, where it is to hear late."""


class Net:
    """Doors and link. Its methods may be called by any thread; they wait for at most some milliseconds."""

    def __init__(self, seed: str) -> None:
        self.gateways: list[Address] = []
        """Where the doors lead, each connection to any of them."""
        self._rpc = free_port(set())
        rng = random.Random(seed)
        self._thread = ProxyThread()
        self._door = self._thread.add(lambda: self.gateways, rng)
        self._lane = self._thread.add(lambda: self.gateways, rng)
        self._link = self._thread.add(lambda: [("127.0.0.1", self._rpc)], rng)

    def stop(self) -> None:
        """Close everything."""
        self._thread.stop()

    def door(self, slow: bool) -> int:
        """The port that clients connect to; `slow`: those that `stall` concerns."""
        return (self._lane if slow else self._door).port

    def put_before(self, process: str) -> tuple[str, ...]:
        """The changes of settings by which the others call this process through the link."""
        return (f"{process}.rpc.port={self._rpc}", f"{process}.discovery.advertise_port={self._link.port}")

    def drop(self, count: int | None = None, linger: float = 0.0) -> int:
        """Reset so many of the clients' connections, or all; their gateways hear of it `linger` seconds later. How many
        it were."""
        proxies = (self._door, self._lane)
        if count is None:
            return self._thread.call(lambda: sum(proxy.drop(proxy.connections, linger) for proxy in proxies))
        return self._thread.call(lambda: self._door.drop(count, linger) or self._lane.drop(count, linger))

    def stall(self, stalled: bool) -> None:
        """Let the slow ones read nothing, or go on."""
        self._thread.call(lambda: self._lane.set_mode(Mode.STALL if stalled else Mode.PASS))

    def cut(self, mode: Mode) -> None:
        """Treat what others call the gateway for so from now on."""
        self._thread.call(lambda: self._link.set_mode(mode))

    @property
    def lost(self) -> tuple[int, int]:
        """Bytes that the link has swallowed, and connections that it has refused or reset, so far."""
        return self._thread.call(lambda: (self._link.swallowed, self._link.refused))
