"""Every drill's proof: there where the fault took effect, empty where it did not. The stage is a made-up one."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import cast

import pytest

from drills import faults
from drills.faults import DRILLS, Scene
from drills.proxy import Mode
from drills.sessions import password_of, registered
from drills.shapes import SHAPES, shape_of
from drills.stage import Stage
from local_cluster.stage import read_plan
from local_cluster.state import NodeState
from local_cluster.workplace import Workplace
from local_engines.instance import State as EngineState
from xinyu.drill.history import G4_SECONDS, REDIS_SECONDS
from xinyu.gateway.ws.hub import Hub


class FakeNet:
    """Connections that are cut, or not."""

    def __init__(self, works: bool) -> None:
        self.works = works
        self.modes: list[Mode] = []
        self.stalls: list[bool] = []
        self.drops = 0

    @property
    def lost(self) -> tuple[int, int]:
        told = len(self.modes) * self.works
        return 100 * told, told

    def cut(self, mode: Mode) -> None:
        self.modes.append(mode)

    def stall(self, stalled: bool) -> None:
        self.stalls.append(stalled)

    def drop(self, count: int | None = None, linger: float = 0.0) -> int:
        self.drops += 1
        return 10


class FakeStage:
    """A stage in which faults work, or have no effect at all."""

    def __init__(self, works: bool) -> None:
        self.works = works
        self.net = FakeNet(works)
        self.signals: list[signal.Signals] = []
        self._ended: set[int] = set()
        self._streams = iter((16, 8, 16) if works else (16, 16, 16))

    def host(self, role: str) -> NodeState:
        return NodeState(f"{role}_1", (role,), pid=10, started="then")

    def signal(self, node: NodeState, number: signal.Signals) -> None:
        self.signals.append(number)

    def await_end(self, node: NodeState, within: float) -> None: ...

    def revive(self, dead: NodeState) -> NodeState:
        return NodeState(dead.node, dead.roles, pid=dead.pid + self.works, started="now")

    def process_state(self, pid: int) -> str:
        return "T" if self.works else "S"

    def crash_engine(self, name: str) -> EngineState:
        return EngineState(20, "then", 1, "")

    def signal_engine(self, name: str, number: signal.Signals) -> EngineState:
        self.signals.append(number)
        return self.crash_engine(name)

    def start_engine(self, name: str, before: EngineState) -> EngineState:
        return EngineState(before.pid + self.works, "now", before.port, before.secret)

    def ask_redis(self, command: str) -> str:
        return "+OK\r\n$-1\r\n" if self.works else "+OK\r\n$1\r\n1\r\n"

    def sessions(self) -> dict[str, int]:
        renewed = len(self._ended) * self.works
        return {"message_1": 1 + 10 * renewed, "user_1": 2 + 10 * renewed}

    def end_session(self, session: int) -> None:
        self._ended.add(session)

    def metric(self, name: str, role: str = "gateway_ws") -> int:
        if role == "delivery":
            return next(self._streams)
        told = {faults.SLOW: 4 * len(self.net.stalls), faults.OPENED: 10 * self.net.drops}
        return 7 + told[name] * self.works


def scene(works: bool) -> tuple[Scene, FakeStage]:
    stage = FakeStage(works)
    return Scene(cast(Stage, stage), seconds=0.03, flood=lambda: 4), stage


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("END_SECONDS", "SLOW_SECONDS"):
        monkeypatch.setattr(faults, name, 0.0)


@pytest.mark.parametrize("name", DRILLS)
def test_a_fault_that_took_effect_is_proved_and_one_that_did_not_is_not(name: str) -> None:
    for works in (True, False):
        fault = DRILLS[name](scene(works)[0])
        assert (fault.name, bool(fault.proof)) == (name, works), fault.proof
        assert fault.ended >= fault.began
        assert fault.bound == (REDIS_SECONDS if name == "restart-redis" else G4_SECONDS)


def test_what_is_broken_is_mended_again() -> None:
    for name, mended in (
        ("cut-link", lambda stage: stage.net.modes == [Mode.SWALLOW, Mode.REFUSE, Mode.PASS]),
        ("slow-client", lambda stage: stage.net.stalls == [True, False]),
        ("pause-message", lambda stage: stage.signals == [signal.SIGSTOP, signal.SIGCONT]),
        ("pause-gateway", lambda stage: stage.signals == [signal.SIGSTOP, signal.SIGCONT]),
        ("pause-mysql", lambda stage: stage.signals == [signal.SIGSTOP, signal.SIGCONT]),
    ):
        for works in (True, False):
            broken, stage = scene(works)
            DRILLS[name](broken)
            assert mended(stage), name


def test_nobody_to_be_slow_and_no_process_registered_prove_nothing() -> None:
    broken, stage = scene(works=True)
    assert not DRILLS["slow-client"](broken._replace(flood=lambda: 0)).proof
    stage.sessions = dict  # type: ignore[method-assign,assignment]
    assert not DRILLS["expire-zookeeper"](broken).proof


def test_the_counters_that_prove_something_are_the_gateways() -> None:
    assert {faults.SLOW, faults.OPENED} <= {name for name, *_ in Hub(1, 1).readings()}


@pytest.mark.parametrize("stage", ["1", "2", "2-joined", "3", "4"])
def test_delivery_is_taken_out_of_every_stage(stage: str, tmp_path: Path) -> None:
    workplace = Workplace(stage, tmp_path)
    before = read_plan(workplace).nodes
    plan = read_plan(workplace, shape_of("kill-delivery")(before))
    hosts = [node for node, roles in plan.nodes.items() if "delivery" in roles]
    assert hosts == ["delivery_1", "delivery_2"] and plan.settings.delivery.queue == "redis"
    left = [(node, tuple(role for role in roles if role != "delivery")) for node, roles in before.items()]
    assert list(plan.nodes.items())[:-2] == left


def test_shapes_are_of_drills_that_are_there() -> None:
    assert SHAPES.keys() <= DRILLS.keys()
    assert shape_of("kill-message")({"message_1": ("message", "delivery")}) == ()


DUMP = """\
SessionTracker dump:
Session Sets (1)/(1):
1 expire at Thu Nov 26 02:36:50 UTC 2026:
\t0x10000000000002a
ephemeral nodes dump:
Sessions with Ephemerals (2):
0x100000000000001:
\t/xinyu-4/user/user_1
\t/xinyu-4/_nodes/user_1
0x10000000000002a:
\t/xinyu-4/_nodes/message_1
"""


def test_sessions_are_read_from_what_zookeeper_tells() -> None:
    assert registered(DUMP) == {"user_1": 0x100000000000001, "message_1": 0x10000000000002A}
    assert registered("") == {}
    assert len(password_of(0x100000000000001)) == 16 and password_of(1) != password_of(2)
