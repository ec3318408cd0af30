"""What happened in a run, callback by callback: as a fingerprint, and what matters of it for people."""

from __future__ import annotations

from asyncio import Handle, Task
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from xinyu.simulation.world.loop import BEGIN, Place


class Trace:
    """Give it to a run."""

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        """`tell` gets what is worth a line."""
        self._hash = blake2b(digest_size=16)
        self._tell = tell

    @property
    def fingerprint(self) -> str:
        """Of all that ran."""
        return self._hash.hexdigest()

    def watch(self, now: float, place: Place, handle: Handle) -> None:
        """A callback is about to run."""
        self._hash.update(f"{now!r} {place.name} {_name_of(handle)}\n".encode())

    @property
    def tells(self) -> bool:
        """Whether anybody reads it."""
        return self._tell is not None

    def note(self, now: float, what: str) -> None:
        """Something happened."""
        self._hash.update(what.encode())
        self._say(now, what)

    def log(self, now: float, place: Place, line: dict[str, Any]) -> None:
        """A process writes a line of its log."""
        error = line.pop("exc_info", None)
        fields = " ".join(f"{name}={value}" for name, value in line.items() if name != "event")
        reason = f" ({error!r})" if isinstance(error, BaseException) else ""
        self._say(now, f"    {place.name}: {line.get('event')} {fields}{reason}")

    def _say(self, now: float, what: str) -> None:
        if self._tell is not None:
            self._tell(f"{now - BEGIN:8.3f}  {what}")


def _name_of(handle: Handle) -> str:
    callback: Any = handle._callback  # type: ignore[attr-defined]
    owner = getattr(callback, "__self__", None)
    coro = owner.get_coro() if isinstance(owner, Task) else None
    return getattr(coro, "__qualname__", None) or getattr(callback, "__qualname__", "") or type(callback).__name__
