"""Stage 4 under test: all roles apart, as `scripts/gateways_run.sh` starts them, on engines of this run alone."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.process import NotReady, unpin
from bench.seeding import deepen_mysql
from bench.target import Operators, Target
from local_cluster.cluster import Cluster, Status, Wishes
from local_cluster.engines import Engines
from local_cluster.node import Nodes
from local_cluster.stage import leave_out_single_process_variables
from local_cluster.state import NodeState
from local_cluster.workplace import ClusterError, Workplace
from local_engines.instance import Instance
from local_engines.process import EngineError
from local_engines.servers import SERVERS
from xinyu.app.settings import load_settings

NAME = "stage 4"
READY_SECONDS = 90.0
CHANGES = (
    "gateway.requests_per_minute_per_user=100000000",
    "gateway.requests_per_minute_per_ip=100000000",
    "gateway.handshakes_per_minute_per_ip=100000000",
    "gateway.sends_per_second_per_user=1000000",
    "gateway.drain_seconds=0.5",
    "group.max_members=2000",
    "group.max_users_per_request=1000",
    "user.logins_per_address=0",
    "user.argon2_time_cost=1",
    "user.argon2_memory_kib=8",
)
"""What a benchmark changes, as for the monolith: cheap password hashes, limits that count but never bite."""


class StageServer:
    """Ten processes and three engines, everything of theirs below `folder`; pinned to no core."""

    victims: tuple[str, ...] = ("message_1", "gateway_ws_1", "presence_1")
    twins: tuple[str, ...] = ("message_1", "gateway_ws_1")
    holders: tuple[str, ...] = ("gateway_ws_1", "gateway_ws_2")
    deepens = True

    def __init__(self, folder: Path) -> None:
        self._workplace = Workplace("4", folder / "cluster")
        self._instances = folder / "engines"
        engines = Engines(self._workplace.root, self._instances)
        self._cluster = Cluster(self._workplace, Nodes(self._workplace), engines, lambda text: None)

    async def start(self) -> Target:
        """Engines, tables, processes; returns when all take work. Raises NotReady."""
        leave_out_single_process_variables()
        unpin()
        try:
            await asyncio.to_thread(self._start)
        except (ClusterError, EngineError) as error:
            raise NotReady(f"{NAME}: {error}") from error
        return await self._target()

    async def _target(self) -> Target:
        statuses = await asyncio.to_thread(self._cluster.statuses)
        return target_of(statuses, self._engine_pids(), self._workplace.secrets()["admin_secret"])

    def _start(self) -> None:
        unpin()  # children have the cores of the thread that starts them
        self._cluster.start(Wishes(free_ports=True, changes=CHANGES, within=READY_SECONDS))

    def _engine_pids(self) -> tuple[int, ...]:
        states = [Instance(server, self._instances).state() for server in SERVERS.values()]
        return tuple(state.pid for state in states if state is not None)

    async def stop(self) -> None:
        """The processes, then their engines."""
        try:
            await asyncio.to_thread(self._cluster.stop)
        except (ClusterError, EngineError) as error:
            raise NotReady(f"{NAME}: {error}") from error

    async def kill(self, victim: str) -> None:
        """One of the processes."""
        node = self._node(victim)
        self._cluster.nodes.signal(node, signal.SIGKILL)
        while self._cluster.nodes.alive(node):
            await asyncio.sleep(0.01)

    async def start_again(self, victim: str) -> Target:
        """As `scripts/gateways_run.sh`'s watch does; returns when it takes work."""
        revived = await asyncio.to_thread(self._revived, victim)
        deadline = time.monotonic() + READY_SECONDS
        while not await asyncio.to_thread(self._cluster.nodes.ready, revived):
            if time.monotonic() > deadline:
                raise NotReady(f"{NAME}: {victim} was not ready after {READY_SECONDS:.0f} s")
            await asyncio.sleep(0.1)
        return await self._target()

    async def deepen(self, conversation_id: int, newest: int) -> Target:
        """In the database, while all runs."""
        settings = load_settings(self._workplace.configs)
        await asyncio.to_thread(deepen_mysql, settings.storage.dsn, conversation_id, newest)
        return await self._target()

    def _revived(self, victim: str) -> NodeState:
        unpin()
        revived = self._cluster.revive(self._node(victim))
        if revived is None:
            raise NotReady(f"{NAME}: {victim} could not be started again")
        return revived

    def _node(self, name: str) -> NodeState:
        state = self._cluster.state()
        node = state.node(name) if state is not None else None
        if node is None:
            raise NotReady(f"{NAME}: there is no {name}")
        return node


def target_of(statuses: Sequence[Status], engine_pids: Sequence[int], admin_secret: str) -> Target:
    """Where to measure: REST at its gateway, WebSockets at all of theirs. Raises NotReady when a process is missing."""
    missing = [status.node for status in statuses if not status.pid]
    if missing or not statuses:
        raise NotReady(f"{NAME}: these processes do not run: {', '.join(missing) or 'all'}")
    [rest, *_] = [status.addresses for status in statuses if "gateway_http" in status.roles]
    sockets = [status.addresses.ws for status in statuses if "gateway_ws" in status.roles]
    known: dict[str, Any] = {"engine_pids": tuple(engine_pids), "operators": Operators(rest.admin, admin_secret)}
    known["gateway_pids"] = tuple(status.pid for status in statuses if "gateway_ws" in status.roles)
    pids = tuple(status.pid for status in statuses)
    return Target(rest.http, sockets[0], pids, other_ws_urls=tuple(sockets[1:]), **known)
