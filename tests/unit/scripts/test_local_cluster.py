"""`scripts/gateways_run.sh` starts, watches and stops its own processes, and touches no other."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from local_cluster import cluster as cluster_module
from local_cluster.cluster import Cluster, Wishes
from local_cluster.engines import Engines
from local_cluster.node import Nodes
from local_cluster.state import NodeState, State, read_state, write_state
from local_cluster.watch import Watcher, pause_before
from local_cluster.workplace import ClusterError, Workplace
from local_engines.process import identity
from testkit.waiting import eventually

# A node outlives the object that started it: that is its purpose, and what Popen warns of.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

SERVER = """
import os, signal, socket, sys
folder, name = sys.argv[1:3]
own = f"{folder}/nodes/{name}"
mode = open(f"{own}/mode").read() if os.path.exists(f"{own}/mode") else ""
with open(f"{folder}/pids", "a") as file:
    file.write(f"{os.getpid()} ")
if mode == "broken":
    sys.exit("no port for me")
with open(f"{folder}/settings", "a") as file:
    file.write(open(f"{folder}/shared.yaml").read())
def end(*_):
    with open(f"{folder}/ends", "a") as file:
        file.write(name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else end)
with socket.create_server(("127.0.0.1", 0)) as server:
    url = "http://127.0.0.1:%d" % server.getsockname()[1]
    with open(f"{own}/{name}.json.new", "w") as file:
        file.write('{"pid": %d, "admin": "%s", "http": "", "ws": "ws://here", "rpc": "here:1"}' % (os.getpid(), url))
    os.replace(f"{own}/{name}.json.new", f"{own}/{name}.json")
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            status = b"503" if mode == "slow" else b"200"
            connection.sendall(b"HTTP/1.1 %s x\\r\\nContent-Length: 0\\r\\n\\r\\n" % status)
"""
NODES = ["gateway_http_1", "gateway_ws_1", "gateway_ws_2", "presence_1", "services"]


def command(workplace: Workplace, node: str) -> Sequence[str]:
    """A process that does what is asked of a node, and nothing else."""
    return [sys.executable, "-I", "-S", "-c", SERVER, str(workplace.folder), node]


class Local:
    """Stage 2 with such processes, on engines that the environment names."""

    def __init__(self, root: Path) -> None:
        self.said: list[str] = []
        self.workplace = Workplace("2", root)
        self.nodes = Nodes(self.workplace, command)
        self.cluster = Cluster(self.workplace, self.nodes, Engines(root), self.said.append)

    def mode(self, node: str, mode: str) -> None:
        """How this node is from its next start on."""
        folder = self.workplace.node_folder(node)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mode").write_text(mode)

    @property
    def state(self) -> State:
        state = self.cluster.state()
        assert state is not None
        return state

    def node(self, name: str) -> NodeState:
        node = self.state.node(name)
        assert node is not None
        return node

    @property
    def pids(self) -> dict[str, int]:
        return {node.node: node.pid for node in self.state.nodes}

    async def kill(self, name: str) -> NodeState:
        """As a crash."""
        node = self.node(name)
        os.kill(node.pid, signal.SIGKILL)
        await eventually(lambda: not self.nodes.alive(node))
        return node


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    monkeypatch.setenv("XINYU_STORAGE__DSN", "mysql://me:hush@db/x")
    monkeypatch.setenv("XINYU_PRESENCE__REDIS_URL", "redis://somewhere")
    monkeypatch.setenv("XINYU_DISCOVERY__ZOOKEEPER_HOSTS", "somewhere:2181")
    monkeypatch.setattr(cluster_module, "migrate", lambda workplace: None)
    monkeypatch.setattr(cluster_module, "SPARE_SECONDS", 0.0)
    found = Local(tmp_path)
    yield found
    for node in (found.cluster.state() or State("2", ())).nodes:
        if found.nodes.alive(node):
            os.kill(node.pid, signal.SIGKILL)


def test_a_stage_is_started_once_and_stopped_from_its_clients_inwards(local: Local) -> None:
    assert local.cluster.start(Wishes())
    pids = local.pids
    assert list(pids) == NODES and all(pids.values())
    assert all(status.ready and status.addresses.ws == "ws://here" for status in local.cluster.statuses())
    assert not local.cluster.start(Wishes()), "it runs already"
    assert local.pids == pids

    assert local.cluster.stop()
    ends = (local.workplace.folder / "ends").read_text().split()
    assert sorted(ends[:3]) == ["gateway_http_1", "gateway_ws_1", "gateway_ws_2"]
    assert ends[3:] == ["services", "presence_1"]
    assert not any(identity(pid) for pid in pids.values())
    assert local.cluster.statuses() == [] and not local.cluster.stop()


def test_secrets_and_keys_are_made_once_and_for_the_owner_alone(local: Local) -> None:
    for _ in range(2):
        local.cluster.start(Wishes())
        local.cluster.stop()
    settings = (local.workplace.folder / "settings").read_text()
    texts = {text.strip() for text in settings.split("# Written")} - {""}
    assert len(texts) == 1, "every node of both lives has the same"
    for file in (local.workplace.shared, local.workplace.folder / "secrets.json"):
        assert file.stat().st_mode & 0o777 == 0o600
    assert (local.workplace.keys / "rsa_private.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("mode", "words"), [("broken", "no port for me"), ("slow", r"not ready after 1\.5 s: .*services")]
)
def test_what_cannot_start_says_why_and_leaves_nothing_behind(local: Local, mode: str, words: str) -> None:
    local.mode("services", mode)
    with pytest.raises(ClusterError, match=words) as error:
        local.cluster.start(Wishes(within=1.5 if mode == "slow" else 20))
    assert "log: " in str(error.value)
    assert local.cluster.state() is None
    pids = (local.workplace.folder / "pids").read_text().split()
    assert pids and not any(identity(int(pid)) for pid in pids)


def test_who_does_not_end_in_time_is_killed(local: Local) -> None:
    local.mode("gateway_ws_1", "deaf")
    local.cluster.start(Wishes(changes=("shutdown_seconds=0.3",)))
    deaf = local.node("gateway_ws_1")
    local.cluster.stop()
    assert not local.nodes.alive(deaf)
    assert any("gateway_ws_1" in line and "killed" in line for line in local.said)


def test_a_process_that_has_one_of_our_pids_now_is_left_alone(local: Local) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        found = identity(stranger.pid)
        assert found is not None
        former = NodeState("services", ("user",), stranger.pid, "another start")
        same_start = NodeState("presence_1", ("presence",), stranger.pid, found.started)
        local.nodes.signal(former, signal.SIGKILL)
        local.nodes.signal(same_start, signal.SIGKILL)  # a stranger by its command line
        local.workplace.make()
        write_state(local.workplace.state, State("2", (former,)))
        assert [(status.pid, status.ready) for status in local.cluster.statuses()] == [(0, False)]
        local.cluster.stop()
        assert stranger.poll() is None
        stranger.communicate(b"\n")


async def test_start_completes_what_runs_in_part(local: Local) -> None:
    local.cluster.start(Wishes())
    before = local.pids
    await local.kill("presence_1")
    assert local.cluster.start(Wishes())
    changed = {name for name, pid in local.pids.items() if pid != before[name]}
    assert changed == {"presence_1"}


def test_restart_of_one_node_leaves_the_others(local: Local) -> None:
    local.cluster.start(Wishes())
    before = local.pids
    local.cluster.restart(["gateway_ws_2"], 20)
    assert {name for name, pid in local.pids.items() if pid != before[name]} == {"gateway_ws_2"}
    with pytest.raises(ClusterError, match="no node gateway_ws_9; it has gateway_http_1"):
        local.cluster.restart(["gateway_ws_9"], 20)
    local.cluster.restart([], 20)
    assert not set(local.pids.values()) & set(before.values())


async def test_what_died_is_started_again_at_once_and_said_to_be_ready(local: Local) -> None:
    local.cluster.start(Wishes())
    now = [0.0]
    watcher = Watcher(local.cluster, local.said.append, lambda: now[0])
    dead = await local.kill("services")
    now[0] = dead.launched + 3600
    assert watcher.look()
    reborn = local.node("services")
    assert reborn.pid != dead.pid and local.nodes.alive(reborn)
    assert f"services (pid {dead.pid}) died and is started again" in "\n".join(local.said)
    await eventually(lambda: watcher.look() and f"services (pid {reborn.pid}) is ready again" in "\n".join(local.said))


async def test_who_dies_at_once_again_and_again_gets_longer_and_longer_pauses(local: Local) -> None:
    local.cluster.start(Wishes())
    now = [0.0]
    watcher = Watcher(local.cluster, local.said.append, lambda: now[0])
    for pause in (1.0, 2.0, 4.0):
        dead = await local.kill("services")
        now[0] = dead.launched + 0.1
        watcher.look()
        now[0] += pause - 0.01
        watcher.look()
        assert local.node("services") == dead, "not yet"
        now[0] += 0.02
        watcher.look()
        assert local.node("services") != dead
    assert pause_before(0) == 0 and pause_before(1) <= 4 and pause_before(50) == 30


async def test_a_watcher_keeps_out_of_others_work_and_ends_with_the_stage(local: Local) -> None:
    local.cluster.start(Wishes())
    watcher = Watcher(local.cluster, local.said.append)
    dead = await local.kill("services")
    with local.workplace.locked():
        assert watcher.look()
        assert local.node("services") == dead, "whoever has the lock may mean it to end"
    local.cluster.stop()
    assert not watcher.look()
    assert local.said[-1] == "stage 2 was stopped"


def test_a_damaged_state_is_none(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert read_state(file) is None
    for text in ("", "[]", "{}", '{"nodes": [{}]}'):
        file.write_text(text)
        assert read_state(file) is None
    state = State("4", (NodeState("a", ("user",), 5, "1", 2.0),), True, ("a=b",), 3.0)
    write_state(file, state)
    assert read_state(file) == state
