"""Statements of the hot path: written with SQLAlchemy, compiled once per engine, run on the driver's cursor.

SQLAlchemy's own execution costs some 25 µs a statement and looks at every row again; a transaction of the group commit
has eight statements. Values must be of plain types (int, str, None), and every parameter must be given. Writes go into
a `Packet`, with others of their transaction, or are run by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from xinyu.storage.packets import ROWS_AT_ONCE, Packet, Row, Statement, Writes, driver_cursor, fetch_all, size_of

_EXPANDING = "(__[POSTCOMPILE_{name}])"
_VALUES, _WHERE = " VALUES ", " WHERE "
_STATEMENT_BYTES = 250_000
_ALIAS_SINCE = (8, 0, 20)
"""MySQL: from here on `VALUES(column)` is called outdated, with a warning for each statement."""


class _Prepared(Writes):
    """What all writes have in common."""

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute for all of `rows`, mappings with at least the statement's parameters."""
        packet = Packet(connection)
        packet.add(self, rows)
        packet.send()


class PreparedMany(_Prepared):
    """An INSERT, UPDATE or DELETE for many rows: on MySQL one statement if it is an INSERT, else one for each row."""

    def __init__(self, statement: sa.Insert | sa.Update | sa.Delete) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def run_each(self, connection: Connection, rows: Sequence[Row]) -> None:
        text, values_of = self._text(connection)
        with driver_cursor(connection, text) as cursor:
            cursor.executemany(text, [values_of(row) for row in rows])

    def statements(self, connection: Connection, rows: Sequence[Row]) -> Iterator[Statement]:
        text, values_of = self._text(connection)
        if not isinstance(self._statement, sa.Insert):
            yield from ((text, values_of(row)) for row in rows)
            return
        head, marks = text.split(_VALUES, 1)
        yield from _inserts(head, marks, "", map(values_of, rows))

    def _text(self, connection: Connection) -> tuple[str, Callable[[Row], Any]]:
        found = self._compiled.get(connection.dialect.name)
        if found is None:
            compiled = self._statement.compile(dialect=connection.dialect)
            names = tuple(compiled.positiontup or ())
            values_of = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
            found = self._compiled[connection.dialect.name] = (str(compiled), values_of)
        return found


class PreparedByKey(_Prepared):
    """An UPDATE that sets the same values wherever a key of several columns is met: row by row on SQLite, many keys in
    one statement on MySQL."""

    def __init__(self, statement: sa.Update, key: Mapping[str, sa.ColumnElement[Any]]) -> None:
        """`statement` has no WHERE; its parameters are the same for all rows. `key`: parameter names and columns."""
        mine = sa.and_(*(column == sa.bindparam(name) for name, column in key.items()))
        self._statement = statement.where(mine)
        self._each = PreparedMany(self._statement)
        self._key = tuple(key)
        self._compiled: tuple[str, str, tuple[str, ...]] | None = None

    def run_each(self, connection: Connection, rows: Sequence[Row]) -> None:
        self._each.run_each(connection, rows)

    def statements(self, connection: Connection, rows: Sequence[Row]) -> Iterator[Statement]:
        head, condition, values = self._compiled = self._compiled or self._compile(connection)
        for begin in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[begin : begin + ROWS_AT_ONCE]
            arguments = [part[0][name] for name in values]
            arguments += [row[name] for row in part for name in self._key]
            yield head + _WHERE + " OR ".join([f"({condition})"] * len(part)), arguments

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


class PreparedRows(_Prepared):
    """Rows that exist and are locked, written anew: row by row on SQLite, many in one statement on MySQL."""

    def __init__(self, table: sa.Table, columns: Sequence[str]) -> None:
        """`columns` are those that may change; the rest, the one primary key among them, must be given as they are, and
        so must all columns in each row."""
        self._table = table
        self._columns = columns
        (key,) = table.primary_key.columns
        self._each = PreparedMany(
            sa.update(table).where(key == sa.bindparam(key.name)).values({name: sa.bindparam(name) for name in columns})
        )
        self._values_of = itemgetter(*(column.name for column in table.columns))
        self._text: tuple[str, str, str] | None = None

    def run_each(self, connection: Connection, rows: Sequence[Row]) -> None:
        self._each.run_each(connection, rows)

    def statements(self, connection: Connection, rows: Sequence[Row]) -> Iterator[Statement]:
        head, marks, tail = self._text = self._text or self._compile(connection)
        yield from _inserts(head, marks, tail, map(self._values_of, rows))

    def _compile(self, connection: Connection) -> tuple[str, str, str]:
        """MySQL has no UPDATE of many rows to different values; an INSERT of what exists is one."""
        dialect: Any = connection.dialect
        names = [column.name for column in self._table.columns]
        aliased = not dialect.is_mariadb and (dialect.server_version_info or ()) >= _ALIAS_SINCE
        new = "new.{0}" if aliased else "VALUES({0})"
        changes = ", ".join(f"{name} = {new.format(name)}" for name in self._columns)
        head = f"INSERT INTO {self._table.name} ({', '.join(names)})"
        tail = f"{' AS new' if aliased else ''} ON DUPLICATE KEY UPDATE {changes}"
        return head, f"({', '.join(['%s'] * len(names))})", tail


class PreparedIn:
    """A SELECT whose one parameter is an expanding list, as in `column.in_(bindparam(name, expanding=True))`."""

    def __init__(self, statement: sa.Select[Any], name: str) -> None:
        self._statement = statement
        self._marker = _EXPANDING.format(name=name)
        self._texts: dict[str, str] = {}

    def fetch(self, connection: Connection, values: Sequence[int | str]) -> Sequence[tuple[Any, ...]]:
        """Rows as plain tuples, in the order of the statement's columns; none for no values. Of many values, some at a
        time: the statement's own order holds for each part."""
        parts = [values[begin : begin + ROWS_AT_ONCE] for begin in range(0, len(values), ROWS_AT_ONCE)]
        return [row for part in parts for row in fetch_all(connection, [self.statement(connection, part)])[0]]

    def statement(self, connection: Connection, values: Sequence[int | str]) -> Statement:
        """For `fetch_all`, with others. `values` must not be empty."""
        text = self._texts.get(connection.dialect.name)
        if text is None:
            text = self._texts[connection.dialect.name] = str(self._statement.compile(dialect=connection.dialect))
            if self._marker not in text:
                raise ValueError(f"no expanding parameter in {text!r}")
        mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        return text.replace(self._marker, f"({', '.join([mark] * len(values))})"), values


class PreparedSelect:
    """A SELECT each of whose parameters is one value."""

    def __init__(self, statement: sa.Select[Any]) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, Sequence[str], Row]] = {}

    def statement(self, connection: Connection, row: Row) -> Statement:
        """For `fetch_all`, with others. `row` has the values of the parameters."""
        found = self._compiled.get(connection.dialect.name)
        if found is None:
            compiled = self._statement.compile(dialect=connection.dialect)
            own: Row = {name: value for name, value in compiled.params.items() if value is not None}
            found = (str(compiled), tuple(compiled.positiontup or ()), own)
            self._compiled[connection.dialect.name] = found
        text, names, own = found
        return text, [row[name] if name in row else own[name] for name in names]


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
        for begin in range(0, len(keys), ROWS_AT_ONCE):
            part = keys[begin : begin + ROWS_AT_ONCE]
            text = head + _WHERE + " OR ".join([f"({condition})"] * len(part))
            rows += fetch_all(connection, [(text, [value for key in part for value in key])])[0]
        return rows


def _inserts(head: str, marks: str, tail: str, rows: Iterator[Sequence[Any]]) -> Iterator[Statement]:
    """`INSERT … VALUES (…), (…)`, some rows each."""
    arguments: list[Any] = []
    count = size = 0
    for row in rows:
        arguments += row
        count, size = count + 1, size + size_of(row)
        if count == ROWS_AT_ONCE or size > _STATEMENT_BYTES:
            yield head + _VALUES + ", ".join([marks] * count) + tail, arguments
            arguments, count, size = [], 0, 0
    if count:
        yield head + _VALUES + ", ".join([marks] * count) + tail, arguments
