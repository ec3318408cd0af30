"""Which database each role uses, and whether it is as this version needs it."""

from __future__ import annotations

from collections.abc import Iterable

from xinyu.app.settings import ConfigError, Settings
from xinyu.storage.database import DatabaseCounts
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.migrations import History, SchemaState, read_state, upgrade
from xinyu.storage.sql import Database, open_database
from xinyu.telemetry.readings import Reading


class Databases:
    """One `Database` per DSN, whichever roles share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, Database] = {}
        self._counts = DatabaseCounts()

    def dsn_of(self, role: str) -> str:
        """The DSN of a role, `{data_dir}` filled in."""
        storage = self._settings.storage
        dsn = storage.dsn_by_role.get(role, storage.dsn)
        return dsn.replace("{data_dir}", str(self._settings.data_dir.absolute()))

    def setting_of(self, role: str) -> str:
        """Which setting names the database of a role."""
        return f"storage.dsn_by_role.{role}" if role in self._settings.storage.dsn_by_role else "storage.dsn"

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
                    mysql_timeout_seconds=storage.mysql_timeout_seconds,
                    slow_ms=storage.slow_transaction_ms,
                )
            except (ValueError, ImportError) as error:
                raise ConfigError(f"storage.dsn: {error}") from error
            self._open[dsn].counts = self._counts
        return self._open[dsn]

    async def open_for(self, histories: Iterable[tuple[str, History]], migrate: bool) -> list[SchemaState]:
        """Open the databases of these roles and their histories, bring the schemas up to date, or refuse those
        that are not. Raises ConfigError, naming the setting, and StorageUnavailable."""
        states = []
        for role, history in histories:
            database = self.of_role(role)
            try:
                await database.start()
            except StorageUnavailable as error:
                raise ConfigError(f"{self.setting_of(role)}: {error.message}") from error
            state = await (upgrade if migrate else read_state)(database, history)
            if state.too_new:
                raise ConfigError(f"{self.setting_of(role)}: {state.too_new}")
            if state.behind:
                raise ConfigError(
                    f"{self.setting_of(role)}: the schema of {state.domain} is at {state.current or 'nothing'}, this "
                    f"version needs {state.head}; run `xinyu migrate` first"
                )
            states.append(state)
        return states

    async def close(self) -> None:
        """Close what is open. Idempotent."""
        for database in self.all_open():
            await database.stop()

    def readings(self) -> list[Reading]:
        """For metrics: of all of them together."""
        return self._counts.readings()

    def all_open(self) -> list[Database]:
        """Those that some role asked for."""
        return list(self._open.values())
