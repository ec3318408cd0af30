"""What the presence service needs of its storage."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import NamedTuple

from xinyu.kernel.ids import NodeId, SessionId, UserId
from xinyu.presence.types import NodeRef, PresenceEntry


class Put(NamedTuple):
    """What became of entries that were put."""

    replaced: list[PresenceEntry]
    """Those that lost their place, removed or not let in."""
    missing: list[PresenceEntry]
    """Those that no reader would have found before."""


class PresenceStore(abc.ABC):
    """Sessions with leases. Every method is atomic on its own."""

    in_process = False
    """Whether one process alone reads its times: they are monotonic then, and no step of the clock ends a lease."""
    expired = 0
    """Sessions that readers found dead: their lease was over, or their node's life."""

    @abc.abstractmethod
    async def put(self, entries: Iterable[PresenceEntry], expires_ms: int, lease_ms: int = 0) -> Put:
        """Add sessions or extend their leases. Entries of an older epoch of a node than the newest seen are ignored.
        `lease_ms` is the time until `expires_ms`, for stores whose own timers must not end a longer lease than usual.

        Of the entries with a turn, only the highest that was ever put stays for a user and platform (by session id
        among equals). A highest turn is remembered for some leases at least.
        """

    @abc.abstractmethod
    async def take_turn(self, user_id: UserId, now_ms: int) -> int:
        """A turn above all that were taken or put for this user, and not below `now_ms`."""

    @abc.abstractmethod
    async def remove(self, at: NodeRef, user_id: UserId, session_id: SessionId) -> None:
        """Remove this session if it is of this node and epoch."""

    @abc.abstractmethod
    async def remove_sessions(self, at: NodeRef, session_ids: Iterable[SessionId]) -> None:
        """Remove sessions, whoever's they are, that are of this node and epoch."""

    @abc.abstractmethod
    async def remove_node(self, node: NodeId, epoch: int) -> None:
        """Remove all sessions of a node up to this epoch."""

    @abc.abstractmethod
    async def find(self, user_ids: Iterable[UserId], now_ms: int) -> list[PresenceEntry]:
        """Live sessions of these users: lease not over, epoch the newest of its node."""

    @abc.abstractmethod
    async def count_users(self) -> int:
        """Users with an entry (an estimate where counting is dear)."""

    @abc.abstractmethod
    async def incarnation(self) -> str:
        """A name for this memory: another one once it has lost what was put."""
