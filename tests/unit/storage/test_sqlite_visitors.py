"""Other processes open the database of a running server: a back-up, `xinyu config check`, the sqlite3 shell. SQLite
removes the write-ahead log with the last process that has the file open, so it has to know that the server is one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.sql import SqliteDatabase

VISIT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM word").fetchone()[0])
connection.close()
"""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "shared.db")
    for _role in range(5):  # as the application does, once for each role whose domain is in it
        await database.start()
    await database.write(lambda connection: connection.execute(sa.text("CREATE TABLE word (word TEXT)")))
    yield database
    await database.stop()


async def visit(path: Path) -> int:
    """The number of words that another process sees."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VISIT, str(path), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return int(out)


async def test_what_is_written_after_a_visit_is_in_the_file(database: SqliteDatabase) -> None:
    for count in range(1, 4):
        await database.write(lambda connection: connection.execute(sa.text("INSERT INTO word VALUES ('x')")))
        assert await visit(database.path) == count


async def test_a_start_more_keeps_the_connection(database: SqliteDatabase) -> None:
    await database.write(lambda connection: connection.execute(sa.text("CREATE TEMP TABLE mine (word TEXT)")))
    await database.start()
    await database.write(lambda connection: connection.execute(sa.text("INSERT INTO mine VALUES ('x')")))


async def test_files_are_for_their_user_alone(database: SqliteDatabase) -> None:
    for name in ("shared.db", "shared.db-wal", "shared.db-shm"):
        assert (database.path.parent / name).stat().st_mode & 0o777 == 0o600


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("dear Bo, " * 1000)
    database = SqliteDatabase(path)
    with pytest.raises(StorageUnavailable, match="cannot open"):
        await database.start()
    await database.stop()
    assert path.read_text().startswith("dear Bo")
