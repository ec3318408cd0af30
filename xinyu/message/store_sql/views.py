"""The conversation list as one user sees it: a fixed number of queries, however long it is.

What decides a row's unread count is read by one statement, for a statement is what every engine reads at one moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from xinyu.kernel.ids import ConversationId, DeviceId, UserId
from xinyu.message.store import ReadMark
from xinyu.message.store_sql.rows import entry_of
from xinyu.message.store_sql.tables import CONVERSATION, CURSOR, ENTRY, HIDDEN, INTERVAL, MEMBER, OWN
from xinyu.message.store_sql.visible import read_sight
from xinyu.message.types import ConversationView, Entry, EntryType, Kind, Ref
from xinyu.storage.schema import AnyRow

_C, _M, _E, _H, _I, _CU, _O = CONVERSATION.c, MEMBER.c, ENTRY.c, HIDDEN.c, INTERVAL.c, CURSOR.c, OWN.c
JOINED = MEMBER.join(CONVERSATION, _C.id == _M.conversation_id)
_JOIN_SEQ = (
    sa.select(sa.func.max(_I.join_seq))
    .where(_I.conversation_id == _M.conversation_id, _I.user_id == _M.user_id)
    .scalar_subquery()
)

_PARTY = MEMBER.alias("party")
_MUTUAL = sa.case(
    (
        _C.kind == int(Kind.PRIVATE),
        sa.select(sa.func.min(_PARTY.c.accepts)).where(_PARTY.c.conversation_id == _C.id).scalar_subquery(),
    ),
    else_=0,
)


def own_unread(
    head: ColumnElement[int] = _C.last_ordinal,
    head_a: ColumnElement[int] = _C.last_ordinal_a,
    up_to: ColumnElement[int] | None = None,
) -> ColumnElement[int]:
    """How many of a member's own messages lie behind his read cursor: counted by ordinals, but never unread. `head`
    and `head_a` are the ordinals up to which to count, `up_to` is their seq (None: the newest)."""
    counted = sa.select(sa.func.count()).where(
        _O.conversation_id == _M.conversation_id, _O.user_id == _M.user_id, _O.seq > _M.read_seq
    )
    if up_to is not None:
        counted = counted.where(_O.seq <= up_to)
    of_a = head_a - _M.read_ordinal_a
    of_b = (head - _M.read_ordinal) - of_a
    return sa.case(
        (_C.kind == int(Kind.GROUP), counted.scalar_subquery()), (_M.user_id == _C.party_a, of_a), else_=of_b
    )


def _listed(at_device: DeviceId | None) -> sa.Select[tuple[object, ...]]:
    """Members with their conversations; `head_ordinal` and `own` count up to the head or to the device's cursor."""
    head_ordinal, source, own = _C.last_ordinal.label("head_ordinal"), JOINED, own_unread()
    if at_device is not None:
        source = source.outerjoin(
            CURSOR,
            sa.and_(_CU.user_id == _M.user_id, _CU.device_id == at_device, _CU.conversation_id == _M.conversation_id),
        ).outerjoin(ENTRY, sa.and_(_E.conversation_id == _M.conversation_id, _E.seq == _CU.seq))
        head, head_a = sa.func.coalesce(_E.ordinal, 0), sa.func.coalesce(_E.ordinal_a, 0)
        head_ordinal, own = head.label("head_ordinal"), own_unread(head, head_a, _CU.seq)
    return sa.select(
        _C.id, _C.kind, _C.party_a, _C.party_b, _C.last_seq, _C.preview_seq, _C.last_at_ms,
        _M.pinned, _M.muted, _M.cleared_seq, _M.read_seq, _M.read_ordinal, _M.listed_at_ms,
        _JOIN_SEQ.label("join_seq"), head_ordinal, own.label("own"),
    ).select_from(source)  # fmt: skip


def _on_list(user_id: UserId, only: ConversationId | None) -> ColumnElement[bool]:
    return sa.and_(
        _M.user_id == user_id,
        _M.active == 1,
        _C.kind != int(Kind.SELF),
        _C.dismissed == 0,
        _C.id == only if only else _M.hidden_seq < _C.last_seq,
    )


def read_views(
    connection: Connection, user_id: UserId, only: ConversationId | None, at_device: DeviceId | None
) -> list[ConversationView]:
    """See ListStore.list_views."""
    rows = connection.execute(_listed(at_device).where(_on_list(user_id, only))).all()
    previews = _previews(connection, user_id, rows, only)
    views = [_view(row, user_id, previews.get(row.id)) for row in rows]
    views.sort(key=lambda view: (not view.pinned, -view.updated_at_ms, -view.conversation_id))
    return views


def _previews(
    connection: Connection, user_id: UserId, rows: Sequence[AnyRow], only: ConversationId | None
) -> dict[int, Entry]:
    """Per conversation its newest entry that this user can see: one query for all, and one or two more for each whose
    newest he deleted for himself or was not there for. (Joins, for SQLite does not look up pairs in a list of them.)"""
    wanted = {row.id: row for row in rows if row.preview_seq > row.cleared_seq}
    if not wanted:
        return {}
    statement = (
        sa.select(ENTRY, _H.seq.label("deleted"))
        .select_from(
            JOINED.join(ENTRY, sa.and_(_E.conversation_id == _C.id, _E.seq == _C.preview_seq)).outerjoin(
                HIDDEN,
                sa.and_(_H.user_id == _M.user_id, _H.conversation_id == _C.id, _H.seq == _C.preview_seq),
            )
        )
        .where(_on_list(user_id, only))
    )
    found: dict[int, Entry] = {}
    for row in connection.execute(statement):
        listed = wanted.get(row.conversation_id)
        if listed is None:
            continue
        newest: AnyRow | None = row
        if row.deleted is not None or row.seq <= (listed.join_seq or 0):
            newest = _newest_visible(connection, user_id, row.conversation_id)
        if newest is not None:
            found[listed.id] = entry_of(newest, Kind(listed.kind), (listed.party_a, listed.party_b))
    return found


def _newest_visible(connection: Connection, user_id: UserId, conversation_id: ConversationId) -> AnyRow | None:
    sight = read_sight(connection, user_id, conversation_id)
    if sight is None:
        return None
    return connection.execute(
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


def _view(row: AnyRow, user_id: UserId, preview: Entry | None) -> ConversationView:
    return ConversationView(
        conversation_id=row.id,
        ref=ref_of(row, user_id),
        last_seq=row.last_seq,
        read_seq=row.read_seq,
        unread=max(0, row.head_ordinal - row.read_ordinal - row.own),
        pinned=bool(row.pinned),
        muted=bool(row.muted),
        preview=preview,
        updated_at_ms=preview.sent_at_ms if preview else max(row.listed_at_ms, row.last_at_ms),
    )


def ref_of(row: AnyRow, user_id: UserId) -> Ref:
    """A conversation's row as `user_id` names it."""
    target = row.party_b if row.kind == int(Kind.PRIVATE) and row.party_a == user_id else row.party_a
    return Ref(Kind(row.kind), target)


def read_marks(
    connection: Connection, marks: Mapping[ConversationId, Sequence[UserId]], up_to: int | None = None
) -> dict[tuple[UserId, ConversationId], ReadMark]:
    """Where members' read cursors are; with `up_to`, the last entry that was theirs, those of former members too."""
    source, head, head_a, last = JOINED, _C.last_ordinal, _C.last_ordinal_a, None
    whose: ColumnElement[bool] = _M.active == 1
    if up_to is not None:
        source = source.join(ENTRY, sa.and_(_E.conversation_id == _C.id, _E.seq == up_to))
        head, head_a, last = _E.ordinal, _E.ordinal_a, _E.seq
        whose = sa.true()
    unread = (head - _M.read_ordinal - own_unread(head, head_a, last)).label("unread")
    found: dict[tuple[UserId, ConversationId], ReadMark] = {}
    for conversation_id, user_ids in marks.items():
        statement = sa.select(_M.user_id, _M.read_seq, unread, _MUTUAL.label("mutual")).select_from(source)
        for row in connection.execute(statement.where(_C.id == conversation_id, _M.user_id.in_(user_ids), whose)):
            found[row.user_id, conversation_id] = ReadMark(row.read_seq, max(0, row.unread), mutual=bool(row.mutual))
    return found
