"""What is remembered of a started stage: which processes, by pid and start time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

GATEWAYS = frozenset({"gateway_http", "gateway_ws"})


@dataclass(frozen=True)
class NodeState:
    """A process of the stage. Its pid alone means nothing: pids are used again, with the start time they are not."""

    node: str
    roles: tuple[str, ...]
    pid: int = 0
    """0 until it is started."""
    started: str = ""
    """As `local_engines.process.identity` tells it."""
    launched: float = 0.0
    """When, in seconds since 1970."""

    @property
    def turn(self) -> int:
        """When it is stopped: whoever calls others before those who answer. Gateways send their clients away first,
        then the services empty their queues, and presence is asked until the end."""
        if GATEWAYS & set(self.roles):
            return 1 if "presence" in self.roles else 0
        return 3 if "presence" in self.roles else 2


@dataclass(frozen=True)
class State:
    """A started stage."""

    stage: str
    nodes: tuple[NodeState, ...]
    free_ports: bool = False
    changes: tuple[str, ...] = ()
    """What --set said."""
    stop_seconds: float = 25.0
    """How long a process may take to end by itself."""

    def node(self, name: str) -> NodeState | None:
        """The node of this name."""
        return next((node for node in self.nodes if node.node == name), None)

    def with_node(self, changed: NodeState) -> State:
        """The same with one node changed."""
        return replace(self, nodes=tuple(changed if node.node == changed.node else node for node in self.nodes))


def read_state(path: Path) -> State | None:
    """What was written, None where nothing (readable) is."""
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        nodes = tuple(NodeState(**{**node, "roles": tuple(node["roles"])}) for node in fields.pop("nodes"))
        return State(**{**fields, "changes": tuple(fields["changes"])}, nodes=nodes)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_state(path: Path, state: State) -> None:
    """Replace what was written; readers see the old or the new."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(json.dumps(asdict(state), indent=2) + "\n")
    draft.replace(path)


def in_turns(nodes: Iterable[NodeState]) -> list[list[NodeState]]:
    """The order of a stop: groups, each to be ended before the next."""
    groups: dict[int, list[NodeState]] = {}
    for node in nodes:
        groups.setdefault(node.turn, []).append(node)
    return [groups[turn] for turn in sorted(groups)]
