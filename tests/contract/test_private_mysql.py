"""The engine that the contract suites run on is what they take it for."""

from collections.abc import Callable

import pymysql
import pytest
from sqlalchemy.engine import make_url


def _query(dsn: str, statement: str) -> tuple[object, ...]:
    url = make_url(dsn)
    assert url.host and url.port and url.username and url.password and url.database
    connection = pymysql.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, database=url.database
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() or ()


@pytest.mark.engine
def test_commits_are_durable_text_is_utf8mb4_and_only_this_machine_gets_in(mysql_dsn: str) -> None:
    settings = "@@innodb_flush_log_at_trx_commit, @@character_set_database, @@bind_address"
    assert _query(mysql_dsn, f"SELECT {settings}") == (1, "utf8mb4", "127.0.0.1")


@pytest.mark.engine
def test_each_database_is_empty_and_apart(new_mysql_database: Callable[[], str]) -> None:
    one, other = new_mysql_database(), new_mysql_database()
    _query(one, "CREATE TABLE only_here (x INT)")
    tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()"
    assert _query(one, tables) == (1,)
    assert _query(other, tables) == (0,)


@pytest.mark.engine
def test_a_suite_may_make_accounts_with_rights_of_their_own(new_mysql_database: Callable[[], str]) -> None:
    dsn = new_mysql_database()
    database = make_url(dsn).database
    account = f"{database}_ro"
    _query(dsn, "CREATE TABLE t (x INT)")
    _query(dsn, f"CREATE USER {account}@'127.0.0.1' IDENTIFIED BY 'p'")
    try:
        _query(dsn, f"GRANT SELECT ON {database}.t TO {account}@'127.0.0.1'")
        theirs = make_url(dsn).set(username=account, password="p").render_as_string(hide_password=False)
        assert _query(theirs, "SELECT COUNT(*) FROM t") == (0,)
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            _query(theirs, "INSERT INTO t VALUES (1)")
    finally:
        _query(dsn, f"DROP USER {account}@'127.0.0.1'")
