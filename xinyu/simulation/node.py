"""One life of a process: the real container of its roles, on simulated links and engines.

What `app.supervisor` does besides, ports on the machine, signals, files, has no part in a simulation.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import cache
from typing import NamedTuple

from xinyu.app.cluster.links import Links
from xinyu.app.cluster.membership import roles_called_by
from xinyu.app.containers.container import Container
from xinyu.app.databases import Databases
from xinyu.app.lifecycle import Runs
from xinyu.app.roles import ROLES
from xinyu.app.settings import Settings
from xinyu.discovery.registry_memory import MemoryDirectory, MemoryRegistry
from xinyu.discovery.types import Instance, State
from xinyu.kernel.ids import NodeId
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.handshake import Peer
from xinyu.simulation.containers import Containers
from xinyu.simulation.world.database import Engine, SimulatedDatabase
from xinyu.simulation.world.loop import Place, SimulationLoop
from xinyu.simulation.world.memory import SharedMemory, SimulatedPresenceStore
from xinyu.simulation.world.network import Host, Network
from xinyu.storage.sql import Database

PORT = 9000
STEP_SECONDS = 3.0
"""What a step of leaving may take."""


class Surroundings(NamedTuple):
    """What all processes of a cluster share."""

    loop: SimulationLoop
    network: Network
    directory: MemoryDirectory
    engine: Engine
    memory: SharedMemory
    containers: Containers


class SimulatedDatabases(Databases):
    """The one database, for all roles."""

    def __init__(self, settings: Settings, database: Database) -> None:
        super().__init__(settings)
        self._database = database

    def of_role(self, role: str) -> Database:
        return self._database


@cache
def _called_by(roles: tuple[str, ...]) -> frozenset[str]:
    return frozenset(roles_called_by(roles))


class Life:
    """A process from its start to its end."""

    def __init__(self, settings: Settings, around: Surroundings, host: str = "") -> None:
        """`host` is the machine it runs on, its node's own one if none is named."""
        self.name = settings.node
        self.roles = settings.roles
        self.epoch = time.time_ns() // 1_000_000
        self.place = Place(around.loop, settings.node)
        self.host = host or settings.node
        self.address = f"{self.host}:{PORT}"
        self.ready = False
        self._around = around
        self.registry = MemoryRegistry(around.directory)
        self.container = self._make(settings)
        self._runs = Runs(self.container.clock())
        self._links = self.container.links()
        self._server: Host | None = None
        placement = self.container.placement()
        for role in self.roles:
            for port, name in ROLES[role].ports.items():
                placement.serve(port, getattr(self.container, name))

    def _make(self, settings: Settings) -> Container:
        around, container = self._around, self._around.containers.take(settings, self.epoch)
        dial = around.network.dialler(self.place)
        links = Links(settings, self.epoch, container.metrics(), self.registry, dial)
        container.address.override(self.address)
        container.links.override(links)
        container.databases.override(SimulatedDatabases(settings, SimulatedDatabase(around.engine)))
        container.presence_store.override(SimulatedPresenceStore(around.memory))
        container.password_vault.override(None)  # hashing takes threads, and nobody logs in
        return container

    async def start(self) -> None:
        """Up, in the order of the supervisor. To be run at its place."""
        links, placement = self._links, self.container.placement()
        assert links is not None
        await links.start(_called_by(self.roles))
        for role in self.roles:
            for name in ROLES[role].ports.values():
                getattr(self.container, name)()
            for name in ROLES[role].runs:
                self._runs.start(name, getattr(self.container, name)())
        dispatcher = Dispatcher()
        for port in placement.local_ports():
            dispatcher.add(port, placement.service(port))
        self._server = Host(self.place, Peer(self.name, self.epoch, False), dispatcher)
        self._around.network.listen(self.address, self._server)
        await self.registry.register(
            Instance(
                node=NodeId(self.name),
                epoch=self.epoch,
                host=self.host,
                port=PORT,
                roles=self.roles,
                state=State.READY,
                started_at=self.epoch,
            )
        )
        self.ready = True

    async def leave(self) -> None:
        """Down again, in the order of the supervisor. To be run at its place."""
        assert self._server is not None and self._links is not None
        self.ready = False
        await self.registry.set_state(State.DRAINING)
        if "gateway_ws" in self.roles:
            seconds = self.container.settings().gateway.drain_seconds
            async with _limit(seconds + STEP_SECONDS):
                await self.container.socket_housekeeping().drain(seconds)
        await self._drain_roles()
        self._server.leaving = True
        await self._drain_roles()
        await self._runs.stop()
        await self.registry.close()
        async with _limit(STEP_SECONDS):
            await self._links.stop()
        self._around.network.close(self.address, self.place)

    async def _drain_roles(self) -> None:
        for role in self.roles:
            for name in ROLES[role].drains:
                async with _limit(STEP_SECONDS):
                    await getattr(self.container, name)().drained()


@contextlib.asynccontextmanager
async def _limit(seconds: float):  # type: ignore[no-untyped-def]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            yield
