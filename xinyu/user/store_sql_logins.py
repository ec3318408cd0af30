"""Log-ins in SQL."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.ids import LoginId, UserId
from xinyu.storage.prepared import PreparedIn
from xinyu.storage.schema import for_update
from xinyu.storage.sql import Database
from xinyu.user.store import LoginStore, NewLogin
from xinyu.user.tables import accounts, logins
from xinyu.user.types import EndedLogin, LoginState

_STATES = PreparedIn(
    sa.select(logins.c.login_id, logins.c.user_id, accounts.c.token_version, accounts.c.disabled, logins.c.ended_ms)
    .join_from(logins, accounts, accounts.c.id == logins.c.user_id)
    .where(logins.c.login_id.in_(sa.bindparam("login_ids", expanding=True))),
    "login_ids",
)
_ENDED = (
    sa.select(logins.c.user_id, logins.c.login_id, logins.c.ended_ms)
    .where(logins.c.ended_ms >= sa.bindparam("since"))
    .order_by(logins.c.ended_ms, logins.c.login_id)
    .limit(sa.bindparam("most"))
)
"""Both built once: the one runs at every connect, the other every two seconds."""


class SqlLoginStore(LoginStore):
    """LoginStore over one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def list_states(self, login_ids: list[LoginId]) -> dict[LoginId, tuple[UserId, LoginState]]:
        def work(connection: Connection) -> dict[LoginId, tuple[UserId, LoginState]]:
            return {
                LoginId(login_id): (UserId(user_id), LoginState(version, ended_ms > 0, bool(disabled)))
                for login_id, user_id, version, disabled, ended_ms in _STATES.fetch(connection, login_ids)
            }

        return await self._db.read(work, brief=True)

    async def list_ended_since(self, since_ms: int, limit: int) -> list[EndedLogin]:
        def work(connection: Connection) -> list[EndedLogin]:
            rows = connection.execute(_ENDED, {"since": max(1, since_ms), "most": limit})
            return [EndedLogin(UserId(row.user_id), LoginId(row.login_id), row.ended_ms) for row in rows]

        return await self._db.read(work, brief=True)

    async def end(self, user_id: UserId, login_id: LoginId, now_ms: int) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                sa.update(logins)
                .where(logins.c.login_id == login_id, logins.c.user_id == user_id, logins.c.ended_ms == 0)
                .values(ended_ms=now_ms)
            )

        await self._db.write(work)

    async def end_all(self, user_id: UserId, now_ms: int, keep_login: LoginId | None = None) -> bool:
        def work(connection: Connection) -> bool:
            account = for_update(sa.select(accounts.c.id).where(accounts.c.id == user_id))
            if connection.execute(account).one_or_none() is None:
                return False
            end_logins(connection, user_id, now_ms, keep_login)
            return True

        return await self._db.write(work)

    async def remove_expired(self, before_ms: int, limit: int) -> int:
        def work(connection: Connection) -> int:
            ids = connection.scalars(
                sa.select(logins.c.login_id).where(logins.c.expires_ms < before_ms).limit(limit)
            ).all()
            if ids:
                connection.execute(sa.delete(logins).where(logins.c.login_id.in_(ids)))
            return len(ids)

        return await self._db.write(work)


def insert_login(connection: Connection, user_id: UserId, login: NewLogin) -> None:
    """Open a log-in, within the caller's transaction."""
    connection.execute(
        sa.insert(logins),
        {
            "login_id": login.login_id,
            "user_id": user_id,
            "platform": login.origin.platform,
            "ip": login.origin.ip,
            "user_agent": login.origin.user_agent,
            "created_ms": login.created_ms,
            "expires_ms": login.expires_ms,
            "ended_ms": 0,
        },
    )


def end_logins(connection: Connection, user_id: UserId, now_ms: int, keep_login: LoginId | None = None) -> None:
    """End log-ins, within the caller's transaction, which holds the account's row. When none is kept the token version
    goes up, so that a token whose log-in has no row any more is worthless too."""
    condition = sa.and_(logins.c.user_id == user_id, logins.c.ended_ms == 0)
    if keep_login is not None:
        condition = sa.and_(condition, logins.c.login_id != keep_login)
    connection.execute(sa.update(logins).where(condition).values(ended_ms=now_ms))
    if keep_login is None:
        version = accounts.c.token_version
        connection.execute(sa.update(accounts).where(accounts.c.id == user_id).values(token_version=version + 1))
