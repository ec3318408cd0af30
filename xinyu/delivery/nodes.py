"""Which deliverer holds a node's sockets."""

from __future__ import annotations

import abc

from xinyu.delivery.port import DelivererPort
from xinyu.presence.types import NodeRef


class Deliverers(abc.ABC):
    """Finds the deliverer of a node. Pinned: no other instance will do."""

    @abc.abstractmethod
    def find(self, at: NodeRef) -> DelivererPort | None:
        """A stub for the node in exactly this epoch; None when that life of it is over."""

    @abc.abstractmethod
    def all_nodes(self) -> list[DelivererPort]:
        """Every node that holds sessions."""

    def is_here(self, at: NodeRef) -> bool:
        """Whether calls for this node stay in the process: they are awaited in place, without a lane."""
        return False


class LocalDeliverers(Deliverers):
    """The one node of a monolith."""

    def __init__(self, here: NodeRef, deliverer: DelivererPort) -> None:
        self._here = here
        self._deliverer = deliverer

    def find(self, at: NodeRef) -> DelivererPort | None:
        return self._deliverer if at == self._here else None

    def all_nodes(self) -> list[DelivererPort]:
        return [self._deliverer]

    def is_here(self, at: NodeRef) -> bool:
        return True
