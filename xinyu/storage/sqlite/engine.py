"""Connections to an SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, event
from sqlalchemy.pool import QueuePool, StaticPool

INLINE_CHECKPOINT_PAGES = 1000
BUSY_SECONDS = 10.0
"""How long a transaction waits for another process that writes (a backup, the sqlite3 shell)."""


def sqlite_engine(path: Path, readonly: bool, inline: bool) -> sa.Engine:
    """Connections to a file that survive a loss of power. `inline`: for the event loop, which has no other thread."""
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS, "isolation_level": None},
        poolclass=StaticPool if inline or not readonly else QueuePool,
    )
    begin = "BEGIN" if readonly else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"wal_autocheckpoint={INLINE_CHECKPOINT_PAGES if inline else 0}",
            "temp_store=MEMORY",
            "cache_size=-65536" if not readonly else "cache_size=-16384",
            "mmap_size=268435456",
            "query_only=1" if readonly else "query_only=0",
            # the writer begins on the event loop, which must not wait: who is patient is _patiently
            f"busy_timeout={int(BUSY_SECONDS * 1000) if readonly or inline else 0}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def make_file(path: Path) -> None:
    """For its user alone; what belongs to it gets the same mode. A file that exists must not even be opened: closing it
    ends the locks that SQLite holds on it in this process, and the next other process that closes the database takes
    itself for the last and removes the write-ahead log (https://sqlite.org/howtocorrupt.html, 2.2)."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
