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
    known: bool = True
    """Whether this code has the migration that made it; a newer version's it has not."""

    @property
    def behind(self) -> bool:
        return self.current != self.head

    @property
    def too_new(self) -> str:
        """What to say of a schema that is not known; "" of one that is."""
        if self.known:
            return ""
        return (
            f"the schema of {self.domain} is at {self.current}, which this version does not know; install the version "
            "that made it, or put back a back-up"
        )


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
    current = await database.read(read)
    known = current is None or any(revision.revision == current for revision in script.walk_revisions())
    return SchemaState(history.domain, current, script.get_current_head(), known)


async def upgrade(database: Database, history: History) -> SchemaState:
    """Run what is missing of a history, in one transaction where the engine can; a schema that is not known is left
    alone. Idempotent."""
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

    before = await read_state(database, history)
    if before.behind and before.known:
        await database.write_lengthy(run)
    return await read_state(database, history)
