"""The group store on SQLite and MySQL.

Every change locks its group's row first, so changes of one group follow one another and never meet in a deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy import Connection, Row

from xinyu.group.errors import GroupNotFound
from xinyu.group.store import Change, Decide, GroupStore, Snapshot
from xinyu.group.store_sql_applications import (
    answer_applications,
    insert_application,
    list_newest_applications,
    pending_for,
    read_application,
)
from xinyu.group.tables import group_apply, group_info, group_member
from xinyu.group.types import Application, ApplicationStatus, Group, GroupInfo, Member
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import Effect, Role
from xinyu.storage.effects import EffectLog
from xinyu.storage.schema import for_update, upsert
from xinyu.storage.sql import Database

MEMBER_COLUMNS = [column for column in group_member.c if column.name != "group_id"]


class GroupStoreSql(GroupStore):
    """Groups in tables of their own; effects in the log of the same schema."""

    def __init__(self, database: Database, effects: EffectLog) -> None:
        self._database = database
        self._effects = effects

    async def create(self, group: Group, members: Collection[Member], effect_of: Callable[[GroupId], Effect]) -> Group:
        def work(connection: Connection) -> Group:
            key = connection.execute(sa.insert(group_info).values(**_group_values(group), last_effect=""))
            assert key.inserted_primary_key is not None  # the table has one
            made = replace(group, group_id=GroupId(int(key.inserted_primary_key[0])))
            _write_members(connection, made.group_id, members)
            self._record(connection, made.group_id, effect_of(made.group_id))
            return made

        return await self._database.write(work)

    async def change(
        self,
        group_id: GroupId,
        user_ids: Collection[UserId],
        decide: Decide,
        now_ms: int,
        with_applications: bool = False,
    ) -> str:
        def work(connection: Connection) -> str:
            query = for_update(sa.select(group_info).where(group_info.c.group_id == group_id))
            row = connection.execute(query).first()
            if row is None:
                raise GroupNotFound()
            group = _group(row)
            members = _read_members(connection, group_id, user_ids, managers=with_applications)
            applications = list_newest_applications(connection, group_id, user_ids) if with_applications else {}
            change = decide(Snapshot(group, members, applications))
            if change == Change():
                return str(row.last_effect)
            self._write(connection, group, change, now_ms)
            return change.effect.effect_id if change.effect else ""

        return await self._database.write(work)

    async def find(self, group_id: GroupId, user_id: UserId) -> tuple[Group | None, Member | None]:
        def work(connection: Connection) -> tuple[Group | None, Member | None]:
            row = connection.execute(sa.select(group_info).where(group_info.c.group_id == group_id)).first()
            if row is None:
                return None, None
            return _group(row), _read_members(connection, group_id, [user_id]).get(user_id)

        return await self._database.read(work)

    async def list_groups(self, user_id: UserId) -> list[Group]:
        query = (
            sa.select(group_info)
            .join(group_member, group_member.c.group_id == group_info.c.group_id)
            .where(group_member.c.user_id == user_id, group_member.c.left_ms == 0, group_info.c.dismissed_ms == 0)
            .order_by(group_member.c.joined_ms, group_info.c.group_id)
        )
        return await self._database.read(lambda connection: [_group(row) for row in connection.execute(query)])

    async def list_infos(self, group_ids: Collection[GroupId]) -> list[GroupInfo]:
        columns = (group_info.c.group_id, group_info.c.name, group_info.c.avatar, group_info.c.dismissed_ms)
        query = sa.select(*columns).where(group_info.c.group_id.in_(set(group_ids)))

        def work(connection: Connection) -> list[GroupInfo]:
            rows = connection.execute(query)
            return [GroupInfo(row.group_id, row.name, row.avatar, row.dismissed_ms > 0) for row in rows]

        return await self._database.read(work)

    async def list_members(self, group_id: GroupId) -> list[Member]:
        query = (
            sa.select(*MEMBER_COLUMNS)
            .where(group_member.c.group_id == group_id, group_member.c.left_ms == 0)
            .order_by(group_member.c.role.desc(), group_member.c.joined_ms, group_member.c.user_id)
        )
        return await self._database.read(lambda connection: [_member(row) for row in connection.execute(query)])

    async def find_application(self, application_id: int) -> Application | None:
        query = sa.select(group_apply).where(group_apply.c.application_id == application_id)

        def work(connection: Connection) -> Application | None:
            row = connection.execute(query).first()
            return None if row is None else read_application(row)

        return await self._database.read(work)

    async def list_pending(self, group_id: GroupId, limit: int) -> list[Application]:
        query = sa.select(group_apply).where(
            group_apply.c.group_id == group_id, group_apply.c.status == int(ApplicationStatus.PENDING)
        )
        return await self._list_applications(query, limit)

    async def list_pending_for(self, manager_id: UserId, limit: int) -> list[Application]:
        return await self._list_applications(pending_for(manager_id, group_apply), limit)

    async def count_pending_for(self, manager_id: UserId) -> int:
        query = pending_for(manager_id, sa.func.count())
        return await self._database.read(lambda connection: int(connection.execute(query).scalar_one()))

    async def _list_applications(self, query: sa.Select[Any], limit: int) -> list[Application]:
        newest = query.order_by(group_apply.c.application_id.desc()).limit(limit)
        return await self._database.read(
            lambda connection: [read_application(row) for row in connection.execute(newest)]
        )

    def _write(self, connection: Connection, group: Group, change: Change, now_ms: int) -> None:
        if change.group is not None:
            statement = sa.update(group_info).where(group_info.c.group_id == group.group_id)
            connection.execute(statement.values(**_group_values(change.group)))
        _write_members(connection, group.group_id, change.members)
        if change.application is not None:
            insert_application(connection, group.group_id, change.application, now_ms)
        if change.answer is not None:
            answer_applications(connection, group.group_id, change.answer, now_ms)
        if change.effect is not None:
            self._record(connection, group.group_id, change.effect)

    def _record(self, connection: Connection, group_id: GroupId, effect: Effect) -> None:
        body = msgspec.json.encode(effect).decode()
        self._effects.record(connection, effect.effect_id, f"group:{group_id}", body)
        statement = sa.update(group_info).where(group_info.c.group_id == group_id)
        connection.execute(statement.values(last_effect=effect.effect_id))


def _group_values(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "avatar": group.avatar,
        "profile": group.profile,
        "owner_id": group.owner_id,
        "creator_id": group.creator_id,
        "mute_all": int(group.mute_all),
        "is_public": int(group.public),
        "max_members": group.max_members,
        "member_count": group.member_count,
        "version": group.version,
        "created_ms": group.created_ms,
        "dismissed_ms": group.dismissed_ms,
    }


def _group(row: Row[Any]) -> Group:
    return Group(
        group_id=row.group_id,
        name=row.name,
        avatar=row.avatar,
        profile=row.profile,
        owner_id=row.owner_id,
        creator_id=row.creator_id,
        mute_all=row.mute_all > 0,
        public=row.is_public > 0,
        max_members=row.max_members,
        member_count=row.member_count,
        version=row.version,
        created_ms=row.created_ms,
        dismissed_ms=row.dismissed_ms,
    )


def _member(row: Row[Any]) -> Member:
    return Member(
        user_id=row.user_id,
        role=Role(row.role),
        card=row.card,
        muted_until_ms=row.muted_until_ms,
        joined_ms=row.joined_ms,
        left_ms=row.left_ms,
        version=row.version,
    )


def _read_members(
    connection: Connection, group_id: GroupId, user_ids: Iterable[UserId], managers: bool = False
) -> dict[UserId, Member]:
    wanted: sa.ColumnElement[bool] = group_member.c.user_id.in_(set(user_ids))
    if managers:
        wanted = sa.or_(wanted, sa.and_(group_member.c.role >= int(Role.ADMIN), group_member.c.left_ms == 0))
    query = sa.select(*MEMBER_COLUMNS).where(group_member.c.group_id == group_id, wanted)
    return {row.user_id: _member(row) for row in connection.execute(query)}


def _write_members(connection: Connection, group_id: GroupId, members: Iterable[Member]) -> None:
    rows = [
        {
            "group_id": group_id,
            "user_id": member.user_id,
            "role": int(member.role),
            "card": member.card,
            "muted_until_ms": member.muted_until_ms,
            "joined_ms": member.joined_ms,
            "left_ms": member.left_ms,
            "version": member.version,
        }
        for member in members
    ]
    changing = ("role", "card", "muted_until_ms", "joined_ms", "left_ms", "version")
    upsert(connection, group_member, rows, update=changing)
