"""Uploaded files from folder to folder: each whole and compared, or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from xinyu.app.moving.errors import MoveError

CHUNK = 1_048_576
NOT_COPIED = "staging"
"""Bytes that are being received; nobody kept them yet."""
DRAFT_SUFFIX = ".copying"


class Found(NamedTuple):
    """A file below a folder."""

    name: str
    size: int


def list_files(folder: Path) -> list[Found]:
    """All files that are to be copied, by name; none of a folder that is not there. Raises MoveError."""
    found: list[Found] = []
    try:
        for path, folders, names in os.walk(folder, onerror=_refuse):
            if Path(path) == folder and NOT_COPIED in folders:
                folders.remove(NOT_COPIED)
            found += [_found(folder, Path(path) / name) for name in names if not name.endswith(DRAFT_SUFFIX)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MoveError(f"media: cannot read {error.filename}: {error.strerror}") from error
    return sorted(found)


def list_missing(files: list[Found], target: Path) -> list[Found]:
    """Those that the target has not, or not with this size."""
    return [file for file in files if not _has_size(target / file.name, file.size)]


def copy_file(source: Path, target: Path, name: str) -> bool:
    """Copy one file durably, under its name only once it is whole and reads back the same; whether that was needed: one
    that is there with the same content stays. Raises MoveError, also when another content is there."""
    begin, end = source / name, target / name
    try:
        if end.exists():
            if _has_size(end, begin.stat().st_size) and _digest(end) == _digest(begin):
                return False
            raise MoveError(f"media: {end} is there with another content than {begin}; remove one of them")
        made = _make_folders(end.parent, target)
        draft = end.with_name(end.name + DRAFT_SUFFIX)
        try:
            if _copy(begin, draft) != _digest(draft):
                raise MoveError(f"media: {end} reads back otherwise than it was written; is the disk damaged?")
            draft.rename(end)
        finally:
            draft.unlink(missing_ok=True)
        for folder in {end.parent, *made}:
            _sync(folder)
    except OSError as error:
        raise MoveError(f"media: {error.filename or end}: {error.strerror or error}") from error
    return True


def free_bytes(folder: Path) -> int:
    """The room on the disk that a folder is on, or will be on."""
    return shutil.disk_usage(existing(folder)).free


def existing(path: Path) -> Path:
    """A path, or the nearest folder above it that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def _refuse(error: OSError) -> None:
    raise error


def _found(folder: Path, path: Path) -> Found:
    return Found(str(path.relative_to(folder)), path.stat().st_size)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _copy(begin: Path, draft: Path) -> bytes:
    """Write the draft and wait for the disk; the digest of what was read."""
    digest = hashlib.sha256()
    draft.unlink(missing_ok=True)
    with begin.open("rb") as source, os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            to.write(chunk)
        to.flush()
        os.fsync(to.fileno())
    return digest.digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _make_folders(folder: Path, root: Path) -> list[Path]:
    """Make what is missing of a folder, for its owner alone; the folders whose entries that changed."""
    changed = []
    for place in (*reversed(folder.relative_to(root).parents), folder.relative_to(root)):
        path = root / place
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
            changed.append(path.parent)
    return changed


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
