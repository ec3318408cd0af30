"""Statements of the hot path: written with SQLAlchemy, compiled once per engine, run on the driver's cursor.

SQLAlchemy's own execution costs some 25 µs a statement and looks at every row again; a transaction of the group commit
has eight statements. Values must be of plain types (int, str, None), and every parameter must be given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, exc

_EXPANDING = "(__[POSTCOMPILE_{name}])"
_WHERE = " WHERE "
_KEYS_AT_ONCE = 200
"""Keys of one statement: past them MySQL guesses instead of looking."""
_ALIAS_SINCE = (8, 0, 20)
"""MySQL: from here on `VALUES(column)` is called outdated, with a warning for each statement."""


@contextmanager
def _cursor(connection: Connection, text: str) -> Iterator[Any]:
    """The driver's cursor; its errors come out as SQLAlchemy's, so that they are translated like any other, and a lost
    connection is known as lost."""
    dialect = connection.dialect
    cursor = connection.connection.cursor()
    try:
        yield cursor
    except dialect.loaded_dbapi.Error as error:
        lost = dialect.is_disconnect(error, connection.connection, cursor)
        if lost:
            connection.invalidate(error)
        raise exc.DBAPIError.instance(
            text, None, error, dialect.loaded_dbapi.Error, connection_invalidated=lost, dialect=dialect
        ) from error
    finally:
        cursor.close()


class PreparedMany:
    """An INSERT, UPDATE or DELETE for many rows."""

    def __init__(self, statement: sa.Insert | sa.Update | sa.Delete) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, Callable[[Mapping[str, Any]], Any]]] = {}

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute for each of `rows`, mappings with at least the statement's parameters."""
        if not rows:
            return
        found = self._compiled.get(connection.dialect.name)
        if found is None:
            compiled = self._statement.compile(dialect=connection.dialect)
            names = tuple(compiled.positiontup or ())
            found = self._compiled[connection.dialect.name] = (str(compiled), itemgetter(*names))
        text, values_of = found
        with _cursor(connection, text) as cursor:
            cursor.executemany(text, [values_of(row) for row in rows])


class PreparedByKey:
    """An UPDATE that sets the same values wherever a key of several columns is met: row by row on SQLite, where a
    statement costs nothing, all keys in one statement on MySQL, where each is a round trip."""

    def __init__(self, statement: sa.Update, key: Mapping[str, sa.ColumnElement[Any]]) -> None:
        """`statement` has no WHERE; its parameters are the same for all rows. `key`: parameter names and columns."""
        mine = sa.and_(*(column == sa.bindparam(name) for name, column in key.items()))
        self._statement = statement.where(mine)
        self._each = PreparedMany(self._statement)
        self._key = tuple(key)
        self._compiled: tuple[str, str, tuple[str, ...]] | None = None

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute for all of `rows`."""
        if connection.dialect.name != "mysql" or len(rows) < 2:
            self._each.run(connection, rows)
            return
        head, condition, values = self._compiled = self._compiled or self._compile(connection)
        for begin in range(0, len(rows), _KEYS_AT_ONCE):
            part = rows[begin : begin + _KEYS_AT_ONCE]
            text = head + _WHERE + " OR ".join([f"({condition})"] * len(part))
            arguments = [part[0][name] for name in values]
            arguments += [row[name] for row in part for name in self._key]
            with _cursor(connection, text) as cursor:
                cursor.execute(text, tuple(arguments))

    def _compile(self, connection: Connection) -> tuple[str, str, tuple[str, ...]]:
        compiled = self._statement.compile(dialect=connection.dialect)
        head, condition = str(compiled).rsplit(_WHERE, 1)
        # few rows may look like a table to be read whole, and that would wait for every row that others hold
        table = sa.inspect(self._statement.table).name
        plain = f"UPDATE {table} SET"
        if not head.startswith(plain):
            raise ValueError(f"no place for the index in {head!r}")
        head = head.replace(plain, f"UPDATE {table} FORCE INDEX (PRIMARY) SET", 1)
        names = tuple(compiled.positiontup or ())
        return head, condition, names[: -len(self._key)]


class PreparedRows:
    """Rows that exist and are locked, written anew: row by row on SQLite, all in one statement on MySQL."""

    def __init__(self, table: sa.Table, columns: Sequence[str]) -> None:
        """`columns` are those that may change; the rest, the one primary key among them, must be given as they are."""
        self._table = table
        self._columns = columns
        (key,) = table.primary_key.columns
        self._each = PreparedMany(
            sa.update(table).where(key == sa.bindparam(key.name)).values({name: sa.bindparam(name) for name in columns})
        )
        self._text: tuple[str, str] | None = None

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `rows`, each with all columns of the table."""
        if connection.dialect.name != "mysql" or not rows:
            self._each.run(connection, rows)
            return
        names = [column.name for column in self._table.columns]
        head, tail = self._text = self._text or self._compile(connection, names)
        marks = f"({', '.join(['%s'] * len(names))})"
        text = f"{head}{', '.join([marks] * len(rows))}{tail}"
        with _cursor(connection, text) as cursor:
            cursor.execute(text, tuple(row[name] for row in rows for name in names))

    def _compile(self, connection: Connection, names: Sequence[str]) -> tuple[str, str]:
        """MySQL has no UPDATE of many rows to different values; an INSERT of what exists is one."""
        dialect: Any = connection.dialect
        aliased = not dialect.is_mariadb and (dialect.server_version_info or ()) >= _ALIAS_SINCE
        new = "new.{0}" if aliased else "VALUES({0})"
        changes = ", ".join(f"{name} = {new.format(name)}" for name in self._columns)
        head = f"INSERT INTO {self._table.name} ({', '.join(names)}) VALUES "
        return head, f"{' AS new' if aliased else ''} ON DUPLICATE KEY UPDATE {changes}"


class PreparedIn:
    """A SELECT whose one parameter is an expanding list, as in `column.in_(bindparam(name, expanding=True))`."""

    def __init__(self, statement: sa.Select[Any], name: str) -> None:
        self._statement = statement
        self._marker = _EXPANDING.format(name=name)
        self._texts: dict[str, str] = {}

    def fetch(self, connection: Connection, values: Sequence[int | str]) -> Sequence[tuple[Any, ...]]:
        """Rows as plain tuples, in the order of the statement's columns; none for no values."""
        if not values:
            return []
        text = self._texts.get(connection.dialect.name)
        if text is None:
            text = self._texts[connection.dialect.name] = str(self._statement.compile(dialect=connection.dialect))
            if self._marker not in text:
                raise ValueError(f"no expanding parameter in {text!r}")
        mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        text = text.replace(self._marker, f"({', '.join([mark] * len(values))})")
        with _cursor(connection, text) as cursor:
            cursor.execute(text, tuple(values))
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return rows


class PreparedAt:
    """A SELECT of the rows at keys of several columns, many of them in one statement."""

    def __init__(self, statement: sa.Select[Any], key: Mapping[str, sa.ColumnElement[Any]]) -> None:
        """`statement` has no WHERE and nothing that comes behind one. `key`: parameter names and columns."""
        self._statement = statement.where(sa.and_(*(column == sa.bindparam(name) for name, column in key.items())))
        self._texts: dict[str, tuple[str, str]] = {}

    def fetch(self, connection: Connection, keys: Sequence[Sequence[int | str]]) -> list[tuple[Any, ...]]:
        """Rows as plain tuples, in no order."""
        found = self._texts.get(connection.dialect.name)
        if found is None:
            head, condition = str(self._statement.compile(dialect=connection.dialect)).rsplit(_WHERE.strip(), 1)
            found = self._texts[connection.dialect.name] = (head, condition)
        head, condition = found
        rows: list[tuple[Any, ...]] = []
        for begin in range(0, len(keys), _KEYS_AT_ONCE):
            part = keys[begin : begin + _KEYS_AT_ONCE]
            text = head + _WHERE + " OR ".join([f"({condition})"] * len(part))
            with _cursor(connection, text) as cursor:
                cursor.execute(text, tuple(value for key in part for value in key))
                rows += cursor.fetchall()
        return rows
