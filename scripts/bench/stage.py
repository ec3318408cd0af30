"""Stage 4 under test: all roles apart, as `scripts/gateways_run.sh` starts them, on engines of this run alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.process import NotReady, unpin
from bench.target import Operators, Target
from local_cluster.cluster import Cluster, Status, Wishes
from local_cluster.engines import Engines
from local_cluster.node import Nodes
from local_cluster.stage import leave_out_single_process_variables
from local_cluster.workplace import ClusterError, Workplace
from local_engines.instance import Instance
from local_engines.process import EngineError
from local_engines.servers import SERVERS

NAME = "stage 4"
READY_SECONDS = 90.0
CHANGES = (
    "gateway.requests_per_minute_per_user=100000000",
    "gateway.requests_per_minute_per_ip=100000000",
    "gateway.sends_per_second_per_user=1000000",
    "gateway.drain_seconds=0.5",
    "user.logins_per_address=0",
    "user.argon2_time_cost=1",
    "user.argon2_memory_kib=8",
)
"""What a benchmark changes, as for the monolith: cheap password hashes, limits that count but never bite."""


class StageServer:
    """Ten processes and three engines, everything of theirs below `folder`; pinned to no core."""

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


def target_of(statuses: Sequence[Status], engine_pids: Sequence[int], admin_secret: str) -> Target:
    """Where to measure: REST at its gateway, WebSockets at all of theirs. Raises NotReady when a process is missing."""
    missing = [status.node for status in statuses if not status.pid]
    if missing or not statuses:
        raise NotReady(f"{NAME}: these processes do not run: {', '.join(missing) or 'all'}")
    [rest, *_] = [status.addresses for status in statuses if "gateway_http" in status.roles]
    sockets = [status.addresses.ws for status in statuses if "gateway_ws" in status.roles]
    known: dict[str, Any] = {"engine_pids": tuple(engine_pids), "operators": Operators(rest.admin, admin_secret)}
    pids = tuple(status.pid for status in statuses)
    return Target(rest.http, sockets[0], pids, other_ws_urls=tuple(sockets[1:]), **known)
