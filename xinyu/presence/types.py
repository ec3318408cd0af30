"""Values of the presence domain."""

from __future__ import annotations

import msgspec

from xinyu.kernel.ids import DeviceId, NodeId, SessionId, UserId


class NodeRef(msgspec.Struct, frozen=True):
    """A process in one of its lives: a restart has the same `node` and a new `epoch`."""

    node: NodeId
    epoch: int
    address: str = ""
    """Where its RPC listens, "host:port"; "" inside one process."""


class PresenceEntry(msgspec.Struct, frozen=True):
    """One session of a user."""

    user_id: UserId
    session_id: SessionId
    device_id: DeviceId
    platform: str
    at: NodeRef
    turn: int = 0
    """Where its platform is for one device at a time: of two, the higher turn stays. 0 is outside of that rule."""
    missing: bool = False
    """In the answer to a renewal: it was not there any more, and is again."""


class SessionTarget(msgspec.Struct, frozen=True):
    """A session to deliver to."""

    user_id: UserId
    session_id: SessionId


class NodeSessions(msgspec.Struct, frozen=True):
    """The located sessions that one node holds."""

    at: NodeRef
    sessions: list[SessionTarget]


class OnlineUser(msgspec.Struct, frozen=True):
    """A user with at least one session."""

    user_id: UserId
    platforms: list[str]
    device_ids: list[DeviceId]
