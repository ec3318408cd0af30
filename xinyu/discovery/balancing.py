"""Which instance gets a call. Pure: it is told what there is and what is in flight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import blake2b

from xinyu.discovery.types import DEFAULT_WEIGHT, Instance, State

ZONE_HEAD_START = 8
"""Calls in flight by which the own zone may be busier before others are asked."""
POINTS = 256
"""Points on the ring of an instance of default weight: shares stay within about a fifth of their due."""


def takes_calls(instance: Instance) -> bool:
    """Whether an instance may get new calls."""
    return instance.state is State.READY and instance.weight > 0


class LeastInFlight:
    """The instance with the fewest calls in flight for its weight, the own zone first while it keeps up.

    Among equals the one that has had the smallest share so far, so that calls one at a time are spread by weight too.
    Counts follow a node's life: a reborn one starts at none.
    """

    def __init__(self, zone: str = "", zone_head_start: int = ZONE_HEAD_START) -> None:
        self._zone = zone
        self._head_start = zone_head_start
        self._loads: dict[tuple[str, int], _Load] = {}
        self._calling: list[_Load] = []

    def update(self, instances: Iterable[Instance]) -> None:
        """Choose among these from now on. Calls in flight to the ones that stay are still counted."""
        loads: dict[tuple[str, int], _Load] = {}
        shares = [load.share for load in self._calling]
        for instance in instances:
            load = self._loads.get((instance.node, instance.epoch)) or _Load(instance, min(shares, default=0.0))
            if not takes_calls(load.instance):  # back from starting, or from a weight of 0: no claim to what it missed
                load.share = max(load.share, min(shares, default=0.0))
            load.instance = instance
            loads[instance.node, instance.epoch] = load
        self._loads = loads
        self._calling = [load for load in loads.values() if takes_calls(load.instance)]

    def pick(self, exclude: Collection[str] = ()) -> Instance | None:
        """The instance for a call, but none of the nodes in `exclude`. None where there is none to choose."""
        best: _Load | None = None
        best_rank = (0.0, 0.0)
        for load in self._calling:
            if load.instance.node in exclude:
                continue
            away = bool(self._zone) and load.instance.zone != self._zone
            rank = ((load.in_flight + (self._head_start if away else 0)) / load.instance.weight, load.share)
            if best is None or rank < best_rank:
                best, best_rank = load, rank
        return None if best is None else best.instance

    def began(self, instance: Instance) -> None:
        """A call to it is under way."""
        load = self._loads.get((instance.node, instance.epoch))
        if load is not None:
            load.in_flight += 1
            load.share += 1 / max(1, load.instance.weight)

    def ended(self, instance: Instance) -> None:
        """A call to it is over, however it went."""
        load = self._loads.get((instance.node, instance.epoch))
        if load is not None and load.in_flight:
            load.in_flight -= 1

    def in_flight(self, instance: Instance) -> int:
        """Calls under way to it."""
        load = self._loads.get((instance.node, instance.epoch))
        return 0 if load is None else load.in_flight


class HashRing:
    """Consistent hashing by key: the same key goes to the same instance while it is there.

    When one leaves, only its keys move; when one joins, keys move only to it, about its share. Where an instance
    listens and which life it is in do not matter: a restarted node gets its keys back.
    """

    def __init__(self, instances: Iterable[Instance] = ()) -> None:
        self._points: list[tuple[int, Instance]] = []
        self._hashes: list[int] = []
        self.update(instances)

    def update(self, instances: Iterable[Instance]) -> None:
        """Choose among these from now on."""
        points = {
            point: instance
            for instance in sorted(instances, key=lambda i: i.node)
            if takes_calls(instance)
            for point in _points(instance.node, max(1, instance.weight * POINTS // DEFAULT_WEIGHT))
        }
        self._hashes = sorted(points)
        self._points = [(point, points[point]) for point in self._hashes]

    def pick(self, key: str, exclude: Collection[str] = ()) -> Instance | None:
        """The instance of `key`; past the nodes in `exclude`, the next on the ring. None where there is none."""
        count = len(self._points)
        start = bisect_right(self._hashes, _hash(key))
        for step in range(count):
            instance = self._points[(start + step) % count][1]
            if instance.node not in exclude:
                return instance
        return None


class _Load:
    __slots__ = ("in_flight", "instance", "share")

    def __init__(self, instance: Instance, share: float) -> None:
        self.instance = instance
        self.in_flight = 0
        self.share = share


@lru_cache(256)
def _points(node: str, count: int) -> tuple[int, ...]:
    """Where a node stands on the ring."""
    return tuple(_hash(f"{node}#{number}") for number in range(count))


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
