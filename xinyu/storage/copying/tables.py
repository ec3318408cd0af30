"""Reading, writing and comparing whole tables, in bounded batches."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, exc

from xinyu.kernel.errors import XinyuError
from xinyu.storage.copying.checksums import Checksum
from xinyu.storage.copying.counters import read_counter, write_counter
from xinyu.storage.migrations import History
from xinyu.storage.schema import AnyRow
from xinyu.storage.sql import Database, Work

BATCH_ROWS = 1_000
MESSAGE_LENGTH = 300
OnRows = Callable[[int], None]
"""Told how many more rows are done."""


class TableError(Exception):
    """A table's rows could not be read or written; the message is one line that names it."""


class Schema(NamedTuple):
    """A domain's history and the tables that it makes."""

    history: History
    tables: tuple[sa.Table, ...]


def schema_of(history: History, metadata: sa.MetaData) -> Schema:
    """The tables in an order in which they may be filled."""
    return Schema(history, tuple(metadata.sorted_tables))


async def list_present(database: Database, tables: Sequence[sa.Table]) -> list[sa.Table]:
    """Those of the tables that a database has. Raises StorageUnavailable."""

    def read(connection: Connection) -> list[sa.Table]:
        inspector = sa.inspect(connection)
        return [table for table in tables if inspector.has_table(table.name)]

    return await database.read(read)


async def has_rows(database: Database, table: sa.Table) -> bool:
    """Whether anything is in a table. Raises TableError."""
    query = sa.select(sa.literal(1)).select_from(table).limit(1)
    with _naming(table):
        return await database.read(lambda connection: connection.execute(query).first() is not None)


async def count_rows(database: Database, table: sa.Table) -> int:
    """How many rows a table has. Raises TableError."""
    query = sa.select(sa.func.count()).select_from(table)
    with _naming(table):
        return await database.read(lambda connection: int(connection.execute(query).scalar_one()))


async def copy_table(source: Database, target: Database, table: sa.Table, on_rows: OnRows) -> None:
    """Put all rows of the source's table into the target's empty one, each batch in one transaction, and let the ids
    that it gives continue where the source's would. Raises TableError; what was copied until then stays."""
    with _naming(table):
        async for batch in _batches(source, table):
            await target.write(_inserting(table, batch))
            on_rows(len(batch))
        last = await source.read(lambda connection: read_counter(connection, table))
        await target.write(lambda connection: write_counter(connection, table, last))


async def checksum_of(database: Database, table: sa.Table, on_rows: OnRows) -> Checksum:
    """The checksum of all rows. Raises TableError."""
    checksum = Checksum()
    with _naming(table):
        async for batch in _batches(database, table):
            for row in batch:
                checksum.add(row)
            on_rows(len(batch))
    return checksum


async def _batches(database: Database, table: sa.Table) -> AsyncIterator[Sequence[AnyRow]]:
    """All rows in the order of the primary key. Each batch goes on above the last one's key, so that the last costs no
    more than the first."""
    key = list(table.primary_key.columns)
    places = [list(table.columns).index(column) for column in key]
    first = sa.select(table).order_by(*key).limit(BATCH_ROWS)
    query = first
    while True:
        batch = await database.read(_selecting(query))
        if batch:
            yield batch
        if len(batch) < BATCH_ROWS:
            return
        query = first.where(above(key, [batch[-1][place] for place in places], database.dialect))


def _selecting(query: sa.Select[Any]) -> Work[Sequence[AnyRow]]:
    return lambda connection: connection.execute(query).all()


def _inserting(table: sa.Table, batch: Sequence[AnyRow]) -> Work[None]:
    names = [column.name for column in table.columns]
    rows = [dict(zip(names, row, strict=True)) for row in batch]

    def insert(connection: Connection) -> None:
        connection.execute(sa.insert(table), rows)

    return insert


def above(key: Sequence[sa.Column[Any]], values: Sequence[object], dialect: str) -> sa.ColumnElement[bool]:
    """Keys greater than `values`, in the words that lead the engine to its index: SQLite finds a row value there, but
    not a chain of ORs; MySQL the other way round."""
    bound = [sa.literal(value, column.type) for column, value in zip(key, values, strict=True)]
    if dialect == "sqlite" and len(key) > 1:
        return sa.tuple_(*key) > sa.tuple_(*bound)
    chain = key[-1] > bound[-1]
    for column, value in reversed(list(zip(key[:-1], bound[:-1], strict=True))):
        chain = sa.or_(column > value, sa.and_(column == value, chain))
    return chain


@contextlib.contextmanager
def _naming(table: sa.Table) -> Iterator[None]:
    """Errors with the table's name."""
    try:
        yield
    except XinyuError as error:
        detail = error.details.get("details") or getattr(getattr(error.__cause__, "orig", None), "args", "")
        raise TableError(_line(table, f"{error.message} {detail}")) from error
    except exc.SQLAlchemyError as error:
        raise TableError(_line(table, str(getattr(error, "orig", None) or error))) from error
    except TypeError as error:
        raise TableError(_line(table, str(error))) from error


def _line(table: sa.Table, text: str) -> str:
    return f"table {table.name}: {' '.join(text.split())[:MESSAGE_LENGTH]}"
