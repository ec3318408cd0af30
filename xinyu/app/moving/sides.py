"""Where data comes from and where it goes to: for each role a database, and the folder of uploaded files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from xinyu.app.databases import Databases
from xinyu.app.moving.errors import MoveError
from xinyu.app.moving.schemas import schemas
from xinyu.app.settings import Settings
from xinyu.storage.copying.places import file_of, shown_dsn
from xinyu.storage.sql import Database, open_database

_OF_ROLE = re.compile(r"([a-z_]+)=(.+)", re.S)
QUIET_MS = 600_000
"""Batches are large: that one takes long is nothing to warn of."""


class Side(NamedTuple):
    """One end of a move; `name` is what messages call it."""

    name: str
    dsns: dict[str, str]
    data_dirs: tuple[Path, ...] = ()
    media: Path | None = None


def side_of_dsns(name: str, given: Sequence[str], media: Path | None = None) -> Side:
    """A side named by DSNs: one for all roles, `role=DSN` for single ones on top. Raises MoveError."""
    roles = list(schemas())
    default, single = "", dict[str, str]()
    for text in given:
        found = _OF_ROLE.fullmatch(text)
        if found is None:
            if default:
                raise MoveError(f"{name}: two DSNs for all roles; write role=DSN for single ones")
            default = text
        elif found[1] not in roles:
            raise MoveError(f"{name}: no role {found[1]!r} keeps data; those that do are {', '.join(roles)}")
        elif found[1] in single:
            raise MoveError(f"{name}: two DSNs for the role {found[1]}")
        else:
            single[found[1]] = found[2]
    missing = [role for role in roles if not (default or role in single)]
    if missing:
        raise MoveError(f"{name}: no DSN for {', '.join(missing)}")
    return Side(name, {role: single.get(role, default) for role in roles}, media=media)


def side_of_settings(name: str, settings: Settings, media: Path | None = None) -> Side:
    """A side as a server with these settings has it; `media` replaces its folder of files. Raises MoveError."""
    for node, own in settings.processes.items():
        if node != settings.node and _keeps_apart(own):
            raise MoveError(f"{name}: the process {node} keeps data elsewhere; name role=DSN and the folders instead")
    databases = Databases(settings)
    files = Path(settings.media.blob_dir.replace("{data_dir}", str(settings.data_dir)))
    dsns = {role: databases.dsn_of(role) for role in schemas()}
    return Side(name, dsns, (settings.data_dir,), media or files)


def _keeps_apart(own: Mapping[str, Any]) -> bool:
    """Whether a process of a cluster sets where its databases or files are otherwise than the rest of the file."""
    storage, media = own.get("storage") or {}, own.get("media") or {}
    return bool(storage.keys() & {"dsn", "dsn_by_role"} or media.keys() & {"blob_dir"})


class OpenSide:
    """The databases of a side, one per DSN. A file that is not there is no database yet."""

    def __init__(self, side: Side) -> None:
        """Raises MoveError for a DSN that names no database."""
        self.side = side
        self._by_dsn: dict[str, Database] = {}
        self._started: set[str] = set()
        for role, dsn in side.dsns.items():
            try:
                self._by_dsn.setdefault(dsn, open_database(dsn, slow_ms=QUIET_MS))
            except (ValueError, ImportError) as error:
                raise MoveError(f"{side.name}: {role}: {error}") from error

    def of_role(self, role: str) -> Database:
        """The database of a role. Only a started one can be asked."""
        return self._by_dsn[self.side.dsns[role]]

    def is_there(self, role: str) -> bool:
        """Whether the database of a role is there and started."""
        return self.side.dsns[role] in self._started

    def started(self) -> list[Database]:
        """Those that are there."""
        return [database for dsn, database in self._by_dsn.items() if dsn in self._started]

    def files(self) -> list[Path]:
        """The files that databases of this side are, or will be."""
        return [path for database in self._by_dsn.values() if (path := file_of(database)) is not None]

    async def start(self, make: bool) -> None:
        """Open what is there; with `make` also what is not. Raises StorageUnavailable."""
        for dsn, database in self._by_dsn.items():
            path = file_of(database)
            if dsn not in self._started and (make or path is None or _holds_something(path)):
                self._started.add(dsn)
                await database.start()

    async def stop(self) -> None:
        """Close all."""
        for dsn in self._started:
            await self._by_dsn[dsn].stop()
        self._started.clear()

    def how_to_empty(self) -> str:
        """What to do before another attempt, for each database."""
        ways = []
        for dsn, database in self._by_dsn.items():
            path = file_of(database)
            if path is not None:
                ways.append(f"remove {path} and its -wal and -shm files")
            else:
                ways.append(f"drop the schema of {shown_dsn(dsn)} and create it again")
        return ", ".join(ways)


def _holds_something(path: Path) -> bool:
    return path.exists() and (not path.is_file() or path.stat().st_size > 0)
