"""DSNs and the statements for an account: what is quoted, what is left to be filled in."""

from __future__ import annotations

import pytest

from xinyu.storage.accounts import Address, account_statements, with_account


def test_a_dsn_says_where_and_as_whom() -> None:
    assert Address.of("mysql://u:p%40ss@db.example:3307/s?charset=utf8mb4") == Address(
        "db.example:3307", "s", "u", "p@ss"
    )
    assert Address.of("mysql+aiomysql://u@db/s") == Address("db:3306", "s", "u", "")
    assert Address.of("mysql:///s?unix_socket=/x") == Address("localhost:3306", "s", "", "")


@pytest.mark.parametrize("dsn", ["sqlite:////x.db", "mysql://u:p@db", "nonsense", "mysql://u:p@db:port/s", ""])
def test_anything_else_has_no_account(dsn: str) -> None:
    assert Address.of(dsn) is None
    assert with_account(dsn, "me", "secret") == dsn


def test_another_account_at_the_same_place() -> None:
    changed = with_account("mysql://u:p@db:3307/s?charset=utf8mb4", "me", "a/b@c")
    assert changed == "mysql://me:a%2Fb%40c@db:3307/s?charset=utf8mb4"
    assert Address.of(changed) == Address("db:3307", "s", "me", "a/b@c")


def test_the_statements_of_an_account() -> None:
    made = account_statements("u", "10.0.0.%", "p", "s", tables=["t_one"], read_only=["t_version"])
    assert list(made) == [
        "CREATE USER IF NOT EXISTS 'u'@'10.0.0.%' IDENTIFIED BY 'p'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `s`.`t_one` TO 'u'@'10.0.0.%'",
        "GRANT SELECT ON `s`.`t_version` TO 'u'@'10.0.0.%'",
    ]


def test_nothing_breaks_out_of_its_quotes() -> None:
    made = list(account_statements("u'x", "h", "p'\\", "s`s", tables=["t`"], read_only=[]))
    assert made[0] == "CREATE USER IF NOT EXISTS 'u''x'@'h' IDENTIFIED BY 'p''\\\\'"
    assert made[1].split(" ON ")[1] == "`s``s`.`t``` TO 'u''x'@'h'"


def test_without_a_password_there_is_a_gap_that_no_server_accepts() -> None:
    assert next(account_statements("u", "h", None, "s", [], [])).endswith("IDENTIFIED BY <its password>")
