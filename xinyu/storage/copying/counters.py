"""The counters from which tables give ids by themselves. An id that was given once is never given again, whether its
row is still there or not, so a counter moves with its table."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy import Connection

_COUNTER = re.compile(r"\bAUTO_INCREMENT=(\d+)")


def read_counter(connection: Connection, table: sa.Table) -> int:
    """The last id that a table gave, as far as the engine remembers; 0 for one that gives none."""
    column = table.autoincrement_column
    if column is None:
        return 0
    highest = int(connection.execute(sa.select(sa.func.max(column))).scalar() or 0)
    if connection.dialect.name != "sqlite":
        # information_schema may be a day old on MySQL 8; this is not
        quoted = connection.dialect.identifier_preparer.format_table(table)
        definition = connection.exec_driver_sql(f"SHOW CREATE TABLE {quoted}").one()[1]
        found = _COUNTER.search(definition.rpartition(")")[2])
        return max(highest, int(found[1]) - 1 if found else 0)
    if not _counts_in_sequence(table):
        return highest
    counted = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    return max(highest, int(connection.execute(counted, {"name": table.name}).scalar() or 0))


def write_counter(connection: Connection, table: sa.Table, last: int) -> None:
    """Make the next id that a table gives greater than `last`. A counter that is further on stays. A table of SQLite
    without AUTOINCREMENT has no counter: it gives the id above the highest one that is there."""
    if last <= read_counter(connection, table):
        return
    if connection.dialect.name != "sqlite":
        quoted = connection.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(f"ALTER TABLE {quoted} AUTO_INCREMENT = {last + 1:d}")
    elif _counts_in_sequence(table):
        row = {"name": table.name, "last": last}
        changed = connection.execute(sa.text("UPDATE sqlite_sequence SET seq = :last WHERE name = :name"), row)
        if not changed.rowcount:
            connection.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), row)


def _counts_in_sequence(table: sa.Table) -> bool:
    return bool(table.dialect_options["sqlite"]["autoincrement"])
