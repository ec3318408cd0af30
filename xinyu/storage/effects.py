"""Changes whose effect lies in another service: recorded with the change, carried out after it, repeated until it took.

A domain writes an effect row in the very transaction of its change (`EffectLog.record`), and after the commit has it
carried out (`EffectRelay.carry_out`), so that its caller's reply waits for the effect. What could not be carried out
then stays pending and is repeated by `EffectRelay.run` (DESIGN.md section 1, rule 3). A body is opaque text here; the
domain says what applying it means.

There is no claim on a row: applying an effect twice, or an old one after a newer one, is harmless by the effect's own
id and versions, so any number of processes may run a relay on one schema, and the order kept here is only what can be
had for nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Category, Unavailable, XinyuError, code_of
from xinyu.storage.errors import EffectPending
from xinyu.storage.schema import TABLE_OPTIONS, Ascii, BigId, HexId, LongText
from xinyu.storage.sql import Database
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)

Apply = Callable[[str], Awaitable[None]]
"""Carries out one effect, given its body. Must be idempotent. Raises what the other service raised."""

SWEEP_SECONDS = 1.0
BATCH = 100
ROUNDS_PER_SWEEP = 50
GRACE_MS = 1_000
"""A pending effect is left to its own caller for this long."""
SLOWEST_MS = 60_000
ALARM_ATTEMPTS = 10
"""After so many failures an effect is reported once and no longer holds back the later ones of its conversation."""
KEEP_DONE_MS = 86_400_000
DELETE_EVERY_MS = 60_000
DELETE_BATCH = 1_000
ERROR_LENGTH = 500


def effect_table(metadata: sa.MetaData, name: str) -> sa.Table:
    """The table of a domain's effects; call it `<domain>_effect`. The domain's migration creates the same columns."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("effect_id", HexId, nullable=False),
        sa.Column("conversation", Ascii, nullable=False),
        sa.Column("body", LongText, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("done_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("last_error", sa.String(ERROR_LENGTH), nullable=False, server_default=""),
        sa.UniqueConstraint("effect_id", name=f"uq_{name}_effect"),
        sa.Index(f"ix_{name}_done", "done_ms", "id"),
        sa.Index(f"ix_{name}_conversation", "conversation", "done_ms", "id"),
        **TABLE_OPTIONS,
    )


class PendingEffect(NamedTuple):
    """An effect that has not taken yet."""

    id: int
    effect_id: str
    conversation: str
    body: str
    attempts: int


class EffectLog:
    """The effects of one domain, in its own schema. Pending ones have `done_ms` 0."""

    def __init__(self, database: Database, table: sa.Table, clock: Clock) -> None:
        self._database = database
        self._table = table
        self._clock = clock
        self._columns = [table.c[name] for name in PendingEffect._fields]
        self._due = _select_due(table)

    def record(self, connection: Connection, effect_id: str, conversation: str, body: str) -> None:
        """Write a pending effect. Call it inside the unit of work that makes the change: both or neither.

        `conversation` is any ASCII key (at most 190 characters) that groups the effects whose order matters; within it
        they are applied in the order of recording. Raises UniqueViolation (of the whole unit) for an `effect_id` that
        is there already."""
        row = {
            "effect_id": effect_id,
            "conversation": conversation,
            "body": body,
            "created_ms": self._clock.now_ms(),
        }
        connection.execute(sa.insert(self._table).values(row))

    async def list_up_to(self, effect_id: str) -> list[PendingEffect]:
        """What is pending in this effect's conversation up to and including it, oldest first; [] once it is done.
        Raises StorageUnavailable."""
        table = self._table
        own = sa.select(table.c.conversation, table.c.id).where(table.c.effect_id == effect_id, table.c.done_ms == 0)

        def read(connection: Connection) -> list[PendingEffect]:
            found = connection.execute(own).first()
            if found is None:
                return []
            query = (
                sa.select(*self._columns)
                .where(table.c.conversation == found.conversation, table.c.done_ms == 0, table.c.id <= found.id)
                .order_by(table.c.id)
            )
            return _pending(connection.execute(query))

        return await self._database.read(read)

    async def list_due(self, limit: int) -> list[PendingEffect]:
        """Pending effects whose time has come, oldest first, at most `limit`: of each conversation the oldest one only,
        and besides those that have failed ALARM_ATTEMPTS times. Raises StorageUnavailable."""
        now = self._clock.now_ms()
        values = {"now": now, "before": now - GRACE_MS, "most": limit}
        return await self._database.read(lambda connection: _pending(connection.execute(self._due, values)), brief=True)

    async def mark_done(self, ids: Sequence[int]) -> None:
        """These effects have taken. Idempotent. Raises StorageUnavailable."""
        if not ids:
            return
        table = self._table
        statement = (
            sa.update(table).where(table.c.id.in_(ids), table.c.done_ms == 0).values(done_ms=self._clock.now_ms())
        )
        await self._database.write(lambda connection: connection.execute(statement) and None)

    async def mark_failed(self, effect: PendingEffect, error: str) -> None:
        """It did not take: the next attempt is 1 s away, then twice as long each time, at most SLOWEST_MS.
        Raises StorageUnavailable."""
        table = self._table
        pause_ms = min(SLOWEST_MS, 1_000 * 2 ** min(effect.attempts, 16))
        statement = (
            sa.update(table)
            .where(table.c.id == effect.id, table.c.done_ms == 0)
            .values(
                attempts=effect.attempts + 1,
                next_ms=self._clock.now_ms() + pause_ms,
                last_error=error[:ERROR_LENGTH],
            )
        )
        await self._database.write(lambda connection: connection.execute(statement) and None)

    async def delete_done(self, limit: int = DELETE_BATCH) -> int:
        """Remove at most `limit` effects that took more than KEEP_DONE_MS ago; how many went. Raises
        StorageUnavailable."""
        table, before = self._table, self._clock.now_ms() - KEEP_DONE_MS
        old = sa.select(table.c.id).where(table.c.done_ms > 0, table.c.done_ms < before).order_by(table.c.done_ms)

        def work(connection: Connection) -> int:
            ids = list(connection.execute(old.limit(limit)).scalars())
            if ids:
                connection.execute(sa.delete(table).where(table.c.id.in_(ids)))
            return len(ids)

        return await self._database.write(work)

    async def count_pending(self) -> int:
        """How many effects have not taken yet. Raises StorageUnavailable."""
        query = sa.select(sa.func.count()).select_from(self._table).where(self._table.c.done_ms == 0)
        return await self._database.read(lambda connection: int(connection.execute(query).scalar_one()))


class EffectRelay:
    """Carries out what an EffectLog holds. `run` is a background run of the process; `carry_out` is for callers."""

    def __init__(self, effects: EffectLog, apply: Apply, clock: Clock, name: str) -> None:
        """`name` is the domain's, for the logs."""
        self._effects = effects
        self._apply = apply
        self._clock = clock
        self._name = name
        self._delete_at_ms = 0

    async def carry_out(self, effect_id: str) -> None:
        """Apply this recorded effect, and before it what is pending of its conversation. Call it right after the
        commit; call it again, at any time, to make sure: one that is done (or unknown) is nothing to do.

        Returns when the effect took. Raises EffectPending (unavailable) when it did not now: the change stands and
        `run` will bring its effect. An older effect that is refused, or has failed too often, holds nothing back; one
        that cannot be reached does."""
        done: list[int] = []
        try:
            for effect in await self._effects.list_up_to(effect_id):
                is_own = effect.effect_id == effect_id
                if not is_own and effect.attempts >= ALARM_ATTEMPTS:
                    continue
                error = await self._try(effect)
                if error is None:
                    done.append(effect.id)
                elif is_own or _is_out_of_reach(error):
                    raise EffectPending() from error
        except EffectPending:
            raise
        except Unavailable as error:  # our own storage
            raise EffectPending() from error
        finally:
            await self._settle(done)

    async def sweep(self) -> int:
        """Apply what is due, each conversation in its order, in bounded batches; how many took. Raises
        StorageUnavailable."""
        total = 0
        for _ in range(ROUNDS_PER_SWEEP):
            done = [effect.id for effect in await self._effects.list_due(BATCH) if await self._try(effect) is None]
            await self._effects.mark_done(done)
            total += len(done)
            if not done:
                break
        if self._clock.now_ms() >= self._delete_at_ms and await self._effects.delete_done() < DELETE_BATCH:
            self._delete_at_ms = self._clock.now_ms() + DELETE_EVERY_MS
        return total

    async def run(self) -> None:
        """Sweep every SWEEP_SECONDS, for ever. Raises StorageUnavailable; start it again then."""
        while True:
            await self.sweep()
            await self._clock.sleep(SWEEP_SECONDS)

    async def _try(self, effect: PendingEffect) -> Exception | None:
        """Apply one; what went wrong, having noted it."""
        try:
            await self._apply(effect.body)
            return None
        except Exception as error:  # whatever it is, the effect must not be lost and must not stop the others
            await self._note_failure(effect, error)
            return error

    async def _note_failure(self, effect: PendingEffect, error: Exception) -> None:
        code = error.code if isinstance(error, XinyuError) else type(error).__name__
        attempts = effect.attempts + 1
        if attempts == ALARM_ATTEMPTS:
            log.error(
                "an effect will not take; see the domain's effect table, it is tried on",
                domain=self._name,
                effect_id=effect.effect_id,
                error=code_of(error),
                attempts=attempts,
            )
        elif attempts == 1 and not _is_out_of_reach(error):
            log.warning(
                "an effect was refused and will be tried again",
                domain=self._name,
                effect_id=effect.effect_id,
                error=code_of(error),
                exc_info=error,
            )
        await self._effects.mark_failed(effect, f"{code}: {error}")

    async def _settle(self, done: list[int]) -> None:
        """Mark what took. A failure here only means that it is applied once more, which changes nothing."""
        try:
            await self._effects.mark_done(done)
        except XinyuError as error:
            log.warning("effects that took could not be marked and will be applied again", error=error.code)


def _is_out_of_reach(error: Exception) -> bool:
    return isinstance(error, XinyuError) and error.category in (
        Category.UNAVAILABLE,
        Category.DEADLINE,
        Category.EXHAUSTED,
    )


def _select_due(table: sa.Table) -> sa.Select[Any]:
    """For `list_due`, made once: it is asked every second."""
    older = table.alias("older")
    held_back = sa.exists().where(
        older.c.conversation == table.c.conversation,
        older.c.done_ms == 0,
        older.c.id < table.c.id,
        older.c.attempts < ALARM_ATTEMPTS,
    )
    return (
        sa.select(*(table.c[name] for name in PendingEffect._fields))
        .where(
            table.c.done_ms == 0,
            table.c.next_ms <= sa.bindparam("now"),
            table.c.created_ms <= sa.bindparam("before"),
            sa.or_(table.c.attempts >= ALARM_ATTEMPTS, ~held_back),
        )
        .order_by(table.c.id)
        .limit(sa.bindparam("most"))
    )


def _pending(rows: sa.CursorResult[Any]) -> list[PendingEffect]:
    return [PendingEffect(row.id, row.effect_id, row.conversation, row.body, row.attempts) for row in rows]
