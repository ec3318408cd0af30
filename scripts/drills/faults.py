"""What is broken, and what proves that it was. Each waits for its end: the process is ready, the engine answers."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from drills.net import LINGER_SECONDS
from drills.proxy import Mode
from drills.stage import SESSION_SECONDS, Stage, came_true
from local_cluster.state import NodeState
from xinyu.drill.history import G4_SECONDS, REDIS_SECONDS, Fault

END_SECONDS = 30.0
SLOW, OPENED = "xinyu_ws_slow_total", "xinyu_ws_opened_total"
"""Counters of the gateways: sessions closed at a full queue, sessions opened."""
STREAMS = "xinyu_delivery_stream_partitions"
"""How many streams a delivery process takes from."""
PAUSED_SECONDS = 30.0
"""Of GUARANTEES.md; in a drill of less than a minute half of it."""
STALLED_SECONDS = 15.0
"""Longer than `storage.mysql_timeout_seconds`; in a shorter drill a third of it."""
AWAY_SECONDS = 3.0
"""Redis and MySQL are started again only after so long; in a shorter drill after a tenth of it."""
CUT_SECONDS = 10.0
SLOW_SECONDS = 30.0
STORMS = 3
STORM_PAUSE = 5.0


class Scene(NamedTuple):
    """What a drill breaks."""

    stage: Stage
    seconds: float
    """How long people chat in all."""
    flood: Callable[[], int] = int
    """Lets devices that can be slow ask for more than they read until they are closed; how many those are."""


Drill = Callable[[Scene], Fault]
"""Breaks something. Raises ClusterError, EngineError."""


def _kill(role: str, name: str) -> Drill:
    def drill(scene: Scene) -> Fault:
        stage = scene.stage
        began, node = time.monotonic(), stage.host(role)
        stage.signal(node, signal.SIGKILL)
        stage.await_end(node, END_SECONDS)
        return _fault(name, began, _ended("killed", node, stage.revive(node)))

    return drill


def _kill_delivery(scene: Scene) -> Fault:
    """It counts only if it had streams, and the other process took them over."""
    stage = scene.stage
    began, node = time.monotonic(), stage.host("delivery")
    streams = stage.metric(STREAMS, "delivery")
    stage.signal(node, signal.SIGKILL)
    stage.await_end(node, END_SECONDS)
    kept = stage.metric(STREAMS, "delivery")
    taken = came_true(lambda: stage.metric(STREAMS, "delivery") == streams, END_SECONDS) and kept < streams
    how = f"killed, its {streams - kept} streams were the other's after {time.monotonic() - began:.1f} s"
    proof = _ended(how, node, stage.revive(node))
    return _fault("kill-delivery", began, proof if taken else "")


def _drain_gateway(scene: Scene) -> Fault:
    stage = scene.stage
    began, node = time.monotonic(), stage.host("gateway_ws")
    stage.signal(node, signal.SIGTERM)
    stage.await_end(node, END_SECONDS)
    took = time.monotonic() - began
    return _fault("drain-gateway", began, _ended(f"left after {took:.1f} s", node, stage.revive(node)))


def _pause(role: str, name: str) -> Drill:
    def drill(scene: Scene) -> Fault:
        stage = scene.stage
        began, node = time.monotonic(), stage.host(role)
        stage.signal(node, signal.SIGSTOP)
        try:
            time.sleep(min(PAUSED_SECONDS, scene.seconds / 2))
            stopped = stage.process_state(node.pid) == "T"
        finally:
            stage.signal(node, signal.SIGCONT)
        return _fault(name, began, _stood_still(node.node, node.pid, began) if stopped else "")

    return drill


def _pause_mysql(scene: Scene) -> Fault:
    """Its connections stand, and nobody answers: longer than the services wait for it, where the drill has the time."""
    stage, began = scene.stage, time.monotonic()
    state = stage.signal_engine("mysql", signal.SIGSTOP)
    try:
        time.sleep(min(STALLED_SECONDS, scene.seconds / 3))
        stopped = stage.process_state(state.pid) == "T"
    finally:
        stage.signal_engine("mysql", signal.SIGCONT)
    return _fault("pause-mysql", began, _stood_still("mysql", state.pid, began) if stopped else "")


def _restart_redis(scene: Scene) -> Fault:
    stage, mark = scene.stage, secrets.token_hex(8)
    stage.ask_redis(f"SET drill:{mark} 1")
    began = time.monotonic()
    before = stage.crash_engine("redis")
    time.sleep(min(AWAY_SECONDS, scene.seconds / 10))
    after = stage.start_engine("redis", before)
    lost = "$-1" in stage.ask_redis(f"GET drill:{mark}")
    proof = f"redis pid {before.pid} killed, pid {after.pid} knows nothing" if lost and after.pid != before.pid else ""
    return _fault("restart-redis", began, proof, REDIS_SECONDS)


def _restart_mysql(scene: Scene) -> Fault:
    stage, began = scene.stage, time.monotonic()
    before = stage.crash_engine("mysql")
    time.sleep(min(AWAY_SECONDS, scene.seconds / 10))
    after = stage.start_engine("mysql", before)
    proof = f"mysql pid {before.pid} killed, pid {after.pid} recovered" if after.pid != before.pid else ""
    return _fault("restart-mysql", began, proof)


def _stop_zookeeper(scene: Scene) -> Fault:
    """Longer than its sessions live, where the drill has the time."""
    stage, began = scene.stage, time.monotonic()
    before = stage.crash_engine("zookeeper")
    time.sleep(min(2 * SESSION_SECONDS, scene.seconds / 3))
    away = time.monotonic() - began
    after = stage.start_engine("zookeeper", before)
    proof = f"zookeeper pid {before.pid} away {away:.1f} s, then pid {after.pid}" if after.pid != before.pid else ""
    return _fault("stop-zookeeper", began, proof)


def _expire_zookeeper(scene: Scene) -> Fault:
    """All sessions at once: every process is registered anew, by itself."""
    stage, began = scene.stage, time.monotonic()
    before = stage.sessions()
    for session in set(before.values()):
        stage.end_session(session)

    def renewed() -> bool:
        now = stage.sessions()
        return now.keys() >= before.keys() and not set(now.values()) & set(before.values())

    done = bool(before) and came_true(renewed, END_SECONDS)
    proof = f"{len(before)} processes, all registered in sessions that did not exist before" if done else ""
    return _fault("expire-zookeeper", began, proof)


def _cut_link(scene: Scene) -> Fault:
    """First everything to the gateway vanishes, then connections to it are refused."""
    net, seconds = scene.stage.net, min(CUT_SECONDS, scene.seconds / 3)
    began, (swallowed, refused) = time.monotonic(), net.lost
    try:
        for mode in (Mode.SWALLOW, Mode.REFUSE):
            net.cut(mode)
            time.sleep(seconds / 2)
    finally:
        net.cut(Mode.PASS)
    bytes_, connections = net.lost[0] - swallowed, net.lost[1] - refused
    proof = f"{bytes_} bytes vanished, {connections} connections refused" if bytes_ and connections else ""
    return _fault("cut-link", began, proof)


def _slow_client(scene: Scene) -> Fault:
    stage, began = scene.stage, time.monotonic()
    before = stage.metric(SLOW)
    stage.net.stall(True)
    try:
        slow = scene.flood()
        _grew(stage, SLOW, before + slow, SLOW_SECONDS)
        closed = stage.metric(SLOW) - before
    finally:
        stage.net.stall(False)
    proof = f"{closed} sessions closed with 4001 of {slow} that did not read" if closed >= slow > 0 else ""
    return _fault("slow-client", began, proof)


def _reconnect_storm(scene: Scene) -> Fault:
    """Every second time the gateways hear of it only when the devices are back."""
    stage, began = scene.stage, time.monotonic()
    before = stage.metric(OPENED)
    reset = 0
    for turn in range(STORMS):
        mark = stage.metric(OPENED)
        dropped = stage.net.drop(linger=LINGER_SECONDS * (turn % 2))
        reset += dropped
        _grew(stage, OPENED, mark + dropped, END_SECONDS)
        if turn < STORMS - 1:
            time.sleep(min(STORM_PAUSE, scene.seconds / 10))
    opened = stage.metric(OPENED) - before
    proof = f"{reset} connections reset in {STORMS} turns, {opened} sessions opened" if opened >= reset > 0 else ""
    return _fault("reconnect-storm", began, proof)


def _grew(stage: Stage, metric: str, to: int, within: float) -> None:
    """Wait for a counter; whether it got there is for the proof to say."""
    came_true(lambda: stage.metric(metric) >= to, within)


def _ended(how: str, before: NodeState, after: NodeState) -> str:
    """The proof of an end; empty where the same process still runs."""
    return f"{before.node} (pid {before.pid}) {how}, pid {after.pid} is ready" if before.pid != after.pid else ""


def _stood_still(name: str, pid: int, began: float) -> str:
    return f"{name} (pid {pid}) stood still {time.monotonic() - began:.1f} s"


def _fault(name: str, began: float, proof: str, bound: float = G4_SECONDS) -> Fault:
    return Fault(name, began, time.monotonic(), proof, bound)


DRILLS: dict[str, Drill] = {
    "kill-gateway": _kill("gateway_ws", "kill-gateway"),
    "kill-message": _kill("message", "kill-message"),
    "kill-presence": _kill("presence", "kill-presence"),
    "pause-message": _pause("message", "pause-message"),
    "pause-gateway": _pause("gateway_ws", "pause-gateway"),
    "pause-mysql": _pause_mysql,
    "restart-redis": _restart_redis,
    "restart-mysql": _restart_mysql,
    "expire-zookeeper": _expire_zookeeper,
    "stop-zookeeper": _stop_zookeeper,
    "cut-link": _cut_link,
    "slow-client": _slow_client,
    "drain-gateway": _drain_gateway,
    "reconnect-storm": _reconnect_storm,
    "kill-delivery": _kill_delivery,
}
