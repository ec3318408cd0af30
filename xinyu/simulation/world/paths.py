"""How long things take on their way, and between whom nothing passes."""

from __future__ import annotations

import random

from xinyu.simulation.world.loop import SimulationLoop

SHORTEST = 0.0002
USUAL = 0.006
SPIKE = 0.4
SPIKES = 0.015
"""The share of messages that take up to SPIKE seconds."""


class Paths:
    """The network: latencies, and what is cut or stalled."""

    def __init__(self, loop: SimulationLoop, rng: random.Random) -> None:
        self._loop = loop
        self._draw = rng.random
        self._cut: set[frozenset[str]] = set()
        self._stalled: dict[frozenset[str], float] = {}

    def latency(self) -> float:
        """Of one message: short, mostly."""
        share = self._draw()
        if share < SPIKES:
            return SPIKE * self._draw()
        return SHORTEST + USUAL * share * share * share

    def is_cut(self, a: str, b: str) -> bool:
        """Whether connections between two places break, and new ones are refused."""
        return bool(self._cut) and frozenset((a, b)) in self._cut

    def cut(self, a: str, b: str) -> None:
        """Break them until `mend`."""
        self._cut.add(frozenset((a, b)))

    def mend(self, a: str, b: str) -> None:
        """Let them pass again."""
        self._cut.discard(frozenset((a, b)))

    def stall(self, a: str, b: str, until: float) -> None:
        """Nothing arrives until then; it is kept, as TCP keeps what it repeats."""
        self._stalled[frozenset((a, b))] = until

    def arrival(self, sender: str, receiver: str, after: float) -> float:
        """When something sent now arrives, behind what was sent before, which arrives at `after`."""
        when = max(after, self._loop.time() + self.latency())
        if self._stalled:
            until = self._stalled.get(frozenset((sender, receiver)), 0.0)
            if when < until:
                when = until + self.latency()
        return when
