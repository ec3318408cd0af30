"""Pairs, applications and contacts on SQLite and MySQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.contact.effects import body_of, key_of
from xinyu.contact.pair import ApplicationRecord, ApplicationState, Decide, Link, PairChange, PairState
from xinyu.contact.store import PairOutcome, PairStore
from xinyu.contact.tables import applications, links
from xinyu.contact.types import Application, ApplicationId, Contact
from xinyu.kernel.ids import UserId
from xinyu.storage.effects import EffectLog
from xinyu.storage.schema import for_update, insert_new, upsert
from xinyu.storage.sql import Database

LINK_FIELDS = tuple(name for name in Link.__struct_fields__ if name not in ("owner_id", "other_id"))
PENDING = int(ApplicationState.PENDING)
IDS_PER_QUERY = 500


class SqlPairStore(PairStore):
    """Its effects go into `effects`, which must be in the same schema."""

    def __init__(self, database: Database, effects: EffectLog) -> None:
        self._database = database
        self._effects = effects

    async def change_pair(
        self, me: UserId, other: UserId, decide: Decide, application_id: ApplicationId = ApplicationId(0)
    ) -> PairOutcome:
        def work(connection: Connection) -> PairOutcome:
            mine, theirs = _locked_pair(connection, me, other)
            state = PairState(
                mine,
                theirs,
                sent=_find_application(connection, applications.c.pending_key == _pending_key(me, other)),
                asked=_find_application(connection, applications.c.id == application_id) if application_id else None,
            )
            return self._write(connection, decide(state))

        return await self._database.write(work)

    def _write(self, connection: Connection, change: PairChange) -> PairOutcome:
        if change.links:
            upsert(connection, links, map(_link_row, change.links), update=LINK_FIELDS)
        new_id = ApplicationId(0)
        for record in change.applications:
            new_id = _write_application(connection, record) or new_id
        if change.effect is None:
            return PairOutcome(change.await_effect_id, new_id)
        effect = change.effect(new_id)
        self._effects.record(connection, effect.effect_id, key_of(effect), body_of(effect))
        return PairOutcome(effect.effect_id, new_id)

    async def read_pair(self, me: UserId, other: UserId) -> tuple[Link, Link]:
        def read(connection: Connection) -> tuple[Link, Link]:
            found = _stored_links(connection, _pair_rows(me, other))
            return found.get(me, Link(me, other)), found.get(other, Link(other, me))

        return await self._database.read(read)

    async def list_contacts(self, owner_id: UserId) -> list[Contact]:
        query = (
            sa.select(links)
            .where(links.c.owner_id == owner_id, links.c.friend == 1)
            .order_by(links.c.since_ms, links.c.other_id)
        )
        return await self._database.read(
            lambda connection: [
                Contact(row.other_id, row.remark, row.group_id, bool(row.blocked), row.since_ms)
                for row in connection.execute(query)
            ]
        )

    async def list_remarks(self, owner_id: UserId, user_ids: Sequence[UserId]) -> list[tuple[UserId, str]]:
        def read(connection: Connection) -> list[tuple[UserId, str]]:
            found: list[tuple[UserId, str]] = []
            for first in range(0, len(user_ids), IDS_PER_QUERY):
                query = sa.select(links.c.other_id, links.c.remark).where(
                    links.c.owner_id == owner_id,
                    links.c.other_id.in_(user_ids[first : first + IDS_PER_QUERY]),
                    links.c.friend == 1,
                    links.c.remark != "",
                )
                found += [(UserId(row.other_id), row.remark) for row in connection.execute(query)]
            return found

        return await self._database.read(read) if user_ids else []

    async def list_blockers(self, user_id: UserId, other_ids: Sequence[UserId]) -> set[UserId]:
        def read(connection: Connection) -> set[UserId]:
            found: set[UserId] = set()
            for first in range(0, len(other_ids), IDS_PER_QUERY):
                query = sa.select(links.c.owner_id).where(
                    links.c.owner_id.in_(other_ids[first : first + IDS_PER_QUERY]),
                    links.c.other_id == user_id,
                    links.c.blocked == 1,
                )
                found.update(map(UserId, connection.execute(query).scalars()))
            return found

        return await self._database.read(read) if other_ids else set()

    async def count_contacts(self, owner_ids: Sequence[UserId]) -> int:
        query = (
            sa.select(sa.func.count())
            .where(links.c.owner_id.in_(owner_ids), links.c.friend == 1)
            .group_by(links.c.owner_id)
        )
        return await self._database.read(lambda connection: max(connection.execute(query).scalars(), default=0))

    async def set_remark(self, owner_id: UserId, contact_id: UserId, remark: str) -> bool:
        statement = (
            sa.update(links)
            .where(links.c.owner_id == owner_id, links.c.other_id == contact_id, links.c.friend == 1)
            .values(remark=remark)
        )
        return await self._database.write(lambda connection: bool(connection.execute(statement).rowcount))

    async def find_application(self, application_id: ApplicationId) -> ApplicationRecord | None:
        return await self._database.read(
            lambda connection: _find_application(connection, applications.c.id == application_id)
        )

    async def list_pending(self, target_id: UserId, limit: int) -> list[Application]:
        query = _visible(sa.select(applications), target_id).order_by(applications.c.id.desc()).limit(limit)
        return await self._database.read(
            lambda connection: [
                Application(row.id, row.applicant_id, row.target_id, row.remark, row.created_ms)
                for row in connection.execute(query)
            ]
        )

    async def count_pending(self, target_id: UserId) -> int:
        query = _visible(sa.select(sa.func.count()).select_from(applications), target_id)
        return await self._database.read(lambda connection: int(connection.execute(query).scalar_one()))

    async def count_sent(self, applicant_id: UserId) -> int:
        query = (
            sa.select(sa.func.count())
            .select_from(applications)
            .where(applications.c.applicant_id == applicant_id, applications.c.state == PENDING)
        )
        return await self._database.read(lambda connection: int(connection.execute(query).scalar_one()))


def _locked_pair(connection: Connection, me: UserId, other: UserId) -> tuple[Link, Link]:
    """Both rows of the pair, locked, and made where they were missing: what follows runs once at a time per pair."""
    query = for_update(_pair_rows(me, other))
    found = _stored_links(connection, query)
    if len(found) < 2:
        for owner, peer in sorted(((me, other), (other, me))):
            insert_new(connection, links, _link_row(Link(owner, peer)))
        found = _stored_links(connection, query)
    return found[me], found[other]


def _pair_rows(me: UserId, other: UserId) -> sa.Select[Any]:
    # spelled out: MariaDB finds no index for (a, b) IN (…)
    mine = sa.and_(links.c.owner_id == me, links.c.other_id == other)
    theirs = sa.and_(links.c.owner_id == other, links.c.other_id == me)
    return sa.select(links).where(sa.or_(mine, theirs))


def _stored_links(connection: Connection, query: sa.Select[Any]) -> dict[UserId, Link]:
    rows = connection.execute(query.order_by(links.c.owner_id)).mappings()
    return {
        row["owner_id"]: Link(**{**row, "friend": bool(row["friend"]), "blocked": bool(row["blocked"])}) for row in rows
    }


def _link_row(link: Link) -> dict[str, Any]:
    row = {name: getattr(link, name) for name in Link.__struct_fields__}
    return {**row, "friend": int(link.friend), "blocked": int(link.blocked)}


def _pending_key(applicant_id: UserId, target_id: UserId) -> str:
    return f"{applicant_id}:{target_id}"


def _find_application(connection: Connection, where: sa.ColumnElement[bool]) -> ApplicationRecord | None:
    row = connection.execute(sa.select(applications).where(where)).first()
    if row is None:
        return None
    return ApplicationRecord(
        application_id=row.id,
        applicant_id=row.applicant_id,
        target_id=row.target_id,
        remark=row.remark,
        created_ms=row.created_ms,
        state=ApplicationState(row.state),
        reply=row.reply,
        notified_ms=row.notified_ms,
        handled_ms=row.handled_ms,
        effect_id=row.effect_id,
    )


def _write_application(connection: Connection, record: ApplicationRecord) -> ApplicationId | None:
    """Insert a new one and return its id, or change a stored one."""
    pending = record.state is ApplicationState.PENDING
    values = {
        "remark": record.remark,
        "state": int(record.state),
        "reply": record.reply,
        "notified_ms": record.notified_ms,
        "handled_ms": record.handled_ms,
        "effect_id": record.effect_id,
        "pending_key": _pending_key(record.applicant_id, record.target_id) if pending else None,
    }
    if record.application_id:
        connection.execute(sa.update(applications).where(applications.c.id == record.application_id).values(values))
        return None
    values |= {
        "applicant_id": record.applicant_id,
        "target_id": record.target_id,
        "created_ms": record.created_ms,
    }
    key = connection.execute(sa.insert(applications).values(values)).inserted_primary_key
    assert key is not None
    return ApplicationId(key[0])


def _visible(query: sa.Select[Any], target_id: UserId) -> sa.Select[Any]:
    """Pending applications to a user, but for those of users he blocked."""
    blocked = sa.exists().where(
        links.c.owner_id == target_id, links.c.other_id == applications.c.applicant_id, links.c.blocked == 1
    )
    return query.where(applications.c.target_id == target_id, applications.c.state == PENDING, ~blocked)
