"""Profiles and settings in SQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.ids import UserId
from xinyu.storage.schema import for_update, upsert
from xinyu.storage.sql import Database
from xinyu.user.store import ProfileStore
from xinyu.user.tables import accounts
from xinyu.user.tables import preferences as preference_table
from xinyu.user.types import Gender, Preferences, Profile, ProfileChange

IDS_PER_STATEMENT = 500
"""SQLite and MySQL both take more, but plans of longer lists get worse."""
SAVED = ("theme_mode", "theme_bag_img", "theme_color", "notify_cue_tone", "keyboard_event_notify")


class SqlProfileStore(ProfileStore):
    """ProfileStore over one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def list_profiles(self, user_ids: list[UserId]) -> list[Profile]:
        wanted = sorted(set(user_ids))

        def work(connection: Connection) -> list[Profile]:
            found: list[Profile] = []
            for begin in range(0, len(wanted), IDS_PER_STATEMENT):
                part = wanted[begin : begin + IDS_PER_STATEMENT]
                found += _list(connection, sa.select(accounts).where(accounts.c.id.in_(part)))
            return found

        return await self._db.read(work, brief=len(wanted) <= IDS_PER_STATEMENT) if wanted else []

    async def list_page(self, after: UserId, limit: int) -> list[Profile]:
        statement = sa.select(accounts).where(accounts.c.id > after).order_by(accounts.c.id).limit(limit)
        return await self._db.read(lambda connection: _list(connection, statement))

    async def find_by_mobile(self, mobile: str) -> Profile | None:
        return await self._find(accounts.c.mobile == mobile)

    async def find_by_email(self, email: str) -> Profile | None:
        return await self._find(accounts.c.email == email)

    async def _find(self, condition: sa.ColumnElement[bool]) -> Profile | None:
        found = await self._db.read(lambda connection: _list(connection, sa.select(accounts).where(condition)))
        return found[0] if found else None

    async def update_profile(self, user_id: UserId, change: ProfileChange) -> bool:
        values: dict[str, object] = {
            "avatar": change.avatar,
            "motto": change.motto,
            "gender": int(change.gender),
            "birthday": change.birthday,
        }
        if change.nickname:
            values["nickname"] = change.nickname

        def work(connection: Connection) -> bool:
            if not _exists(connection, user_id):
                return False
            connection.execute(sa.update(accounts).where(accounts.c.id == user_id).values(values))
            return True

        return await self._db.write(work)

    async def find_preferences(self, user_id: UserId) -> Preferences | None:
        def work(connection: Connection) -> Preferences | None:
            statement = sa.select(preference_table).where(preference_table.c.user_id == user_id)
            row = connection.execute(statement).one_or_none()
            if row is None:
                return None
            return Preferences(
                theme_mode=row.theme_mode,
                theme_bag_img=row.theme_bag_img,
                theme_color=row.theme_color,
                notify_cue_tone=bool(row.notify_cue_tone),
                keyboard_event_notify=bool(row.keyboard_event_notify),
            )

        return await self._db.read(work)

    async def save_preferences(self, user_id: UserId, preferences: Preferences) -> bool:
        row = {
            "user_id": user_id,
            "theme_mode": preferences.theme_mode,
            "theme_bag_img": preferences.theme_bag_img,
            "theme_color": preferences.theme_color,
            "notify_cue_tone": int(preferences.notify_cue_tone),
            "keyboard_event_notify": int(preferences.keyboard_event_notify),
        }

        def work(connection: Connection) -> bool:
            if not _exists(connection, user_id):
                return False
            upsert(connection, preference_table, [row], update=SAVED)
            return True

        return await self._db.write(work)


def _exists(connection: Connection, user_id: UserId) -> bool:
    """Not by an UPDATE's row count: MySQL counts only rows that changed."""
    statement = for_update(sa.select(accounts.c.id).where(accounts.c.id == user_id))
    return connection.execute(statement).one_or_none() is not None


def _list(connection: Connection, statement: sa.Select[Any]) -> list[Profile]:
    return [
        Profile(
            user_id=UserId(row.id),
            nickname=row.nickname,
            mobile=row.mobile,
            email=row.email or "",
            avatar=row.avatar,
            motto=row.motto,
            gender=Gender(row.gender),
            birthday=row.birthday,
            is_robot=bool(row.is_robot),
            is_qiye=bool(row.is_qiye),
            disabled=bool(row.disabled),
            created_ms=row.created_ms,
        )
        for row in connection.execute(statement)
    ]
