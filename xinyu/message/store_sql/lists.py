"""Conversations of one user over SQL: the list, how he sees each, read cursors, unread counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy import Connection

from xinyu.kernel.ids import ConversationId, DeviceId, MsgId, UserId
from xinyu.message.errors import NotAMember
from xinyu.message.store import Appended, ListStore, Membership, ReadMark
from xinyu.message.store_sql.effects import insert_member
from xinyu.message.store_sql.members import lock_self, notify_self, read_membership
from xinyu.message.store_sql.rows import LogTransaction, ensure_conversation, find_conversation
from xinyu.message.store_sql.tables import CONVERSATION, ENTRY, MEMBER
from xinyu.message.store_sql.views import read_marks, read_views
from xinyu.message.store_sql.visible import read_sight
from xinyu.message.types import ConversationView, EntryType, Kind, Ref, parties_of
from xinyu.storage.schema import AnyRow
from xinyu.storage.sql import Database

_C, _M, _E = CONVERSATION.c, MEMBER.c, ENTRY.c
Mark = tuple[UserId, ConversationId]


class ListStoreSql(ListStore):
    """One schema on SQLite or MySQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def list_views(
        self, user_id: UserId, only: ConversationId | None, at_device: DeviceId | None
    ) -> list[ConversationView]:
        return await self._db.read(lambda connection: read_views(connection, user_id, only, at_device))

    async def open(self, user_id: UserId, kind: Kind, parties: tuple[int, int], now_ms: int) -> ConversationId:
        def work(connection: Connection) -> ConversationId:
            if kind is Kind.PRIVATE:
                id_ = _ensure_private(connection, parties, now_ms)
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
            transaction = lock_self(connection, user_id, now_ms)
            sight = read_sight(connection, user_id, conversation_id)
            if sight is None:
                raise NotAMember()
            mine = sa.and_(_M.conversation_id == conversation_id, _M.user_id == user_id)
            row = connection.execute(sa.select(_M.pinned, _M.muted, _M.hidden_seq).where(mine)).one()
            said: dict[str, bool] = {}
            if pinned is not None and bool(row.pinned) != pinned:
                values, type_, said = {"pinned": int(pinned)}, EntryType.SELF_PINNED, {"pinned": pinned}
            elif muted is not None and bool(row.muted) != muted:
                values, type_, said = {"muted": int(muted)}, EntryType.SELF_MUTED, {"muted": muted}
            elif hidden is not None and (row.hidden_seq >= sight.last_seq) != hidden:
                values = {"hidden_seq": sight.last_seq if hidden else -1}
                type_, said = EntryType.SELF_HIDDEN, {"hidden": hidden}
            else:
                return []
            connection.execute(sa.update(MEMBER).where(mine).values(**values))
            content = msgspec.json.encode({**sight.named(user_id), **said}).decode()
            appended = notify_self(transaction, user_id, type_, content, notice)
            transaction.flush()
            return [appended]

        return await self._db.write(work)

    async def mark_read(self, marks: Mapping[Mark, int | None]) -> dict[Mark, ReadMark]:
        def work(connection: Connection) -> dict[Mark, ReadMark]:
            ids = sorted({conversation_id for _, conversation_id in marks})
            heads = {row.id: row.last_seq for row in connection.execute(_HEADS, {"ids": ids})}
            moved: set[Mark] = set()
            readers: dict[ConversationId, list[UserId]] = {}
            for user_id, conversation_id in sorted(marks, key=lambda mark: (mark[1], mark[0])):
                seq, head = marks[user_id, conversation_id], heads.get(conversation_id, 0)
                readers.setdefault(conversation_id, []).append(user_id)
                if _move(connection, user_id, conversation_id, head if seq is None else min(seq, head)):
                    moved.add((user_id, conversation_id))
            found = {mark: replace(read, moved=mark in moved) for mark, read in read_marks(connection, readers).items()}
            for mark in sorted(marks.keys() - found.keys(), key=lambda mark: (mark[1], mark[0])):
                found.update(_mark_of_former(connection, mark, marks[mark]))
            return found

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


_HEADS = sa.select(_C.id, _C.last_seq).where(_C.id.in_(sa.bindparam("ids", expanding=True)))


def _ensure_private(connection: Connection, parties: tuple[int, int], now_ms: int) -> ConversationId:
    """A private conversation with both its members; who was none before accepts nothing yet."""
    id_ = ensure_conversation(connection, Kind.PRIVATE, parties, now_ms)
    present = connection.execute(sa.select(_M.user_id).where(_M.conversation_id == id_)).all()
    if len(present) < len(parties):
        transaction = LogTransaction(connection, now_ms)
        transaction.lock([id_])
        conversation = transaction.get(id_)
        assert conversation is not None
        for party in parties:
            insert_member(connection, id_, UserId(party), accepts=False, hidden=True, now_ms=now_ms)
        conversation.members_version += 1
        transaction.touch(conversation)
        transaction.flush()
    return id_


def _mark_of_former(connection: Connection, mark: Mark, seq: int | None) -> dict[Mark, ReadMark]:
    """The mark of who is no member any more: what came after he left is not his to read or to count."""
    user_id, conversation_id = mark
    sight = read_sight(connection, user_id, conversation_id)
    if sight is None:
        return {}
    moved = _move(connection, user_id, conversation_id, sight.head if seq is None else min(seq, sight.head), active=0)
    found = read_marks(connection, {conversation_id: [user_id]}, sight.head)
    return {mark: replace(read, moved=moved) for mark, read in found.items()}


def _move(
    connection: Connection, user_id: UserId, conversation_id: ConversationId, target: int, active: int = 1
) -> bool:
    """Move a member's read cursor (or, with `active` 0, a former member's) up to `target`; whether it was below."""
    at_target = (_E.conversation_id == conversation_id, _E.seq == target)
    moved = connection.execute(
        sa.update(MEMBER)
        .where(
            _M.conversation_id == conversation_id,
            _M.user_id == user_id,
            _M.active == active,
            _M.read_seq < target,
        )
        .values(
            read_seq=target,
            read_ordinal=sa.select(_E.ordinal).where(*at_target).scalar_subquery(),
            read_ordinal_a=sa.select(_E.ordinal_a).where(*at_target).scalar_subquery(),
        )
    )
    return bool(moved.rowcount)


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
