"""A lane per node: what waits for it, delivered in order by one worker, and never waiting for another node."""

from __future__ import annotations

import asyncio
from collections import deque

from xinyu.delivery.attempts import Attempts
from xinyu.delivery.batches import Tally
from xinyu.delivery.settings import DeliverySettings
from xinyu.delivery.types import NodePush, NodeSignal
from xinyu.presence.types import NodeRef
from xinyu.telemetry.readings import Reading


class Lane:
    """What waits for one life of a node."""

    def __init__(self, at: NodeRef, attempts: Attempts, settings: DeliverySettings) -> None:
        self.pushes: deque[tuple[NodePush, Tally]] = deque()
        self.signals: deque[NodeSignal] = deque()
        self.dropped_signals = 0
        self.push_bytes = 0
        self._at = at
        self._attempts = attempts
        self._settings = settings

    def put(self, batch: list[NodePush], tally: Tally) -> None:
        """Queue pushes; those that do not fit have failed."""
        room = self._settings.lane_pushes - len(self.pushes)
        if self.push_bytes >= self._settings.lane_push_bytes:
            room = 0
        self.pushes += [(push, tally) for push in batch[:room]]
        self.push_bytes += sum(len(push.payload) for push in batch[:room])
        for push in batch[room:]:
            tally.failed(push)

    def put_signals(self, batch: list[NodeSignal]) -> int:
        """Queue signals; how many of them did not fit."""
        fitting = batch[: self._settings.lane_signals - len(self.signals)]
        self.signals += fitting
        return len(batch) - len(fitting)

    async def run(self) -> None:
        """Deliver until nothing waits. When the node fails, all that waits has failed: what comes next tries again."""
        while self.pushes or self.signals:
            if not (await self._signal() and await self._deliver()):
                self._give_up()

    async def _signal(self) -> bool:
        if not self.signals:
            return True
        batch = list(self.signals)
        self.signals.clear()
        return await self._attempts.signal(self._at, batch)

    async def _deliver(self) -> bool:
        if not self.pushes:
            return True
        items = [self.pushes.popleft() for _ in range(min(len(self.pushes), self._settings.batch_pushes))]
        self.push_bytes -= sum(len(push.payload) for push, _ in items)
        receipt = await self._attempts.deliver(self._at, [push for push, _ in items])
        for push, tally in items:
            tally.told(push, receipt)
        if receipt is None:
            return False
        if receipt.gone:
            await self._attempts.heal(self._at, receipt.gone)
        return True

    def _give_up(self) -> None:
        for push, tally in self.pushes:
            tally.failed(push)
        self.dropped_signals += len(self.signals)
        self.pushes.clear()
        self.push_bytes = 0
        self.signals.clear()


class Lanes:
    """The lanes in use. A lane ends when nothing waits in it, so none outlives its node."""

    def __init__(self, attempts: Attempts, settings: DeliverySettings) -> None:
        self._attempts = attempts
        self._settings = settings
        self._lanes: dict[NodeRef, Lane] = {}
        self._dropped_signals = 0

    @property
    def busy(self) -> bool:
        """Whether any lane is in use."""
        return bool(self._lanes)

    def clear(self) -> None:
        """Forget the lanes of a fan-out that has crashed: a worker that was stopped before its first step leaves its
        lane behind. What waited there is left to the outbox."""
        self._lanes.clear()

    def put(self, at: NodeRef, batch: list[NodePush], tally: Tally, group: asyncio.TaskGroup) -> None:
        """Queue pushes for a node; its worker is a task of `group`."""
        self._lane(at, group).put(batch, tally)

    def put_signals(self, at: NodeRef, batch: list[NodeSignal], group: asyncio.TaskGroup) -> None:
        """Queue signals for a node, or drop them."""
        self._dropped_signals += self._lane(at, group).put_signals(batch)

    def _lane(self, at: NodeRef, group: asyncio.TaskGroup) -> Lane:
        lane = self._lanes.get(at)
        if lane is None:
            lane = self._lanes[at] = Lane(at, self._attempts, self._settings)
            group.create_task(self._work(at, lane))
        return lane

    async def _work(self, at: NodeRef, lane: Lane) -> None:
        try:
            await lane.run()
        finally:
            self._dropped_signals += lane.dropped_signals
            del self._lanes[at]

    def readings(self) -> list[Reading]:
        """For metrics."""
        waiting = sum(len(lane.pushes) for lane in self._lanes.values())
        return [
            ("xinyu_delivery_lanes", "Other nodes that are being delivered to.", len(self._lanes)),
            ("xinyu_delivery_lane_pushes", "Pushes waiting for other nodes.", waiting),
            (
                "xinyu_delivery_lane_bytes",
                "Bytes of their payloads.",
                sum(lane.push_bytes for lane in self._lanes.values()),
            ),
            ("xinyu_delivery_lane_dropped_signals_total", "Signals dropped in lanes.", self._dropped_signals),
        ]
