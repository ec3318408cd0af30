"""What is measured of a cluster: its gateways, its processes, its aims, and the comparison with the monolith."""

import math
from collections import Counter

import pytest

from bench.aims import aim_for
from bench.checker import Verdict
from bench.cli import main
from bench.private_load import gateways_of
from bench.process import NotReady
from bench.result import Case, Run
from bench.session import of_stage
from bench.stage import CHANGES, target_of
from bench.target import Operators
from local_cluster.cluster import Status
from local_cluster.node import Addresses
from local_cluster.stage import parsed_changes


def status(node: str, role: str, pid: int, addresses: Addresses) -> Status:
    return Status(node, (role,), pid, addresses, pid > 0)


STATUSES = (
    status("h", "gateway_http", 11, Addresses("http://a:1", "http://a:2")),
    status("w1", "gateway_ws", 12, Addresses("http://a:3", ws="ws://a:4")),
    status("w2", "gateway_ws", 13, Addresses("http://a:5", ws="ws://a:6")),
    status("m", "message", 14, Addresses("http://a:7")),
)


def case(name: str, *cpu: float) -> Case:
    return Case("W1", name, [Run({"cpu_us_per_message": value}, Verdict(), False) for value in cpu])


def test_all_processes_count_and_engines_apart() -> None:
    target = target_of(STATUSES, (21, 22), "secret")
    assert (target.pids, target.engine_pids) == ((11, 12, 13, 14), (21, 22))
    assert (target.http_url, target.ws_urls) == ("http://a:2", ("ws://a:4", "ws://a:6"))
    assert target.operators == Operators("http://a:1", "secret")


@pytest.mark.parametrize("statuses", [(), (*STATUSES, status("p", "presence", 0, Addresses()))])
def test_a_cluster_with_a_process_missing_is_not_measured(statuses: tuple[Status, ...]) -> None:
    with pytest.raises(NotReady, match=r"do not run: (all|p)"):
        target_of(statuses, (), "secret")


def test_pairs_take_every_combination_of_gateways_equally_often() -> None:
    found = Counter(gateways_of(number, ("a", "b")) for number in range(100))
    assert found == dict.fromkeys([("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")], 25)
    assert gateways_of(7, ("a",)) == ("a", "a")


def test_the_ratio_is_to_the_monoliths_median_of_the_same_case() -> None:
    compared = of_stage(case("k=1", 300.0, 400.0), [case("k=8", 7.0), case("k=1", 90.0, 100.0, 400.0)])
    assert compared.name == "stage 4 k=1"
    assert compared.values("cpu_ratio_to_monolith") == [3.0, 4.0]
    assert aim_for("W1", compared.name, "cpu_ratio_to_monolith") is not None


def test_without_the_monolith_there_is_no_ratio() -> None:
    compared = of_stage(case("k=1", 300.0), [])
    assert compared.values("cpu_ratio_to_monolith") == []
    assert not any(math.isnan(value) for run in compared.runs for value in run.measures.values())


def test_other_workloads_are_not_compared() -> None:
    idle = Case("W4", "2000 idle", [Run({"idle_cpu_percent": 2.0}, Verdict(), False)])
    assert of_stage(idle, [idle]).runs[0].measures == {"idle_cpu_percent": 2.0}


def test_the_changes_are_settings() -> None:
    assert set(parsed_changes(CHANGES)) == {"gateway", "group", "user"}


@pytest.mark.parametrize(
    "arguments", [["--targets", "stage5"], ["--only", "w99"], ["--url", "http://a:1", "--targets", "stage4"]]
)
def test_what_there_is_not_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "error: " in capsys.readouterr().err
