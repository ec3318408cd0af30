"""The outbox over SQL."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from xinyu.kernel.ids import SessionId, UserId
from xinyu.message.store import OutboxKey
from xinyu.message.store_outbox import OutboxCounts, OutboxRow, OutboxStore
from xinyu.message.store_sql.rows import entry_of, settle
from xinyu.message.store_sql.tables import CONVERSATION, ENTRY, INTERVAL, OUTBOX
from xinyu.message.types import Kind
from xinyu.storage.schema import AnyRow
from xinyu.storage.sql import Database

_O, _E, _C, _I = OUTBOX.c, ENTRY.c, CONVERSATION.c, INTERVAL.c
_MY_ROW = sa.and_(_O.conversation_id == bindparam("id"), _O.seq == bindparam("at"))
_QUARANTINE = sa.update(OUTBOX).where(_MY_ROW).values(quarantined=1)
_TAKE = (
    sa.update(OUTBOX)
    .where(_MY_ROW)
    .values(owner=bindparam("me"), lease_until_ms=bindparam("until"), attempts=_O.attempts + 1)
)
_REMOVE = sa.delete(OUTBOX).where(_MY_ROW)
_UNDELIVERED = (_O.done_ms.is_(None), _O.quarantined == 0, _O.created_ms < bindparam("before"))
_PENDING = sa.select(_O.seq).where(*_UNDELIVERED).limit(1)
_FREE = (
    sa.select(OUTBOX)
    .where(*_UNDELIVERED, _O.lease_until_ms <= bindparam("now"))
    .order_by(_O.created_ms)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_ENTRY_OF = (
    sa.select(ENTRY, _C.kind, _C.party_a, _C.party_b)
    .select_from(ENTRY.join(CONVERSATION, _C.id == _E.conversation_id))
    .where(_E.conversation_id == bindparam("id"), _E.seq == bindparam("at"))
)
_RECIPIENTS = sa.select(_I.user_id).where(
    _I.conversation_id == bindparam("id"),
    _I.join_seq < bindparam("at"),
    sa.or_(_I.leave_seq.is_(None), _I.leave_seq >= bindparam("at")),
)
_COUNTS = (
    sa.select(_O.quarantined, sa.func.count(), sa.func.min(_O.created_ms))
    .where(_O.done_ms.is_(None))
    .group_by(_O.quarantined)
)


class OutboxStoreSql(OutboxStore):
    """One schema on SQLite or MySQL."""

    def __init__(self, database: Database, keep: bool) -> None:
        self._db = database
        self._keep = keep

    async def settle(self, keys: Sequence[OutboxKey], now_ms: int) -> None:
        await self._db.write(lambda connection: settle(connection, keys, now_ms, self._keep), brief=True)

    async def claim(
        self, owner: str, created_before_ms: int, lease_ms: int, now_ms: int, limit: int, max_attempts: int
    ) -> list[OutboxRow]:
        def work(connection: Connection) -> list[OutboxRow]:
            rows = connection.execute(_FREE, {"before": created_before_ms, "now": now_ms, "most": limit}).all()
            tired = [row for row in rows if row.attempts >= max_attempts]
            mine = [row for row in rows if row.attempts < max_attempts]
            if tired:
                connection.execute(_QUARANTINE, [_place(row) for row in tired])
            if mine:
                taken = {"me": owner, "until": now_ms + lease_ms}
                connection.execute(_TAKE, [{**_place(row), **taken} for row in mine])
            return _rows(connection, mine)

        idle = await self._db.read(lambda connection: not _has_pending(connection, created_before_ms))
        return [] if idle else await self._db.write(work)

    async def reopen(self, done_after_ms: int) -> int:
        def work(connection: Connection) -> int:
            undone = sa.update(OUTBOX).where(_O.done_ms >= done_after_ms).values(done_ms=None, lease_until_ms=0)
            held = sa.update(OUTBOX).where(_O.done_ms.is_(None), _O.lease_until_ms > 0).values(lease_until_ms=0)
            connection.execute(held)
            return int(connection.execute(undone).rowcount)

        return await self._db.write(work)

    async def remove_done(self, done_before_ms: int, limit: int) -> int:
        def work(connection: Connection) -> int:
            old = connection.execute(
                sa.select(_O.conversation_id, _O.seq)
                .where(_O.done_ms < done_before_ms)
                .order_by(_O.done_ms)
                .limit(limit)
            ).all()
            if old:
                connection.execute(_REMOVE, [_place(row) for row in old])
            return len(old)

        return await self._db.write(work)

    async def counts(self) -> OutboxCounts:
        def work(connection: Connection) -> OutboxCounts:
            found = {quarantined: (count, oldest) for quarantined, count, oldest in connection.execute(_COUNTS)}
            pending, oldest_ms = found.get(0, (0, 0))
            return OutboxCounts(pending, oldest_ms, found.get(1, (0, 0))[0])

        return await self._db.read(work)


def _place(row: AnyRow) -> dict[str, int]:
    return {"id": row.conversation_id, "at": row.seq}


def _has_pending(connection: Connection, created_before_ms: int) -> bool:
    return connection.execute(_PENDING, {"before": created_before_ms}).first() is not None


def _rows(connection: Connection, claimed: Sequence[AnyRow]) -> list[OutboxRow]:
    found: list[OutboxRow] = []
    for row in sorted(claimed, key=lambda row: (row.conversation_id, row.seq)):
        joined = connection.execute(_ENTRY_OF, _place(row)).one()
        recipients = connection.execute(_RECIPIENTS, _place(row))
        found.append(
            OutboxRow(
                entry=entry_of(joined, Kind(joined.kind), (joined.party_a, joined.party_b)),
                recipients=[UserId(user_id) for user_id in recipients.scalars()],
                origin_session=SessionId(row.origin_session) if row.origin_session else None,
                attempts=row.attempts,
                trace_id=row.trace_id,
            )
        )
    return found
