"""Where pushes wait for their fan-out: in the memory of the process that fans out, or in Redis between processes."""

from __future__ import annotations

import abc
from collections.abc import Iterable

from xinyu.delivery.port import Backlog, DeliveryPort
from xinyu.delivery.types import CloseOrder, Push, PushKey, Signal
from xinyu.telemetry.readings import Reading


class PushQueue(Backlog):
    """Pushes on their way to a fan-out. It may lose them: outbox rows stay until their completion, and bring them
    again. It may give one out twice: sockets show it once."""

    @abc.abstractmethod
    async def put(self, pushes: list[Push]) -> None:
        """Queue pushes in the order given. Raises Overloaded when some of them did not fit, StorageUnavailable when
        where they wait is away; then any of them may be queued."""

    @abc.abstractmethod
    async def take(self, limit: int) -> list[Push]:
        """Wait for pushes and take up to `limit`, those of a conversation in the order in which they were put. Nobody
        else takes pushes of these conversations meanwhile. Each is in hand until `settled`."""

    @abc.abstractmethod
    def settled(self, keys: Iterable[PushKey]) -> None:
        """These are through, or left to the outbox. Those not in hand are passed over."""

    @abc.abstractmethod
    def abandon(self) -> None:
        """Whoever took what is in hand is no more: all of it is left to the outbox."""

    @abc.abstractmethod
    async def leave(self) -> None:
        """Take no more here, and let others go on once nothing is in hand. Idempotent; `run` must be running."""

    @abc.abstractmethod
    async def run(self) -> None:
        """What the queue has to do beside: works for ever."""

    @property
    @abc.abstractmethod
    def busy(self) -> bool:
        """Whether something waits that nobody but this process will take, or is in hand."""

    @abc.abstractmethod
    def readings(self) -> list[Reading]:
        """For metrics."""


class QueuedDelivery(DeliveryPort):
    """Delivery as a process sees it that hands its pushes over through a queue, not by a call. Fleeting signals and
    orders to close sessions still go by calls: a queue would only make them late."""

    def __init__(self, queue: PushQueue, delivery: DeliveryPort) -> None:
        self._queue = queue
        self._delivery = delivery

    async def dispatch(self, pushes: list[Push]) -> None:
        await self._queue.put(pushes)

    async def signal(self, signals: list[Signal]) -> None:
        await self._delivery.signal(signals)

    async def close_sessions(self, order: CloseOrder) -> None:
        await self._delivery.close_sessions(order)
