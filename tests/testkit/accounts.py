"""Least accounts on the private MySQL, made by the product's own statements: a service that touches another's table,
or changes a schema, is refused by the server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.engine import make_url

from testkit.mysql import execute, rows
from xinyu.app.accounts.grants import RoleAccount, role_accounts
from xinyu.app.roles import ROLES
from xinyu.app.settings import Settings
from xinyu.app.shape import histories_of
from xinyu.storage.accounts import with_account
from xinyu.storage.migrations import upgrade
from xinyu.storage.sql import open_database

DOMAINS = tuple(role for role, _ in histories_of(ROLES))
"""The roles that keep data, in the table's order."""
HOST = "127.0.0.1"


def migrated(dsns: Mapping[str, str]) -> None:
    """Make each role's tables at its DSN, which is an administrator's."""

    async def work() -> None:
        for role, history in histories_of(dsns):
            database = open_database(dsns[role])
            await database.start()
            await upgrade(database, history)
            await database.stop()

    with ThreadPoolExecutor(1) as pool:  # the caller's thread may have a loop running
        pool.submit(asyncio.run, work()).result()


def least_accounts(dsns: Mapping[str, str]) -> dict[str, RoleAccount]:
    """Make an account for each role, given an administrator's DSN of its schema, whose tables are there."""
    wanted = {
        role: with_account(dsn, f"{make_url(dsn).database}_{role}", secrets.token_hex(16)) for role, dsn in dsns.items()
    }
    accounts = role_accounts(Settings(roles=tuple(dsns), storage={"dsn_by_role": wanted}))
    for account in accounts:
        assert account.configured and account.dsn == wanted[account.role]
        execute(dsns[account.role], *account.statements(HOST, with_password=True))
    return {account.role: account for account in accounts}


class SharedSchema:
    """One schema with the tables of all domains, and an account for each of them."""

    def __init__(self, admin_dsn: str) -> None:
        self.admin_dsn = admin_dsn
        dsns = dict.fromkeys(DOMAINS, admin_dsn)
        migrated(dsns)
        self.accounts = least_accounts(dsns)
        counters = "SELECT table_name, auto_increment FROM information_schema.tables WHERE table_schema = DATABASE()"
        self._first_ids = dict(rows(admin_dsn, counters))

    def emptied(self, role: str) -> str:
        """The DSN of a role's account; its tables are as migrations leave them."""
        account = self.accounts[role]
        statements = ["SET SESSION lock_wait_timeout = 10"]
        for table in account.tables:
            statements.append(f"DELETE FROM {table}")
            if (first := self._first_ids[table]) is not None:
                statements.append(f"ALTER TABLE {table} AUTO_INCREMENT = {first}")
        execute(self.admin_dsn, *statements)
        return account.dsn

    def drop_accounts(self) -> None:
        execute(self.admin_dsn, *(f"DROP USER '{each.address.user}'@'{HOST}'" for each in self.accounts.values()))


@pytest.fixture(scope="session")
def shared_schema(new_mysql_database: Callable[[], str]) -> Iterator[SharedSchema]:
    """One for all suites of the run."""
    schema = SharedSchema(new_mysql_database())
    yield schema
    schema.drop_accounts()


@pytest.fixture(scope="session")
def account_dsn(shared_schema: SharedSchema) -> Callable[[str], str]:
    """Role → DSN of its account in the shared schema. At each call its tables are empty; those of others stay."""
    return shared_schema.emptied
