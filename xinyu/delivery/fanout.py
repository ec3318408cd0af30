"""The fan-out: one presence call for all recipients of a batch, one call per target node, in parallel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from xinyu.delivery.nodes import Deliverers
from xinyu.delivery.port import CompletionPort, DelivererPort, DeliveryPort
from xinyu.delivery.settings import DeliverySettings
from xinyu.delivery.types import CloseOrder, Completion, NodePush, NodeSignal, Push, Signal
from xinyu.kernel.errors import Overloaded, XinyuError
from xinyu.kernel.ids import SessionId, UserId
from xinyu.presence.port import PresencePort
from xinyu.presence.types import NodeRef, NodeSessions, SessionTarget
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import Reading

log = get_logger(__name__)
RETRY_MS = 1000


class DeliveryService(DeliveryPort):
    """Queues pushes in memory and fans them out in the order given. What fails to arrive is not completed, so its
    outbox row stays and is claimed later."""

    def __init__(
        self, presence: PresencePort, completions: CompletionPort, deliverers: Deliverers, settings: DeliverySettings
    ) -> None:
        self._presence = presence
        self._completions = completions
        self._deliverers = deliverers
        self._settings = settings
        self._pushes: deque[Push] = deque()
        self._signals: deque[Signal] = deque()
        self._wake = asyncio.Event()
        self._working = False
        self._delivered = 0
        self._failed = 0
        self._dropped_signals = 0

    async def dispatch(self, pushes: list[Push]) -> None:
        if len(self._pushes) + len(pushes) > self._settings.queue_pushes:
            raise Overloaded("the delivery queue is full", retry_after_ms=RETRY_MS)
        self._pushes += pushes
        self._wake.set()

    async def signal(self, signals: list[Signal]) -> None:
        if len(self._signals) + len(signals) > self._settings.queue_signals:
            self._dropped_signals += len(signals)
            return
        self._signals += signals
        self._wake.set()

    async def close_sessions(self, order: CloseOrder) -> None:
        orders = (deliverer.close_sessions(order) for deliverer in self._deliverers.all_nodes())
        for result in await asyncio.gather(*orders, return_exceptions=True):
            if isinstance(result, BaseException):  # the other nodes were told all the same
                raise result

    async def run(self) -> None:
        """Fan out for ever."""
        while True:
            if not self._pushes and not self._signals:
                self._wake.clear()
                self._working = False
                await self._wake.wait()
            self._working = True
            if self._signals:
                signals = list(self._signals)
                self._signals.clear()
                await self._fan_out_signals(signals)
            if self._pushes:
                count = min(len(self._pushes), self._settings.batch_pushes)
                await self._fan_out([self._pushes.popleft() for _ in range(count)])

    async def drained(self) -> None:
        """Return when nothing waits for its fan-out."""
        while self._pushes or self._signals or self._working:
            await asyncio.sleep(0.01)

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_delivery_queue", "Pushes waiting for their fan-out.", len(self._pushes)),
            ("xinyu_delivery_pushes_total", "Pushes that every target node took.", self._delivered),
            ("xinyu_delivery_failures_total", "Pushes left to the outbox.", self._failed),
            ("xinyu_delivery_dropped_signals_total", "Signals dropped at a full queue.", self._dropped_signals),
        ]

    async def _fan_out(self, pushes: Sequence[Push]) -> None:
        recipients = {user_id for push in pushes for user_id in push.recipients}
        try:
            located = await self._presence.locate(list(recipients))
        except XinyuError as error:
            self._failed += len(pushes)
            log.warning("presence cannot be asked; pushes stay in the outbox", count=len(pushes), error=error.code)
            return
        batches = [(found.at, _for_node(pushes, found)) for found in located]
        batches = [(at, batch) for at, batch in batches if batch]
        if len(batches) == 1:
            failed = await self._deliver(*batches[0])
        else:
            results = await asyncio.gather(*(self._deliver(at, batch) for at, batch in batches))
            failed = set().union(*results) if results else set()
        done = [
            Completion(push.conversation_id, push.seq)
            for push in pushes
            if not failed or (push.conversation_id, push.seq) not in failed
        ]
        self._delivered += len(done)
        self._failed += len(pushes) - len(done)
        if done:
            try:
                await self._completions.complete(done)
            except XinyuError as error:
                log.warning("completions were lost; the outbox brings these again", count=len(done), error=error.code)

    async def _deliver(self, at: NodeRef, batch: list[NodePush]) -> set[tuple[int, int]]:
        """Hand a node its pushes; the keys of those it did not take."""
        deliverer = self._deliverers.find(at)
        if deliverer is None:  # that life of the node is over; its clients reconnect and catch up
            await self._heal(at, (target.session_id for push in batch for target in push.sessions))
            return set()
        try:
            async with asyncio.timeout(self._settings.attempt_seconds):
                receipt = await deliverer.deliver(batch)
        except (XinyuError, TimeoutError) as error:
            log.warning("a node took no pushes; they stay in the outbox", node=at.node, error=repr(error))
            return {(push.conversation_id, push.seq) for push in batch}
        if receipt.gone:
            await self._heal(at, receipt.gone)
        return set()

    async def _heal(self, at: NodeRef, session_ids: Iterable[SessionId]) -> None:
        """Sessions that are not there (any more). Should this be lost, the next push to them finds it out again."""
        try:
            await self._presence.forget(at, sorted(set(session_ids)))
        except XinyuError as error:
            log.info("presence was not told of sessions that are gone", node=at.node, error=error.code)

    async def _fan_out_signals(self, signals: Sequence[Signal]) -> None:
        recipients = {user_id for signal in signals for user_id in signal.recipients}
        try:
            located = await self._presence.locate(list(recipients))
        except XinyuError as error:
            log.info("signals were dropped: presence cannot be asked", count=len(signals), error=error.code)
            return
        calls = []
        for found in located:
            deliverer, batch = self._deliverers.find(found.at), _signals_for_node(signals, found)
            if deliverer is not None and batch:
                calls.append(self._signal_node(deliverer, batch))
        await asyncio.gather(*calls)

    async def _signal_node(self, deliverer: DelivererPort, batch: list[NodeSignal]) -> None:
        try:
            async with asyncio.timeout(self._settings.attempt_seconds):
                await deliverer.signal(batch)
        except (XinyuError, TimeoutError) as error:
            log.info("signals were dropped", count=len(batch), error=repr(error))


def _for_node(pushes: Sequence[Push], found: NodeSessions) -> list[NodePush]:
    """The part of a batch that concerns one node, in the order given."""
    held: dict[UserId, list[SessionTarget]] = {}
    for target in found.sessions:
        held.setdefault(target.user_id, []).append(target)
    batch: list[NodePush] = []
    for push in pushes:
        targets = [
            target
            for user_id in (push.recipients if len(push.recipients) <= len(held) else held.keys() & push.recipients)
            for target in held.get(user_id, ())
            if target.session_id != push.origin_session
        ]
        if targets:
            batch.append(NodePush(push.conversation_id, push.seq, targets, push.payload, push.trace_id))
    return batch


def _signals_for_node(signals: Sequence[Signal], found: NodeSessions) -> list[NodeSignal]:
    batch: list[NodeSignal] = []
    for signal in signals:
        wanted = set(signal.recipients)
        targets = [t for t in found.sessions if t.user_id in wanted and t.session_id != signal.origin_session]
        if targets:
            batch.append(NodeSignal(signal.name, targets, signal.payload))
    return batch
