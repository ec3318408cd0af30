"""What a cluster looks like from outside: what the registry shows, and what each process says of itself."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from xinyu.app.cluster.links import identity_of, make_registry, tls_to_others
from xinyu.app.cluster.picking import target_of
from xinyu.app.cluster.port import NodePort, NodeStatus
from xinyu.app.roles import ROLES
from xinyu.app.settings import ConfigError, Settings
from xinyu.discovery.types import Instance
from xinyu.kernel.errors import XinyuError
from xinyu.rpc.deadline import within
from xinyu.rpc.pool import RpcClient
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_tcp import FixedPicker, TcpTransport

ANSWER_SECONDS = 2.0


class Seen(NamedTuple):
    """A process: as the registry shows it, as it says it is, and why it said nothing."""

    instance: Instance
    status: NodeStatus | None
    trouble: str


async def survey(settings: Settings) -> list[Seen]:
    """Every process of the cluster, by name. Raises ConfigError, DiscoveryUnavailable, DiscoveryRefused."""
    if not settings.clustered:
        raise ConfigError("discovery.registry: memory shows nobody; name the configuration of a cluster")
    identity = identity_of(settings.model_copy(update={"node": "survey"}), time.time_ns() // 1_000_000)
    client = RpcClient(settings.rpc, identity, tls_to_others(settings.rpc))
    registry = make_registry(settings)
    await registry.start()
    try:
        nodes = {found.node: found for role in ROLES for found in await registry.list_instances(role)}
        return list(await asyncio.gather(*(_ask(client, nodes[node]) for node in sorted(nodes))))
    finally:
        await registry.close()
        await client.close()


async def _ask(client: RpcClient, instance: Instance) -> Seen:
    node = make_stub(NodePort, TcpTransport(client, FixedPicker(target_of(instance))))
    try:
        with within(ANSWER_SECONDS):
            return Seen(instance, await node.status(), "")
    except XinyuError as error:
        return Seen(instance, None, error.message)
