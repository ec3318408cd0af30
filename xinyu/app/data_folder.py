"""The data folder of a process: one process at a time works in it, and says there where it can be reached."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from xinyu.app.settings import ConfigError


class RunningNode(msgspec.Struct, frozen=True):
    """A server that is up, as it wrote it down: its process id and the URLs it answers on; "" where it does not."""

    pid: int
    admin: str = ""
    http: str = ""
    ws: str = ""
    rpc: str = ""
    """host:port, for other processes of the cluster."""
    predecessor: str = ""
    """host:port, for processes of the predecessor."""


def make_data_folder(folder: Path) -> None:
    """Make it where it is missing, for this user's eyes only: messages and password hashes will be in it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True, mode=0o700)


class DataFolder:
    """A folder as one node uses it. Its locks end with the process, however that ends.

    Nodes of one cluster may share a folder, each under its own name; a process that has everything inside wants it
    `alone`, under whatever name."""

    def __init__(self, folder: Path, node: str, alone: bool = False) -> None:
        self._folder = folder
        self._alone = alone
        self._lock_path = folder / f"{node}.lock"
        self._node_path = folder / f"{node}.json"
        self._lock: int | None = None
        self._share: int | None = None

    def take(self) -> None:
        """Lock it, making it where it is missing. Idempotent. Raises ConfigError."""
        if self._lock is not None:
            return
        held: list[int] = []
        try:
            make_data_folder(self._folder)
            held.append(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY))
            held.append(os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600))
            fcntl.flock(held[0], (fcntl.LOCK_EX if self._alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            fcntl.flock(held[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            for descriptor in held:
                os.close(descriptor)
            if isinstance(error, BlockingIOError):
                there = self._folder.absolute()
                raise ConfigError(
                    f"data_dir: another process works in {there}; stop it or choose another folder"
                ) from None
            raise ConfigError(f"data_dir: cannot use {self._folder}: {error.strerror}") from error
        self._share, self._lock = held
        lock = self._lock
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())

    def announce(self, urls: dict[str, str]) -> None:
        """Write down where the server answers, for commands on this machine."""
        draft = self._node_path.with_suffix(".json.new")
        node = RunningNode(os.getpid(), **urls)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(node))
        draft.replace(self._node_path)

    def release(self) -> None:
        """Free it. Idempotent."""
        if self._lock is not None:
            self._node_path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
        if self._share is not None:
            os.close(self._share)
            self._share = None

    def running(self) -> RunningNode | None:
        """The server that works here now, None where none does or it is not up yet. What a killed one left behind does
        not count: another program may have its ports by now. Raises ConfigError when that cannot be told."""
        try:
            node = msgspec.json.decode(self._node_path.read_bytes(), type=RunningNode)
            lock = os.open(self._lock_path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return None
        except OSError as error:
            raise ConfigError(f"data_dir: cannot look into {self._folder.absolute()}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode("ascii", "replace").strip()
            return node if holder == str(node.pid) else None
        except OSError:
            return None
        else:
            return None
        finally:
            os.close(lock)
