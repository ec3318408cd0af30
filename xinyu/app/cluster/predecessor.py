"""The predecessor's processes as part of this one's life: their gateways among the deliverers, a listener for them."""

from __future__ import annotations

import socket

from xinyu.app.cluster.placement import Placement
from xinyu.app.lifecycle import Runs
from xinyu.app.listeners import bound_socket
from xinyu.app.settings import Settings
from xinyu.delivery.nodes import Deliverers
from xinyu.delivery.port import DelivererPort
from xinyu.gateway.names import Names
from xinyu.gateway.predecessor.calling import Caller
from xinyu.gateway.predecessor.deliverer import PredecessorGateways
from xinyu.gateway.predecessor.listener import PredecessorListener
from xinyu.gateway.predecessor.places import is_theirs
from xinyu.gateway.predecessor.reporter import PresenceReporter
from xinyu.gateway.present.times import LocalTimes
from xinyu.presence.types import NodeRef
from xinyu.rpc.pool import RpcClient
from xinyu.telemetry.metrics import Metrics
from xinyu.telemetry.readings import Reading
from xinyu.user.port import ProfilePort


class MixedDeliverers(Deliverers):
    """Our nodes, and the predecessor's gateways by the address in their presence."""

    def __init__(self, ours: Deliverers, theirs: PredecessorGateways) -> None:
        self._ours = ours
        self._theirs = theirs

    def find(self, at: NodeRef) -> DelivererPort | None:
        return self._theirs.deliverer_at(at.address) if is_theirs(at) else self._ours.find(at)

    def all_nodes(self) -> list[DelivererPort]:
        return self._ours.all_nodes()  # the others take no orders to close

    def is_here(self, at: NodeRef) -> bool:
        return not is_theirs(at) and self._ours.is_here(at)


def caller_of(settings: Settings) -> Caller:
    """Calls to the predecessor's processes; no connection is made before the first."""
    return Caller(RpcClient(settings.rpc, identity=None), settings.predecessor.call_seconds)


def gateways_of(settings: Settings, placement: Placement, caller: Caller) -> PredecessorGateways:
    """The predecessor's gateways. Names are asked by a stub that no constructor shows: only who has switched the
    adapter on needs them (`shape.asked_for_names`)."""
    names = Names(placement.stub(ProfilePort), settings.gateway.name_cache_seconds)
    return PredecessorGateways(caller, names, LocalTimes(settings.gateway.timezone))


class Predecessor:
    """The listener, and the reports to the predecessor's presence service where there is one."""

    def __init__(self, settings: Settings, listener: PredecessorListener, reporter: PresenceReporter) -> None:
        self._settings = settings.predecessor
        self._listener = listener
        self._reporter = reporter
        self._socket: socket.socket | None = None

    @property
    def address(self) -> str:
        """What the predecessor's processes are told; "" before the start."""
        return self._listener.address

    def bind(self) -> None:
        """Take the port. Raises ConfigError."""
        self._socket = bound_socket("predecessor.port", self._settings.host, self._settings.port)

    async def start(self, runs: Runs, metrics: Metrics) -> None:
        """Answer, and report, from now on."""
        await self._listener.start(self._socket)
        metrics.add_source(self.readings)
        if self._settings.presence_address:
            runs.start("predecessor_reporter", self._reporter)

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [*self._listener.readings(), *self._reporter.readings()]

    async def stop(self, seconds: float) -> None:
        """Report that everybody has gone, finish what runs, end the connections. Idempotent."""
        if self._settings.presence_address:
            await self._reporter.leave()
        await self._listener.stop(seconds)
        if self._socket is not None:
            self._socket.close()
