"""Verification codes in SQL."""

from __future__ import annotations

import hmac

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.storage.schema import for_update
from xinyu.storage.sql import Database
from xinyu.user.store import CodeStore, NewCode
from xinyu.user.tables import codes
from xinyu.user.types import CodeChannel


class SqlCodeStore(CodeStore):
    """CodeStore over one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, new: NewCode) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                sa.insert(codes),
                {
                    "target": new.target,
                    "channel": new.channel.value,
                    "code_hash": new.code_hash,
                    "ip": new.ip,
                    "attempts": 0,
                    "created_ms": new.created_ms,
                    "expires_ms": new.expires_ms,
                    "used_ms": 0,
                },
            )

        await self._db.write(work)

    async def try_code(
        self, target: str, channel: CodeChannel, code_hash: str, max_attempts: int, now_ms: int
    ) -> int | None:
        def work(connection: Connection) -> int | None:
            newest = (
                sa.select(codes)
                .where(codes.c.target == target, codes.c.channel == channel.value)
                .order_by(codes.c.id.desc())
                .limit(1)
            )
            row = connection.execute(for_update(newest)).one_or_none()
            if row is None or row.used_ms or row.expires_ms <= now_ms or row.attempts >= max_attempts:
                return None
            tried = sa.update(codes).where(codes.c.id == row.id).values(attempts=codes.c.attempts + 1)
            connection.execute(tried)
            return int(row.id) if hmac.compare_digest(row.code_hash, code_hash) else None

        return await self._db.write(work)

    async def use(self, code_id: int, now_ms: int) -> bool:
        return await self._db.write(lambda connection: use_code(connection, code_id, now_ms))

    async def remove_expired(self, before_ms: int, limit: int) -> int:
        def work(connection: Connection) -> int:
            ids = connection.scalars(sa.select(codes.c.id).where(codes.c.expires_ms < before_ms).limit(limit)).all()
            if ids:
                connection.execute(sa.delete(codes).where(codes.c.id.in_(ids)))
            return len(ids)

        return await self._db.write(work)


def use_code(connection: Connection, code_id: int, now_ms: int) -> bool:
    """Use a code up, within the caller's transaction. Whether it was unused."""
    result = connection.execute(
        sa.update(codes).where(codes.c.id == code_id, codes.c.used_ms == 0).values(used_ms=now_ms)
    )
    return result.rowcount == 1
