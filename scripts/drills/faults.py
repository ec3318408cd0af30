"""What is broken, and what proves that it was. Each waits for its end: the process is ready, the engine answers."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable

from drills.stage import SESSION_SECONDS, Stage
from local_cluster.state import NodeState
from xinyu.drill.history import G4_SECONDS, REDIS_SECONDS, Fault

END_SECONDS = 30.0
PAUSED_SECONDS = 30.0
"""Of GUARANTEES.md; in a shorter drill a third of it."""
Drill = Callable[[Stage, float], Fault]
"""Breaks a stage in a run of so many seconds. Raises ClusterError, EngineError."""


def _kill(role: str, name: str) -> Drill:
    def drill(stage: Stage, seconds: float) -> Fault:
        began, node = time.monotonic(), stage.host(role)
        stage.signal(node, signal.SIGKILL)
        stage.await_end(node, END_SECONDS)
        return _fault(name, began, _ended("killed", node, stage.revive(node)))

    return drill


def _drain_gateway(stage: Stage, seconds: float) -> Fault:
    began, node = time.monotonic(), stage.host("gateway_ws")
    stage.signal(node, signal.SIGTERM)
    stage.await_end(node, END_SECONDS)
    took = time.monotonic() - began
    return _fault("drain-gateway", began, _ended(f"left after {took:.1f} s", node, stage.revive(node)))


def _pause_message(stage: Stage, seconds: float) -> Fault:
    began, node = time.monotonic(), stage.host("message")
    stage.signal(node, signal.SIGSTOP)
    try:
        time.sleep(min(PAUSED_SECONDS, seconds / 3))
        stopped = stage.process_state(node) == "T"
    finally:
        stage.signal(node, signal.SIGCONT)
    took = time.monotonic() - began
    return _fault("pause-message", began, f"{node.node} (pid {node.pid}) stood still {took:.1f} s" if stopped else "")


def _restart_redis(stage: Stage, seconds: float) -> Fault:
    mark = secrets.token_hex(8)
    stage.ask_redis(f"SET drill:{mark} 1")
    began = time.monotonic()
    before = stage.crash_engine("redis")
    after = stage.start_engine("redis", before)
    lost = "$-1" in stage.ask_redis(f"GET drill:{mark}")
    proof = f"redis pid {before.pid} killed, pid {after.pid} knows nothing" if lost and after.pid != before.pid else ""
    return _fault("restart-redis", began, proof, REDIS_SECONDS)


def _restart_mysql(stage: Stage, seconds: float) -> Fault:
    began = time.monotonic()
    before = stage.crash_engine("mysql")
    after = stage.start_engine("mysql", before)
    proof = f"mysql pid {before.pid} killed, pid {after.pid} recovered" if after.pid != before.pid else ""
    return _fault("restart-mysql", began, proof)


def _stop_zookeeper(stage: Stage, seconds: float) -> Fault:
    """Longer than its sessions live, where the drill has the time."""
    began = time.monotonic()
    before = stage.crash_engine("zookeeper")
    time.sleep(min(2 * SESSION_SECONDS, seconds / 3))
    away = time.monotonic() - began
    after = stage.start_engine("zookeeper", before)
    proof = f"zookeeper pid {before.pid} away {away:.1f} s, then pid {after.pid}" if after.pid != before.pid else ""
    return _fault("stop-zookeeper", began, proof)


def _ended(how: str, before: NodeState, after: NodeState) -> str:
    """The proof of an end; empty where the same process still runs."""
    return f"{before.node} (pid {before.pid}) {how}, pid {after.pid} is ready" if before.pid != after.pid else ""


def _fault(name: str, began: float, proof: str, bound: float = G4_SECONDS) -> Fault:
    return Fault(name, began, time.monotonic(), proof, bound)


DRILLS: dict[str, Drill] = {
    "kill-gateway": _kill("gateway_ws", "kill-gateway"),
    "kill-message": _kill("message", "kill-message"),
    "kill-presence": _kill("presence", "kill-presence"),
    "pause-message": _pause_message,
    "restart-redis": _restart_redis,
    "restart-mysql": _restart_mysql,
    "stop-zookeeper": _stop_zookeeper,
    "drain-gateway": _drain_gateway,
}
