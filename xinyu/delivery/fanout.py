"""The fan-out: one presence call for all recipients of a batch, then every target node in a lane of its own."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence

from xinyu.delivery.attempts import Attempts
from xinyu.delivery.batches import Tally, for_node, signals_for_node
from xinyu.delivery.lanes import Lanes
from xinyu.delivery.nodes import Deliverers
from xinyu.delivery.outcomes import Outcomes
from xinyu.delivery.port import CompletionPort, DeliveryPort
from xinyu.delivery.queue import PushQueue
from xinyu.delivery.settings import DeliverySettings
from xinyu.delivery.types import CloseOrder, NodePush, Push, Signal
from xinyu.kernel.errors import XinyuError
from xinyu.presence.port import PresencePort
from xinyu.presence.types import NodeRef
from xinyu.telemetry.logs import get_logger, hops
from xinyu.telemetry.readings import Reading
from xinyu.telemetry.trace import adopt_shared_trace

log = get_logger(__name__)


class DeliveryService(DeliveryPort):
    """Takes pushes out of a queue and fans them out in the order given. What fails to arrive is not completed, so its
    outbox row stays and is claimed later."""

    def __init__(
        self,
        presence: PresencePort,
        completions: CompletionPort,
        deliverers: Deliverers,
        settings: DeliverySettings,
        queue: PushQueue,
    ) -> None:
        self._presence = presence
        self._deliverers = deliverers
        self._settings = settings
        self._queue = queue
        self._signals: deque[Signal] = deque()
        self._wake = asyncio.Event()
        self._working = 0
        self._dropped_signals = 0
        self._located = 0
        self._outcomes = Outcomes(completions, settings.queue_completions, self._queue.settled)
        self._attempts = Attempts(deliverers, presence, settings.attempt_seconds)
        self._lanes = Lanes(self._attempts, settings)

    async def dispatch(self, pushes: list[Push]) -> None:
        await self._queue.put(pushes)

    async def signal(self, signals: list[Signal]) -> None:
        if len(self._signals) + len(signals) > self._settings.queue_signals:
            self._dropped_signals += len(signals)
            return
        self._signals += signals
        self._wake.set()

    async def close_sessions(self, order: CloseOrder) -> None:
        await self._attempts.close_sessions(order)

    async def run(self) -> None:
        """Fan out for ever."""
        self._lanes.clear()
        self._queue.abandon()
        self._working = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outcomes.run())
            group.create_task(self._queue.run())
            group.create_task(self._work_signals(group))
            await self._work_pushes(group)

    async def _work_pushes(self, group: asyncio.TaskGroup) -> None:
        while True:
            pushes = await self._queue.take(self._settings.batch_pushes)
            self._working += 1
            await self._fan_out(pushes, group)
            self._working -= 1

    async def _work_signals(self, group: asyncio.TaskGroup) -> None:
        while True:
            if not self._signals:
                self._wake.clear()
                await self._wake.wait()
            signals = list(self._signals)
            self._signals.clear()
            self._working += 1
            await self._fan_out_signals(signals, group)
            self._working -= 1

    async def drained(self) -> None:
        """Return when nothing waits for its fan-out here, for a node or to be reported."""
        await self._queue.leave()
        while self._queue.busy or self._signals or self._working or self._lanes.busy or self._outcomes.busy:
            await asyncio.sleep(0.01)

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_delivery_dropped_signals_total", "Signals dropped at a full queue.", self._dropped_signals),
            ("xinyu_delivery_located_nodes_total", "Target nodes of all batches.", self._located),
            *self._queue.readings(),
            *self._outcomes.readings(),
            *self._attempts.readings(),
            *self._lanes.readings(),
        ]

    async def _fan_out(self, pushes: Sequence[Push], group: asyncio.TaskGroup) -> None:
        recipients = {user_id for push in pushes for user_id in push.recipients}
        adopt_shared_trace({push.trace_id for push in pushes})
        try:
            located = await self._presence.locate(list(recipients))
        except XinyuError as error:
            self._outcomes.failed([push.key for push in pushes])
            log.warning("presence cannot be asked; pushes stay in the outbox", count=len(pushes), error=error.code)
            return
        batches = [(found.at, batch) for found in located if (batch := for_node(pushes, found))]
        self._located += len(batches)
        if hops.told:
            _tell(pushes, [batch for _, batch in batches])
        tally = Tally(pushes, (batch for _, batch in batches), self._outcomes)
        here = []
        for at, batch in batches:
            if self._deliverers.is_here(at):
                here.append((at, batch))
            else:
                self._lanes.put(at, batch, tally, group)
        for at, batch in here:  # when the lanes have theirs
            await self._deliver_here(at, batch, tally)

    async def _deliver_here(self, at: NodeRef, batch: list[NodePush], tally: Tally) -> None:
        """In place: a lane would cost a task for what takes no waiting."""
        receipt = await self._attempts.deliver(at, batch)
        for push in batch:
            tally.told(push, receipt)
        if receipt is not None and receipt.gone:
            await self._attempts.heal(at, receipt.gone)

    async def _fan_out_signals(self, signals: Sequence[Signal], group: asyncio.TaskGroup) -> None:
        recipients = {user_id for signal in signals for user_id in signal.recipients}
        try:
            located = await self._presence.locate(list(recipients))
        except XinyuError as error:
            log.info("signals were dropped: presence cannot be asked", count=len(signals), error=error.code)
            return
        here = []
        for found in located:
            batch = signals_for_node(signals, found)
            if batch and self._deliverers.is_here(found.at):
                here.append((found.at, batch))
            elif batch:
                self._lanes.put_signals(found.at, batch, group)
        for at, batch in here:
            await self._attempts.signal(at, batch)


def _tell(pushes: Sequence[Push], batches: Sequence[Sequence[NodePush]]) -> None:
    nodes = Counter((push.conversation_id, push.seq) for batch in batches for push in batch)
    for push in pushes:
        log.debug(
            "push located",
            trace_id=push.trace_id,
            conversation_id=push.conversation_id,
            seq=push.seq,
            count=len(push.recipients),
            nodes=nodes[push.conversation_id, push.seq],
        )
