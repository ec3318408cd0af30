"""What must hold before anything is moved. Nothing is made or changed here."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import NamedTuple

from xinyu.app.moving.errors import MoveError
from xinyu.app.moving.files import Found, existing, free_bytes, list_files, list_missing
from xinyu.app.moving.schemas import schemas
from xinyu.app.moving.sides import OpenSide
from xinyu.storage.copying.places import count_others, identity_of, shown_dsn
from xinyu.storage.copying.tables import count_rows, has_rows, list_present
from xinyu.storage.migrations import read_state

OTHERS_TRIES = 10
OTHERS_SECONDS = 0.2
"""A server that has just stopped may still have connections for a moment."""


class TablePlan(NamedTuple):
    """What is to be copied of one table."""

    role: str
    table: str
    rows: int


class Plan(NamedTuple):
    """What is to be copied. `files` is None where no folders were named, or both sides share one."""

    tables: list[TablePlan]
    files: list[Found] | None

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files or ())


async def check_apart(source: OpenSide, target: OpenSide) -> None:
    """Refuse to copy a database into itself. Raises MoveError, StorageUnavailable."""
    ours = {await identity_of(database) for database in source.started()}
    theirs = {await identity_of(database) for database in target.started()}
    if ours & theirs or set(source.files()) & set(target.files()):
        raise MoveError(f"{source.side.name} and {target.side.name} lead to the same database")


async def check_idle(side: OpenSide) -> None:
    """Refuse a schema that other connections work in, as far as its server tells. Raises MoveError,
    StorageUnavailable."""
    for role, dsn in side.side.dsns.items():
        if not side.is_there(role):
            continue
        for tries_left in reversed(range(OTHERS_TRIES)):
            others = await count_others(side.of_role(role))
            if not others:
                break
            if not tries_left:
                raise MoveError(
                    f"{side.side.name}: {others} other connection(s) to the schema of {shown_dsn(dsn)}; stop all "
                    "servers and clients of it first"
                )
            await asyncio.sleep(OTHERS_SECONDS)


async def check_source(source: OpenSide) -> None:
    """Refuse what is not there, or not at this version's schema. Raises MoveError, StorageUnavailable."""
    name = source.side.name
    for role, schema in schemas().items():
        if not source.is_there(role):
            raise MoveError(f"{name}: there is no database {shown_dsn(source.side.dsns[role])}")
        state = await read_state(source.of_role(role), schema.history)
        if state.too_new:
            raise MoveError(f"{name}: {state.too_new}")
        if state.behind:
            raise MoveError(
                f"{name}: the schema of {state.domain} is at {state.current or 'nothing'}, this version needs "
                f"{state.head}; run `xinyu migrate` on it first (an embedded server does so at its start)"
            )


async def check_target(target: OpenSide) -> None:
    """Refuse a target that holds anything. Raises MoveError, StorageUnavailable, TableError."""
    name, empty_it = target.side.name, f"; to empty it, {target.how_to_empty()}"
    for path in target.files():
        _check_writable(name, path.parent)
    for role, schema in schemas().items():
        if not target.is_there(role):
            continue
        database = target.of_role(role)
        state = await read_state(database, schema.history)
        if state.too_new:
            raise MoveError(f"{name}: {state.too_new}")
        present = await list_present(database, schema.tables)
        for table in present:
            if await has_rows(database, table):
                raise MoveError(f"{name} is not empty: there are rows in {table.name}{empty_it}")
        if present and state.current is None:
            raise MoveError(f"{name} is not empty: there is a table {present[0].name} without a schema{empty_it}")


async def made_plan(source: OpenSide, target: OpenSide) -> Plan:
    """Count what there is. Raises MoveError, TableError."""
    files = _files(source.side.media, target.side.media)
    tables = [
        TablePlan(role, table.name, await count_rows(source.of_role(role), table))
        for role, schema in schemas().items()
        for table in schema.tables
    ]
    return Plan(tables, files)


def _files(source: Path | None, target: Path | None) -> list[Found] | None:
    if source is None or target is None:
        if source is not target:
            missing = "from" if source is None else "to"
            raise MoveError(f"media: one folder alone is named; name the other one with --media-{missing}")
        return None
    if source.resolve() == target.resolve():
        return None
    if target.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(target.resolve()):
        raise MoveError(f"media: one of {source} and {target} is inside the other")
    _check_writable("media", target)
    files = list_files(source)
    needed, free = sum(file.size for file in list_missing(files, target)), free_bytes(target)
    if needed > free:
        raise MoveError(f"media: {needed} bytes are to be copied to {target}, whose disk has {free} left")
    return files


def _check_writable(name: str, folder: Path) -> None:
    there = existing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise MoveError(f"{name}: {there} is no folder that can be written to")
