"""Which account each role gets, and with which one schemas are changed."""

from __future__ import annotations

from typing import Any

import pytest

from xinyu.app.accounts.grants import for_migration, role_accounts
from xinyu.app.roles import ROLES
from xinyu.app.settings import ConfigError, Settings, shown
from xinyu.app.shape import histories_of
from xinyu.storage.accounts import Address

ADMIN = "mysql://admin:root-secret@db/xinyu"


def settings(roles: tuple[str, ...] = (), **storage: Any) -> Settings:
    return Settings(roles=roles, storage=storage)


def test_every_role_with_data_gets_an_account_for_the_tables_of_its_domain() -> None:
    accounts = role_accounts(settings(dsn=ADMIN))
    assert [account.role for account in accounts] == [role for role, _ in histories_of(ROLES)]
    tables = [table for account in accounts for table in account.tables]
    assert len(tables) == len(set(tables))
    for account in accounts:
        assert all(table.startswith(f"{account.role}_") for table in account.tables)
        assert account.version_table == f"{account.role}_schema_version"
        assert account.version_table not in account.tables


def test_a_role_without_an_account_of_its_own_gets_one_with_a_new_password() -> None:
    one, other = (role_accounts(settings(("user",), dsn=ADMIN))[0] for _ in range(2))
    assert not one.configured and one.address.user == "xinyu_user"
    assert one.address.password != other.address.password and len(one.address.password) >= 32
    assert Address.of(one.dsn) == one.address
    assert one.address.password in one.statements("%", with_password=False)[0]


def test_an_account_of_the_configuration_is_taken_and_its_password_kept_unless_asked_for() -> None:
    own = "mysql://people:hush@db2:3307/users"
    [account] = role_accounts(settings(("user",), dsn=ADMIN, dsn_by_role={"user": own}))
    assert account.configured and account.dsn == own
    assert account.address == Address("db2:3307", "users", "people", "hush")
    assert "hush" not in "".join(account.statements("%", with_password=False))
    assert "IDENTIFIED BY 'hush'" in account.statements("%", with_password=True)[0]


@pytest.mark.parametrize(
    "storage",
    [
        {"dsn": ADMIN, "dsn_by_role": {"user": ADMIN}},
        {"dsn": "mysql://m:x@db/other", "dsn_by_role": {"user": ADMIN}, "migration_user": "admin"},
        {"dsn": "mysql://m:x@db/other", "dsn_by_role": {"user": ADMIN, "contact": ADMIN}},
        {"dsn": "mysql://m:x@db/other", "dsn_by_role": {"user": "mysql://db/xinyu"}},
    ],
    ids=["of everything", "of migrations", "of two roles", "of nobody"],
)
def test_an_account_that_is_not_one_roles_alone_is_not_taken(storage: dict[str, Any]) -> None:
    accounts = {account.role: account for account in role_accounts(settings(**storage))}
    assert accounts["user"].address.user == "xinyu_user"
    assert "root-secret" not in "".join(accounts["user"].statements("%", with_password=True))


def test_roles_in_sqlite_have_no_account() -> None:
    mixed = settings(("user", "contact"), dsn="sqlite:///x.db", dsn_by_role={"user": ADMIN})
    assert [account.role for account in role_accounts(mixed)] == ["user"]
    with pytest.raises(ConfigError, match=r"storage\.dsn"):
        role_accounts(settings())


def test_schemas_are_changed_with_the_account_of_migrations() -> None:
    found = for_migration(
        settings(
            dsn="sqlite:///x.db",
            dsn_by_role={"user": "mysql://u:p@db/s", "contact": "mysql://c:q@db2/t"},
            migration_user="ddl",
            migration_password="hush",
        )
    )
    assert found.storage.dsn == "sqlite:///x.db"
    assert found.storage.dsn_by_role == {"user": "mysql://ddl:hush@db/s", "contact": "mysql://ddl:hush@db2/t"}


def test_without_one_with_the_dsns_own() -> None:
    plain = settings(dsn=ADMIN)
    assert for_migration(plain) is plain


def test_its_password_is_masked_where_settings_are_shown() -> None:
    secret = settings(migration_user="ddl", migration_password="hush-hush")
    assert "hush-hush" not in str(shown(secret)) and "hush-hush" not in repr(secret)
