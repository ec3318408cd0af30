"""Devices and their cursors over SQL, and what a device has not (sync)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.ids import ConversationId, DeviceId, UserId
from xinyu.message.store import DeviceStore
from xinyu.message.store_sql.remembered import PULLS, Device, forget, remember_pulling, remember_pushed
from xinyu.message.store_sql.tables import CONVERSATION, CURSOR, DEVICE, ENTRY, INTERVAL, MEMBER
from xinyu.message.store_sql.views import JOINED, own_unread, read_marks, ref_of
from xinyu.message.store_sql.visible import read_sight
from xinyu.message.types import DeviceCursor, DeviceState, Entry, SyncItem, SyncPage
from xinyu.storage.packets import fetch_all
from xinyu.storage.prepared import PreparedSelect
from xinyu.storage.schema import AnyRow, upsert
from xinyu.storage.sql import Database

_C, _M, _I, _E, _CU, _D = CONVERSATION.c, MEMBER.c, INTERVAL.c, ENTRY.c, CURSOR.c, DEVICE.c
_LAST_LEAVE = (
    sa.select(sa.func.max(_I.leave_seq))
    .where(_I.conversation_id == _M.conversation_id, _I.user_id == _M.user_id)
    .scalar_subquery()
)
_FIRST_JOIN = (
    sa.select(sa.func.min(_I.join_seq))
    .where(_I.conversation_id == _M.conversation_id, _I.user_id == _M.user_id)
    .scalar_subquery()
)
_HEAD = sa.case((_M.active == 1, _C.last_seq), else_=_LAST_LEAVE)
"""The newest seq a member may read. Null for who never was one (a removal may come without its invitation)."""
SYNC_CONVERSATIONS = 500
"""Conversations of one page."""

_KNOWN = PreparedSelect(
    sa.select(_D.catching_up).where(_D.user_id == sa.bindparam("user"), _D.device_id == sa.bindparam("device"))
)
_STANDING = PreparedSelect(
    sa.select(_C.id, _HEAD.label("head"), sa.func.coalesce(_CU.seq, _FIRST_JOIN).label("cursor"))
    .select_from(
        JOINED.outerjoin(
            CURSOR,
            sa.and_(_CU.user_id == _M.user_id, _CU.device_id == sa.bindparam("device"), _CU.conversation_id == _C.id),
        )
    )
    .where(_M.user_id == sa.bindparam("user"))
)
"""These two run at every connect."""
_ENTRIES = (
    sa.select(ENTRY)
    .where(
        _E.conversation_id == sa.bindparam("id"),
        _E.seq > sa.bindparam("after"),
        _E.seq <= sa.bindparam("until"),
        _E.sent_at_ms >= sa.bindparam("since"),
    )
    .order_by(_E.seq)
    .limit(sa.bindparam("most"))
)
_HEADS_AND_DEVICES = sa.union_all(
    sa.select(_M.user_id, _C.id, _HEAD, sa.null())
    .select_from(JOINED)
    .where(_M.user_id.in_(sa.bindparam("users", expanding=True)), _C.id.in_(sa.bindparam("ids", expanding=True))),
    sa.select(_D.user_id, sa.literal_column("0"), sa.literal_column("0"), _D.device_id).where(
        _D.user_id.in_(sa.bindparam("users", expanding=True)),
        _D.device_id.in_(sa.bindparam("devices", expanding=True)),
    ),
)
"""One statement, for it runs with every batch of cursors."""
_AT_ONCE = 50
"""Cursors that are moved by one statement."""


_CONVERSATIONS_OF = (
    sa.select(
        _C.id, _C.kind, _C.party_a, _C.party_b, _C.last_ordinal, _M.active, _M.read_seq, _M.read_ordinal,
        _HEAD.label("head"), _FIRST_JOIN.label("join_seq"), own_unread().label("own"),
    )
    .select_from(JOINED)
    .where(_M.user_id == sa.bindparam("user"))
    .order_by(_C.id)
)  # fmt: skip


class DeviceStoreSql(DeviceStore):
    """One schema on SQLite or MySQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def open_device(self, user_id: UserId, device_id: DeviceId, sync: bool, now_ms: int) -> list[DeviceState]:
        catching_up, states = await self._db.read(lambda connection: _look(connection, user_id, device_id), brief=True)
        if sync:
            return states
        if catching_up in (None, PULLS):
            catching_up, states = await self._db.write(
                lambda connection: _register(connection, user_id, device_id, now_ms)
            )
        behind = any(state.cursor < state.last_seq for state in states)
        if behind != bool(catching_up):
            await self._db.write(lambda connection: _set_catching_up(connection, user_id, device_id, int(behind)))
        return states

    async def set_caught_up(self, user_id: UserId, device_id: DeviceId) -> None:
        await self._db.write(lambda connection: _set_catching_up(connection, user_id, device_id, 0))

    async def is_catching_up(self, user_id: UserId, device_id: DeviceId) -> bool | None:
        def work(connection: Connection) -> bool | None:
            found = connection.execute(
                sa.select(_D.catching_up).where(_D.user_id == user_id, _D.device_id == device_id)
            ).scalar_one_or_none()
            return None if found in (None, PULLS) else bool(found)

        return await self._db.read(work)

    async def move_cursors(self, cursors: Sequence[DeviceCursor], now_ms: int) -> None:
        wanted = sorted(cursors, key=lambda c: (c.user_id, c.device_id, c.conversation_id))

        def work(connection: Connection) -> None:
            for begin in range(0, len(wanted), _AT_ONCE):
                part = wanted[begin : begin + _AT_ONCE]
                heads, known = _heads_and_devices_of(connection, part)
                part = [c for c in part if (c.user_id, c.conversation_id) in heads]
                new = {(c.user_id, c.device_id) for c in part} - known
                forgotten = remember_pulling(connection, new, now_ms)
                rows = [
                    _cursor_row(
                        c.user_id, c.device_id, c.conversation_id, min(c.seq, heads[c.user_id, c.conversation_id])
                    )
                    for c in part
                    if (c.user_id, c.device_id) not in forgotten
                ]
                upsert(connection, CURSOR, rows, greatest=("seq",))

        await self._db.write(work)

    async def forget_device(self, user_id: UserId, device_id: DeviceId) -> None:
        await self._db.write(lambda connection: forget(connection, (user_id, device_id)))

    async def sync(
        self, user_id: UserId, device_id: DeviceId, cursors: Mapping[int, int] | None, since_ms: int, limit: int
    ) -> SyncPage:
        def work(connection: Connection) -> SyncPage:
            have = dict(cursors) if cursors is not None else _cursors(connection, user_id, device_id)
            items: list[SyncItem] = []
            room, more = limit, False
            for row in _wanting(connection, user_id, have, cursors is not None, everything=not limit):
                if limit and (room <= 0 or len(items) >= SYNC_CONVERSATIONS):
                    more = True
                    break
                item = _sync_item(connection, user_id, row, have.get(row.id), since_ms, room)
                room -= len(item.entries)
                more = more or item.more
                items.append(item)
            return SyncPage(items, more)

        return await self._db.read(work)


def _look(connection: Connection, user_id: UserId, device_id: DeviceId) -> tuple[int | None, list[DeviceState]]:
    """Whether pushes are owed to a device (None: it never connected), and where it stands."""
    named = {"user": user_id, "device": device_id}
    known, rows = fetch_all(connection, [_KNOWN.statement(connection, named), _STANDING.statement(connection, named)])
    catching_up = known[0][0] if known else None
    return catching_up, [DeviceState(id_, head, min(cursor, head)) for id_, head, cursor in rows if head is not None]


def _register(
    connection: Connection, user_id: UserId, device_id: DeviceId, now_ms: int
) -> tuple[int | None, list[DeviceState]]:
    """The first connection of a login: its cursors start at the heads."""
    if not remember_pushed(connection, (user_id, device_id), now_ms):  # another connection of this login was faster
        return _look(connection, user_id, device_id)
    heads = _heads(connection, user_id, None)
    upsert(
        connection,
        CURSOR,
        [_cursor_row(user_id, device_id, conversation_id, head) for conversation_id, head in heads.items()],
        greatest=("seq",),
    )
    return 0, [DeviceState(conversation_id, head, head) for conversation_id, head in heads.items()]


def _heads(connection: Connection, user_id: UserId, ids: Collection[int] | None) -> dict[ConversationId, int]:
    """The newest seq that a user may read, per conversation (of `ids`, or all) that he is or was in."""
    statement = sa.select(_C.id, _HEAD.label("head")).select_from(JOINED).where(_M.user_id == user_id)
    if ids is not None:
        statement = statement.where(_C.id.in_(ids))
    return {row.id: row.head for row in connection.execute(statement.order_by(_C.id)) if row.head is not None}


def _heads_and_devices_of(
    connection: Connection, cursors: Sequence[DeviceCursor]
) -> tuple[dict[tuple[UserId, ConversationId], int], set[Device]]:
    """The newest seq that a user may read, per user and conversation, and which of the devices are remembered. It reads
    all pairs of those users and those conversations and devices, so they must be few."""
    named = {
        "users": sorted({c.user_id for c in cursors}),
        "ids": sorted({c.conversation_id for c in cursors}),
        "devices": sorted({c.device_id for c in cursors}),
    }
    heads: dict[tuple[UserId, ConversationId], int] = {}
    known: set[Device] = set()
    for user_id, id_, head, device_id in connection.execute(_HEADS_AND_DEVICES, named):
        if device_id is not None:
            known.add((user_id, device_id))
        elif head is not None:
            heads[user_id, id_] = head
    return heads, known


def _cursor_row(user_id: UserId, device_id: DeviceId, conversation_id: int, seq: int) -> dict[str, object]:
    return {"user_id": user_id, "device_id": device_id, "conversation_id": conversation_id, "seq": seq}


def _set_catching_up(connection: Connection, user_id: UserId, device_id: DeviceId, value: int) -> None:
    connection.execute(
        sa.update(DEVICE).where(_D.user_id == user_id, _D.device_id == device_id).values(catching_up=value)
    )


def _cursors(connection: Connection, user_id: UserId, device_id: DeviceId) -> dict[int, int]:
    rows = connection.execute(
        sa.select(_CU.conversation_id, _CU.seq).where(_CU.user_id == user_id, _CU.device_id == device_id)
    )
    return {row.conversation_id: row.seq for row in rows}


def _wanting(
    connection: Connection, user_id: UserId, have: Mapping[int, int], named: bool, everything: bool
) -> list[AnyRow]:
    """The user's conversations in which the device lacks something; when it `named` its cursors, also those that it
    did not name at all, so that it learns of them; or all."""
    rows = connection.execute(_CONVERSATIONS_OF, {"user": user_id}).all()
    return [
        row
        for row in rows
        if row.head is not None
        and (row.active or row.head > row.join_seq)  # one that he was never shown, or left at once, is none
        and (everything or (named and row.id not in have) or row.head > max(have.get(row.id, 0), row.join_seq))
    ]


def _sync_item(
    connection: Connection, user_id: UserId, row: AnyRow, cursor: int | None, since_ms: int, room: int
) -> SyncItem:
    entries: list[Entry] = []
    more = False
    if room > 0:
        sight = read_sight(connection, user_id, row.id)
        assert sight is not None
        first, _ = sight.intervals[0]
        after = max(first, row.join_seq if cursor is None else cursor)
        wanted = {"id": row.id, "after": after, "until": sight.head, "since": since_ms, "most": room + 1}
        statement = _ENTRIES if len(sight.intervals) == 1 else _ENTRIES.where(sight.readable(_E.seq))
        rows = connection.execute(statement, wanted).all()
        more = len(rows) > room
        entries = sight.entries(connection, rows[:room])
    unread = max(0, row.last_ordinal - row.read_ordinal - row.own)
    if not row.active:  # what came after he left is not his to count
        unread = read_marks(connection, {row.id: [user_id]}, row.head)[user_id, row.id].unread
    return SyncItem(
        conversation_id=row.id,
        ref=ref_of(row, user_id),
        last_seq=row.head,
        read_seq=row.read_seq,
        unread=unread,
        entries=entries,
        more=more,
        cursor=row.join_seq if cursor is None else cursor,
    )
