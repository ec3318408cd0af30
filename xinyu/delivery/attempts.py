"""One call to one node, within its time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from xinyu.delivery.nodes import Deliverers
from xinyu.delivery.port import DelivererPort
from xinyu.delivery.types import CloseOrder, NodePush, NodeSignal, Receipt
from xinyu.kernel.errors import DeadlineExceeded, Unavailable, XinyuError, code_of
from xinyu.kernel.ids import SessionId
from xinyu.presence.port import PresencePort
from xinyu.presence.types import NodeRef
from xinyu.telemetry.logs import get_logger, hops, in_ms
from xinyu.telemetry.readings import SECONDS, Histogram, Reading
from xinyu.telemetry.trace import adopt_shared_trace, adopt_trace

log = get_logger(__name__)


class Attempts:
    """Calls nodes and tells presence of sessions they do not have. Nothing here raises for a node that fails."""

    def __init__(self, deliverers: Deliverers, presence: PresencePort, seconds: float) -> None:
        self._deliverers = deliverers
        self._presence = presence
        self._seconds = seconds
        self._calls = 0
        self._lost_signals = 0
        self._deliver_seconds = Histogram(SECONDS)

    async def deliver(self, at: NodeRef, batch: list[NodePush]) -> Receipt | None:
        """What the node said, with the sessions to `heal`; None when it took nothing. The calling task adopts the trace
        of a batch that has just one."""
        deliverer = self._deliverers.find(at)
        if deliverer is None:  # that life of the node is over; its clients reconnect and catch up
            return Receipt([target.session_id for push in batch for target in push.sessions])
        adopt_shared_trace({push.trace_id for push in batch})
        self._calls += 1
        begin = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds):
                receipt = await deliverer.deliver(batch)
        except (XinyuError, TimeoutError) as error:
            log.warning("a node took no pushes; they stay in the outbox", node=at.node, error=code_of(error))
            return None
        seconds = time.monotonic() - begin
        self._deliver_seconds.observe(seconds)
        if hops.told:
            _tell(at, batch, seconds)
        return receipt

    async def heal(self, at: NodeRef, session_ids: Iterable[SessionId]) -> None:
        """Sessions that are not there (any more). Should this be lost, the next push to them finds it out again."""
        try:
            await self._presence.forget(at, sorted(set(session_ids)))
        except XinyuError as error:
            log.info("presence was not told of sessions that are gone", node=at.node, error=error.code)

    async def signal(self, at: NodeRef, batch: list[NodeSignal]) -> bool:
        """Whether the node is well; signals it did not take are lost."""
        deliverer = self._deliverers.find(at)
        if deliverer is None:
            return True
        adopt_trace("")
        try:
            async with asyncio.timeout(self._seconds):
                await deliverer.signal(batch)
        except (XinyuError, TimeoutError) as error:
            self._lost_signals += len(batch)
            log.info("signals were dropped", node=at.node, count=len(batch), error=code_of(error))
            return False
        return True

    async def close_sessions(self, order: CloseOrder) -> None:
        """Tell all nodes at once, or the one that is meant, if that life of it is not over. Raises the first error when
        all of them had their time."""
        deliverers = self._deliverers.all_nodes() if order.at is None else [self._deliverers.find(order.at)]
        calls = (self._close(deliverer, order) for deliverer in deliverers if deliverer is not None)
        errors = [error for error in await asyncio.gather(*calls) if error is not None]
        if errors:
            raise errors[0]

    async def _close(self, deliverer: DelivererPort, order: CloseOrder) -> XinyuError | None:
        try:
            async with asyncio.timeout(self._seconds):
                await deliverer.close_sessions(order)
        except TimeoutError:
            log.warning("a node was not told to close sessions", uid=order.user_id, error=DeadlineExceeded.code)
            return Unavailable("a node did not answer in time")
        except XinyuError as error:
            log.warning("a node was not told to close sessions", uid=order.user_id, error=error.code)
            return error
        return None

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_delivery_calls_total", "Calls that brought pushes to a node.", self._calls),
            ("xinyu_delivery_call_seconds", "Of them, those that were answered.", self._deliver_seconds),
            ("xinyu_delivery_lost_signals_total", "Signals that a node did not take.", self._lost_signals),
        ]


def _tell(at: NodeRef, batch: list[NodePush], seconds: float) -> None:
    for push in batch:
        log.debug(
            "push taken by a node",
            trace_id=push.trace_id,
            conversation_id=push.conversation_id,
            seq=push.seq,
            node=at.node,
            sessions=len(push.sessions),
            duration_ms=in_ms(seconds),
        )
