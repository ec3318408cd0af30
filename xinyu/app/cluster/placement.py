"""Port → where it is served: in this process or, in a cluster, by another one.

A stub looks its target up when it is called, so services may be built in any order and hold stubs of one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from xinyu.app.cluster.links import Links
from xinyu.app.roles import ROLE_OF
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.port import Port
from xinyu.rpc.stub import Transport, make_stub
from xinyu.rpc.transport_local import LocalTransport
from xinyu.telemetry.metrics import Metrics

PortT = TypeVar("PortT", bound=Port)


class Placement:
    """The ports of one process."""

    def __init__(self, metrics: Metrics, links: Links | None) -> None:
        """Without `links` there are no other processes."""
        self._metrics = metrics
        self._links = links
        self._factories: dict[type[Port], Callable[[], Port]] = {}
        self._served: dict[type[Port], Port] = {}
        self._stubs: dict[type[Port], Port] = {}

    def serve(self, port: type[Port], factory: Callable[[], Port]) -> None:
        """Serve `port` here; `factory` makes the service, once, when it is first needed."""
        self._factories[port] = factory

    def local_ports(self) -> Iterable[type[Port]]:
        """What is served here."""
        return self._factories.keys()

    def service(self, port: type[Port]) -> Port:
        """The service itself. Raises Unavailable for a port that nobody serves here."""
        service = self._served.get(port)
        if service is None:
            factory = self._factories.get(port)
            if factory is None:
                raise Unavailable(f"no process serves {port.__name__}; see `xinyu roles`")
            service = self._served[port] = factory()
        return service

    def stub(self, port: type[PortT]) -> PortT:
        """What callers hold. A port that is served here is called here, whoever else serves it."""
        stub = self._stubs.get(port)
        if stub is None:
            stub = self._stubs[port] = make_stub(port, self._transport(port))
        assert isinstance(stub, port)
        return stub

    def _transport(self, port: type[Port]) -> Transport:
        if self._links is None or port in self._factories:
            return LocalTransport(lambda: self.service(port), self._metrics.calls.observe)
        return self._links.transport(ROLE_OF[port])
