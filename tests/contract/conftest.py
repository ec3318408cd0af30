"""Stores on each engine, for suites of several files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from testkit.messages import MessageStores, message_database


@pytest.fixture(scope="session")
def message_mysql_dsn(new_mysql_database: Callable[[], str]) -> str:
    """One schema for all tests of the message stores; each finds it empty."""
    return new_mysql_database()


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.engine)])
def message_dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the message stores of a test are."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'message.db'}"
    dsn: str = request.getfixturevalue("message_mysql_dsn")
    return dsn


@pytest.fixture
async def stores(message_dsn: str) -> AsyncIterator[MessageStores]:
    async with message_database(message_dsn) as database:
        yield MessageStores(database)
