"""The outbox over SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from xinyu.kernel.ids import SessionId, UserId
from xinyu.message.store import OutboxKey
from xinyu.message.store_outbox import OutboxCounts, OutboxRow, OutboxStore
from xinyu.message.store_sql.rows import StoredEntry, entry_columns, entry_of, settle
from xinyu.message.store_sql.tables import CONVERSATION, ENTRY, INTERVAL, OUTBOX
from xinyu.message.types import Entry, Kind
from xinyu.storage.packets import Packet
from xinyu.storage.prepared import PreparedAt, PreparedByKey, PreparedIn, PreparedMany
from xinyu.storage.schema import AnyRow
from xinyu.storage.sql import Database

_O, _E, _C, _I = OUTBOX.c, ENTRY.c, CONVERSATION.c, INTERVAL.c
_MY_ROW = sa.and_(_O.conversation_id == bindparam("id"), _O.seq == bindparam("at"))
_QUARANTINE = sa.update(OUTBOX).where(_MY_ROW).values(quarantined=1, lease_until_ms=bindparam("since"))
"""Of a quarantined row `lease_until_ms` tells since when it is one."""
_RELEASE = sa.update(OUTBOX).where(_MY_ROW).values(quarantined=0, lease_until_ms=0, attempts=bindparam("made"))
_IS_RESTED = (_O.done_ms.is_(None), _O.quarantined == 1, _O.lease_until_ms < bindparam("before"))
_RESTED_ONE = sa.select(_O.seq).where(*_IS_RESTED).limit(1)
_RESTED = (
    sa.select(_O.conversation_id, _O.seq).where(*_IS_RESTED).limit(bindparam("most")).with_for_update(skip_locked=True)
)
_TAKE = PreparedByKey(
    sa.update(OUTBOX).values(
        owner=bindparam("me"), lease_until_ms=bindparam("until"), attempts=_O.attempts + sa.literal_column("1")
    ),
    {"id": _O.conversation_id, "at": _O.seq},
)
_REMOVE = PreparedMany(sa.delete(OUTBOX).where(_MY_ROW))
_UNDELIVERED = (_O.done_ms.is_(None), _O.quarantined == 0, _O.created_ms < bindparam("before"))
_PENDING = sa.select(_O.seq).where(*_UNDELIVERED).limit(1)
_FREE = (
    sa.select(OUTBOX)
    .where(*_UNDELIVERED, _O.lease_until_ms <= bindparam("now"))
    .order_by(_O.created_ms)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_OLD = (
    sa.select(_O.conversation_id, _O.seq)
    .where(_O.done_ms < bindparam("before"))
    .order_by(_O.done_ms)
    .limit(bindparam("most"))
)
_ENTRIES = PreparedAt(
    sa.select(*entry_columns()).select_from(ENTRY.join(CONVERSATION, _C.id == _E.conversation_id)),
    {"id": _E.conversation_id, "at": _E.seq},
)
_INTERVALS = PreparedIn(
    sa.select(_I.conversation_id, _I.user_id, _I.join_seq, _I.leave_seq).where(
        _I.conversation_id.in_(bindparam("ids", expanding=True))
    ),
    "ids",
)
_COUNTS = (
    sa.select(_O.quarantined, sa.func.count(), sa.func.min(_O.created_ms))
    .where(_O.done_ms.is_(None))
    .group_by(_O.quarantined)
)


class _Interval(NamedTuple):
    user_id: UserId
    join_seq: int
    leave_seq: int | None

    def spans(self, seq: int) -> bool:
        return self.join_seq < seq and (self.leave_seq is None or seq <= self.leave_seq)


class OutboxStoreSql(OutboxStore):
    """One schema on SQLite or MySQL."""

    def __init__(self, database: Database, keep: bool) -> None:
        self._db = database
        self._keep = keep

    @property
    def settling_may_wait(self) -> bool:
        return self._db.dialect != "sqlite"  # which has one transaction at a time anyway

    async def settle(self, keys: Sequence[OutboxKey], now_ms: int) -> None:
        def work(connection: Connection) -> None:
            packet = Packet(connection)
            settle(packet, keys, now_ms, self._keep)
            packet.send()

        await self._db.write(work, brief=True)

    async def claim(
        self, owner: str, created_before_ms: int, lease_ms: int, now_ms: int, limit: int, max_attempts: int
    ) -> list[OutboxRow]:
        def take(connection: Connection) -> list[AnyRow]:
            rows = connection.execute(_FREE, {"before": created_before_ms, "now": now_ms, "most": limit}).all()
            tired = [row for row in rows if row.attempts >= max_attempts]
            mine = [row for row in rows if row.attempts < max_attempts]
            if tired:
                connection.execute(_QUARANTINE, [{**_place(row), "since": now_ms} for row in tired])
            taken = {"me": owner, "until": now_ms + lease_ms}
            _TAKE.run(connection, [{**_place(row), **taken} for row in mine])
            return mine

        if await self._db.read(lambda connection: not _is_any(connection, _PENDING, created_before_ms)):
            return []
        mine = await self._db.write(take)
        return await self._db.read(lambda connection: _rows(connection, mine)) if mine else []

    async def reopen(self, done_after_ms: int) -> int:
        def work(connection: Connection) -> int:
            undone = sa.update(OUTBOX).where(_O.done_ms >= done_after_ms).values(done_ms=None, lease_until_ms=0)
            mine = (_O.done_ms.is_(None), _O.quarantined == 0, _O.lease_until_ms > 0)
            held = sa.update(OUTBOX).where(*mine).values(lease_until_ms=0)
            connection.execute(held)
            return int(connection.execute(undone).rowcount)

        return await self._db.write(work)

    async def release(self, quarantined_before_ms: int, attempts: int, limit: int) -> int:
        def work(connection: Connection) -> int:
            rested = connection.execute(_RESTED, {"before": quarantined_before_ms, "most": limit}).all()
            if rested:
                connection.execute(_RELEASE, [{**_place(row), "made": attempts} for row in rested])
            return len(rested)

        if not await self._db.read(lambda connection: _is_any(connection, _RESTED_ONE, quarantined_before_ms)):
            return 0
        return await self._db.write(work)

    async def remove_done(self, done_before_ms: int, limit: int) -> int:
        def find(connection: Connection, most: int) -> Sequence[AnyRow]:
            return connection.execute(_OLD, {"before": done_before_ms, "most": most}).all()

        def work(connection: Connection) -> int:
            old = find(connection, limit)
            _REMOVE.run(connection, [_place(row) for row in old])
            return len(old)

        if not await self._db.read(lambda connection: find(connection, 1), brief=True):
            return 0  # as nearly always: an idle server's transactions keep its disk awake
        return await self._db.write(work)

    async def counts(self) -> OutboxCounts:
        def work(connection: Connection) -> OutboxCounts:
            found = {quarantined: (count, oldest) for quarantined, count, oldest in connection.execute(_COUNTS)}
            pending, oldest_ms = found.get(0, (0, 0))
            return OutboxCounts(pending, oldest_ms, found.get(1, (0, 0))[0])

        return await self._db.read(work)


def _place(row: AnyRow) -> dict[str, int]:
    return {"id": row.conversation_id, "at": row.seq}


def _is_any(connection: Connection, statement: sa.Select[tuple[int]], before_ms: int) -> bool:
    return connection.execute(statement, {"before": before_ms}).first() is not None


def _rows(connection: Connection, claimed: Sequence[AnyRow]) -> list[OutboxRow]:
    """In log order per conversation."""
    ordered = sorted(claimed, key=lambda row: (row.conversation_id, row.seq))
    entries: dict[OutboxKey, Entry] = {}
    for found in map(
        StoredEntry._make, _ENTRIES.fetch(connection, [(row.conversation_id, row.seq) for row in ordered])
    ):
        entry = entry_of(found, Kind(found.kind), (found.party_a, found.party_b))
        entries[found.conversation_id, found.seq] = entry
    members: dict[int, list[_Interval]] = {}
    for id_, *interval in _INTERVALS.fetch(connection, sorted({row.conversation_id for row in ordered})):
        members.setdefault(id_, []).append(_Interval(*interval))
    return [
        OutboxRow(
            entry=entries[row.conversation_id, row.seq],
            recipients=[member.user_id for member in members.get(row.conversation_id, ()) if member.spans(row.seq)],
            origin_session=SessionId(row.origin_session) if row.origin_session else None,
            attempts=row.attempts,
            trace_id=row.trace_id,
        )
        for row in ordered
    ]
