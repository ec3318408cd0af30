"""What every role stands on: settings, clock, metrics, placement, databases."""

from __future__ import annotations

from typing import TypeVar

from dependency_injector import containers, providers

from xinyu.app.cluster.links import Links
from xinyu.app.cluster.placement import Placement
from xinyu.app.databases import Databases
from xinyu.app.settings import Settings
from xinyu.kernel.clock import SystemClock
from xinyu.kernel.ids import NodeId
from xinyu.kernel.port import Port
from xinyu.presence.types import NodeRef
from xinyu.storage.sql import Database
from xinyu.telemetry.metrics import Metrics

PortT = TypeVar("PortT", bound=Port)


def _database(databases: Databases, role: str) -> Database:
    return databases.of_role(role)


def _node_ref(settings: Settings, epoch: int, address: str) -> NodeRef:
    return NodeRef(NodeId(settings.node), epoch, address)


def _links(settings: Settings, epoch: int, metrics: Metrics) -> Links | None:
    return Links(settings, epoch, metrics) if settings.clustered else None


def _stub(placement: Placement, port: type[PortT]) -> PortT:
    return placement.stub(port)


class Infrastructure(containers.DeclarativeContainer):
    """`settings` and `epoch` are given by the supervisor, and `address` once the RPC listener has its port."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    epoch: providers.Dependency[int] = providers.Dependency(instance_of=int)
    address: providers.Provider[str] = providers.Object("")
    clock = providers.Singleton(SystemClock)
    metrics = providers.Singleton(Metrics)
    links: providers.Provider[Links | None] = providers.Singleton(_links, settings, epoch, metrics)
    placement = providers.Singleton(Placement, metrics, links)
    databases = providers.Singleton(Databases, settings)
    node_ref = providers.Singleton(_node_ref, settings, epoch, address)


def stub(port: type[PortT]) -> providers.Provider[PortT]:
    """What others hold of a port, wherever it is served."""
    return providers.Singleton(_stub, Infrastructure.placement, port)


def database_of(role: str) -> providers.Provider[Database]:
    """The database of a role."""
    return providers.Singleton(_database, Infrastructure.databases, role)
