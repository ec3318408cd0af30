"""Fresh databases on the private MySQL that `scripts/engines run` hands over."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest
from sqlalchemy.engine import make_url

VARIABLE = "XINYU_TEST_MYSQL_DSN"


@pytest.fixture(scope="session")
def new_mysql_database() -> Iterator[Callable[[], str]]:
    """Makes an empty database at each call and returns its DSN; drops them all when the run ends.

    Without the engine the test fails: a suite that skipped here would be green without having run.
    """
    server = server_dsn()
    made: list[str] = []

    def make() -> str:
        name = f"xinyu_t_{secrets.token_hex(6)}"
        dsn = made_schema(name, server)
        made.append(name)
        return dsn

    yield make
    # A connection that a test forgot may hold a lock on its tables: ten seconds, then the run fails and says so.
    execute(server, "SET SESSION lock_wait_timeout = 10", *(f"DROP DATABASE IF EXISTS {name}" for name in made))


@pytest.fixture(scope="session")
def mysql_dsn(new_mysql_database: Callable[[], str]) -> str:
    """The DSN of one database for the whole run, empty at its start. Take `new_mysql_database` for one of your own."""
    return new_mysql_database()


def made_schema(name: str, server: str = "") -> str:
    """The DSN of a new schema on the run's server or another; it goes with the server."""
    server = server or server_dsn()
    execute(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def server_dsn() -> str:
    """The administrator's DSN of the run's server."""
    dsn = os.environ.get(VARIABLE)
    if not dsn:
        pytest.fail(f"{VARIABLE} is not set: run through scripts/engines run -- python -m pytest …", pytrace=False)
    return dsn


def execute(dsn: str, *statements: str) -> None:
    """Run statements, each committed by itself."""
    with cursor_at(dsn) as cursor:
        for statement in statements:
            cursor.execute(statement)


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with cursor_at(dsn) as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


@contextmanager
def cursor_at(dsn: str) -> Iterator[Any]:
    """A connection of its own, every statement committed by itself."""
    url = make_url(dsn)
    connection: Any = pymysql.connect(
        host=url.host or "127.0.0.1",
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=url.database,
        charset="utf8mb4",
        autocommit=True,
    )
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
