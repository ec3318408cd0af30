"""How others ask and tell who is connected."""

from __future__ import annotations

from xinyu.kernel.ids import NodeId, SessionId, UserId
from xinyu.kernel.port import Port, rpc
from xinyu.presence.types import NodeRef, NodeSessions, OnlineUser, PresenceEntry


class PresencePort(Port):
    """The sessions of all users."""

    @rpc(210, idempotent=True)
    async def register(self, entry: PresenceEntry, lease_seconds: float | None = None) -> list[PresenceEntry]:
        """Add a session. Entries of an older epoch of the same node are dropped. A lease of its own is for those whose
        renewals follow another clock than ours. One with a turn takes its user's place on its platform: returns whom
        that cost theirs, to be closed. That is itself where a higher turn was there before, whether it still is or
        not, so no order of registrations and no repetition lets an old one in again (G7)."""

    @rpc(211, idempotent=True)
    async def unregister(self, entry: PresenceEntry) -> None:
        """Remove exactly this session of exactly this epoch; anything newer stays."""

    @rpc(212, idempotent=True)
    async def renew(self, at: NodeRef, entries: list[PresenceEntry], tell_missing: bool = False) -> list[PresenceEntry]:
        """Extend the leases of a node's sessions, in one batch; missing ones are added again. Returns who lost their
        place, as `register` does, and with `tell_missing` those that were missing, marked so: what was pushed meanwhile
        did not find them (G4)."""

    @rpc(213, idempotent=True)
    async def locate(self, user_ids: list[UserId]) -> list[NodeSessions]:
        """All live sessions of these users, grouped by node: one call for a whole fan-out."""

    @rpc(214, idempotent=True)
    async def list_online(self, user_ids: list[UserId]) -> list[OnlineUser]:
        """Those of `user_ids` who have a session, in no order."""

    @rpc(215, idempotent=True)
    async def forget(self, at: NodeRef, session_ids: list[SessionId]) -> None:
        """Remove sessions that a delivery found gone from their node, of this epoch only."""

    @rpc(216, idempotent=True)
    async def drop_node(self, node: NodeId, epoch: int) -> None:
        """Remove every session of a node up to and including `epoch` (it left, or was reborn)."""

    @rpc(217, idempotent=True)
    async def incarnation(self) -> str:
        """Which memory the sessions are kept in. Another answer than before says that it was lost in between: whoever
        holds sessions registers them again at once, whoever delivered meanwhile delivers again (G4)."""

    @rpc(218, idempotent=True)
    async def take_turn(self, user_id: UserId) -> int:
        """A turn above all that sessions of this user have had; not below the time in ms, so that they go on rising
        after presence lost its memory. To be taken before the registration, which may be repeated."""
