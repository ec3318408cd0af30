"""Statements that travel together. Across a socket each costs two system calls and a wake-up on both sides, however
little it does (ADR 17); in SQLite's process nothing, so there they run one by one.

MySQL runs the statements of one packet in order and stops at the first that fails; their transaction is then rolled
back like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection, exc

PACKET_BYTES = 1_000_000
"""About as much text goes into one packet; servers refuse more than some megabytes (`max_allowed_packet`)."""
BYTES_OF_A_CHARACTER = 4
ROWS_AT_ONCE = 200
"""Rows or keys of one statement: past them MySQL guesses instead of looking."""

Row = Mapping[str, Any]
Statement = tuple[str, Sequence[Any]]
"""Its text with `%s` for each argument, and the arguments."""


class Writes(Protocol):
    """An INSERT, UPDATE or DELETE that is compiled already."""

    def run_each(self, connection: Connection, rows: Sequence[Row]) -> None:
        """For each row by itself."""

    def statements(self, connection: Connection, rows: Sequence[Row]) -> Iterable[Statement]:
        """For all rows, as few as MySQL can do with."""


class Packet:
    """Writes of one transaction, in the order in which they are added. They are done when `send` returns, or sooner."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._texts: list[str] = []
        self._arguments: list[Any] = []
        self._size = 0

    def add(self, writes: Writes, rows: Sequence[Row]) -> None:
        """Behind those added before. Raises SQLAlchemyError where something was sent at once."""
        if not rows:
            return
        if self.connection.dialect.name != "mysql":
            writes.run_each(self.connection, rows)
            return
        for text, arguments in writes.statements(self.connection, rows):
            self._texts.append(text)
            self._arguments += arguments
            self._size += len(text) + size_of(arguments)
            if self._size > PACKET_BYTES:
                self.send()

    def send(self) -> None:
        """Nothing where nothing was added. Raises SQLAlchemyError."""
        texts, arguments = self._texts, self._arguments
        self._texts, self._arguments, self._size = [], [], 0
        if texts:
            with driver_cursor(self.connection, texts[0]) as cursor:
                cursor.execute(";\n".join(texts), tuple(arguments))
                for _ in texts[1:]:  # each has its own answer, and perhaps its own error
                    cursor.nextset()


def fetch_all(connection: Connection, selects: Sequence[Statement]) -> list[Sequence[tuple[Any, ...]]]:
    """The rows of each SELECT, which run in this order; its text has the driver's own marks. Raises SQLAlchemyError."""
    if connection.dialect.name != "mysql":
        return [_fetched(connection, select) for select in selects]
    found: list[Sequence[tuple[Any, ...]]] = []
    text = ";\n".join(text for text, _ in selects)
    with driver_cursor(connection, text) as cursor:
        cursor.execute(text, tuple(argument for _, arguments in selects for argument in arguments))
        found.append(cursor.fetchall())
        for _ in selects[1:]:
            cursor.nextset()
            found.append(cursor.fetchall())
    return found


def _fetched(connection: Connection, select: Statement) -> Sequence[tuple[Any, ...]]:
    text, arguments = select
    with driver_cursor(connection, text) as cursor:
        cursor.execute(text, tuple(arguments))
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return rows


def size_of(arguments: Iterable[Any]) -> int:
    """How many bytes of text they become at most, quotes that are escaped apart."""
    return sum(BYTES_OF_A_CHARACTER * len(argument) if isinstance(argument, str) else 8 for argument in arguments)


@contextmanager
def driver_cursor(connection: Connection, text: str) -> Iterator[Any]:
    """The driver's cursor; its errors come out as SQLAlchemy's, so that they are translated like any other, and a lost
    connection is known as lost."""
    dialect = connection.dialect
    cursor = connection.connection.cursor()
    try:
        with closing(cursor):  # which reads the answers that nobody has taken
            yield cursor
    except dialect.loaded_dbapi.Error as error:
        lost = dialect.is_disconnect(error, connection.connection, cursor)
        if lost:
            connection.invalidate(error)
        raise exc.DBAPIError.instance(
            text, None, error, dialect.loaded_dbapi.Error, connection_invalidated=lost, dialect=dialect
        ) from error
