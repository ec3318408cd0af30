"""A group domain of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.groups import GroupWorld
from xinyu.storage.sql import SqliteDatabase


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GroupWorld]:
    database = SqliteDatabase(tmp_path / "groups.db")
    await database.start()
    world = GroupWorld(database)
    await world.start()
    yield world
    await database.stop()
