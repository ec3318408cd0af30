"""Starting again what died, while somebody watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .cluster import Cluster
from .state import NodeState

LOOK_SECONDS = 0.25
STEADY_SECONDS = 10.0
"""A process that lived this long did not die of its start."""
LONGEST_PAUSE = 30.0


@dataclass
class _Fate:
    """What is known of a node's deaths."""

    pid: int = 0
    """Of the life that ended last."""
    failures: int = 0
    """Short lives in a row."""
    due: float = 0.0
    """When it is started again."""


def pause_before(failures: int) -> float:
    """How long a node waits for its next life after so many short ones in a row."""
    return 0.0 if failures == 0 else min(LONGEST_PAUSE, 2.0 ** (failures - 1))


class Watcher:
    """Looks at a stage again and again. One that somebody stops is watched no longer."""

    def __init__(
        self,
        cluster: Cluster,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._say = say
        self._clock = clock
        self._fates: dict[str, _Fate] = {}
        self._awaited: dict[str, tuple[NodeState, float]] = {}
        self._lost: set[str] = set()

    def watch(self, until: threading.Event) -> bool:
        """Until the event, or until somebody else stops the stage; returns whether that was so."""
        while not until.is_set():
            if not self.look():
                return True
            until.wait(LOOK_SECONDS)
        return False

    def look(self) -> bool:
        """One look; what is due is started again. False where there is nothing to watch any more."""
        found = self._cluster.dead()
        if found is None:
            self._say(f"stage {self._cluster.workplace.stage} was stopped")
            return False
        for node in found:
            self._consider(node)
        self._look_after_the_revived()
        self._look_at_engines()
        return True

    def _consider(self, dead: NodeState) -> None:
        fate, now = self._fates.setdefault(dead.node, _Fate()), self._clock()
        if fate.pid != dead.pid:
            fate.pid = dead.pid
            fate.failures = fate.failures + 1 if now - dead.launched < STEADY_SECONDS else 0
            pause = pause_before(fate.failures)
            fate.due = now + pause
            then = f"is started again in {pause:g} s" if pause else "is started again"
            self._say(f"{dead.node} (pid {dead.pid}) died and {then}; log: {self._cluster.workplace.log(dead.node)}")
        if now >= fate.due and (revived := self._cluster.revive(dead)) is not None:
            self._awaited[dead.node] = revived, now

    def _look_after_the_revived(self) -> None:
        for name, (node, since) in list(self._awaited.items()):
            if not self._cluster.nodes.alive(node):
                del self._awaited[name]
            elif self._cluster.nodes.ready(node):
                del self._awaited[name]
                self._say(f"{name} (pid {node.pid}) is ready again after {self._clock() - since:.1f} s")

    def _look_at_engines(self) -> None:
        for name in self._cluster.lost_engines():
            if name not in self._lost:
                self._lost.add(name)
                stage = self._cluster.workplace.stage
                self._say(f"{name} is gone, which is not started again; scripts/gateways_run.sh restart {stage} does")
