"""The conversation list over SQL: views, read cursors, unread counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.ids import ConversationId, DeviceId, MsgId, UserId
from xinyu.message.errors import ConversationNotFound, NotAMember
from xinyu.message.store import Appended, ListStore, Membership
from xinyu.message.store_sql.effects import insert_member
from xinyu.message.store_sql.rows import (
    LogTransaction,
    ensure_conversation,
    ensure_self,
    entry_of,
    find_conversation,
    notify_self,
    read_membership,
)
from xinyu.message.store_sql.tables import CONVERSATION, CURSOR, DEVICE, ENTRY, HIDDEN, MEMBER
from xinyu.message.store_sql.visible import read_sight
from xinyu.message.types import ConversationView, Entry, EntryType, Kind, Ref, parties_of
from xinyu.storage.schema import AnyRow
from xinyu.storage.sql import Database

_C, _M, _E, _H, _CU, _D = CONVERSATION.c, MEMBER.c, ENTRY.c, HIDDEN.c, CURSOR.c, DEVICE.c
_LISTED = sa.select(
    _C.id, _C.kind, _C.party_a, _C.party_b, _C.last_seq, _C.last_ordinal, _C.preview_seq, _C.last_at_ms,
    _M.pinned, _M.muted, _M.cleared_seq, _M.read_seq, _M.read_ordinal, _M.listed_at_ms,
).select_from(MEMBER.join(CONVERSATION, _C.id == _M.conversation_id))  # fmt: skip
Mark = tuple[UserId, ConversationId]


class ListStoreSql(ListStore):
    """One schema on SQLite or MySQL. A list costs a fixed number of queries, however long it is."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def list_views(
        self, user_id: UserId, only: ConversationId | None, at_device: DeviceId | None
    ) -> list[ConversationView]:
        def work(connection: Connection) -> list[ConversationView]:
            statement = _LISTED.where(
                _M.user_id == user_id, _M.active == 1, _C.kind != int(Kind.SELF), _C.dismissed == 0
            )
            statement = statement.where(_C.id == only if only else _M.hidden_seq < _C.last_seq)
            rows = connection.execute(statement).all()
            heads = _heads(connection, user_id, rows, at_device)
            own = _own_after_read(connection, user_id, heads if at_device else None, only)
            previews = _previews(connection, user_id, rows)
            views = [_view(row, user_id, heads[row.id][1], own.get(row.id, 0), previews.get(row.id)) for row in rows]
            views.sort(key=lambda view: (not view.pinned, -view.updated_at_ms, -view.conversation_id))
            return views

        return await self._db.read(work)

    async def open(self, user_id: UserId, kind: Kind, parties: tuple[int, int], now_ms: int) -> ConversationId:
        def work(connection: Connection) -> ConversationId:
            if kind is Kind.PRIVATE:
                id_ = ensure_conversation(connection, kind, parties, now_ms)
                for party in parties:
                    insert_member(connection, id_, UserId(party), accepts=False, hidden=True, now_ms=now_ms)
            else:
                found = find_conversation(connection, kind, parties)
                if found is None:
                    raise NotAMember()
                id_ = found
            changed = connection.execute(
                sa.update(MEMBER)
                .where(_M.conversation_id == id_, _M.user_id == user_id, _M.active == 1)
                .values(hidden_seq=-1, listed_at_ms=now_ms)
            )
            if not changed.rowcount:
                raise NotAMember()
            return id_

        return await self._db.write(work)

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
        def work(connection: Connection) -> list[Appended]:
            sight = read_sight(connection, user_id, conversation_id)
            if sight is None:
                raise NotAMember()
            row = connection.execute(
                sa.select(_M.pinned, _M.muted, _M.hidden_seq).where(
                    _M.conversation_id == conversation_id, _M.user_id == user_id
                )
            ).one()
            if pinned is not None and bool(row.pinned) != pinned:
                values, type_, said = {"pinned": int(pinned)}, EntryType.SELF_PINNED, {"pinned": pinned}
            elif muted is not None and bool(row.muted) != muted:
                values, type_, said = {"muted": int(muted)}, EntryType.SELF_MUTED, {"muted": muted}
            elif hidden is not None and (row.hidden_seq >= sight.last_seq) != hidden:
                values = {"hidden_seq": sight.last_seq if hidden else -1}
                type_, said = EntryType.SELF_HIDDEN, {"hidden": hidden}
            else:
                return []
            connection.execute(
                sa.update(MEMBER).where(_M.conversation_id == conversation_id, _M.user_id == user_id).values(**values)
            )
            transaction = LogTransaction(connection, now_ms)
            transaction.lock([ensure_self(connection, user_id, now_ms)])
            content = msgspec.json.encode({**sight.named(user_id), **said}).decode()
            appended = notify_self(transaction, user_id, type_, content, notice)
            transaction.flush()
            return [appended]

        return await self._db.write(work)

    async def mark_read(self, marks: Mapping[Mark, int | None]) -> dict[Mark, tuple[int, int, bool]]:
        def work(connection: Connection) -> dict[Mark, tuple[int, int, bool]]:
            return {mark: _mark(connection, *mark, seq) for mark, seq in sorted(marks.items(), key=lambda m: m[0])}

        return await self._db.write(work)

    async def find_ids(self, user_id: UserId, refs: Sequence[Ref]) -> list[ConversationId | None]:
        def work(connection: Connection) -> list[ConversationId | None]:
            return [row.id if row else None for row in _by_ref(connection, user_id, refs)]

        return await self._db.read(work)

    async def list_muted(self, user_id: UserId, refs: Sequence[Ref]) -> list[bool]:
        def work(connection: Connection) -> list[bool]:
            return [bool(row and row.muted) for row in _by_ref(connection, user_id, refs)]

        return await self._db.read(work)

    async def list_members(self, conversation_id: ConversationId) -> Membership | None:
        def work(connection: Connection) -> Membership | None:
            version = connection.execute(
                sa.select(_C.members_version).where(_C.id == conversation_id)
            ).scalar_one_or_none()
            return None if version is None else read_membership(connection, conversation_id, version)

        return await self._db.read(work)


def _by_ref(connection: Connection, user_id: UserId, refs: Sequence[Ref]) -> list[AnyRow | None]:
    if not refs:
        return []
    parties = [(int(ref.kind), *parties_of(ref, user_id)) for ref in refs]
    found = connection.execute(
        sa.select(_C.id, _C.kind, _C.party_a, _C.party_b, _M.muted)
        .select_from(CONVERSATION.join(MEMBER, sa.and_(_M.conversation_id == _C.id, _M.user_id == user_id)))
        .where(sa.tuple_(_C.kind, _C.party_a, _C.party_b).in_(parties))
    )
    by_parties = {(row.kind, row.party_a, row.party_b): row for row in found}
    return [by_parties.get(key) for key in parties]


def _heads(
    connection: Connection, user_id: UserId, rows: Sequence[AnyRow], at_device: DeviceId | None
) -> dict[int, tuple[int, int]]:
    """Per conversation (seq, ordinal) up to which to count: the head, or the device's cursor."""
    heads = {row.id: (row.last_seq, row.last_ordinal) for row in rows}
    if at_device is None:
        return heads
    cursors = connection.execute(
        sa.select(_CU.conversation_id, _CU.seq, _E.ordinal)
        .select_from(CURSOR.outerjoin(ENTRY, sa.and_(_E.conversation_id == _CU.conversation_id, _E.seq == _CU.seq)))
        .where(_CU.user_id == user_id, _CU.device_id == at_device)
    )
    for cursor in cursors:
        if cursor.conversation_id in heads:
            heads[cursor.conversation_id] = (cursor.seq, cursor.ordinal or 0)
    return heads


def _own_after_read(
    connection: Connection, user_id: UserId, heads: Mapping[int, tuple[int, int]] | None, only: int | None
) -> dict[int, int]:
    """How many of a user's own messages lie behind his read cursors."""
    statement = (
        sa.select(_M.conversation_id, sa.func.count())
        .select_from(
            MEMBER.join(
                ENTRY,
                sa.and_(_E.conversation_id == _M.conversation_id, _E.sender_id == _M.user_id, _E.seq > _M.read_seq),
            )
        )
        .where(_M.user_id == user_id, _M.active == 1)
        .group_by(_M.conversation_id)
    )
    if only:
        statement = statement.where(_M.conversation_id == only)
    if heads is None:
        return {row[0]: row[1] for row in connection.execute(statement)}
    cursor = CURSOR.alias()
    behind = statement.join(
        cursor, sa.and_(cursor.c.user_id == _M.user_id, cursor.c.conversation_id == _M.conversation_id)
    ).where(_E.seq <= cursor.c.seq)
    return {row[0]: row[1] for row in connection.execute(behind)}


def _previews(connection: Connection, user_id: UserId, rows: Sequence[AnyRow]) -> dict[int, Entry]:
    """Per conversation its newest entry that this user can see: one query for all, one more for each whose newest he
    deleted for himself."""
    wanted = {row.id: row for row in rows if row.preview_seq > row.cleared_seq}
    if not wanted:
        return {}
    keys = [(row.id, row.preview_seq) for row in wanted.values()]
    pair = sa.tuple_(_E.conversation_id, _E.seq)
    found = {row.conversation_id: row for row in connection.execute(sa.select(ENTRY).where(pair.in_(keys)))}
    deleted = connection.execute(
        sa.select(_H.conversation_id).where(_H.user_id == user_id, sa.tuple_(_H.conversation_id, _H.seq).in_(keys))
    )
    for conversation_id in deleted.scalars():
        found.pop(conversation_id, None)
        sight = read_sight(connection, user_id, conversation_id)
        if sight is None:
            continue
        older = connection.execute(
            sa.select(ENTRY)
            .where(
                _E.conversation_id == conversation_id,
                _E.seq > sight.cleared_seq,
                _E.type != int(EntryType.RECALLED),
                sight.readable(_E.seq),
                sight.not_deleted(_E.seq),
            )
            .order_by(_E.seq.desc())
            .limit(1)
        ).first()
        if older is not None:
            found[conversation_id] = older
    return {
        id_: entry_of(row, Kind(wanted[id_].kind), (wanted[id_].party_a, wanted[id_].party_b))
        for id_, row in found.items()
    }


def _view(row: AnyRow, user_id: UserId, ordinal: int, own: int, preview: Entry | None) -> ConversationView:
    target = row.party_b if row.kind == int(Kind.PRIVATE) and row.party_a == user_id else row.party_a
    return ConversationView(
        conversation_id=row.id,
        ref=Ref(Kind(row.kind), target),
        last_seq=row.last_seq,
        read_seq=row.read_seq,
        unread=max(0, ordinal - row.read_ordinal - own),
        pinned=bool(row.pinned),
        muted=bool(row.muted),
        preview=preview,
        updated_at_ms=preview.sent_at_ms if preview else max(row.listed_at_ms, row.last_at_ms),
    )


def _mark(
    connection: Connection, user_id: UserId, conversation_id: ConversationId, seq: int | None
) -> tuple[int, int, bool]:
    row = connection.execute(
        _LISTED.where(_M.user_id == user_id, _C.id == conversation_id).with_for_update(of=MEMBER)
    ).first()
    if row is None:
        raise ConversationNotFound()
    target = row.last_seq if seq is None else min(seq, row.last_seq)
    read_seq, read_ordinal, moved = row.read_seq, row.read_ordinal, False
    if target > row.read_seq:
        ordinal = row.last_ordinal
        if target < row.last_seq:
            ordinal = connection.execute(
                sa.select(_E.ordinal).where(_E.conversation_id == conversation_id, _E.seq == target)
            ).scalar_one()
        read_seq, read_ordinal, moved = target, ordinal, True
        connection.execute(
            sa.update(MEMBER)
            .where(_M.conversation_id == conversation_id, _M.user_id == user_id)
            .values(read_seq=read_seq, read_ordinal=read_ordinal)
        )
    own = connection.execute(
        sa.select(sa.func.count()).where(
            _E.conversation_id == conversation_id, _E.sender_id == user_id, _E.seq > read_seq
        )
    ).scalar_one()
    return read_seq, max(0, row.last_ordinal - read_ordinal - own), moved
