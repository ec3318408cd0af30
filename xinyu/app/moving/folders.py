"""The folders of databases and servers, held while their data is moved: no server works there meanwhile."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from xinyu.app.moving.errors import MoveError


class HeldFolders:
    """Locks as `xinyu.app.data_folder` takes them, of which a server has at least a share. Nothing is made."""

    def __init__(self) -> None:
        self._held: dict[Path, int] = {}

    def take(self, folder: Path) -> None:
        """Lock a folder, unless it is not there or held already. Raises MoveError when somebody works in it."""
        folder = folder.resolve()
        if folder in self._held or not folder.is_dir():
            return
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise MoveError(f"cannot open {folder}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise MoveError(f"another process works in {folder}; stop it first") from None
        self._held[folder] = descriptor

    def release(self) -> None:
        """Free all. Idempotent."""
        while self._held:
            os.close(self._held.popitem()[1])
