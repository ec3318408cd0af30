"""Fresh databases on the private MySQL that `scripts/engines run` hands over."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pymysql
import pytest
from sqlalchemy.engine import URL, make_url

VARIABLE = "XINYU_TEST_MYSQL_DSN"


@pytest.fixture(scope="session")
def new_mysql_database() -> Iterator[Callable[[], str]]:
    """Makes an empty database at each call and returns its DSN; drops them all when the run ends.

    Without the engine the test fails: a suite that skipped here would be green without having run.
    """
    server = _server()
    made: list[str] = []

    def make() -> str:
        name = f"xinyu_t_{secrets.token_hex(6)}"
        _execute(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        made.append(name)
        return server.set(database=name).render_as_string(hide_password=False)

    yield make
    # A connection that a test forgot may hold a lock on its tables: ten seconds, then the run fails and says so.
    _execute(server, "SET SESSION lock_wait_timeout = 10", *(f"DROP DATABASE IF EXISTS {name}" for name in made))


@pytest.fixture(scope="session")
def mysql_dsn(new_mysql_database: Callable[[], str]) -> str:
    """The DSN of one database for the whole run, empty at its start. Take `new_mysql_database` for one of your own."""
    return new_mysql_database()


def made_schema(name: str) -> str:
    """The DSN of a new schema; it goes with the server."""
    server = _server()
    _execute(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    return server.set(database=name).render_as_string(hide_password=False)


def _server() -> URL:
    dsn = os.environ.get(VARIABLE)
    if not dsn:
        pytest.fail(f"{VARIABLE} is not set: run through scripts/engines run -- python -m pytest …", pytrace=False)
    return make_url(dsn)


def _execute(server: URL, *statements: str) -> None:
    connection: Any = pymysql.connect(
        host=server.host or "127.0.0.1",
        port=server.port or 3306,
        user=server.username,
        password=server.password or "",
        charset="utf8mb4",
        autocommit=True,
    )
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()
