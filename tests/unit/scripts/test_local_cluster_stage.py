"""What `scripts/gateways_run.sh` reads of a stage, writes for its nodes, and prints."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_cluster import report, stage
from local_cluster.cli import ENDINGS, main
from local_cluster.cluster import Status
from local_cluster.engines import Engines
from local_cluster.node import Addresses, run_command
from local_cluster.stage import parsed_changes, read_plan, write_configuration
from local_cluster.state import NodeState, in_turns
from local_cluster.workplace import ClusterError, Workplace, stages_in
from local_engines.instance import Instance
from local_engines.process import EngineError
from testkit.echo_engine import Echo
from xinyu.app.settings import ConfigError, Settings, load_settings
from xinyu.app.shape import check_shape
from xinyu.storage.accounts import Address

pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

ENGINES = {"mysql": "mysql://x:y@db/xinyu_4", "redis": "redis://:z@r", "zookeeper": "zk:1"}
WANTED = {"0": ("zookeeper",), **dict.fromkeys(("1", "2", "2-joined", "3", "4"), ("mysql", "redis", "zookeeper"))}


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of this shell do not count, and a command's answers to signals are not the tests'."""
    for name in [name for name in os.environ if name.startswith("XINYU_")]:
        monkeypatch.delenv(name)
    before = {number: signal.getsignal(number) for number in ENDINGS}
    yield
    for number, answer in before.items():
        signal.signal(number, answer)


@pytest.mark.parametrize("name", stage.stage_names())
def test_every_stage_tells_its_nodes_and_the_engines_that_nobody_names(name: str, tmp_path: Path) -> None:
    plan = read_plan(Workplace(name, tmp_path))
    assert plan.engines == WANTED[name]
    sockets = [node for node, roles in plan.nodes.items() if "gateway_ws" in roles]
    assert len(sockets) == (1 if name == "0" else 2)


def test_what_the_environment_names_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINYU_STORAGE__DSN", "mysql://me@db/x")
    monkeypatch.setenv("XINYU_DISCOVERY__ZOOKEEPER_HOSTS", "zk:2181")
    assert read_plan(Workplace("4", tmp_path)).engines == ("redis",)
    assert read_plan(Workplace("4", tmp_path), ["presence.redis_url=redis://r"]).engines == ()
    assert read_plan(Workplace("0", tmp_path)).engines == ()


def configured(workplace: Workplace, free_ports: bool = False, changes: tuple[str, ...] = ()) -> dict[str, Settings]:
    """The settings of every node, as it will read them."""
    plan = read_plan(workplace, changes)
    write_configuration(workplace, plan, ENGINES, free_ports, changes)
    return {node: load_settings(workplace.configs, {"node": node}) for node in plan.nodes}


def test_the_written_configuration_is_one_that_works_for_every_node(tmp_path: Path) -> None:
    nodes = configured(Workplace("4", tmp_path))
    for node, settings in nodes.items():
        check_shape(settings)
        assert settings.data_dir == tmp_path / "4" / "nodes" / node
        assert settings.storage.dsn == ENGINES["mysql"] and settings.presence.redis_url == ENGINES["redis"]
        accounts = [Address.of(dsn) for dsn in settings.storage.dsn_by_role.values()]
        assert len({(each.user, each.password) for each in accounts if each}) == len(accounts) > 1
    assert len({settings.rpc.secret for settings in nodes.values()}) == 1
    assert nodes["gateway_ws_2"].gateway.ws_port == 8082 and nodes["gateway_ws_2"].rpc.port == 8061
    assert nodes["user_1"].rpc.secret != nodes["user_1"].auth.jwt_secret


def test_two_stages_on_the_same_engines_do_not_meet(tmp_path: Path) -> None:
    places = [Workplace("4", tmp_path), Workplace("4", tmp_path / "other"), Workplace("2-joined", tmp_path)]
    settings = [next(iter(configured(place).values())) for place in places]
    assert len({each.discovery.root for each in settings}) == 3
    assert len({each.presence.redis_prefix for each in settings}) == 3
    assert Workplace("2-joined").label == "2_joined"


def test_free_ports_are_all_different_and_given_to_who_listens(tmp_path: Path) -> None:
    nodes = configured(Workplace("4", tmp_path), free_ports=True)
    ports = [settings.rpc.port for settings in nodes.values()]
    ports += [nodes["gateway_http_1"].gateway.http_port, nodes["gateway_ws_1"].gateway.ws_port]
    assert len(set(ports)) == len(ports) == 12
    assert min(ports) > 1024 and 8060 not in ports


def test_changes_lie_above_the_stage_and_its_nodes(tmp_path: Path) -> None:
    changes = ("gateway.drain_seconds=0.5", "log.style=console", "rpc.secret=" + "s" * 40)
    nodes = configured(Workplace("2", tmp_path), changes=changes)
    for settings in nodes.values():
        assert settings.gateway.drain_seconds == 0.5 and settings.log.style == "console"
        assert settings.rpc.secret == "s" * 40


def test_a_change_may_be_for_one_process(tmp_path: Path) -> None:
    changes = ("processes.gateway_ws_1.rpc.port=15001", "processes.gateway_ws_1.discovery.advertise_port=15002")
    nodes = configured(Workplace("4", tmp_path), free_ports=True, changes=changes)
    changed, other = nodes["gateway_ws_1"], nodes["gateway_ws_2"]
    assert (changed.rpc.port, changed.discovery.advertise_port) == (15001, 15002)
    assert changed.data_dir == tmp_path / "4" / "nodes" / "gateway_ws_1" and changed.gateway.ws_port != 8081
    assert other.discovery.advertise_port == 0 and other.rpc.port not in (15001, 8061)


def test_a_change_may_add_a_process_by_its_roles(tmp_path: Path) -> None:
    changes = ("delivery.queue=redis", "processes.message_1.roles=[message]", "processes.delivery_1.roles=[delivery]")
    nodes = configured(Workplace("4", tmp_path), True, (*changes, "processes.nobody.log.level=debug"))
    assert set(nodes) >= {"message_1", "delivery_1"} and "nobody" not in nodes
    assert nodes["message_1"].roles == ("message",) and nodes["delivery_1"].roles == ("delivery",)
    assert nodes["delivery_1"].data_dir == tmp_path / "4" / "nodes" / "delivery_1"
    assert len({settings.rpc.port for settings in nodes.values()}) == len(nodes) == 11


@pytest.mark.parametrize("change", ["novalue", "=3", "a.b=[", ""])
def test_a_change_that_is_none_is_refused(change: str) -> None:
    with pytest.raises(ClusterError, match="--set"):
        parsed_changes([change])


def test_a_change_of_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gateway\.colour"):
        read_plan(Workplace("4", tmp_path), ["gateway.colour=red"])


def test_variables_for_one_process_reach_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XINYU_NODE", "XINYU_RPC__PORT", "XINYU_DATA_DIR", "XINYU_TEST_MYSQL_DSN", "XINYU_LOG__LEVEL"):
        monkeypatch.setenv(name, "x")
    stage.leave_out_single_process_variables()
    assert [name for name in os.environ if name.startswith("XINYU_")] == ["XINYU_LOG__LEVEL"]


def test_a_node_is_known_again_by_its_command_line(tmp_path: Path) -> None:
    place = Workplace("4", tmp_path)
    line = run_command(place, "user_1")
    assert line[1:4] == ["-m", "xinyu", "run"] and line[-2:] == ["--node", "user_1"]
    assert str(place.folder) in " ".join(line)
    assert not any("secret" in word for word in line)


def test_the_order_of_a_stop() -> None:
    roles = {"p": ("presence",), "s": ("user", "group"), "j": ("gateway_ws", "presence"), "h": ("gateway_http",)}
    groups = in_turns(NodeState(name, each) for name, each in roles.items())
    assert [[node.node for node in group] for group in groups] == [["h"], ["j"], ["s"], ["p"]]


STATUSES = [
    Status("ws", ("gateway_ws",), 12, Addresses("http://a", "", "ws://127.0.0.1:8081", "127.0.0.1:8060"), True),
    Status("http", ("gateway_http",), 13, Addresses("http://a", "http://127.0.0.1:8080"), True),
    Status("user", ("user",), 0, Addresses(), False),
]


def test_the_status_as_json_has_these_fields_and_null_for_what_is_not_there() -> None:
    first, _, last = json.loads(report.as_json(STATUSES))
    assert first == {
        "node": "ws",
        "roles": ["gateway_ws"],
        "pid": 12,
        "http": None,
        "ws": "ws://127.0.0.1:8081",
        "rpc": "127.0.0.1:8060",
        "ready": True,
    }
    assert last == dict.fromkeys(("pid", "http", "ws", "rpc")) | {"node": "user", "roles": ["user"], "ready": False}


def test_the_table_and_the_advice_name_the_addresses() -> None:
    table = report.as_table(STATUSES).splitlines()
    assert table[0].split() == list(report.HEAD)
    assert table[3].split() == ["user", "user", "-", "-", "-", "-", "not", "running"]
    advice = report.advice(Workplace("4"), STATUSES)
    assert "chat --server http://127.0.0.1:8080 --ws ws://127.0.0.1:8081/wss/default.io" in advice
    assert "demo --node http" in advice and "scripts/gateways_run.sh stop 4" in advice


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    yield Engines(tmp_path / "cluster", tmp_path / "engines", {"echo": Echo()})
    Instance(Echo(), tmp_path / "engines").stop(force=True)


def test_the_last_stage_stops_the_engines_that_were_started_for_stages(engines: Engines, tmp_path: Path) -> None:
    echo, said = Instance(Echo(), tmp_path / "engines"), list[str]()
    addresses = engines.take("1", ["echo"])
    assert engines.take("4", ["echo"]) == addresses
    engines.leave("1", said.append)
    assert echo.state() is not None and not said
    engines.leave("4", said.append)
    assert echo.state() is None and said == ["echo stopped"]


def test_an_engine_that_ran_before_stays(engines: Engines, tmp_path: Path) -> None:
    echo = Instance(Echo(), tmp_path / "engines")
    state = echo.start(keep=True)
    engines.take("4", ["echo"])
    engines.leave("4", print)
    assert echo.state() == state


def test_an_engine_that_somebody_started_anew_meanwhile_is_his(engines: Engines, tmp_path: Path) -> None:
    echo = Instance(Echo(), tmp_path / "engines")
    engines.take("4", ["echo"])
    echo.stop()
    assert engines.missing("4") == ["echo"] and engines.missing("1") == []
    state = echo.start(keep=True)
    engines.leave("4", print)
    assert echo.state() == state


def test_where_one_engine_cannot_be_had_the_others_are_stopped_again(tmp_path: Path) -> None:
    servers = {"echo": Echo(), "broken": Broken()}
    engines = Engines(tmp_path / "cluster", tmp_path / "engines", servers)
    with pytest.raises(EngineError, match="no luck"):
        engines.take("4", ["echo", "broken"])
    engines.leave("4", print)
    assert Instance(Echo(), tmp_path / "engines").state() is None


class Broken(Echo):
    """Ends at once."""

    name = "broken"
    program = "import sys; sys.exit('no luck')"


def test_exit_codes_and_one_line_for_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = ["--folder", str(tmp_path)]
    assert main(["status", *there]) == 1
    assert main(["status", "--json", *there]) == 1
    assert "[]" in capsys.readouterr().out
    assert main(["stop", *there]) == 0
    assert main(["restart", *there]) == 1
    assert main(["start", "9", *there]) == 1
    said = capsys.readouterr()
    assert said.err == "xinyu: no stage is started\nxinyu: there is no stage 9; there are 0, 1, 2, 2-joined, 3, 4\n"
    assert stages_in(tmp_path) == []
    (tmp_path / "file").touch()
    assert main(["stop", "4", "--folder", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        main(["begin"])
