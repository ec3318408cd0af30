"""The user domain on SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.users import UserDomain, user_domain
from xinyu.storage.sql import Database, SqliteDatabase


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = SqliteDatabase(tmp_path / "user.db")
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def domain(database: Database) -> AsyncIterator[UserDomain]:
    async with user_domain(database) as domain:
        yield domain
