"""The blob store in a folder: `staging/`, `parts/` and `sha256/` below it.

File names are made from ids and digests that are checked to be such; nothing a client sent becomes part of a path.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from xinyu.kernel.ids import is_hex_id, new_hex_id
from xinyu.media.errors import BlobMissing, BlobsFull, BlobsUnavailable
from xinyu.media.port import BlobReader, Blobs, BlobWriter
from xinyu.media.types import BlobKey, Staged, StagedId

T = TypeVar("T")
CHUNK = 262_144
_KEY = re.compile(r"(?P<part>part\.(?P<id>[0-9a-f]{32}))|sha256\.(?P<digest>[0-9a-f]{64})")
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class LocalBlobs(Blobs):
    """A folder, its disk work on threads of its own. Several processes may share it."""

    def __init__(self, root: Path, min_free_bytes: int = 0, threads: int = 8) -> None:
        self._root = root
        self._staging = root / "staging"
        self._min_free = min_free_bytes
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="blobs")

    def close(self) -> None:
        """Finish what runs."""
        self._threads.shutdown()

    async def stage(self) -> BlobWriter:
        path = self._staging / new_hex_id()
        return _Writer(self, path, await self.on_thread(lambda: self._create(path, 0)))

    async def discard(self, staged_id: StagedId) -> None:
        if is_hex_id(staged_id):
            await self.on_thread(lambda: (self._staging / staged_id).unlink(missing_ok=True))

    async def keep(self, staged_id: StagedId, key: BlobKey) -> None:
        source, target = self._staged_path(staged_id), self._path(key)
        await self.on_thread(lambda: _move(source, target, self._root))

    async def join(self, keys: list[BlobKey]) -> Staged:
        sources = [self._path(key) for key in keys]
        target = self._staging / new_hex_id()

        def run() -> Staged:
            try:
                size = sum(source.stat().st_size for source in sources)
                descriptor = self._create(target, size)
                return _concatenate(sources, target, descriptor)
            except FileNotFoundError as error:
                raise BlobMissing() from error

        return await self.on_thread(run)

    async def read_staged(self, staged_id: StagedId, limit: int) -> bytes:
        path = self._staged_path(staged_id)

        def run() -> bytes:
            with path.open("rb") as file:
                return file.read(limit)

        return await self.on_thread(run)

    async def open(self, key: BlobKey, offset: int = 0, length: int | None = None) -> BlobReader:
        path = self._path(key)

        def run() -> _Reader:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            rest = os.fstat(descriptor).st_size - offset
            return _Reader(self, descriptor, offset, rest if length is None else length)

        return await self.on_thread(run)

    async def delete(self, keys: list[BlobKey]) -> None:
        paths = [self._path(key) for key in keys]

        def run() -> None:
            for path in paths:
                path.unlink(missing_ok=True)

        await self.on_thread(run)

    async def sweep(self, staged_before_ms: int, parts_before_ms: int, limit: int) -> int:
        def run() -> int:
            removed = 0
            for folder, before_ms in ((self._staging, staged_before_ms), (self._root / "parts", parts_before_ms)):
                for path in _files(folder):
                    if removed < limit and _written_before(path, before_ms):
                        path.unlink(missing_ok=True)
                        removed += 1
            return removed

        return await self.on_thread(run)

    async def on_thread(self, work: Callable[[], T]) -> T:
        """Run disk work, its errors translated."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except FileNotFoundError as error:
            raise BlobMissing() from error
        except OSError as error:
            raise (BlobsFull() if error.errno in _NO_ROOM else BlobsUnavailable()) from error

    def _create(self, path: Path, size: int) -> int:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(path.parent).free < self._min_free + size:
            raise BlobsFull()
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _staged_path(self, staged_id: StagedId) -> Path:
        if not is_hex_id(staged_id):
            raise BlobMissing()
        return self._staging / staged_id

    def _path(self, key: BlobKey) -> Path:
        found = _KEY.fullmatch(key)
        if found is None:
            raise BlobMissing()
        if found["part"]:
            return self._root / "parts" / found["id"][:2] / found["id"]
        digest = found["digest"]
        return self._root / "sha256" / digest[:2] / digest[2:4] / digest


class _Writer(BlobWriter):
    """One file being received: gathered into chunks, so that a chunk costs one thread hop."""

    def __init__(self, blobs: LocalBlobs, path: Path, descriptor: int) -> None:
        self._blobs = blobs
        self._path = path
        self._descriptor: int | None = descriptor
        self._waiting = bytearray()
        self._size = 0
        self._digest = hashlib.sha256()

    async def write(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= CHUNK:
            await self._on_thread(self._flush)

    async def finish(self) -> Staged:
        def run() -> None:
            self._flush()
            os.fsync(self._file)
            self._close()
            _sync_folder(self._path.parent)

        await self._on_thread(run)
        return Staged(StagedId(self._path.name), self._size, self._digest.hexdigest())

    async def abort(self) -> None:
        if self._descriptor is not None:
            await self._blobs.on_thread(self._remove)

    async def _on_thread(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except OSError:
                self._remove()
                raise

        await self._blobs.on_thread(run)

    @property
    def _file(self) -> int:
        if self._descriptor is None:
            raise BlobMissing("this file was finished or given up")
        return self._descriptor

    def _flush(self) -> None:
        data, self._waiting = self._waiting, bytearray()
        _write_all(self._file, data)
        self._digest.update(data)
        self._size += len(data)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _remove(self) -> None:
        self._close()
        self._path.unlink(missing_ok=True)


class _Reader(BlobReader):
    """One open file."""

    def __init__(self, blobs: LocalBlobs, descriptor: int, offset: int, length: int) -> None:
        self._blobs = blobs
        self._descriptor: int | None = descriptor
        self._offset = offset
        self._left = length

    async def chunks(self) -> AsyncIterator[bytes]:
        while self._left > 0:
            yield await self._blobs.on_thread(self._read)

    async def close(self) -> None:
        await self._blobs.on_thread(self._close)

    def _read(self) -> bytes:
        if self._descriptor is None:
            raise BlobsUnavailable("the file was closed")
        data = os.pread(self._descriptor, min(CHUNK, self._left), self._offset)
        if not data:
            raise BlobsUnavailable("a stored file is shorter than it should be")
        self._offset += len(data)
        self._left -= len(data)
        return data

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _move(source: Path, target: Path, root: Path) -> None:
    """Rename, durably. The target's own bytes stay when they are there and whole."""
    try:
        size = source.stat().st_size
    except FileNotFoundError:
        target.stat()  # kept before; FileNotFoundError when it was not
        return
    if target.exists() and target.stat().st_size == size:
        source.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    source.rename(target)
    folder = target.parent
    while folder != root:
        _sync_folder(folder)
        folder = folder.parent
    _sync_folder(root)


def _concatenate(sources: list[Path], target: Path, descriptor: int) -> Staged:
    digest, size = hashlib.sha256(), 0
    try:
        for source in sources:
            with source.open("rb", buffering=0) as file:
                while data := file.read(CHUNK * 4):
                    _write_all(descriptor, data)
                    digest.update(data)
                    size += len(data)
        os.fsync(descriptor)
        _sync_folder(target.parent)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return Staged(StagedId(target.name), size, digest.hexdigest())


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else iter(())


def _written_before(path: Path, before_ms: int) -> bool:
    try:
        return path.stat().st_mtime_ns < before_ms * 1_000_000
    except FileNotFoundError:
        return False  # kept or discarded meanwhile
