"""What the message services need of their storage. Every method is one unit of work: whole or not at all."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

import msgspec

from xinyu.kernel.ids import ConversationId, DeviceId, MsgId, SessionId, UserId
from xinyu.message.types import (
    ConversationView,
    DeviceCursor,
    DeviceState,
    Effect,
    Entry,
    Kind,
    Page,
    Ref,
    Role,
    SyncPage,
)


class MemberRights(msgspec.Struct, frozen=True):
    """What decides whether a member may send and be sent to."""

    active: bool
    role: Role
    muted_until_ms: int
    accepts: bool


class Membership(msgspec.Struct, frozen=True):
    """All members of a conversation at one `version` of its member list."""

    version: int
    members: dict[UserId, MemberRights]
    recipients: list[UserId]
    """The active ones."""


class ReadMark(msgspec.Struct, frozen=True):
    """A member's read cursor after it was marked."""

    read_seq: int
    unread: int
    """What is left."""
    moved: bool = False
    mutual: bool = False
    """In a private conversation: whether the two accept each other's messages."""


class Append(msgspec.Struct, frozen=True):
    """A checked message on its way into the log."""

    conversation_id: ConversationId
    sender_id: UserId
    msg_id: MsgId
    type: int
    content: str
    quote: str
    digest: str
    origin_session: SessionId | None = None
    trace_id: str = ""
    sender_name: str = ""
    sender_avatar: str = ""
    sources: list[MsgId] = []
    """Of a forward message: the messages that it makes readable, and with them whatever those carry themselves."""
    refusal: Exception | None = None
    """Why the message may not be sent, found before it came here; one that is stored already gets its receipt."""


class Appended(msgspec.Struct, frozen=True):
    """Stored now: the entry, who receives it."""

    entry: Entry
    recipients: list[UserId]
    origin_session: SessionId | None = None
    trace_id: str = ""


class Repeated(msgspec.Struct, frozen=True):
    """Stored before under the same msg_id with the same content."""

    entry: Entry


class NotAccepted(msgspec.Struct, frozen=True):
    """The peer does not accept messages from the sender; nothing was stored."""


class Busy(msgspec.Struct, frozen=True):
    """Another transaction holds the conversation; nothing was stored, try in the next batch."""


class Refused(msgspec.Struct, frozen=True):
    """Not stored, because of `error` (one of message/errors.py)."""

    error: Exception


Outcome = Appended | Repeated | NotAccepted | Busy | Refused


class BatchResult(msgspec.Struct, frozen=True):
    """One outcome per item, and the member lists that had to be read again."""

    outcomes: list[Outcome]
    memberships: dict[ConversationId, Membership]


OutboxKey = tuple[ConversationId, int]


class LogStore(abc.ABC):
    """The log: appending and reading."""

    @abc.abstractmethod
    async def find_conversation(self, kind: Kind, parties: tuple[int, int]) -> ConversationId | None:
        """The id of a conversation."""

    @abc.abstractmethod
    async def append(
        self,
        items: Sequence[Append],
        known: Mapping[ConversationId, Membership],
        delivered: Sequence[OutboxKey],
        now_ms: int,
    ) -> BatchResult:
        """Append a batch in one transaction (group commit): ids first, then rights, then rows. Outbox rows of
        `delivered` entries are settled on the way.

        `known` member lists are used where their version still holds under the lock. A refused item never fails its
        neighbours. Raises UniqueViolation when another node stored one of these ids at the same time (run it again,
        smaller), StorageUnavailable (nothing stored), CommitUnknown (run it again: it finds out)."""

    @abc.abstractmethod
    async def recall(
        self,
        user_id: UserId,
        conversation_id: ConversationId,
        msg_id: MsgId,
        user_name: str,
        not_before_ms: int,
        now_ms: int,
    ) -> Appended | None:
        """Mark a message recalled and append the recall entry; None when it was recalled before.
        Raises MessageNotFound, NotYourMessage, RecallTooLate."""

    @abc.abstractmethod
    async def history(
        self,
        user_id: UserId,
        conversation_id: ConversationId,
        *,
        before: int,
        after: int | None,
        limit: int,
        types: Sequence[int] | None,
        tombstones: bool,
    ) -> Page:
        """See MessagePort.history."""

    @abc.abstractmethod
    async def find_messages(self, user_id: UserId, msg_ids: Sequence[MsgId]) -> dict[MsgId, Entry]:
        """Messages by id that the user may read; recalled ones are left out."""

    @abc.abstractmethod
    async def read_range(self, conversation_id: ConversationId, first: int, last: int) -> list[Entry]:
        """Entries by seq, whoever may read them."""

    @abc.abstractmethod
    async def hide_messages(
        self, user_id: UserId, conversation_id: ConversationId, msg_ids: Sequence[MsgId], notice: MsgId, now_ms: int
    ) -> list[Appended]:
        """Hide messages from one user and tell his devices by an entry of his self conversation."""

    @abc.abstractmethod
    async def clear(
        self, user_id: UserId, conversation_id: ConversationId, notice: MsgId, now_ms: int
    ) -> list[Appended]:
        """Hide everything up to the head, or to where he left, from one user, mark it read, tell his devices."""


class ListStore(abc.ABC):
    """Conversations as one user sees them."""

    @abc.abstractmethod
    async def list_views(
        self, user_id: UserId, only: ConversationId | None, at_device: DeviceId | None
    ) -> list[ConversationView]:
        """The user's list, or one conversation of it even when hidden. With `at_device`, unread at its cursors if it
        is known."""

    @abc.abstractmethod
    async def open(self, user_id: UserId, kind: Kind, parties: tuple[int, int], now_ms: int) -> ConversationId:
        """Show a conversation, creating a private one in which neither accepts the other. Raises NotAMember."""

    @abc.abstractmethod
    async def set_view(
        self,
        user_id: UserId,
        conversation_id: ConversationId,
        *,
        pinned: bool | None = None,
        muted: bool | None = None,
        hidden: bool | None = None,
        notice: MsgId,
        now_ms: int,
    ) -> list[Appended]:
        """Change how the user sees a conversation and tell his devices; nothing when it is so already."""

    @abc.abstractmethod
    async def mark_read(
        self, marks: Mapping[tuple[UserId, ConversationId], int | None]
    ) -> dict[tuple[UserId, ConversationId], ReadMark]:
        """Move read cursors up (None: to the head), never back; of who left, to where he left at most. Marks of who was
        never a member are left out."""

    @abc.abstractmethod
    async def find_ids(self, user_id: UserId, refs: Sequence[Ref]) -> list[ConversationId | None]:
        """Ids of conversations the user is or was in."""

    @abc.abstractmethod
    async def list_muted(self, user_id: UserId, refs: Sequence[Ref]) -> list[bool]:
        """Do-not-disturb flags."""

    @abc.abstractmethod
    async def list_members(self, conversation_id: ConversationId) -> Membership | None:
        """The member list."""


class DeviceStore(abc.ABC):
    """Devices, their cursors, and what they have not."""

    @abc.abstractmethod
    async def open_device(self, user_id: UserId, device_id: DeviceId, sync: bool, now_ms: int) -> list[DeviceState]:
        """See DevicePort.open_device."""

    @abc.abstractmethod
    async def set_caught_up(self, user_id: UserId, device_id: DeviceId) -> None:
        """The pushes that a reconnect owed this device are through."""

    @abc.abstractmethod
    async def is_catching_up(self, user_id: UserId, device_id: DeviceId) -> bool | None:
        """Whether pushes are still owed to it; None for a device that never connected."""

    @abc.abstractmethod
    async def move_cursors(self, cursors: Sequence[DeviceCursor], now_ms: int) -> None:
        """Store cursors, never back. Beyond the bound of a user's devices the one that came first is forgotten."""

    @abc.abstractmethod
    async def forget_device(self, user_id: UserId, device_id: DeviceId) -> None:
        """Remove a device and its cursors."""

    @abc.abstractmethod
    async def sync(
        self, user_id: UserId, device_id: DeviceId, cursors: Mapping[int, int] | None, since_ms: int, limit: int
    ) -> SyncPage:
        """See MessagePort.sync."""


class EffectStore(abc.ABC):
    """Effects of the domains above."""

    @abc.abstractmethod
    async def apply(self, effect: Effect, now_ms: int) -> tuple[ConversationId, list[Appended]]:
        """Carry out an effect in one transaction: the conversation's id and the entries to push, in log order."""
