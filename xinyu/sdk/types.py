"""Values that applications see, and the wire forms they are made of (CONTRACT.md sections 1.5, 2.6 and 3)."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

from xinyu.sdk.errors import ContractViolation

Json = dict[str, Any]
"""A JSON object whose form the contract leaves to the message type."""


class Talk(NamedTuple):
    """How a request names a conversation: `talk_mode` and `to_from_id` of the contract."""

    talk_mode: int
    to_from_id: int

    @classmethod
    def user(cls, user_id: int) -> Talk:
        """The private conversation with this user."""
        return cls(1, user_id)

    @classmethod
    def group(cls, group_id: int) -> Talk:
        """The conversation of this group."""
        return cls(2, group_id)

    @property
    def is_self(self) -> bool:
        """The user's own conversation of things that concern him alone (deleted for me, pinned, applications …)."""
        return self.talk_mode == 3

    def fields(self) -> dict[str, int]:
        """As request fields."""
        return {"talk_mode": self.talk_mode, "to_from_id": self.to_from_id}


class MessageType(IntEnum):
    """`msg_type` codes that applications meet most (CONTRACT.md 3.1); others may appear."""

    TEXT = 1
    CODE = 2
    IMAGE = 3
    AUDIO = 4
    VIDEO = 5
    FILE = 6
    LOCATION = 7
    CARD = 8
    FORWARD = 9
    VOTE = 11
    MIXED = 12
    GROUP_NOTICE = 13
    SYSTEM = 1000
    GROUP_CREATED = 1101
    MEMBERS_JOINED = 1102
    MEMBER_LEFT = 1103
    MEMBERS_REMOVED = 1104
    RECALLED = 1105
    GROUP_DISMISSED = 1106


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a conversation's log, or the receipt of a message that was not accepted."""

    talk: Talk
    talk_id: int
    """The conversation's id; what cursors are kept by."""
    seq: int
    """Place in the conversation, dense from 1; 0 when the message was not accepted."""
    msg_id: str
    msg_type: int
    from_id: int
    nickname: str
    avatar: str
    is_revoked: bool
    status: int
    """1 sent, 2 sending, 3 not accepted by the receiver (not a friend, blocked)."""
    send_time: str
    """"YYYY-MM-DD HH:MM:SS" in the server's zone; order by `seq`, not by this."""
    extra: Json
    quote: Json
    own: bool = False
    """Whether this user sent it, from whatever device."""
    hidden: bool = False
    """A tombstone: recalled, deleted or cleared; kept for the order, without content."""

    @property
    def accepted(self) -> bool:
        """Whether it is in the log. A message that is not accepted has no place in the order."""
        return self.seq > 0 and self.status != 3

    @property
    def is_system(self) -> bool:
        """An event (somebody joined, a recall, an entry of the *self* conversation), not something said."""
        return self.msg_type >= MessageType.SYSTEM

    @property
    def text(self) -> str:
        """The text of a text message, else empty."""
        content = self.extra.get("content", "") if self.msg_type == MessageType.TEXT else ""
        return content if isinstance(content, str) else ""


class Record(msgspec.Struct):
    """MessageRecord as it is on the wire; `extra` and `quote` are JSON in strings."""

    msg_id: str
    sequence: int
    msg_type: int
    from_id: int
    is_revoked: int
    status: int
    send_time: str
    extra: str
    quote: str
    nickname: str = ""
    avatar: str = ""
    talk_id: int = 0
    hidden: bool = False

    def message(self, talk: Talk, talk_id: int, uid: int) -> Message:
        """This record as a value of the conversation `talk`, seen by user `uid`."""
        return Message(
            talk=talk,
            talk_id=talk_id,
            seq=self.sequence,
            msg_id=self.msg_id,
            msg_type=self.msg_type,
            from_id=self.from_id,
            nickname=self.nickname,
            avatar=self.avatar,
            is_revoked=self.is_revoked == 1,
            status=self.status,
            send_time=self.send_time,
            extra=_object(self.extra, "extra"),
            quote=_object(self.quote, "quote"),
            own=uid != 0 and self.from_id == uid,
            hidden=self.hidden or self.is_revoked == 1,
        )


def _object(text: str, field: str) -> Json:
    try:
        return msgspec.json.decode(text or "{}", type=Json)
    except msgspec.DecodeError as error:
        raise ContractViolation(f"{field} of a message is not a JSON object in a string") from error


class RecordPage(msgspec.Struct):
    """Reply to `message.history`."""

    items: list[Record]
    more: bool


class SyncItem(msgspec.Struct):
    """One conversation in a reply to `sync`."""

    talk_id: int
    talk_mode: int
    to_from_id: int
    last_seq: int
    messages: list[Record]
    more: bool
    read_seq: int = 0
    unread_num: int = 0
    cursor: int = 0
    """Where the server's cursor of this device is."""


class SyncPage(msgspec.Struct):
    """Reply to `sync`."""

    items: list[SyncItem]
    more: bool


class Hello(msgspec.Struct):
    """Payload of the first frame, `connect`; `ts` is the server's time in milliseconds."""

    uid: int
    ts: int
    platform: str = ""


class Frame(msgspec.Struct):
    """The envelope of every frame from the server."""

    event: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    id: str | None = None
    ackid: str | None = None


class Refusal(msgspec.Struct):
    """Payload of an `error` reply."""

    code: int
    error: str = ""
    message: str = ""
    retry_after_ms: int | None = None


class Trouble(msgspec.Struct):
    """Payload of `event_error`."""

    error_code: int = 0


class Drain(msgspec.Struct):
    """Payload of `server.drain`."""

    delay_ms: int = 0


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the conversation list (TalkSessionItem; 1 = yes, 2 = no in the flags)."""

    id: int
    talk_mode: int
    to_from_id: int
    name: str = ""
    avatar: str = ""
    remark: str = ""
    is_top: int = 2
    is_disturb: int = 2
    is_robot: int = 2
    unread_num: int = 0
    msg_text: str | None = ""
    updated_at: str = ""
    is_online: str = ""
    last_seq: int = 0
    read_seq: int = 0

    @property
    def talk(self) -> Talk:
        return Talk(self.talk_mode, self.to_from_id)


class Presence(msgspec.Struct, frozen=True):
    """Whether a user is online, and on which platforms."""

    user_id: int
    online_status: str
    platforms: list[str] = []

    @property
    def online(self) -> bool:
        return self.online_status == "Y"


class Forwarded(msgspec.Struct, frozen=True):
    """What became of a forward to one target."""

    ok: bool
    msg_id: str = ""
    to_talk_mode: int = 0
    to_id: int = 0
    err: str = ""


class HistoryPage(NamedTuple):
    """A part of a conversation's log."""

    messages: list[Message]
    more: bool


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds and bounds in entries. The defaults suit applications; tests shorten them."""

    request_seconds: float = 10.0
    heartbeat_seconds: float = 20.0
    silence_seconds: float = 50.0
    """Without any frame for so long the connection counts as dead (the server answers each heartbeat)."""
    backoff_base_seconds: float = 0.5
    backoff_cap_seconds: float = 10.0
    ack_seconds: float = 1.5
    """At most 2 by the contract."""
    gap_grace_seconds: float = 0.1
    """How long a missing predecessor may be late before it is fetched."""
    page: int = 100
    hold_per_conversation: int = 512
    hold_total: int = 20_000
    event_queue: int = 1000
