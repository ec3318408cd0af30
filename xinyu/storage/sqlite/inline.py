"""Everything on the event loop, without threads: for simulations."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, exc

from xinyu.storage.database import Database, T, Work, in_transaction, translated
from xinyu.storage.sqlite.engine import sqlite_engine


class InlineSqliteDatabase(Database):
    """SQLite on the event loop: no threads, so every run of a simulation is the same."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._engine = sqlite_engine(path, readonly=False, inline=True)
        self._connection: Connection | None = None

    async def start(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()

    def image(self) -> bytes:
        """All that is stored, to `restore` it later. The database must not be in use."""
        return self._driver().serialize()

    def restore(self, image: bytes) -> None:
        """Have stored what an `image` has, and nothing else; for a database in memory (":memory:")."""
        self._driver().deserialize(image)

    def _driver(self) -> sqlite3.Connection:
        driver = self._connected().connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        return driver

    async def run_read(self, work: Work[T], brief: bool) -> T:
        return self._run(work)

    async def run_write(self, work: Work[T], brief: bool) -> T:
        return self._run(work)

    def _run(self, work: Work[T]) -> T:
        try:
            return in_transaction(self._connected(), work)
        except exc.SQLAlchemyError as error:
            raise translated(error) from error

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection
