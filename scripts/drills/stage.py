"""A stage of one's own to break: its processes and its engines, nobody else's."""

from __future__ import annotations

import http.client
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local_cluster.cluster import Cluster, Wishes
from local_cluster.engines import Engines
from local_cluster.node import Addresses, Nodes
from local_cluster.stage import read_plan
from local_cluster.state import NodeState
from local_cluster.workplace import ClusterError, Workplace
from local_engines.cli import start_all
from local_engines.instance import Instance
from local_engines.instance import State as EngineState
from local_engines.process import ask
from local_engines.servers import SERVERS

READY_SECONDS = 60.0
SESSION_SECONDS = 4.0
CHANGES = (
    f"discovery.session_seconds={SESSION_SECONDS:g}",
    "gateway.drain_seconds=1",
    "gateway.catch_up_limit=5000",
    "gateway.requests_per_minute_per_user=0",
    "gateway.requests_per_minute_per_ip=0",
    "user.logins_per_address=0",
    "user.argon2_time_cost=1",
    "user.argon2_memory_kib=8",
)
"""Everybody comes from one address, and nobody is to wait for passwords; sessions of a registry end soon."""


class Stage:
    """The processes of a stage, on free ports and on engines that were started for them."""

    def __init__(self, name: str, folder: Path, say: Callable[[str], None]) -> None:
        self.name = name
        workplace = Workplace(name, folder / "cluster")
        engines = folder / "engines"
        self._cluster = Cluster(workplace, Nodes(workplace), Engines(workplace.root, engines), say)
        self._instances = {engine: Instance(server, engines) for engine, server in SERVERS.items()}
        self._workplace = workplace
        self._uses: tuple[str, ...] = ()

    def start(self) -> None:
        """Start everything. Raises ClusterError, EngineError, ConfigError."""
        self._uses = read_plan(self._workplace, CHANGES).engines
        # Before the cluster would: it stops only what it started itself, in the very life that it started.
        start_all([self._instances[name] for name in self._uses], keep=True)
        self._cluster.start(Wishes(free_ports=True, changes=CHANGES, within=READY_SECONDS))

    def stop(self) -> None:
        """Stop everything, the engines too."""
        try:
            self._cluster.stop()
        finally:
            for name in self._uses:
                self._instances[name].stop(force=True)

    # Where it answers.

    @property
    def http(self) -> str:
        """The REST address."""
        return next(address.http for address in self._addresses() if address.http)

    @property
    def sockets(self) -> list[str]:
        """Where clients open WebSockets."""
        return [f"{address.ws}/wss/default.io" for address in self._addresses() if address.ws]

    def _addresses(self) -> list[Addresses]:
        return [status.addresses for status in self._cluster.statuses()]

    def admin(self, action: str, **arguments: object) -> dict[str, Any]:
        """What the command line does over the admin port. Raises ClusterError."""
        admin = urlsplit(next(address.admin for address in self._addresses() if address.admin))
        connection = http.client.HTTPConnection(admin.hostname or "", admin.port, timeout=30)
        try:
            secret = self._workplace.secrets()["admin_secret"]
            headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
            connection.request("POST", f"/admin/{action}", json.dumps(arguments), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ClusterError(f"{action} answered {answer.status}: {content.decode(errors='replace')}")
        result: dict[str, Any] = json.loads(content)
        return result

    # What is broken.

    def host(self, role: str) -> NodeState:
        """The first process that hosts a role. Raises ClusterError."""
        state = self._cluster.state()
        found = [node for node in state.nodes if role in node.roles] if state else []
        if not found:
            raise ClusterError(f"nobody hosts {role} in stage {self.name}")
        return found[0]

    def signal(self, node: NodeState, number: signal.Signals) -> None:
        """Send a signal to a process of the stage."""
        self._cluster.nodes.signal(node, number)

    def process_state(self, node: NodeState) -> str:
        """The letter of proc(5): T for a stopped one."""
        return Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def await_end(self, node: NodeState, within: float) -> None:
        """Until the process is gone. Raises ClusterError."""
        self._await(lambda: not self._cluster.nodes.alive(node), f"{node.node} does not end", within)

    def revive(self, dead: NodeState) -> NodeState:
        """Start an ended process again and wait until it takes work. Raises ClusterError."""
        node = self._cluster.revive(dead)
        if node is None:
            raise ClusterError(f"{dead.node} was started by somebody else")
        self._await(lambda: self._cluster.nodes.ready(node), f"{node.node} is not ready again", READY_SECONDS)
        return node

    def crash_engine(self, name: str) -> EngineState:
        """Kill an engine. Raises EngineError."""
        return self._instances[name].crash()

    def start_engine(self, name: str, before: EngineState) -> EngineState:
        """Start it where it was. Raises EngineError."""
        return self._instances[name].start_again(before)

    def ask_redis(self, command: str) -> str:
        """What Redis answers to one inline command. Raises ClusterError."""
        state = self._instances["redis"].state()
        if state is None:
            raise ClusterError("redis does not run")
        return ask(state.port, f"AUTH {state.secret}\r\n{command}\r\nQUIT\r\n".encode()).decode(errors="replace")

    @staticmethod
    def _await(true: Callable[[], bool], otherwise: str, within: float) -> None:
        deadline = time.monotonic() + within
        while not true():
            if time.monotonic() > deadline:
                raise ClusterError(f"{otherwise} within {within:g} s")
            time.sleep(0.02)
