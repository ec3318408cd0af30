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


@contextmanager
def _cursor(connection: Connection, text: str) -> Iterator[Any]:
    """The driver's cursor; its errors come out as SQLAlchemy's, so that they are translated like any other."""
    cursor = connection.connection.cursor()
    try:
        yield cursor
    except connection.dialect.loaded_dbapi.Error as error:
        base = connection.dialect.loaded_dbapi.Error
        raise exc.DBAPIError.instance(text, None, error, base, dialect=connection.dialect) from error
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
