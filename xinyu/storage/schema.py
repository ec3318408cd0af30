"""Column types and statements that read the same on SQLite and MySQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import mysql, sqlite

AnyRow = sa.Row[*tuple[Any, ...]]
"""A result row of any shape."""
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit integer; as a primary key it may count up by itself on both engines."""
LongText = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
HexId = sa.String(32, collation=None).with_variant(mysql.CHAR(32, charset="ascii", collation="ascii_bin"), "mysql")
"""32 lower-case hex characters."""
Ascii = sa.String(190).with_variant(mysql.VARCHAR(190, charset="ascii", collation="ascii_bin"), "mysql")
"""A short exact key."""
TABLE_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_ci",
}
"""Give to every Table as `**TABLE_OPTIONS`."""


def upsert(
    connection: Connection,
    table: sa.Table,
    rows: Iterable[Mapping[str, Any]],
    update: Iterable[str] = (),
    greatest: Iterable[str] = (),
) -> None:
    """Insert `rows`; where the primary key exists already, set the columns of `update` to the new values and those of
    `greatest` to the larger of old and new. With neither, existing rows stay as they are."""
    values = [dict(row) for row in rows]
    if not values:
        return
    update, greatest = tuple(update), tuple(greatest)
    if connection.dialect.name == "sqlite":
        lite = sqlite.insert(table)
        changes: dict[str, Any] = {name: lite.excluded[name] for name in update}
        changes |= {name: sa.func.max(table.c[name], lite.excluded[name]) for name in greatest}
        key = [column.name for column in table.primary_key.columns]
        lite = lite.on_conflict_do_update(key, set_=changes) if changes else lite.on_conflict_do_nothing(key)
        connection.execute(lite, values)
        return
    my = mysql.insert(table)
    changes = {name: my.inserted[name] for name in update}
    changes |= {name: sa.func.greatest(table.c[name], my.inserted[name]) for name in greatest}
    if not changes:
        first = next(iter(table.primary_key.columns)).name
        changes = {first: table.c[first]}
    connection.execute(my.on_duplicate_key_update(**changes), values)


def insert_new(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Insert one row unless its primary key or a unique key exists; whether it was inserted."""
    if connection.dialect.name == "sqlite":
        result = connection.execute(sqlite.insert(table).on_conflict_do_nothing(), dict(row))
    else:
        result = connection.execute(sa.insert(table).prefix_with("IGNORE"), dict(row))
    return bool(result.rowcount > 0)


def for_update(statement: sa.Select[Any], skip_locked: bool = False) -> sa.Select[Any]:
    """`FOR UPDATE` where the engine has row locks; SQLite has one writer and leaves it out."""
    return statement.with_for_update(skip_locked=skip_locked)
