"""A whole stage: started until it takes work, stopped in its order, looked at."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from local_engines.process import last_lines

from .engines import Engines
from .node import Addresses, Nodes
from .schema import make_accounts, migrate, schema_dsn
from .stage import Plan, read_plan, write_configuration
from .state import NodeState, State, in_turns, read_state, write_state
from .workplace import ClusterError, Workplace

READY_SECONDS = 30.0
KILLED_SECONDS = 10.0
SPARE_SECONDS = 5.0
"""Beyond the server's own shutdown_seconds before it is killed."""
POLL_SECONDS = 0.05


class Wishes(NamedTuple):
    """How a stage is to be started."""

    free_ports: bool = False
    changes: tuple[str, ...] = ()
    """Settings to change, as `a.b=value`."""
    within: float = READY_SECONDS


class Status(NamedTuple):
    """How a process is. pid 0: it does not run."""

    node: str
    roles: tuple[str, ...]
    pid: int
    addresses: Addresses
    ready: bool


class Cluster:
    """One stage on this machine. Its lock makes concurrent callers safe; looking needs none."""

    def __init__(self, workplace: Workplace, nodes: Nodes, engines: Engines, say: Callable[[str], None]) -> None:
        self.workplace = workplace
        self.nodes = nodes
        self._engines = engines
        self._say = say

    def state(self) -> State | None:
        """What was started and not stopped since."""
        return read_state(self.workplace.state)

    def statuses(self) -> list[Status]:
        """Every process of the started stage, none where it is not started."""
        state = self.state()
        if state is None:
            return []
        with ThreadPoolExecutor(max(1, len(state.nodes))) as pool:
            return list(pool.map(self._status, state.nodes))

    def _status(self, node: NodeState) -> Status:
        ready = self.nodes.ready(node)
        if not self.nodes.alive(node):
            return Status(node.node, node.roles, 0, Addresses(), False)
        return Status(node.node, node.roles, node.pid, self.nodes.addresses(node) or Addresses(), ready)

    def lost_engines(self) -> list[str]:
        """Engines that were started for this stage and are gone."""
        return self._engines.missing(self.workplace.stage)

    def start(self, wishes: Wishes) -> bool:
        """Start what does not run and wait until all takes work. Returns False where nothing was to be done.
        What cannot be had leaves nothing behind that this call started. Raises ClusterError, ConfigError, EngineError.
        """
        with self.workplace.locked():
            state = self.state()
            if state is not None and any(map(self.nodes.alive, state.nodes)):
                return self._complete(state, wishes.within)
            self._bring_up(self._prepared(wishes), wishes.within)
            return True

    def stop(self) -> bool:
        """Stop all that was started, and the engines that were started for it. Returns whether anything was."""
        with self.workplace.locked():
            return self._stop()

    def restart(self, names: Sequence[str], within: float) -> None:
        """Stop and start everything, or these nodes one after the other. Raises what `start` raises."""
        with self.workplace.locked():
            state = self.state()
            if state is None:
                raise ClusterError(f"stage {self.workplace.stage} is not started")
            if not names:
                self._stop()
                self._bring_up(self._prepared(Wishes(state.free_ports, state.changes)), within)
            for name in names:
                node = state.node(name)
                if node is None:
                    known = ", ".join(node.node for node in state.nodes)
                    raise ClusterError(f"stage {self.workplace.stage} has no node {name}; it has {known}")
                self._end([node], state.stop_seconds)
                state = self._launched(state, node)
                self._await_ready([node for node in state.nodes if node.node == name], within)

    def dead(self) -> list[NodeState] | None:
        """Nodes that ended unasked, none of them while somebody is at work on the stage: he may mean them to end.
        None where the stage is not started."""
        with self.workplace.locked(wait=False) as ours:
            if not ours:
                return []
            state = self.state()
            return None if state is None else [node for node in state.nodes if not self.nodes.alive(node)]

    def revive(self, dead: NodeState) -> NodeState | None:
        """Start a node again that died. None where somebody else is at work, or was: there is nothing to do then."""
        with self.workplace.locked(wait=False) as ours:
            state = self.state() if ours else None
            if state is None or state.node(dead.node) != dead or self.nodes.alive(dead):
                return None
            return self._launched(state, dead).node(dead.node)

    def _prepared(self, wishes: Wishes) -> State:
        """Everything but the processes: engines, configuration, tables."""
        stage = self.workplace.stage
        plan = read_plan(self.workplace, wishes.changes)
        try:
            if plan.engines:
                self._say(f"engines: {', '.join(plan.engines)}")
            engines = self._engines.take(stage, plan.engines)
            if "mysql" in engines:
                engines["mysql"] = schema_dsn(self.workplace, engines["mysql"])
            write_configuration(self.workplace, plan, engines, wishes.free_ports, wishes.changes)
            if not plan.embedded:
                self._say("schemas")
                migrate(self.workplace)
                if "mysql" in engines:
                    make_accounts(self.workplace)
        except BaseException:
            self._engines.leave(stage, self._say)
            raise
        return self._planned(plan, wishes)

    def _planned(self, plan: Plan, wishes: Wishes) -> State:
        nodes = tuple(NodeState(name, roles) for name, roles in plan.nodes.items())
        seconds = plan.settings.shutdown_seconds + SPARE_SECONDS
        return State(plan.stage, nodes, wishes.free_ports, wishes.changes, seconds)

    def _complete(self, state: State, within: float) -> bool:
        """The stage runs, perhaps not all of it."""
        if lost := self.lost_engines():
            raise ClusterError(
                f"stage {state.stage} runs without its {', '.join(lost)}; scripts/gateways_run.sh restart {state.stage}"
            )
        missing = [node for node in state.nodes if not self.nodes.alive(node)]
        if missing:
            self._bring_up(state, within)
        else:
            self._await_ready(state.nodes, within)
        return bool(missing)

    def _bring_up(self, state: State, within: float) -> None:
        missing = [node.node for node in state.nodes if not self.nodes.alive(node)]
        self._say(f"starting {', '.join(missing)}")
        try:
            for node in state.nodes:
                if node.node in missing:
                    state = self._launched(state, node)
            self._await_ready(state.nodes, within)
        except BaseException:
            written = self.state() or state
            self._end([node for node in written.nodes if node.node in missing], state.stop_seconds)
            if not any(map(self.nodes.alive, written.nodes)):
                self._forget()
            raise

    def _launched(self, state: State, node: NodeState) -> State:
        """Written down at once: what runs must be known."""
        state = state.with_node(self.nodes.launch(node))
        write_state(self.workplace.state, state)
        return state

    def _await_ready(self, nodes: Iterable[NodeState], within: float) -> None:
        deadline = time.monotonic() + within
        waiting = list(nodes)
        while waiting := [node for node in waiting if not self.nodes.ready(node)]:
            for node in waiting:
                if not self.nodes.alive(node):
                    raise ClusterError(f"{node.node} ended before it was ready; its last words:\n{self._words(node)}")
            if time.monotonic() > deadline:
                names, first = ", ".join(node.node for node in waiting), waiting[0]
                raise ClusterError(
                    f"not ready after {within:g} s: {names}; last words of {first.node}:\n{self._words(first)}"
                )
            time.sleep(POLL_SECONDS)

    def _words(self, node: NodeState) -> str:
        log = self.workplace.log(node.node)
        return f"{last_lines(log)}\n  log: {log}"

    def _stop(self) -> bool:
        state = self.state()
        if state is not None:
            self._end(state.nodes, state.stop_seconds)
        self._forget()
        return state is not None

    def _forget(self) -> None:
        self.workplace.state.unlink(missing_ok=True)
        self._engines.leave(self.workplace.stage, self._say)

    def _end(self, nodes: Iterable[NodeState], seconds: float) -> None:
        """SIGTERM, group after group, then SIGKILL. Ctrl-C meanwhile skips the servers' own waits."""
        for group in in_turns(filter(self.nodes.alive, nodes)):
            for node in group:
                self.nodes.signal(node, signal.SIGTERM)
            late = self._await_ended(group, seconds)
            for node in late:
                self._say(f"{node.node} (pid {node.pid}) did not end within {seconds:g} s and is killed")
                self.nodes.signal(node, signal.SIGKILL)
            if late := self._await_ended(late, KILLED_SECONDS):
                raise ClusterError(f"these processes do not end: {', '.join(str(node.pid) for node in late)}")
            self._say(f"stopped {', '.join(node.node for node in group)}")

    def _await_ended(self, nodes: Sequence[NodeState], seconds: float) -> list[NodeState]:
        deadline = time.monotonic() + seconds
        left = list(nodes)
        while left and time.monotonic() < deadline:
            try:
                time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                self._say("skipping the waits")
                for node in left:
                    self.nodes.signal(node, signal.SIGTERM)
            left = [node for node in left if self.nodes.alive(node)]
        return left
