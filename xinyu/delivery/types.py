"""What is delivered."""

from __future__ import annotations

import msgspec

from xinyu.kernel.ids import ConversationId, LoginId, SessionId, UserId
from xinyu.presence.types import NodeRef, SessionTarget

PushKey = tuple[ConversationId, int]
"""What a push is known by: its conversation and seq."""


class Push(msgspec.Struct, frozen=True):
    """One log entry on its way to the members' sockets. Ordered and repeated until it arrives (G3, G4)."""

    conversation_id: ConversationId
    seq: int
    recipients: list[UserId]
    payload: msgspec.Raw
    """The entry as its own domain encodes it."""
    origin_session: SessionId | None = None
    """The session that got the entry as its reply already and needs no push."""
    trace_id: str = ""

    @property
    def key(self) -> PushKey:
        """What it is known by."""
        return self.conversation_id, self.seq


class Signal(msgspec.Struct, frozen=True):
    """Something fleeting: typing, a read receipt. Delivered at most once, to whoever is connected now."""

    name: str
    recipients: list[UserId]
    payload: msgspec.Raw
    origin_session: SessionId | None = None


class NodePush(msgspec.Struct, frozen=True):
    """A push, reduced to the sessions of one node."""

    conversation_id: ConversationId
    seq: int
    sessions: list[SessionTarget]
    payload: msgspec.Raw
    trace_id: str = ""

    @property
    def key(self) -> PushKey:
        """What it is known by."""
        return self.conversation_id, self.seq


class NodeSignal(msgspec.Struct, frozen=True):
    """A signal, reduced to the sessions of one node."""

    name: str
    sessions: list[SessionTarget]
    payload: msgspec.Raw


class Receipt(msgspec.Struct, frozen=True):
    """A node's answer to a batch. What it does not name, it will bring to its sessions."""

    gone: list[SessionId] = []
    """Sessions that it does not have (any more)."""
    refused: list[PushKey] = []
    """Pushes that it cannot bring now, to be brought again."""


class Completion(msgspec.Struct, frozen=True):
    """Every node answered for this entry."""

    conversation_id: ConversationId
    seq: int


class QueueState(msgspec.Struct, frozen=True):
    """What waits between the outbox and the fan-out."""

    incarnation: str
    """Another one: the queue has lost what was in it."""
    depth: int
    """Pushes in the queue, those in hand included."""
    taken: int
    """Of them, those that some fan-out has in hand."""
    age_ms: int
    """Since the oldest was put; 0 when there is none."""


class CloseOrder(msgspec.Struct, frozen=True):
    """Close a user's sessions: one, those of one login, or of all but one, or all."""

    user_id: UserId
    login_id: LoginId | None = None
    """Only this login's sessions; None is every login's."""
    except_login_id: LoginId | None = None
    close_code: int = 4401
    reason: str = "login ended"
    session_id: SessionId | None = None
    """Only this session: whatever came after it stays, however late the order is (G7)."""
    at: NodeRef | None = None
    """Only this node, in this life; None is every node."""
    notice: str = ""
    """What the user is told before, in the words of the contract; "" is nothing."""
