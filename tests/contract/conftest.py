"""Stores on each engine, for suites of several files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from testkit.messages import MessageStores, message_database


@pytest.fixture(scope="session")
def message_mysql_dsn(account_dsn: Callable[[str], str]) -> str:
    """One account for all tests of the message stores, with rights on their tables alone; each finds them empty."""
    return account_dsn("message")


@pytest.fixture(params=["sqlite", "sqlite_inline", pytest.param("mysql", marks=pytest.mark.engine)])
def message_engine(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, bool]:
    """Where the message stores of a test are, and whether SQLite runs on the event loop."""
    if request.param == "mysql":
        return request.getfixturevalue("message_mysql_dsn"), False
    return f"sqlite:///{tmp_path / 'message.db'}", request.param == "sqlite_inline"


@pytest.fixture
async def stores(message_engine: tuple[str, bool]) -> AsyncIterator[MessageStores]:
    dsn, inline = message_engine
    async with message_database(dsn, sqlite_inline=inline) as database:
        yield MessageStores(database)
