"""Rows of the log inside one transaction: locking conversations, allocating `seq`, writing what was appended.

Everything that appends (sends, recalls, effects, notices to oneself) goes through `LogTransaction`, so `seq`, ordinals,
ids, log rows and outbox rows cannot come apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from xinyu.kernel.ids import ConversationId, MsgId, SessionId, UserId
from xinyu.message.store import OutboxKey
from xinyu.message.store_sql.tables import CONVERSATION, ENTRY, KEY, MEMBER, OUTBOX, OWN
from xinyu.message.types import Entry, EntryType, Kind
from xinyu.storage.packets import Packet, fetch_all
from xinyu.storage.prepared import PreparedByKey, PreparedIn, PreparedMany, PreparedRows
from xinyu.storage.schema import AnyRow, insert_new
from xinyu.telemetry.trace import current_trace_id

_C, _M, _K = CONVERSATION.c, MEMBER.c, KEY.c

_SELECT_CONVERSATIONS = sa.select(CONVERSATION).where(_C.id.in_(bindparam("ids", expanding=True))).order_by(_C.id)
_LOCK_CONVERSATIONS = PreparedIn(_SELECT_CONVERSATIONS.with_for_update(), "ids")
_LOCK_FREE_CONVERSATIONS = PreparedIn(_SELECT_CONVERSATIONS.with_for_update(skip_locked=True), "ids")
_FIND_CONVERSATION = sa.select(_C.id).where(
    _C.kind == bindparam("kind"), _C.party_a == bindparam("a"), _C.party_b == bindparam("b")
)
_FIND_KEYS = PreparedIn(
    sa.select(_K.msg_id, _K.conversation_id, _K.seq, _K.sender_id, _K.digest).where(
        _K.msg_id.in_(bindparam("ids", expanding=True))
    ),
    "ids",
)
_INSERT_ENTRY = PreparedMany(sa.insert(ENTRY))
_INSERT_KEY = PreparedMany(sa.insert(KEY))
_INSERT_OUTBOX = PreparedMany(sa.insert(OUTBOX))
_INSERT_OWN = PreparedMany(sa.insert(OWN))
_WRITE_CONVERSATIONS = PreparedRows(
    CONVERSATION,
    (
        "last_seq", "last_ordinal", "last_ordinal_a", "preview_seq", "last_at_ms",
        "members_version", "state_version", "mute_all", "dismissed",
    ),
)  # fmt: skip
_MY_OUTBOX = sa.and_(OUTBOX.c.conversation_id == bindparam("id"), OUTBOX.c.seq == bindparam("at"))
_REMOVE_OUTBOX = PreparedMany(sa.delete(OUTBOX).where(_MY_OUTBOX))
_MARK_OUTBOX = PreparedByKey(
    sa.update(OUTBOX).values(done_ms=bindparam("now")), {"id": OUTBOX.c.conversation_id, "at": OUTBOX.c.seq}
)


class TakenKey(NamedTuple):
    """A msg_id that is taken, and by what."""

    msg_id: MsgId
    conversation_id: ConversationId
    seq: int
    sender_id: UserId
    digest: str


class StoredEntry(NamedTuple):
    """A log row with what its conversation is, in the order of `entry_columns`."""

    conversation_id: ConversationId
    seq: int
    msg_id: MsgId
    type: int
    sender_id: UserId
    sent_at_ms: int
    content: str
    quote: str
    recalled: int
    kind: int
    party_a: int
    party_b: int


def entry_columns() -> list[sa.Column[Any]]:
    """What `StoredEntry` is made of."""
    return [
        (CONVERSATION.c if name in ("kind", "party_a", "party_b") else ENTRY.c)[name] for name in StoredEntry._fields
    ]


@dataclass(slots=True)
class Conversation:
    """A conversation's row while it is locked."""

    id: ConversationId
    kind: Kind
    party_a: int
    party_b: int
    last_seq: int
    last_ordinal: int
    last_ordinal_a: int
    preview_seq: int
    last_at_ms: int
    members_version: int
    state_version: int
    mute_all: int
    dismissed: int

    @property
    def parties(self) -> tuple[int, int]:
        return (self.party_a, self.party_b)

    def row(self) -> dict[str, int]:
        """All columns."""
        return {
            "id": self.id, "kind": int(self.kind), "party_a": self.party_a, "party_b": self.party_b,
            "last_seq": self.last_seq, "last_ordinal": self.last_ordinal, "last_ordinal_a": self.last_ordinal_a,
            "preview_seq": self.preview_seq, "last_at_ms": self.last_at_ms, "members_version": self.members_version,
            "state_version": self.state_version, "mute_all": self.mute_all, "dismissed": self.dismissed,
        }  # fmt: skip


def find_conversation(connection: Connection, kind: Kind, parties: tuple[int, int]) -> ConversationId | None:
    """The id of a conversation."""
    found = connection.execute(_FIND_CONVERSATION, {"kind": int(kind), "a": parties[0], "b": parties[1]}).scalar()
    return None if found is None else ConversationId(found)


def ensure_conversation(connection: Connection, kind: Kind, parties: tuple[int, int], now_ms: int) -> ConversationId:
    """The id of a conversation, made when there is none. Two makers at once get the same."""
    found = find_conversation(connection, kind, parties)
    if found is not None:
        return found
    row = {
        "kind": int(kind), "party_a": parties[0], "party_b": parties[1], "last_seq": 0, "last_ordinal": 0,
        "last_ordinal_a": 0, "preview_seq": 0, "last_at_ms": now_ms, "members_version": 1, "state_version": 0,
        "mute_all": 0, "dismissed": 0,
    }  # fmt: skip
    insert_new(connection, CONVERSATION, row)
    found = find_conversation(connection, kind, parties)
    assert found is not None
    return found


def entry_of(row: AnyRow | StoredEntry, kind: Kind, parties: tuple[int, int], hidden: bool = False) -> Entry:
    """A log row as an entry; recalled and hidden ones without their content."""
    blank = bool(row.recalled) or hidden
    return Entry(
        conversation_id=row.conversation_id,
        kind=kind,
        parties=parties,
        seq=row.seq,
        msg_id=row.msg_id,
        type=row.type,
        sender_id=row.sender_id,
        sent_at_ms=row.sent_at_ms,
        content="{}" if blank else row.content,
        quote="{}" if blank else row.quote,
        recalled=bool(row.recalled),
        hidden=hidden,
    )


def settle(packet: Packet, keys: Sequence[OutboxKey], now_ms: int, keep: bool) -> None:
    """Outbox rows of delivered entries: marked, or removed where no replay could need them."""
    ordered = sorted(keys)
    if keep:
        packet.add(_MARK_OUTBOX, [{"id": id_, "at": seq, "now": now_ms} for id_, seq in ordered])
    else:
        packet.add(_REMOVE_OUTBOX, [{"id": id_, "at": seq} for id_, seq in ordered])


class LogTransaction:
    """What one transaction does to the log, behind what `packet` holds already."""

    def __init__(self, connection: Connection, now_ms: int, packet: Packet | None = None) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self._packet = packet or Packet(connection)
        self._conversations: dict[int, Conversation] = {}
        self._touched: dict[int, Conversation] = {}
        self._entries: list[dict[str, Any]] = []
        self._keys: list[dict[str, Any]] = []
        self._outbox: list[dict[str, Any]] = []
        self._own: list[dict[str, Any]] = []

    def lock(self, ids: Iterable[int]) -> None:
        """Lock conversations in ascending order."""
        self._know(_LOCK_CONVERSATIONS.fetch(self.connection, sorted(set(ids))))

    def lock_free(self, ids: Iterable[int], msg_ids: Sequence[str]) -> dict[MsgId, TakenKey]:
        """Lock conversations in ascending order, those left out that others hold; then `find_keys`. Neither may be
        empty."""
        locking = _LOCK_FREE_CONVERSATIONS.statement(self.connection, sorted(set(ids)))
        finding = _FIND_KEYS.statement(self.connection, msg_ids)
        conversations, keys = fetch_all(self.connection, [locking, finding])
        self._know(conversations)
        return _taken(keys)

    def get(self, conversation_id: int) -> Conversation | None:
        """A locked conversation."""
        return self._conversations.get(conversation_id)

    def find_keys(self, msg_ids: Sequence[str]) -> dict[MsgId, TakenKey]:
        """Ids that are taken."""
        return _taken(_FIND_KEYS.fetch(self.connection, msg_ids))

    def touch(self, conversation: Conversation) -> None:
        """Have the row written at the end."""
        self._touched[conversation.id] = conversation

    def append(
        self,
        conversation: Conversation,
        *,
        msg_id: MsgId,
        type_: int,
        sender_id: UserId,
        content: str,
        quote: str = "{}",
        digest: str = "",
        origin_session: SessionId | None = None,
        trace_id: str = "",
    ) -> Entry:
        """Allocate the next seq for a new entry. Written by `flush`."""
        self._advance(conversation, type_, sender_id)
        seq, id_, sent_at_ms = conversation.last_seq, conversation.id, conversation.last_at_ms
        self._entries.append({
            "conversation_id": id_, "seq": seq, "msg_id": msg_id, "type": int(type_), "sender_id": sender_id,
            "ordinal": conversation.last_ordinal, "ordinal_a": conversation.last_ordinal_a,
            "sent_at_ms": sent_at_ms, "recalled": 0, "content": content, "quote": quote,
        })  # fmt: skip
        self._keys.append(
            {"msg_id": msg_id, "conversation_id": id_, "seq": seq, "sender_id": sender_id, "digest": digest}
        )
        self._outbox.append({
            "conversation_id": id_, "seq": seq, "created_ms": self.now_ms, "origin_session": origin_session,
            "trace_id": trace_id or current_trace_id(), "done_ms": None, "owner": None, "lease_until_ms": 0,
            "attempts": 0, "quarantined": 0,
        })  # fmt: skip
        return Entry(
            conversation_id=id_,
            kind=conversation.kind,
            parties=conversation.parties,
            seq=seq,
            msg_id=msg_id,
            type=int(type_),
            sender_id=sender_id,
            sent_at_ms=sent_at_ms,
            content=content,
            quote=quote,
        )

    def _advance(self, conversation: Conversation, type_: int, sender_id: UserId) -> None:
        """The next seq, the counts that unread is derived from, the newest preview."""
        conversation.last_seq += 1
        conversation.last_at_ms = max(conversation.last_at_ms, self.now_ms)
        self.touch(conversation)
        if conversation.kind is Kind.SELF:
            return
        if type_ != EntryType.RECALLED:
            conversation.preview_seq = conversation.last_seq
        if type_ < EntryType.SYSTEM_TEXT:
            conversation.last_ordinal += 1
            if conversation.kind is Kind.GROUP:
                own = {"conversation_id": conversation.id, "user_id": sender_id, "seq": conversation.last_seq}
                self._own.append(own)
            elif sender_id == conversation.party_a:
                conversation.last_ordinal_a += 1

    def flush(self) -> None:
        """Write all rows. The ids go first: a taken one fails before anything else of the log is written."""
        packet = self._packet
        packet.add(_INSERT_KEY, self._keys)
        packet.add(_INSERT_ENTRY, self._entries)
        packet.add(_INSERT_OUTBOX, self._outbox)
        packet.add(_INSERT_OWN, self._own)
        packet.add(_WRITE_CONVERSATIONS, [conversation.row() for conversation in self._touched.values()])
        packet.send()

    def _know(self, rows: Iterable[Sequence[Any]]) -> None:
        for id_, kind, *rest in rows:
            self._conversations[id_] = Conversation(id_, Kind(kind), *rest)


def _taken(rows: Iterable[Sequence[Any]]) -> dict[MsgId, TakenKey]:
    return {row[0]: TakenKey(*row) for row in rows}
