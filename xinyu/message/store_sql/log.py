"""The log over SQL: group commit, recall, reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.ids import ConversationId, MsgId, UserId, new_msg_id
from xinyu.message.errors import (
    MessageNotFound,
    NotAMember,
    NotYourMessage,
    RecallTooLate,
)
from xinyu.message.store import (
    Append,
    Appended,
    BatchResult,
    LogStore,
    Membership,
    OutboxKey,
)
from xinyu.message.store_sql.append import SELECT_ENTRY, SELECT_HEAD, append_batch
from xinyu.message.store_sql.members import lock_self, notify_self, read_membership
from xinyu.message.store_sql.rows import Conversation, LogTransaction, entry_of, find_conversation, settle
from xinyu.message.store_sql.tables import ENTRY, FORWARD, HIDDEN, KEY, MEMBER
from xinyu.message.store_sql.visible import read_sight
from xinyu.message.types import Entry, EntryType, Kind, Page
from xinyu.storage.packets import Packet
from xinyu.storage.schema import AnyRow, upsert
from xinyu.storage.sql import Database
from xinyu.telemetry.trace import current_trace_id

_E, _M = ENTRY.c, MEMBER.c


class LogStoreSql(LogStore):
    """One schema on SQLite or MySQL."""

    def __init__(self, database: Database, keep_outbox: bool) -> None:
        self._db = database
        self._keep_outbox = keep_outbox

    async def find_conversation(self, kind: Kind, parties: tuple[int, int]) -> ConversationId | None:
        return await self._db.read(lambda connection: find_conversation(connection, kind, parties), brief=True)

    async def append(
        self,
        items: Sequence[Append],
        known: Mapping[ConversationId, Membership],
        delivered: Sequence[OutboxKey],
        now_ms: int,
    ) -> BatchResult:
        def work(connection: Connection) -> BatchResult:
            packet = Packet(connection)
            settle(packet, delivered, now_ms, self._keep_outbox)
            return append_batch(packet, items, known, now_ms)

        return await self._db.write(work, brief=True)

    async def recall(
        self,
        user_id: UserId,
        conversation_id: ConversationId,
        msg_id: MsgId,
        user_name: str,
        not_before_ms: int,
        now_ms: int,
    ) -> Appended | None:
        def work(connection: Connection) -> Appended | None:
            transaction = LogTransaction(connection, now_ms)
            transaction.lock([conversation_id])
            conversation, key = transaction.get(conversation_id), transaction.find_keys([msg_id]).get(msg_id)
            sight = read_sight(connection, user_id, conversation_id)
            if conversation is None or key is None or key.conversation_id != conversation_id or sight is None:
                raise MessageNotFound()
            row = connection.execute(SELECT_ENTRY, {"id": conversation_id, "seq": key.seq}).one()
            if not sight.can_read(row.seq) or row.type >= EntryType.SYSTEM_TEXT:
                raise MessageNotFound()
            if row.sender_id != user_id:
                raise NotYourMessage()
            if row.recalled:
                return None
            if row.sent_at_ms < not_before_ms:
                raise RecallTooLate()
            if not sight.active:
                raise NotAMember()
            return _append_recall(transaction, conversation, row, user_name)

        return await self._db.write(work)

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
        def work(connection: Connection) -> Page:
            sight = read_sight(connection, user_id, conversation_id)
            if sight is None:
                return Page([], False)
            statement = sa.select(ENTRY).where(_E.conversation_id == conversation_id, sight.readable(_E.seq))
            if not tombstones:
                statement = statement.where(
                    _E.type != int(EntryType.RECALLED), _E.seq > sight.cleared_seq, sight.not_deleted(_E.seq)
                )
            if types:
                statement = statement.where(_E.type.in_(list(types)))
            if after is not None:
                statement = statement.where(_E.seq > after).order_by(_E.seq)
            else:
                statement = (statement.where(_E.seq < before) if before > 0 else statement).order_by(_E.seq.desc())
            rows = connection.execute(statement.limit(limit + 1)).all()
            return Page(sight.entries(connection, rows[:limit]), len(rows) > limit)

        return await self._db.read(work)

    async def find_messages(self, user_id: UserId, msg_ids: Sequence[MsgId]) -> dict[MsgId, Entry]:
        def work(connection: Connection) -> dict[MsgId, Entry]:
            keys = connection.execute(sa.select(KEY).where(KEY.c.msg_id.in_(list(msg_ids)))).all()
            found = _readable(connection, user_id, [(key.conversation_id, key.seq) for key in keys])
            rest = [key for key in keys if key.msg_id not in found]
            found.update(_read_through_forwards(connection, user_id, rest))
            return found

        return await self._db.read(work)

    async def read_range(self, conversation_id: ConversationId, first: int, last: int) -> list[Entry]:
        def work(connection: Connection) -> list[Entry]:
            head = connection.execute(SELECT_HEAD, {"id": conversation_id}).first()
            if head is None:
                return []
            rows = connection.execute(
                sa.select(ENTRY)
                .where(_E.conversation_id == conversation_id, _E.seq.between(first, last))
                .order_by(_E.seq)
            )
            return [entry_of(row, Kind(head.kind), (head.party_a, head.party_b)) for row in rows]

        return await self._db.read(work)

    async def hide_messages(
        self, user_id: UserId, conversation_id: ConversationId, msg_ids: Sequence[MsgId], notice: MsgId, now_ms: int
    ) -> list[Appended]:
        def work(connection: Connection) -> list[Appended]:
            transaction = lock_self(connection, user_id, now_ms)
            sight = read_sight(connection, user_id, conversation_id)
            if sight is None:
                raise NotAMember()
            keys = connection.execute(
                sa.select(KEY).where(KEY.c.msg_id.in_(list(msg_ids)), KEY.c.conversation_id == conversation_id)
            ).all()
            readable = [key for key in keys if sight.can_read(key.seq)]
            already = sight.deleted(connection, [key.seq for key in readable])
            fresh = [key for key in readable if key.seq not in already]
            if not fresh:
                return []
            upsert(
                connection,
                HIDDEN,
                [{"user_id": user_id, "conversation_id": conversation_id, "seq": key.seq} for key in fresh],
            )
            content = {**sight.named(user_id), "msg_ids": [key.msg_id for key in fresh]}
            return _tell_self(transaction, user_id, EntryType.SELF_DELETED, content, notice)

        return await self._db.write(work)

    async def clear(
        self, user_id: UserId, conversation_id: ConversationId, notice: MsgId, now_ms: int
    ) -> list[Appended]:
        def work(connection: Connection) -> list[Appended]:
            transaction = lock_self(connection, user_id, now_ms)
            sight = read_sight(connection, user_id, conversation_id)
            if sight is None:
                raise NotAMember()
            if sight.cleared_seq >= sight.head:
                return []
            head = connection.execute(SELECT_ENTRY, {"id": conversation_id, "seq": sight.head}).one()
            mine = sa.update(MEMBER).where(_M.conversation_id == conversation_id, _M.user_id == user_id)
            connection.execute(mine.values(cleared_seq=head.seq))
            connection.execute(
                mine.where(_M.read_seq < head.seq).values(
                    read_seq=head.seq, read_ordinal=head.ordinal, read_ordinal_a=head.ordinal_a
                )
            )
            content = {**sight.named(user_id), "seq": head.seq}
            return _tell_self(transaction, user_id, EntryType.SELF_CLEARED, content, notice)

        return await self._db.write(work)


def _readable(connection: Connection, user_id: UserId, keys: Sequence[tuple[int, int]]) -> dict[MsgId, Entry]:
    """Entries by (conversation, seq) that the user may read now."""
    seqs: dict[int, list[int]] = {}
    for conversation_id, seq in keys:
        seqs.setdefault(conversation_id, []).append(seq)
    found: dict[MsgId, Entry] = {}
    for conversation_id, wanted in seqs.items():
        sight = read_sight(connection, user_id, ConversationId(conversation_id))
        if sight is None:
            continue
        rows = connection.execute(
            sa.select(ENTRY).where(_E.conversation_id == conversation_id, _E.seq.in_(wanted))
        ).all()
        for entry in sight.entries(connection, [row for row in rows if sight.can_read(row.seq)]):
            if not entry.hidden and not entry.recalled:
                found[entry.msg_id] = entry
    return found


def _read_through_forwards(connection: Connection, user_id: UserId, keys: Sequence[AnyRow]) -> dict[MsgId, Entry]:
    """Messages that reached the user inside a merged forward."""
    if not keys:
        return {}
    carriers = connection.execute(sa.select(FORWARD).where(FORWARD.c.source_id.in_([key.msg_id for key in keys]))).all()
    readable = _readable(connection, user_id, [(carrier.conversation_id, carrier.seq) for carrier in carriers])
    places = {(entry.conversation_id, entry.seq) for entry in readable.values()}
    allowed = {carrier.source_id for carrier in carriers if (carrier.conversation_id, carrier.seq) in places}
    found: dict[MsgId, Entry] = {}
    for key in keys:
        if key.msg_id in allowed:
            row = connection.execute(SELECT_ENTRY, {"id": key.conversation_id, "seq": key.seq}).one()
            head = connection.execute(SELECT_HEAD, {"id": key.conversation_id}).one()
            if not row.recalled:
                found[key.msg_id] = entry_of(row, Kind(head.kind), (head.party_a, head.party_b))
    return found


def _append_recall(transaction: LogTransaction, conversation: Conversation, row: AnyRow, user_name: str) -> Appended:
    transaction.connection.execute(
        sa.update(ENTRY).where(_E.conversation_id == conversation.id, _E.seq == row.seq).values(recalled=1)
    )
    # its id is nobody's to guess: who could, might take it before and so prevent the recall
    content = {
        "owner_id": row.sender_id, "owner_name": user_name, "revoke_msg_id": row.msg_id, "revoke_seq": row.seq,
    }  # fmt: skip
    entry = transaction.append(
        conversation,
        msg_id=new_msg_id(),
        type_=EntryType.RECALLED,
        sender_id=UserId(0),
        content=msgspec.json.encode(content).decode(),
    )
    transaction.flush()
    membership = read_membership(transaction.connection, conversation.id, conversation.members_version)
    return Appended(entry, membership.recipients, trace_id=current_trace_id())


def _tell_self(
    transaction: LogTransaction, user_id: UserId, type_: EntryType, content: Mapping[str, object], notice: MsgId
) -> list[Appended]:
    appended = notify_self(transaction, user_id, type_, msgspec.json.encode(content).decode(), notice)
    transaction.flush()
    return [appended]
