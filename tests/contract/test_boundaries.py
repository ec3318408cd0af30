"""Each role's account reaches its own tables and nothing else: MySQL refuses the rest (error 1142)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import pymysql
import pytest

from testkit.accounts import DOMAINS, SharedSchema
from testkit.mysql import cursor_at, execute, rows
from xinyu.app.accounts.grants import RoleAccount
from xinyu.app.roles import ROLES
from xinyu.app.shape import histories_of
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.migrations import History, read_state
from xinyu.storage.sql import open_database

pytestmark = pytest.mark.engine
TABLE_ACCESS_DENIED = 1142


def refused(account: RoleAccount, statements: Iterable[str]) -> None:
    with cursor_at(account.dsn) as cursor:
        for statement in statements:
            with pytest.raises(pymysql.err.OperationalError) as told:
                cursor.execute(statement)
            assert told.value.args[0] == TABLE_ACCESS_DENIED, statement


def first_column(schema: SharedSchema, table: str) -> str:
    return str(rows(schema.admin_dsn, f"SHOW COLUMNS FROM {table}")[0][0])


@pytest.mark.parametrize("role", DOMAINS)
def test_an_account_reads_and_changes_every_table_of_its_own(shared_schema: SharedSchema, role: str) -> None:
    account = shared_schema.accounts[role]
    for table in account.tables:
        column = first_column(shared_schema, table)
        execute(
            account.dsn,
            f"SELECT * FROM {table} LIMIT 0 FOR UPDATE",
            f"INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0",
            f"UPDATE {table} SET {column} = {column} WHERE 1 = 0",
            f"DELETE FROM {table} WHERE 1 = 0",
        )


@pytest.mark.parametrize(("role", "other"), list(permutations(DOMAINS, 2)))
def test_the_tables_of_others_are_out_of_reach(shared_schema: SharedSchema, role: str, other: str) -> None:
    mine, theirs = shared_schema.accounts[role], shared_schema.accounts[other]
    for table in theirs.tables:
        column = first_column(shared_schema, table)
        ways = (
            f"SELECT * FROM {table}",
            f"SELECT * FROM {mine.tables[0]} JOIN {table}",
            f"INSERT INTO {table} ({column}) VALUES (1)",
            f"UPDATE {table} SET {column} = 1",
            f"DELETE FROM {table}",
        )
        refused(mine, ways)
    refused(mine, [f"SELECT * FROM {theirs.version_table}"])


@pytest.mark.parametrize("role", DOMAINS)
def test_an_account_cannot_change_a_schema_or_its_version(shared_schema: SharedSchema, role: str) -> None:
    account = shared_schema.accounts[role]
    table = account.tables[0]
    ways = (
        "CREATE TABLE mine (x INT)",
        f"ALTER TABLE {table} ADD COLUMN x INT",
        f"CREATE INDEX x ON {table} ({first_column(shared_schema, table)})",
        f"DROP TABLE {table}",
        f"TRUNCATE TABLE {table}",
        f"UPDATE {account.version_table} SET version_num = 'x'",
    )
    refused(account, ways)


@pytest.mark.parametrize(("role", "history"), histories_of(ROLES), ids=DOMAINS)
async def test_an_account_sees_that_its_schema_is_up_to_date(
    shared_schema: SharedSchema, role: str, history: History
) -> None:
    """What a server asks at its start."""
    database = open_database(shared_schema.accounts[role].dsn)
    await database.start()
    try:
        state = await read_state(database, history)
        assert state.current == state.head and state.known
    finally:
        await database.stop()


async def test_a_breach_in_the_code_fails_the_unit_of_work(shared_schema: SharedSchema) -> None:
    database = open_database(shared_schema.accounts["contact"].dsn)
    await database.start()
    try:
        with pytest.raises(StorageUnavailable) as told:
            await database.read(lambda connection: connection.exec_driver_sql("SELECT * FROM user_account").all())
        assert "denied" in str(told.value.details)
    finally:
        await database.stop()
