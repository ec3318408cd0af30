"""Values of the message domain. All of them travel over RPC."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from xinyu.kernel.ids import ConversationId, DeviceId, GroupId, MsgId, SessionId, UserId


class Kind(IntEnum):
    """Kinds of conversation. The numbers are the contract's talk_mode (3 is xinyu's own)."""

    PRIVATE = 1
    GROUP = 2
    SELF = 3


class Ref(msgspec.Struct, frozen=True):
    """A conversation as one of its members names it: the peer's user id, the group's id, or the user's own id."""

    kind: Kind
    target_id: int


class EntryType(IntEnum):
    """What a log entry is (CONTRACT.md section 3.1). Below 1000: sent by users, they count for the badge.
    1000 to 1999: events of a conversation. From 2000: xinyu's own, in a user's *self* conversation."""

    TEXT = 1
    CODE = 2
    IMAGE = 3
    AUDIO = 4
    VIDEO = 5
    FILE = 6
    LOCATION = 7
    CARD = 8
    FORWARD = 9
    LOGIN = 10
    VOTE = 11
    MIXED = 12
    GROUP_NOTICE = 13
    SYSTEM_TEXT = 1000
    GROUP_CREATED = 1101
    MEMBERS_JOINED = 1102
    MEMBER_LEFT = 1103
    MEMBERS_REMOVED = 1104
    RECALLED = 1105
    GROUP_DISMISSED = 1106
    GROUP_MUTED = 1107
    GROUP_UNMUTED = 1108
    MEMBERS_MUTED = 1109
    MEMBERS_UNMUTED = 1110
    OWNER_CHANGED = 1113
    SELF_DELETED = 2001
    """content {ref…, msg_ids}: entries deleted for me."""
    SELF_CLEARED = 2002
    SELF_PINNED = 2003
    SELF_MUTED = 2004
    SELF_HIDDEN = 2005
    SELF_CONVERSATION = 2006
    """content {talk_mode, to_from_id}: a conversation appeared in my list."""
    SELF_RELOAD = 2007
    """My conversation list should be read again."""
    SELF_CONTACT_APPLY = 2101
    """content {user_id, remark, apply_time}: somebody applies to be my contact."""
    SELF_CONTACT_ACCEPTED = 2102
    """content {user_id, accept_time}: my application was accepted by user_id."""
    SELF_GROUP_APPLY = 2201
    """content {group_id, user_id, remark, apply_time}: somebody applies to join a group I manage."""
    SELF_GROUP_CREATED = 2202
    """content {group_id, operator_id}: I am a member of a new group."""


class Role(IntEnum):
    """A member's role, as far as sending is concerned."""

    MEMBER = 1
    ADMIN = 2
    OWNER = 3


class Entry(msgspec.Struct, frozen=True):
    """One entry of a conversation's log."""

    conversation_id: ConversationId
    kind: Kind
    parties: tuple[int, int]
    """Private: the two user ids, smaller first. Group: (group id, 0). Self: (user id, 0)."""
    seq: int
    msg_id: MsgId
    type: int
    sender_id: UserId
    sent_at_ms: int
    content: str
    """JSON object text: the contract's `extra`."""
    quote: str = "{}"
    """JSON object text: the quoted message's id, sender and text."""
    recalled: bool = False
    hidden: bool = False
    """A tombstone: its content is not (or no longer) this reader's to see."""
    sender_name: str = ""
    """Put in by the sender's gateway for the push; not stored."""
    sender_avatar: str = ""

    def ref_for(self, reader: UserId) -> Ref:
        """This conversation as `reader` names it."""
        if self.kind is Kind.PRIVATE and self.parties[0] == reader:
            return Ref(self.kind, self.parties[1])
        return Ref(self.kind, self.parties[0])


class NewMessage(msgspec.Struct, frozen=True):
    """A message as its sender drafts it."""

    ref: Ref
    msg_id: MsgId
    type: int
    content: dict[str, Any]
    """By type, checked and normalised by the domain (`message/contents.py`)."""
    quote_id: MsgId | None = None
    origin_session: SessionId | None = None
    sender_name: str = ""
    sender_avatar: str = ""


class SendResult(msgspec.Struct, frozen=True):
    """What became of a send. `accepted` is False when the peer does not accept messages from the sender: then nothing
    was stored, and `entry.seq` is 0 (CONTRACT.md section 3.3, *Not a friend*)."""

    entry: Entry
    accepted: bool = True
    repeated: bool = False
    """The message had been stored before: this is its receipt."""


class Page(msgspec.Struct, frozen=True):
    """Entries of one conversation and whether there are more in the direction read."""

    entries: list[Entry]
    more: bool


class ConversationView(msgspec.Struct, frozen=True):
    """A conversation as one member sees it in the list."""

    conversation_id: ConversationId
    ref: Ref
    last_seq: int
    read_seq: int
    unread: int
    pinned: bool
    muted: bool
    preview: Entry | None
    """The newest entry that this member can see and that has a preview."""
    updated_at_ms: int


class SyncItem(msgspec.Struct, frozen=True):
    """One conversation's part of a sync."""

    conversation_id: ConversationId
    ref: Ref
    last_seq: int
    read_seq: int
    unread: int
    entries: list[Entry]
    more: bool
    cursor: int = 0
    """Where the device stands, as the caller named it or the server keeps it."""


class SyncPage(msgspec.Struct, frozen=True):
    """A page of a sync."""

    items: list[SyncItem]
    more: bool


class ForwardTarget(msgspec.Struct, frozen=True):
    """One message that a forward made, or why not."""

    ref: Ref
    entry: Entry | None = None
    accepted: bool = True
    error: str = ""


class DeviceState(msgspec.Struct, frozen=True):
    """Where a device stands in one conversation when it connects."""

    conversation_id: ConversationId
    last_seq: int
    cursor: int
    """The device has everything up to here; equal to last_seq for the first connection of a login."""


class MemberChange(msgspec.Struct, frozen=True):
    """What a change in contact or group means for one member of the conversation."""

    user_id: UserId
    version: int
    """Counts up per (conversation, user) in the domain above; only a newer change applies."""
    active: bool
    """Whether the user is a member from now on."""
    role: Role = Role.MEMBER
    muted_until_ms: int = 0
    """May not send before this time (UTC ms)."""
    accepts: bool = True
    """Private conversations: whether this user accepts messages from the peer."""


class ConversationState(msgspec.Struct, frozen=True):
    """What a change in group means for the conversation as a whole."""

    version: int
    mute_all: bool = False
    """Only owner and admins may send."""
    dismissed: bool = False


class EffectEvent(msgspec.Struct, frozen=True):
    """The log entry that tells members of a change."""

    type: int
    sender_id: UserId
    """0 for events of the system; the sender's own message (a greeting) counts as unread for the others."""
    content: dict[str, Any]


class SelfNotice(msgspec.Struct, frozen=True):
    """An entry for one user's own *self* conversation."""

    user_id: UserId
    type: int
    content: dict[str, Any]


class Effect(msgspec.Struct, frozen=True):
    """A change in contact or group as `message` must carry it out: in one transaction, once, and only where newer.

    Who left by this effect still gets `event` (his own removal); who joined by it gets it as his first entry.
    An effect of which nothing applies (all of it is older than what is known) appends no event.
    """

    effect_id: MsgId
    """Unique per effect; the event's msg_id is derived from it, so a repetition appends nothing."""
    kind: Kind = Kind.SELF
    parties: tuple[int, int] = (0, 0)
    """As in Entry. (0, 0) with Kind.SELF: notices only."""
    members: list[MemberChange] = []
    state: ConversationState | None = None
    event: EffectEvent | None = None
    notices: list[SelfNotice] = []


class DeviceCursor(msgspec.Struct, frozen=True):
    """A device has everything of a conversation up to `seq`."""

    user_id: UserId
    device_id: DeviceId
    conversation_id: ConversationId
    seq: int


def group_ref(group_id: GroupId) -> Ref:
    return Ref(Kind.GROUP, group_id)


def private_ref(peer: UserId) -> Ref:
    return Ref(Kind.PRIVATE, peer)


def private_parties(a: UserId, b: UserId) -> tuple[int, int]:
    """The parties of a private conversation, smaller id first."""
    return (a, b) if a <= b else (b, a)


def parties_of(ref: Ref, reader: UserId) -> tuple[int, int]:
    """The parties of the conversation that `reader` names `ref`."""
    if ref.kind is Kind.PRIVATE:
        return private_parties(reader, UserId(ref.target_id))
    return (ref.target_id, 0)
