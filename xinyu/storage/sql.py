"""A database as the stores see it: whole units of work, each a plain function over a SQLAlchemy connection.

The same function runs on every engine, and a store never learns which one:

- SQLite: on one writer thread for all stores (`BEGIN IMMEDIATE`), reads apart on reader threads. A unit of work costs
  one thread hop, however many statements it has (ADR 0004).
- MySQL: in a greenlet over aiomysql, READ COMMITTED on every pool, lock waits bounded, ROLLBACK explicit.
- SQLite inline: on the event loop, so that a simulation stays deterministic.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from xinyu.storage.database import Database, Work
from xinyu.storage.sql_mysql import MySqlDatabase
from xinyu.storage.sqlite.database import SqliteDatabase
from xinyu.storage.sqlite.inline import InlineSqliteDatabase

__all__ = ["Database", "InlineSqliteDatabase", "MySqlDatabase", "SqliteDatabase", "Work", "open_database"]


def open_database(
    dsn: str,
    *,
    sqlite_readers: int = 2,
    sqlite_inline: bool = False,
    mysql_pool_size: int = 10,
    mysql_lock_wait_seconds: int = 2,
    mysql_timeout_seconds: float = 0,
    slow_ms: int = 500,
) -> Database:
    """The database of a DSN, not yet started. Raises ValueError for a DSN of another kind."""
    try:
        url = sa.make_url(dsn)
    except (sa.exc.ArgumentError, ValueError):  # a port that is no number; the driver's text would tell the password
        raise ValueError("this is no DSN; use sqlite:///file or mysql://user:password@host/schema") from None
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError("an sqlite DSN must name a file: sqlite:///path/to/file")
        path = Path(url.database)
        return InlineSqliteDatabase(path) if sqlite_inline else SqliteDatabase(path, sqlite_readers, slow_ms)
    if backend in ("mysql", "mariadb"):
        return MySqlDatabase(dsn, mysql_pool_size, mysql_lock_wait_seconds, slow_ms, mysql_timeout_seconds)
    raise ValueError(f"{backend!r} is no engine of xinyu; use sqlite:///… or mysql://…")
