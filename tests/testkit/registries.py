"""Instances and registries for tests of discovery."""

from __future__ import annotations

import secrets

import pytest

from xinyu.discovery.registry import Registry
from xinyu.discovery.registry_memory import MemoryDirectory, MemoryRegistry
from xinyu.discovery.registry_zookeeper import ZooKeeperRegistry
from xinyu.discovery.settings import DiscoverySettings
from xinyu.discovery.types import Instance, State
from xinyu.kernel.ids import NodeId

SESSION_SECONDS = 1.0
"""Of ZooKeeper sessions in tests; scripts/engines' server allows 0.4 to 4."""


def instance(
    node: str = "n1",
    epoch: int = 1,
    *roles: str,
    port: int = 9000,
    state: State = State.READY,
    weight: int = 100,
    zone: str = "",
) -> Instance:
    """An instance of node `node`, of role user unless others are named."""
    return Instance(
        node=NodeId(node),
        epoch=epoch,
        host="10.0.0.1",
        port=port,
        roles=roles or ("user",),
        state=state,
        weight=weight,
        zone=zone,
        version="1.2.3",
        started_at=1_700_000_000_000,
    )


class Nodes:
    """Registries of several nodes that share one directory; all closed at the end."""

    def __init__(self, hosts: str = "", session_seconds: float = SESSION_SECONDS) -> None:
        self._directory = MemoryDirectory()
        self.opened: list[Registry] = []
        self.settings = DiscoverySettings.model_validate(
            {
                "registry": "zookeeper" if hosts else "memory",
                "zookeeper_hosts": hosts,
                "root": f"/t{secrets.token_hex(6)}/services",
                "session_seconds": session_seconds,
            }
        )

    async def open(self) -> Registry:
        """A started registry of another process."""
        registry = MemoryRegistry(self._directory) if self.settings.registry == "memory" else self.zookeeper()
        self.opened.append(registry)
        await registry.start()
        return registry

    async def open_zookeeper(self) -> ZooKeeperRegistry:
        """The same, known to be one on ZooKeeper."""
        registry = await self.open()
        assert isinstance(registry, ZooKeeperRegistry)
        return registry

    def zookeeper(self) -> ZooKeeperRegistry:
        """One that is not started, nor closed."""
        return ZooKeeperRegistry(self.settings)

    async def close(self) -> None:
        """Close all."""
        for registry in self.opened:
            await registry.close()


def nodes_of(request: pytest.FixtureRequest) -> Nodes:
    """Nodes over the adapter that a fixture's parameter names."""
    return Nodes(request.getfixturevalue("zookeeper_hosts") if request.param == "zookeeper" else "")
