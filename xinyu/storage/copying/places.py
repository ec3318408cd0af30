"""Which database a DSN leads to, and whether others are at work in it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.storage.sql import Database, InlineSqliteDatabase, SqliteDatabase

SHOWN_LENGTH = 200


def shown_dsn(dsn: str) -> str:
    """A DSN without its password, and without the options behind it, which may hold one too."""
    try:
        url = sa.make_url(dsn)
    except (sa.exc.ArgumentError, ValueError):
        return "a DSN that cannot be read"
    return url.set(query={}).render_as_string(hide_password=True)[:SHOWN_LENGTH]


def file_of(database: Database) -> Path | None:
    """The file that a database is; None for one on a server."""
    return database.path.resolve() if isinstance(database, SqliteDatabase | InlineSqliteDatabase) else None


async def identity_of(database: Database) -> str:
    """The same text for two DSNs that lead to one database. Raises StorageUnavailable."""
    path = file_of(database)
    if path is not None:
        there = path.stat() if path.exists() else None
        return f"file {there.st_dev}:{there.st_ino}" if there else f"file {path}"
    query = sa.text("SELECT CONCAT_WS(':', @@hostname, @@port, @@server_id, DATABASE())")
    return await database.read(lambda connection: f"server {connection.execute(query).scalar_one()}")


async def count_others(database: Database) -> int:
    """How many other connections a server has to this schema, as far as this user may see them; a file is not asked.
    Raises StorageUnavailable."""
    if file_of(database) is not None:
        return 0
    query = sa.text(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    )

    def read(connection: Connection) -> int:
        return int(connection.execute(query).scalar_one())

    return await database.read(read)
