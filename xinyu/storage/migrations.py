"""Bringing schemas up to date with Alembic: each domain has its own history and its own version table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from xinyu.storage.sql import Database


class History(NamedTuple):
    """A domain's migrations: its name and the package folder that holds `migrations/`."""

    domain: str
    folder: Path

    @property
    def version_table(self) -> str:
        return f"{self.domain}_schema_version"


class SchemaState(NamedTuple):
    """How far a schema is: None is an empty one."""

    domain: str
    current: str | None
    head: str | None

    @property
    def behind(self) -> bool:
        return self.current != self.head


def _script(history: History) -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(history.folder))
    config.set_main_option("version_locations", str(history.folder))
    config.set_main_option("path_separator", "newline")
    return config, ScriptDirectory.from_config(config)


async def read_state(database: Database, history: History) -> SchemaState:
    """The version a schema is at and the one this code wants."""

    def read(connection: Connection) -> str | None:
        context = MigrationContext.configure(connection, opts={"version_table": history.version_table})
        return context.get_current_revision()

    _, script = _script(history)
    return SchemaState(history.domain, await database.read(read), script.get_current_head())


async def upgrade(database: Database, history: History) -> SchemaState:
    """Run what is missing of a history, in one transaction where the engine can. Idempotent."""
    config, script = _script(history)

    def steps(revision: str | Sequence[str], _context: MigrationContext) -> list[RevisionStep]:
        return list(script._upgrade_revs("head", revision))  # type: ignore[arg-type,unused-ignore]

    def run(connection: Connection) -> None:
        with EnvironmentContext(config, script, fn=steps) as environment:
            environment.configure(
                connection=connection,
                version_table=history.version_table,
                transaction_per_migration=False,
                transactional_ddl=False,
            )
            environment.run_migrations()

    if (await read_state(database, history)).behind:
        await database.write(run)
    return await read_state(database, history)
