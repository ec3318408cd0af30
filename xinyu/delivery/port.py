"""Ports around the fan-out: in (`DeliveryPort`), out to the nodes (`DelivererPort`), back (`CompletionPort`)."""

from __future__ import annotations

import abc

from xinyu.delivery.types import CloseOrder, Completion, NodePush, NodeSignal, Push, QueueState, Receipt, Signal
from xinyu.kernel.port import Port, rpc


class DeliveryPort(Port):
    """Takes what is to be delivered. Returns when it is queued, not when it arrived."""

    @rpc(120, idempotent=True)
    async def dispatch(self, pushes: list[Push]) -> None:
        """Queue pushes; per conversation they are handed to the nodes in the order given. Raises Overloaded when the
        queue is full (the outbox brings them later)."""

    @rpc(121)
    async def signal(self, signals: list[Signal]) -> None:
        """Send fleeting signals to whoever is connected. Dropped when the queue is full."""

    @rpc(122, idempotent=True)
    async def close_sessions(self, order: CloseOrder) -> None:
        """Close sessions on every node that holds some of this user."""


class DelivererPort(Port):
    """One node's sockets. Pinned: a call goes to the node that holds the sessions."""

    @rpc(110, idempotent=True)
    async def deliver(self, pushes: list[NodePush]) -> Receipt:
        """Bring pushes to sessions of this node, in order of `seq` per conversation, each at most once per session."""

    @rpc(111)
    async def signal(self, signals: list[NodeSignal]) -> None:
        """Bring fleeting signals to sessions of this node."""

    @rpc(112, idempotent=True)
    async def close_sessions(self, order: CloseOrder) -> None:
        """Close this node's sessions that `order` names."""


class CompletionPort(Port):
    """Who put pushes into delivery learns here that they are through."""

    @rpc(330, idempotent=True)
    async def complete(self, completions: list[Completion]) -> None:
        """These entries reached every node that had recipients."""


class Backlog(abc.ABC):
    """What was handed to delivery and waits outside of any process. No port: each process looks for itself."""

    @abc.abstractmethod
    async def backlog(self) -> QueueState:
        """How much waits, and since when. Raises StorageUnavailable."""
