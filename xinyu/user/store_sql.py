"""Accounts and passwords in SQL, on SQLite and MySQL.

Rows are locked in one order everywhere: the code, the account with its password, the log-ins.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.kernel.ids import LoginId, UserId
from xinyu.storage.errors import UniqueViolation
from xinyu.storage.schema import for_update
from xinyu.storage.sql import Database
from xinyu.user.errors import EmailTaken, MobileRegistered, MobileTaken, WrongCode
from xinyu.user.store import Account, AccountStore, NewAccount, NewLogin
from xinyu.user.store_sql_codes import use_code
from xinyu.user.store_sql_logins import end_logins, insert_login
from xinyu.user.tables import accounts, passwords


class SqlAccountStore(AccountStore):
    """AccountStore over one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def create(
        self, new: NewAccount, now_ms: int, login: NewLogin | None = None, code_id: int | None = None
    ) -> UserId:
        def work(connection: Connection) -> UserId:
            _use_up(connection, code_id, now_ms)
            user_id = UserId(_insert_account(connection, new, now_ms))
            if login is not None:
                insert_login(connection, user_id, login)
            return user_id

        try:
            return await self._db.write(work)
        except UniqueViolation as error:
            raise MobileRegistered() from error

    async def find_by_mobile(self, mobile: str) -> Account | None:
        return await self._db.read(lambda connection: _find(connection, accounts.c.mobile == mobile))

    async def find(self, user_id: UserId) -> Account | None:
        return await self._db.read(lambda connection: _find(connection, accounts.c.id == user_id))

    async def open_login(
        self, user_id: UserId, verified_hash: str, login: NewLogin, better_hash: str | None = None
    ) -> int | None:
        def work(connection: Connection) -> int | None:
            row = _lock(connection, user_id)
            if row is None or row.hash != verified_hash or row.disabled:
                return None
            if better_hash is not None:
                _replace_hash(connection, user_id, better_hash)
            insert_login(connection, user_id, login)
            return int(row.token_version)

        return await self._db.write(work)

    async def set_password(
        self,
        user_id: UserId,
        new_hash: str,
        now_ms: int,
        verified_hash: str | None = None,
        keep_login: LoginId | None = None,
        code_id: int | None = None,
    ) -> bool:
        def work(connection: Connection) -> bool:
            _use_up(connection, code_id, now_ms)
            row = _lock(connection, user_id)
            if row is None or (verified_hash is not None and row.hash != verified_hash):
                return False
            _replace_hash(connection, user_id, new_hash, changed_ms=now_ms)
            end_logins(connection, user_id, now_ms, keep_login)
            return True

        return await self._db.write(work)

    async def set_mobile(self, user_id: UserId, mobile: str, verified_hash: str, now_ms: int, code_id: int) -> bool:
        try:
            return await self._set_target(user_id, verified_hash, now_ms, code_id, mobile=mobile)
        except UniqueViolation as error:
            raise MobileTaken() from error

    async def set_email(self, user_id: UserId, email: str, verified_hash: str, now_ms: int, code_id: int) -> bool:
        try:
            return await self._set_target(user_id, verified_hash, now_ms, code_id, email=email)
        except UniqueViolation as error:
            raise EmailTaken() from error

    async def _set_target(self, user_id: UserId, verified_hash: str, now_ms: int, code_id: int, **values: str) -> bool:
        def work(connection: Connection) -> bool:
            _use_up(connection, code_id, now_ms)
            row = _lock(connection, user_id)
            if row is None or row.hash != verified_hash:
                return False
            connection.execute(sa.update(accounts).where(accounts.c.id == user_id).values(**values))
            return True

        return await self._db.write(work)

    async def set_disabled(self, user_id: UserId, disabled: bool, now_ms: int) -> bool:
        def work(connection: Connection) -> bool:
            if _lock(connection, user_id) is None:
                return False
            change = sa.update(accounts).where(accounts.c.id == user_id).values(disabled=int(disabled))
            connection.execute(change)
            if disabled:
                end_logins(connection, user_id, now_ms)
            return True

        return await self._db.write(work)


def _use_up(connection: Connection, code_id: int | None, now_ms: int) -> None:
    if code_id is not None and not use_code(connection, code_id, now_ms):
        raise WrongCode()


def _insert_account(connection: Connection, new: NewAccount, now_ms: int) -> int:
    row = {
        "mobile": new.mobile,
        "email": None,
        "nickname": new.nickname,
        "avatar": "",
        "motto": "",
        "gender": 0,
        "birthday": "",
        "is_robot": 0,
        "is_qiye": 0,
        "disabled": 0,
        "token_version": 0,
        "created_ms": now_ms,
    }
    key = connection.execute(sa.insert(accounts), row).inserted_primary_key
    assert key is not None
    user_id = int(key[0])
    connection.execute(sa.insert(passwords), {"user_id": user_id, "hash": new.password_hash, "changed_ms": now_ms})
    return user_id


def _joined(*columns: Any) -> sa.Select[Any]:
    return sa.select(*columns).join_from(accounts, passwords, passwords.c.user_id == accounts.c.id)


def _lock(connection: Connection, user_id: UserId) -> sa.Row[Any] | None:
    """The account's password hash and state, locked until the transaction ends."""
    statement = _joined(passwords.c.hash, accounts.c.disabled, accounts.c.token_version)
    return connection.execute(for_update(statement.where(accounts.c.id == user_id))).one_or_none()


def _find(connection: Connection, condition: sa.ColumnElement[bool]) -> Account | None:
    statement = _joined(
        accounts.c.id, accounts.c.mobile, accounts.c.email, accounts.c.disabled, passwords.c.hash
    ).where(condition)
    row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    return Account(UserId(row.id), row.mobile, row.email or "", row.hash, bool(row.disabled))


def _replace_hash(connection: Connection, user_id: UserId, new_hash: str, changed_ms: int | None = None) -> None:
    values: dict[str, object] = {"hash": new_hash}
    if changed_ms is not None:
        values["changed_ms"] = changed_ms
    connection.execute(sa.update(passwords).where(passwords.c.user_id == user_id).values(values))
