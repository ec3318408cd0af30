"""Which database each role uses."""

from __future__ import annotations

from xinyu.app.settings import ConfigError, Settings
from xinyu.storage.sql import Database, open_database


class Databases:
    """One `Database` per DSN, whichever roles share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, Database] = {}

    def dsn_of(self, role: str) -> str:
        """The DSN of a role, `{data_dir}` filled in."""
        storage = self._settings.storage
        dsn = storage.dsn_by_role.get(role, storage.dsn)
        return dsn.replace("{data_dir}", str(self._settings.data_dir.absolute()))

    def of_role(self, role: str) -> Database:
        """The database of a role. Raises ConfigError for a DSN that names none."""
        dsn, storage = self.dsn_of(role), self._settings.storage
        if dsn not in self._open:
            try:
                self._open[dsn] = open_database(
                    dsn,
                    sqlite_readers=storage.sqlite_readers,
                    sqlite_inline=storage.sqlite_inline,
                    mysql_pool_size=storage.mysql_pool_size,
                    mysql_lock_wait_seconds=storage.mysql_lock_wait_seconds,
                    slow_ms=storage.slow_transaction_ms,
                )
            except (ValueError, ImportError) as error:
                raise ConfigError(f"storage.dsn: {error}") from error
        return self._open[dsn]

    def all_open(self) -> list[Database]:
        """Those that some role asked for."""
        return list(self._open.values())
