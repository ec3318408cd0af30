"""A stage of one's own to break: its processes and its engines, nobody else's."""

from __future__ import annotations

import http.client
import json
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from drills.net import Net
from drills.proxy import Address
from drills.sessions import end_session, sessions_of
from drills.shapes import Shape, as_shipped
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
    "gateway.handshakes_per_minute_per_ip=0",
    "user.logins_per_address=0",
    "user.argon2_time_cost=1",
    "user.argon2_memory_kib=8",
)
"""Everybody comes from one address, and nobody is to wait for passwords; sessions of a registry end soon."""


class Stage:
    """The processes of a stage, on free ports and on engines that were started for them.

    Clients come in by proxies, as through a balancer, and what the other processes call the first gateway with sockets
    for goes through another. So connections can be cut without the two ends knowing of it.
    """

    def __init__(self, name: str, folder: Path, say: Callable[[str], None]) -> None:
        self.name = name
        workplace = Workplace(name, folder / "cluster")
        engines = folder / "engines"
        self._cluster = Cluster(workplace, Nodes(workplace), Engines(workplace.root, engines), say)
        self._instances = {engine: Instance(server, engines) for engine, server in SERVERS.items()}
        self._workplace = workplace
        self._uses: tuple[str, ...] = ()
        self._net: Net | None = None
        self.shape: Shape = as_shipped
        """What it was started as."""

    def start(self, seed: str = "", shape: Shape = as_shipped) -> None:
        """Start everything. Raises ClusterError, EngineError, ConfigError."""
        plan = read_plan(self._workplace, CHANGES)
        self._uses = plan.engines
        self.shape = shape
        if self._net is None:
            self._net = Net(seed)
        behind = next(node for node, roles in plan.nodes.items() if "gateway_ws" in roles)
        # Before the cluster would: it stops only what it started itself, in the very life that it started.
        start_all([self._instances[name] for name in self._uses], keep=True)
        changes = (*CHANGES, *shape(plan.nodes), *self._net.put_before(f"processes.{behind}"))
        self._cluster.start(Wishes(free_ports=True, changes=changes, within=READY_SECONDS))
        self._net.gateways = [_host_and_port(address.ws) for address in self._addresses() if address.ws]

    def stop(self) -> None:
        """Stop everything, the engines too."""
        try:
            self._cluster.stop()
        finally:
            for name in self._uses:
                self._instances[name].stop(force=True)
            if self._net is not None:
                self._net.stop()
                self._net = None

    @property
    def is_whole(self) -> bool:
        """Whether every process takes work and no engine is gone."""
        statuses = self._cluster.statuses()
        engines = all(self._instances[name].state() is not None for name in self._uses)
        return bool(statuses) and all(status.ready for status in statuses) and engines

    # Where it answers.

    @property
    def http(self) -> str:
        """The REST address. Raises ClusterError."""
        return _first(address.http for address in self._addresses())

    def door(self, slow: bool = False) -> str:
        """Where clients open WebSockets, of any gateway; `slow`: those that `stall` concerns."""
        return f"ws://127.0.0.1:{self.net.door(slow)}/wss/default.io"

    @property
    def net(self) -> Net:
        """The proxies. Raises ClusterError before the start."""
        if self._net is None:
            raise ClusterError(f"stage {self.name} is not started")
        return self._net

    def _addresses(self) -> list[Addresses]:
        state = self._cluster.state()
        found = [self._cluster.nodes.addresses(node) for node in state.nodes] if state else []
        return [addresses for addresses in found if addresses is not None]

    def admin(self, action: str, **arguments: object) -> dict[str, Any]:
        """What the command line does over the admin port. Raises ClusterError."""
        admin = _first(address.admin for address in self._addresses())
        headers = {"Authorization": f"Bearer {self._workplace.secrets()['admin_secret']}"}
        result: dict[str, Any] = json.loads(_asked(admin, "POST", f"/admin/{action}", json.dumps(arguments), headers))
        return result

    def metric(self, name: str, role: str = "gateway_ws") -> int:
        """A metric of the processes that host a role and run, all together. Raises ClusterError."""
        alive = [status for status in self._cluster.statuses() if role in status.roles and status.pid]
        pages = [_asked(status.addresses.admin, "GET", "/metrics") for status in alive]
        found = [line.split()[-1] for page in pages for line in page.splitlines() if line.startswith(f"{name} ")]
        if not found:
            raise ClusterError(f"no process with {role} tells {name}")
        return sum(round(float(value)) for value in found)

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

    def process_state(self, pid: int) -> str:
        """The letter of proc(5): T for a stopped one."""
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

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

    def signal_engine(self, name: str, number: signal.Signals) -> EngineState:
        """Send a signal to an engine. Raises EngineError."""
        return self._instances[name].send_signal(number)

    def start_engine(self, name: str, before: EngineState) -> EngineState:
        """Start it where it was. Raises EngineError."""
        return self._instances[name].start_again(before)

    def sessions(self) -> dict[str, int]:
        """By process, the ZooKeeper session that it is registered in; empty while ZooKeeper is away."""
        state = self._instances["zookeeper"].state()
        try:
            return sessions_of(state.port) if state else {}
        except OSError:
            return {}

    def end_session(self, session: int) -> None:
        """End a ZooKeeper session. Raises ClusterError."""
        state = self._instances["zookeeper"].state()
        try:
            end_session(state.port if state else 0, session)
        except OSError as error:
            raise ClusterError(f"ZooKeeper does not end session {session:#x}: {error}") from error

    def ask_redis(self, command: str) -> str:
        """What Redis answers to one inline command. Raises ClusterError."""
        state = self._instances["redis"].state()
        if state is None:
            raise ClusterError("redis does not run")
        return ask(state.port, f"AUTH {state.secret}\r\n{command}\r\nQUIT\r\n".encode()).decode(errors="replace")

    @staticmethod
    def _await(true: Callable[[], bool], otherwise: str, within: float) -> None:
        if not came_true(true, within):
            raise ClusterError(f"{otherwise} within {within:g} s")


def came_true(true: Callable[[], bool], within: float) -> bool:
    """Wait until something is so; False where it is not in time."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _asked(address: str, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None) -> str:
    """What an admin port answers. Raises ClusterError."""
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    try:
        connection.request(method, path, body or None, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        content = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise ClusterError(f"{path} at {address}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ClusterError(f"{path} answered {answer.status}: {content}")
    return content


def _first(addresses: Iterable[str]) -> str:
    for address in filter(None, addresses):
        return address
    raise ClusterError("no process of the stage tells such an address")


def _host_and_port(url: str) -> Address:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0
