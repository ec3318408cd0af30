"""Where a client remembers how far it has read, so that a restart goes on from there.

The server keeps a cursor per device too (moved by acks); a store of one's own is what makes "each message once" hold
across a crash of the application between an ack and its own bookkeeping.
"""

from __future__ import annotations

import abc
import asyncio
import os
from pathlib import Path

import msgspec

from xinyu.sdk.errors import ForeignCursors


class CursorStore(abc.ABC):
    """Cursors of one user on one device: conversation id to the last `seq` that the application took."""

    @abc.abstractmethod
    async def load(self, owner: str) -> dict[int, int] | None:
        """What was saved for `owner` ("<user id>/<device id>"); None when this device was never connected."""

    @abc.abstractmethod
    async def save(self, owner: str, cursors: dict[int, int]) -> None:
        """Replace what is stored for `owner`. Called at most once per ack interval, and at close."""


class MemoryCursors(CursorStore):
    """Cursors that live as long as this object; share it between clients to hand them over."""

    def __init__(self) -> None:
        self._by_owner: dict[str, dict[int, int]] = {}

    async def load(self, owner: str) -> dict[int, int] | None:
        found = self._by_owner.get(owner)
        return None if found is None else dict(found)

    async def save(self, owner: str, cursors: dict[int, int]) -> None:
        self._by_owner[owner] = dict(cursors)


class _File(msgspec.Struct):
    owner: str
    cursors: dict[int, int]


class FileCursors(CursorStore):
    """Cursors in one JSON file for one user and device, replaced atomically, mode 0600.

    A file of another owner raises `ForeignCursors` rather than mixing two logs; a missing one means never connected.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    async def load(self, owner: str) -> dict[int, int] | None:
        return await asyncio.to_thread(self._read, owner)

    async def save(self, owner: str, cursors: dict[int, int]) -> None:
        await asyncio.to_thread(self._write, owner, cursors)

    def _read(self, owner: str) -> dict[int, int] | None:
        try:
            stored = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return None
        if stored.owner != owner:
            raise ForeignCursors(path=str(self._path), owner=stored.owner)
        return stored.cursors

    def _write(self, owner: str, cursors: dict[int, int]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.new")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(_File(owner, cursors)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._path)
