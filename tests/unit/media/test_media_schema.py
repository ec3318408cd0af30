"""What the migrations make is what the store believes in."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from testkit.media import HISTORY
from xinyu.media.tables import METADATA
from xinyu.storage.migrations import upgrade
from xinyu.storage.sql import SqliteDatabase


def shape(connection: Connection) -> dict[str, object]:
    inspector = sa.inspect(connection)
    return {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted((index["name"], index["column_names"]) for index in inspector.get_indexes(table)),
            sorted((key["name"], key["column_names"]) for key in inspector.get_unique_constraints(table)),
        )
        for table in METADATA.tables
    }


async def test_migrations_make_the_tables(tmp_path: Path) -> None:
    migrated, declared = SqliteDatabase(tmp_path / "a.db"), SqliteDatabase(tmp_path / "b.db")
    await migrated.start()
    await declared.start()
    await upgrade(migrated, HISTORY)
    assert not (await upgrade(migrated, HISTORY)).behind
    await declared.write(METADATA.create_all)
    assert await migrated.read(shape) == await declared.read(shape)
    await migrated.stop()
    await declared.stop()
