"""Connections to other processes: made when first needed, shared by all stubs of a process, mended with pauses."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass

from xinyu.kernel.errors import DeadlineExceeded, Overloaded, Unavailable
from xinyu.rpc.breaker import Breaker, BreakerState, RetryBudget, pause
from xinyu.rpc.client import Connected, Dial, NotSent, dial
from xinyu.rpc.handshake import Identity
from xinyu.rpc.server import DRAINING
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.wire import Response
from xinyu.telemetry.readings import Reading

_POOLS_BEFORE_PRUNING = 64


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes."""

    address: str
    """"host:port"."""
    node: str = ""
    """Only this node will do; "" for whoever answers there."""
    epoch: int = 0
    """Only this life of the node will do; 0 for any."""


@dataclass(slots=True)
class ClientCounts:
    """What this process's callers have seen; read by `RpcClient.readings`."""

    calls: int = 0
    failures: int = 0
    retries: int = 0
    retries_refused: int = 0
    connects: int = 0
    connect_failures: int = 0
    breaks: int = 0
    refused: int = 0


class _Lane:
    """At most one connection, made by whoever needs it first while others wait for the same."""

    def __init__(self, owner: RpcClient, address: str) -> None:
        self._owner = owner
        self._address = address
        self._opening: asyncio.Task[Connected] | None = None
        self._failures = 0
        self._not_before = 0.0
        self.connection: Connected | None = None

    def usable(self) -> Connected | None:
        connection = self.connection
        return connection if connection is not None and connection.usable else None

    @property
    def busy(self) -> bool:
        return self._opening is not None or self.usable() is not None

    def resting(self, now: float) -> bool:
        return now < self._not_before and self.usable() is None

    async def connect(self, deadline: float) -> Connected:
        """Raises NotSent when it cannot be had, or was just tried in vain; DeadlineExceeded."""
        if self._opening is None:
            if self.resting(time.monotonic()):
                raise NotSent(f"{self._address} could not be reached a moment ago")
            self._opening = asyncio.create_task(self._open())
        try:
            async with asyncio.timeout(None if deadline == math.inf else deadline - time.monotonic()):
                return await asyncio.shield(self._opening)
        except TimeoutError as error:
            raise DeadlineExceeded() from error

    async def _open(self) -> Connected:
        owner, settings = self._owner, self._owner.settings
        try:
            self.connection = await owner.dial(self._address, settings, owner.identity, owner.tls)
        except NotSent:
            self._failures += 1
            owner.counts.connect_failures += 1
            rest = pause(self._failures, settings.reconnect_first_seconds, settings.reconnect_longest_seconds)
            self._not_before = time.monotonic() + rest
            raise
        else:
            self._failures = 0
            owner.counts.connects += 1
            return self.connection
        finally:
            self._opening = None

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self.connection is not None:
            self.connection.close()
            try:
                async with asyncio.timeout(1.0):
                    await self.connection.wait_closed()
            except TimeoutError:
                self.connection.abort("the process stops")


class Pool:
    """The connections to one address: some for ordinary calls, one for large ones, which would hold those up."""

    def __init__(self, owner: RpcClient, address: str) -> None:
        settings = owner.settings
        self._lanes = [_Lane(owner, address) for _ in range(settings.connections_per_target)]
        self._bulk = [_Lane(owner, address)]
        self._bulk_bytes = settings.bulk_bytes
        self.address = address
        self.breaker = Breaker(settings)

    @property
    def in_flight(self) -> int:
        """Calls that wait for an answer from there."""
        return sum(connection.in_flight for connection in self.connections())

    @property
    def unused(self) -> bool:
        """Whether there is no connection, nor any being made."""
        return not any(lane.busy for lane in (*self._lanes, *self._bulk))

    def connections(self) -> list[Connected]:
        """Those that are open."""
        return [connection for lane in (*self._lanes, *self._bulk) if (connection := lane.usable())]

    def resting(self, now: float) -> bool:
        """Whether a call to there would be refused at `now` without being sent."""
        return self.breaker.state(now) is BreakerState.OPEN or all(lane.resting(now) for lane in self._lanes)

    def ready(self, size: int) -> Connected | None:
        """The connection for a call of `size` bytes, if there is one. Raises NotSent while the target has its rest."""
        if not self.breaker.closed and not self.breaker.admits(time.monotonic()):
            raise NotSent(f"{self.address} has not answered lately and gets a rest")
        return self._lane(size).usable()

    async def connect(self, size: int, deadline: float) -> Connected:
        """The same, made when there is none. Raises NotSent, DeadlineExceeded."""
        return await self._lane(size).connect(deadline)

    def _lane(self, size: int) -> _Lane:
        lanes = self._lanes if size < self._bulk_bytes else self._bulk
        return lanes[0] if len(lanes) == 1 else min(lanes, key=_load)

    async def close(self) -> None:
        """End all connections; calls in flight fail."""
        for lane in (*self._lanes, *self._bulk):
            await lane.close()


def _load(lane: _Lane) -> int:
    return 0 if lane.connection is None else lane.connection.in_flight


class RpcClient:
    """All that one process has to do with calling others; its transports share it."""

    def __init__(
        self,
        settings: RpcSettings,
        identity: Identity | None,
        tls: ssl.SSLContext | None = None,
        dial: Dial = dial,
    ) -> None:
        """`identity` None is for the predecessor's servers, which prove nothing."""
        self.settings = settings
        self.identity = identity
        self.tls = tls
        self.dial = dial
        self.counts = ClientCounts()
        self.budget = RetryBudget(settings.retry_share, settings.retry_burst)
        self._pools: dict[str, Pool] = {}
        self._closed = False

    def in_flight(self, address: str) -> int:
        """Calls that wait for an answer from `address`: what balancing goes by."""
        pool = self._pools.get(address)
        return 0 if pool is None else pool.in_flight

    @property
    def calling(self) -> int:
        """Calls that wait for an answer, from anywhere."""
        return sum(pool.in_flight for pool in self._pools.values())

    def resting(self, address: str) -> bool:
        """Whether a call to `address` would be refused now without being sent: its breaker is open, or a connection
        was just tried in vain."""
        pool = self._pools.get(address)
        return pool is not None and pool.resting(time.monotonic())

    async def call(self, target: Target, command: int, trace_id: str, body: bytes, deadline: float) -> Response:
        """One attempt. An error of the service's is in the response.

        Raises NotSent when it did not run, Unavailable and DeadlineExceeded when it may have, Overloaded when too much
        waits for that target.
        """
        if self._closed:
            raise NotSent("this process is stopping")
        pool = self._pools.get(target.address) or self._add(target.address)
        connection = pool.ready(len(body)) or await pool.connect(len(body), deadline)
        if target.node or target.epoch:
            _check_who(target, connection)
        try:
            response = await connection.call(command, trace_id, body, deadline)
        except NotSent:
            raise
        except Overloaded:
            self.counts.refused += 1
            raise
        except (Unavailable, DeadlineExceeded):
            self.counts.failures += 1
            self._failed(pool)
            raise
        pool.breaker.succeeded()
        if response.result_str == DRAINING:
            raise NotSent(f"{target.address} is leaving")
        return response

    async def close(self) -> None:
        """End every connection. Calls in flight fail, later ones are refused. Idempotent."""
        self._closed = True
        for pool in self._pools.values():
            await pool.close()

    def readings(self) -> Iterable[Reading]:
        """What it counts, for metrics."""
        counts, pools, now = self.counts, self._pools.values(), time.monotonic()
        connections = sum(len(pool.connections()) for pool in pools)
        return [
            ("xinyu_rpc_client_calls_total", "Calls to other processes, each once.", counts.calls),
            ("xinyu_rpc_client_failures_total", "Attempts that were sent and not answered.", counts.failures),
            ("xinyu_rpc_client_retries_total", "Further attempts.", counts.retries),
            ("xinyu_rpc_client_retries_refused_total", "Further attempts not in the budget.", counts.retries_refused),
            ("xinyu_rpc_client_connects_total", "Connections made.", counts.connects),
            ("xinyu_rpc_client_connect_failures_total", "Connections not made.", counts.connect_failures),
            ("xinyu_rpc_client_breaks_total", "Rests given to targets that only failed.", counts.breaks),
            ("xinyu_rpc_client_refused_total", "Attempts not sent: too many calls or bytes waited.", counts.refused),
            ("xinyu_rpc_client_connections", "Connections to other processes.", connections),
            ("xinyu_rpc_client_in_flight", "Calls that wait for an answer.", self.calling),
            ("xinyu_rpc_client_resting", "Addresses that get no calls now.", sum(pool.resting(now) for pool in pools)),
        ]

    def _failed(self, pool: Pool) -> None:
        before = pool.breaker.opened_times
        pool.breaker.failed(time.monotonic())
        self.counts.breaks += pool.breaker.opened_times - before

    def _add(self, address: str) -> Pool:
        if len(self._pools) >= _POOLS_BEFORE_PRUNING:  # addresses come and go with the life of a cluster
            self._pools = {known: pool for known, pool in self._pools.items() if not pool.unused}
        pool = self._pools[address] = Pool(self, address)
        return pool


def _check_who(target: Target, connection: Connected) -> None:
    peer = connection.peer
    if peer is None or (target.node and peer.node != target.node) or (target.epoch and peer.epoch != target.epoch):
        found = "somebody" if peer is None else f"{peer.node} in epoch {peer.epoch}"
        raise NotSent(f"{target.address} is {found}, not {target.node} in epoch {target.epoch}")
