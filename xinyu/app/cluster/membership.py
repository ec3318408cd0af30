"""A process as a member of its cluster: where it listens for others, what it shows of itself, how it leaves."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import xinyu
from xinyu.app.cluster.links import Links, tls_from_others
from xinyu.app.cluster.node import NodeService
from xinyu.app.cluster.placement import Placement
from xinyu.app.cluster.port import NodePort
from xinyu.app.listeners import bound_socket
from xinyu.app.roles import ROLE_OF
from xinyu.app.shape import asked_for_names, needs_of
from xinyu.discovery.types import Instance, State
from xinyu.kernel.ids import NodeId
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.server import RpcServer
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import Reading

log = get_logger(__name__)


class Membership:
    """One process's side of the cluster: the RPC listener and the registration. In the order of its methods."""

    def __init__(self, links: Links, roles: tuple[str, ...]) -> None:
        self.links = links
        self._roles = roles
        self._settings = links.settings
        self._socket: socket.socket | None = None
        self._server: RpcServer | None = None
        self._tls = tls_from_others(links.settings.rpc)

    def bind(self) -> str:
        """Take the port for other processes; the address that they call. Raises ConfigError."""
        rpc = self._settings.rpc
        self._socket = bound_socket("rpc.port", rpc.host, rpc.port)
        return self.address

    @property
    def address(self) -> str:
        """Where others call this process."""
        host, port = self._host_and_port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def _host_and_port(self) -> tuple[str, int]:
        assert self._socket is not None, "bind first"
        shown = self._settings.discovery
        host, port = self._settings.rpc.host, self._socket.getsockname()[1]
        return shown.advertise_host or host, shown.advertise_port or port

    async def connect(self) -> None:
        """Follow in the registry whom this process's roles call. Raises DiscoveryUnavailable, DiscoveryRefused."""
        await self.links.start(roles_called_by(self._roles) | asked_for_names(self._settings, self._roles))

    async def serve(self, placement: Placement, node: NodeService) -> None:
        """Answer calls from now on."""
        dispatcher = Dispatcher()
        dispatcher.add(NodePort, node)
        for port in placement.local_ports():
            dispatcher.add(port, placement.service(port))
        self._server = RpcServer(dispatcher, self._settings.rpc, self.links.identity, self._tls)
        await self._server.start(sock=self._socket)

    async def register(self) -> None:
        """Show this process to the others. Raises NodeNameTaken, BadInstance, DiscoveryUnavailable."""
        discovery, (host, port) = self._settings.discovery, self._host_and_port
        epoch = self.links.identity.epoch
        instance = Instance(
            node=NodeId(self._settings.node),
            epoch=epoch,
            host=host,
            port=port,
            roles=self._roles,
            state=State.READY,
            weight=discovery.weight,
            zone=discovery.zone,
            tags=tuple(discovery.tags),
            version=xinyu.__version__,
            started_at=epoch,
        )
        await self.links.registry.register(instance)

    async def leave(self) -> None:
        """Ask for no new calls; what is under way goes on."""
        await self.links.registry.set_state(State.DRAINING)

    async def drain(self, seconds: float) -> None:
        """Take no calls any more and finish those that run, within `seconds`."""
        if self._server is not None and not await self._server.drain(seconds):
            log.warning("calls of other processes are called off", count=self._server.counts.in_flight)

    async def stop(self) -> None:
        """Withdraw, hang up, give the port back. Idempotent."""
        await self.links.stop()
        if self._server is not None:
            await self._server.close()
        if self._socket is not None:
            self._socket.close()

    @property
    def serving(self) -> int:
        """Calls that run for other processes, besides the one that asks this."""
        return 0 if self._server is None else max(0, self._server.counts.in_flight - 1)

    def readings(self) -> Iterable[Reading]:
        """For metrics."""
        yield from self.links.client.readings()
        if self._server is not None:
            yield from self._server.readings()


def roles_called_by(roles: Iterable[str]) -> set[str]:
    """The roles of other processes whose ports these roles call."""
    hosted = set(roles)
    return {ROLE_OF[port] for role in hosted for port in needs_of(role)} - hosted
