"""A process's links to others: the registry, the calls, who is picked. None of it in a monolith."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path

from xinyu.app.cluster.picking import RolePicker
from xinyu.app.settings import ConfigError, Settings
from xinyu.delivery.port import DelivererPort
from xinyu.discovery.registry import Registry
from xinyu.discovery.registry_memory import MemoryRegistry
from xinyu.discovery.registry_static import StaticRegistry
from xinyu.discovery.registry_zookeeper import ZooKeeperRegistry
from xinyu.discovery.types import Instance, State
from xinyu.discovery.watching import Watch
from xinyu.kernel.errors import XinyuError
from xinyu.presence.types import NodeRef
from xinyu.rpc.client import Dial, dial
from xinyu.rpc.handshake import Identity
from xinyu.rpc.pool import RpcClient, Target
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.stub import Transport, make_stub
from xinyu.rpc.transport_tcp import FixedPicker, TcpTransport
from xinyu.telemetry.metrics import Metrics

REMEMBERED_NODES = 256


class Links:
    """Starts and stops with the process. Instances that vanish from the registry while it is away stay known."""

    def __init__(
        self, settings: Settings, epoch: int, metrics: Metrics, registry: Registry | None = None, dial: Dial = dial
    ) -> None:
        """`registry` and `dial` are what the settings name and TCP, but for simulations."""
        self.settings = settings
        self.identity = identity_of(settings, epoch)
        self.registry = registry or make_registry(settings)
        self.client = RpcClient(settings.rpc, self.identity, tls_to_others(settings.rpc), dial)
        self._observe = metrics.remote_calls.observe
        self._pickers: dict[str, RolePicker] = {}
        self._watches: dict[str, Watch] = {}
        self._following: list[asyncio.Task[None]] = []
        self._deliverers: dict[NodeRef, DelivererPort] = {}

    async def start(self, roles: Iterable[str]) -> None:
        """Connect with the registry and follow these roles. Raises DiscoveryUnavailable, DiscoveryRefused."""
        await self.registry.start()
        for role in sorted({*roles, "gateway_ws"}):
            watch = self._watches[role] = await self.registry.watch(role)
            self.picker(role).update(watch.instances)
            self._following.append(asyncio.create_task(self._follow(role, watch), name=f"follow-{role}"))

    async def stop(self) -> None:
        """Withdraw and hang up. Idempotent."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        self._following.clear()
        await self.registry.close()
        await self.client.close()

    def missing(self) -> list[str]:
        """Roles that this process needs and nobody is known to host."""
        return [role for role, watch in self._watches.items() if role != "gateway_ws" and not _ready(watch)]

    def picker(self, role: str) -> RolePicker:
        """Who chooses among the instances of a role."""
        found = self._pickers.get(role)
        if found is None:
            found = self._pickers[role] = RolePicker(role, self.settings.discovery.zone, self.client.resting)
        return found

    def transport(self, role: str) -> Transport:
        """Calls to whoever hosts `role`."""
        return TcpTransport(self.client, self.picker(role), self._observe)

    def deliverer_at(self, at: NodeRef) -> DelivererPort:
        """The sockets of one node in one of its lives. A call to them raises NotSent when that life is over."""
        found = self._deliverers.get(at)
        if found is None:
            if len(self._deliverers) >= REMEMBERED_NODES:  # nodes come and go with the life of a cluster
                self._deliverers.clear()
            picker = FixedPicker(Target(at.address, at.node, at.epoch))
            found = make_stub(DelivererPort, TcpTransport(self.client, picker, self._observe))
            self._deliverers[at] = found
        return found

    def gateways(self) -> tuple[Instance, ...]:
        """The nodes that hold sessions, as far as the registry knows."""
        watch = self._watches.get("gateway_ws")
        return () if watch is None else watch.instances

    async def _follow(self, role: str, watch: Watch) -> None:
        async for instances in watch:
            self.picker(role).update(instances)


def _ready(watch: Watch) -> bool:
    return any(instance.state is State.READY for instance in watch.instances)


def make_registry(settings: Settings) -> Registry:
    """The registry that the settings name. Raises ConfigError."""
    discovery = settings.discovery
    try:
        if discovery.registry == "zookeeper":
            return ZooKeeperRegistry(discovery)
        return StaticRegistry(discovery.static) if discovery.registry == "static" else MemoryRegistry()
    except XinyuError as error:
        raise ConfigError(f"discovery.static: {error.message}") from error


def identity_of(settings: Settings, epoch: int) -> Identity:
    """Who this process is for others. Raises ConfigError."""
    try:
        return Identity(settings.node, epoch, settings.rpc.secret.encode())
    except ValueError as error:
        raise ConfigError(f"rpc.secret: {error}") from error


def tls_to_others(rpc: RpcSettings) -> ssl.SSLContext | None:
    """For calls to others, who must have a certificate of our authority. Raises ConfigError."""
    if not rpc.tls_cert_path:
        return None
    context = _context(ssl.PROTOCOL_TLS_CLIENT, rpc)
    context.check_hostname = False  # nodes are known by their proof of the secret and by the authority, not by names
    return context


def tls_from_others(rpc: RpcSettings) -> ssl.SSLContext | None:
    """For calls from others, who must have one too. Raises ConfigError."""
    if not rpc.tls_cert_path:
        return None
    context = _context(ssl.PROTOCOL_TLS_SERVER, rpc)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _context(protocol: int, rpc: RpcSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(Path(rpc.tls_ca_path))
        context.load_cert_chain(Path(rpc.tls_cert_path), Path(rpc.tls_key_path))
    except OSError as error:
        raise ConfigError(f"rpc.tls_cert_path, tls_key_path, tls_ca_path: {error}") from error
    return context
