"""Real server processes for scenarios: a node is a process, a placement says which roles run in which node.

Stories are written against `Placement` alone, so that they can be told again of any shape of deployment.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from testkit.nursery import Forked, nursery

ROOT = Path(__file__).parents[2]
READY_SECONDS = 30.0
STOP_SECONDS = 30.0
PROGRAM = (sys.executable, "-m", "xinyu")

DRAIN_SECONDS = 1.0
MAX_JSON, MAX_FRAME = 20_000, 30_000
SHARD = 4096

ONE_DEVICE_PLATFORM = "tv"
"""Of no client but those of the stories about it."""
QUICK: dict[str, Any] = {
    "log": {"style": "json"},
    "presence": {"platforms": {ONE_DEVICE_PLATFORM: "one"}},
    "user": {
        "argon2_time_cost": 1,
        "argon2_memory_kib": 8,
        "logins_per_address": 0,
        "code_sends_per_address": 0,
    },
    "gateway": {
        "requests_per_minute_per_user": 0,
        "requests_per_minute_per_ip": 0,
        "handshakes_per_minute_per_ip": 0,
        "sends_per_second_per_user": 0,
        "socket_requests_per_second_per_user": 0,
        "cursor_flush_seconds": 1.0,
        "drain_seconds": DRAIN_SECONDS,
        "catch_up_limit": 5000,  # a page that was away for seconds of fast talk lacks more than the default
        "max_json_bytes": MAX_JSON,
        "max_frame_bytes": MAX_FRAME,
    },
    "media": {
        "shard_bytes": SHARD,
        "max_file_bytes": 100_000,
        "max_image_bytes": 50_000,
        "max_image_pixels": 250_000,
        "max_open_uploads": 3,
    },
}
"""What scenarios change of the shipped configuration: cheap passwords, no throttles, short waits, bounds within reach.
One set for all of them, so that they can share what is started."""


def environment() -> dict[str, str]:
    """A server's: without what the tests know of their engines."""
    return {name: value for name, value in os.environ.items() if not name.startswith("XINYU_TEST_")}


_GIVEN: set[int] = set()
WORKERS = 4
"""Parts of the ports' range: workers of one run never draw from each other's."""


def free_port() -> int:
    """A port of loopback that is free now and was not given before: a node takes its ports long after it drew them.
    Below the ephemeral ones: a client that redials a server which is down must not connect to itself, and no outgoing
    connection may take the port meanwhile."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    while True:
        port = random.randrange(15_000, 28_000, WORKERS) + worker
        if port in _GIVEN:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _GIVEN.add(port)
        return port


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Settings on top of settings, key by key."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


class Node:
    """One server process; it may be started again, on the same addresses and data."""

    def __init__(self, name: str, roles: tuple[str, ...], folder: Path, config: Path, settings: Mapping[str, Any]):
        """`roles` empty means all. `config` is a shipped file, `settings` go on top of it."""
        self.name = name
        self.roles = roles
        self.data_dir = folder / "data" if not roles else folder / name
        self.log_file = folder / f"{name}.log"
        self._config = config
        self._overlay = folder / f"{name}.yaml"
        addresses = {"node": name, "data_dir": str(self.data_dir), "admin_port": free_port()}
        self.rpc_port = free_port()
        ports = {"gateway": {"http_port": free_port(), "ws_port": free_port()}, "rpc": {"port": self.rpc_port}}
        self._overlay.write_text(yaml.safe_dump(merged(merged(addresses, ports), settings)))
        self._process: Forked | subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, Any] = {}

    def on(self, config: Path) -> Node:
        """The same node, of the same addresses and data, on another configuration; to be started when this one has
        stopped."""
        twin = copy.copy(self)
        twin._config = config
        twin._process = None
        return twin

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def rss_bytes(self) -> int:
        """Resident memory (Linux)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def start(self) -> float:
        """Start and wait until it is ready; the seconds that took."""
        begin = time.monotonic()
        self.launch()
        self.await_ready()
        return time.monotonic() - begin

    def launch(self) -> None:
        """Start, without waiting."""
        self._process = nursery().start(self._command, ROOT, environment(), self.log_file)

    def await_ready(self) -> None:
        """Wait until it takes work."""
        begin = time.monotonic()
        while not self._is_ready():
            assert self.running, f"{self.name} ended before it was ready:\n{self.log[-3000:]}"
            assert time.monotonic() - begin < READY_SECONDS, f"{self.name} is not ready:\n{self.log[-3000:]}"
            time.sleep(0.02)

    def start_twin(self) -> tuple[int, str]:
        """Try to start a second process on the same configuration: its exit code and what it said."""
        done = subprocess.run(
            [*PROGRAM, *self._command],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=READY_SECONDS,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    @property
    def config_arguments(self) -> list[str]:
        """Its configuration, for any command."""
        return ["--config", str(self._config), "--config", str(self._overlay)]

    @property
    def _command(self) -> list[str]:
        roles = ["--roles", ",".join(self.roles)] if self.roles else []
        return ["run", *self.config_arguments, *roles]

    def _is_ready(self) -> bool:
        try:
            told = json.loads((self.data_dir / f"{self.name}.json").read_text())
        except (OSError, ValueError):
            return False
        if told.get("pid") != self.pid:
            return False  # of the life before
        self.addresses = told
        try:
            with urllib.request.urlopen(f"{told['admin']}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        assert self._process is not None and self.running
        self._process.kill()
        self._process.wait(10)

    def signal_stop(self) -> None:
        """SIGTERM; returns at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait_stopped(self) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
            raise AssertionError(f"{self.name} did not stop within {STOP_SECONDS} s:\n{self.log[-3000:]}") from None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def complaints(self) -> list[str]:
        """Lines of the log that tell of a defect."""
        signs = (
            "Traceback",
            '"level":"error"',
            '"level": "error"',
            '"level":"critical"',
            "Task exception",
            "never awaited",
        )
        return [line for line in self.log.splitlines() if any(sign in line for sign in signs)]


class Placement:
    """A deployment: its nodes, and the addresses that clients know."""

    def __init__(
        self,
        nodes: Iterable[Node],
        folder: Path,
        admin_secret: str = "",
        keys: Path | None = None,
        shared: Mapping[str, Any] | None = None,
    ) -> None:
        """Without an `admin_secret` the process makes its own and gives verification codes in its answers."""
        self.nodes = {node.name: node for node in nodes}
        self.folder = folder
        self.shared = shared or {}
        """Settings of all nodes alike: engines, secrets, folders."""
        self._admin_secret = admin_secret
        self.keys = keys or next(iter(self.nodes.values())).data_dir / "secrets"
        """The folder of the RSA key pair."""
        self.forgiven: list[str] = []
        """Complaints in logs that hold one of these texts are what a story meant to bring about."""

    @property
    def http_urls(self) -> list[str]:
        return [str(node.addresses["http"]) for node in self.nodes.values() if node.addresses.get("http")]

    @property
    def ws_urls(self) -> list[str]:
        """Where clients open WebSockets."""
        return [f"{node.addresses['ws']}/wss/default.io" for node in self.nodes.values() if node.addresses.get("ws")]

    @property
    def http(self) -> str:
        return self.http_urls[0]

    @property
    def ws(self) -> str:
        return self.ws_urls[0]

    @property
    def admin_urls(self) -> dict[str, str]:
        return {name: str(node.addresses["admin"]) for name, node in self.nodes.items()}

    @property
    def admin_secret(self) -> str:
        """What the admin ports want to be shown."""
        if self._admin_secret:
            return self._admin_secret
        [folder, *_] = self.data_dirs.values()
        return (folder / "secrets" / "admin_secret").read_text().strip()

    @property
    def is_cluster(self) -> bool:
        """Whether several processes share the roles."""
        return len(self.nodes) > 1

    @property
    def tells_codes(self) -> bool:
        """Whether verification codes come back in answers; in a cluster they never do."""
        return not self._admin_secret

    @property
    def data_dirs(self) -> dict[str, Path]:
        return {name: node.data_dir for name, node in self.nodes.items()}

    @property
    def logs(self) -> dict[str, str]:
        return {name: node.log for name, node in self.nodes.items()}

    def metrics(self) -> list[tuple[str, float]]:
        """Every series of every node that runs, as it is written, and its value."""
        found: list[tuple[str, float]] = []
        for node in self.nodes.values():
            if node.running:
                with urllib.request.urlopen(f"{node.addresses['admin']}/metrics", timeout=5) as answer:
                    lines = answer.read().decode().splitlines()
                pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
                found += [(series, float(value)) for series, value in pairs]
        return found

    def remote_calls(self) -> Counter[str]:
        """Calls from one process to another so far, by method."""
        found: Counter[str] = Counter()
        for series, value in self.metrics():
            if series.startswith("xinyu_rpc_remote_call_seconds_count{"):
                found[series.split('method="')[1].split('"')[0]] += int(value)
        return found

    def hosts(self, name: str) -> list[Node]:
        """The nodes of this name, or that host this role."""
        if name in self.nodes:
            return [self.nodes[name]]
        found = [node for node in self.nodes.values() if not node.roles or name in node.roles]
        assert found, f"nobody hosts {name}"
        return found

    async def kill(self, name: str) -> None:
        """`kill -9` of a node, or of all that host a role."""
        for node in self.hosts(name):
            await asyncio.to_thread(node.kill)

    async def stop(self, *names: str) -> None:
        """SIGTERM to nodes, or to all that host a role, at once; each must end by itself, with exit code 0."""
        nodes = [node for name in names for node in self.hosts(name) if node.running]
        for node in nodes:
            node.signal_stop()
        for node in nodes:
            code = await asyncio.to_thread(node.wait_stopped)
            assert code == 0, f"{node.name} ended with {code}:\n{node.log[-3000:]}"

    async def start(self, *names: str) -> float:
        """Start what is not running of these nodes or roles; the seconds until the last was ready."""
        nodes = [node for name in names for node in self.hosts(name) if not node.running]
        begin = time.monotonic()
        for node in nodes:
            node.launch()
        await asyncio.to_thread(_await_ready, nodes)
        return time.monotonic() - begin

    async def restart(self, *names: str) -> None:
        """Stop and start nodes or roles; without names everything."""
        await self.stop(*(names or self.nodes))
        await self.start(*(names or self.nodes))

    def up(self) -> None:
        """Start all nodes, at once."""
        for node in self.nodes.values():
            node.launch()
        _await_ready(list(self.nodes.values()))

    def down(self) -> None:
        """Stop what runs; all exit codes must be 0 and no log may tell of a defect. Removes the data then."""
        running = [node for node in self.nodes.values() if node.running]
        for node in running:
            node.signal_stop()
        codes = {node.name: node.wait_stopped() for node in running}
        assert not any(codes.values()), f"exit codes {codes}"
        complaints = [
            f"{node.name}: {line}"
            for node in self.nodes.values()
            for line in node.complaints()
            if not any(text in line for text in self.forgiven)
        ]
        assert not complaints, "\n".join(complaints[:20])
        shutil.rmtree(self.folder, ignore_errors=True)


def _await_ready(nodes: Sequence[Node]) -> None:
    """Wait until all take work. Who waits for one that ended is not the one to blame."""
    try:
        for node in nodes:
            node.await_ready()
    except AssertionError as error:
        ended = "".join(f"{node.name} ended:\n{node.log[-3000:]}\n" for node in nodes if not node.running)
        raise AssertionError(f"{ended}{error}") from None


@contextmanager
def standing(placement: Placement) -> Iterator[Placement]:
    """Have it up inside the block. At the end it must stop cleanly and its logs must be clean; nothing is left."""
    try:
        placement.up()
        yield placement
        placement.down()
    finally:
        for node in placement.nodes.values():
            if node.running:
                node.kill()


def monolith(folder: Path, settings: Mapping[str, Any] | None = None) -> Placement:
    """One process with every role, on the shipped configuration made quick."""
    config = ROOT / "config" / "monolith.yaml"
    return Placement([Node("monolith", (), folder, config, merged(QUICK, settings or {}))], folder)
