"""What a process takes from its surroundings without being given it, time and chance, owned for the length of a run.

Most of xinyu is handed a clock, but deadlines are kept in `time.monotonic`, and ids and the jitter of back-offs come
from the system's generators. Here all of it comes from the run. Only code that looks these names up when it calls them
sees that, which is how xinyu does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from threading import get_ident
from types import ModuleType
from typing import Any


class InOrder(dict[Any, None]):
    """A set that is walked in the order of its making, not by where its members lie in memory."""

    def add(self, item: Any) -> None:
        """As of a set."""
        self[item] = None

    def discard(self, item: Any) -> None:
        """As of a set."""
        self.pop(item, None)


class TaskGroup(asyncio.TaskGroup):
    """One whose tasks are cancelled in the same order each time."""

    def __init__(self) -> None:
        super().__init__()
        self._tasks = InOrder()  # type: ignore[assignment]


COMMON = ("random", "uniform", "getrandbits", "randrange", "randint", "choice", "shuffle", "sample")
"""Functions of the generator that a process shares."""
BIRTH = 1_700_000_000.0
"""The UTC second at which `time.monotonic` would be 0: in the past, for tokens that come from a time to come are not
believed, by a clock that is not ours."""


@contextlib.contextmanager
def ambient(now: Callable[[], float], rng: random.Random) -> Iterator[None]:
    """The process's time is `now()`, seconds of a monotonic clock; its chance is drawn from `rng`."""

    class Seeded(random.Random):
        """A generator that nobody gave a seed is of the run's."""

        def __init__(self, x: object = None) -> None:
            super().__init__(rng.getrandbits(64) if x is None else x)  # type: ignore[arg-type]

    def nobody_sleeps(_seconds: float) -> None:
        raise RuntimeError("a simulation never blocks")

    common = Seeded()
    changes: list[tuple[ModuleType, str, Any]] = [
        *((random, name, getattr(common, name)) for name in COMMON),
        (time, "monotonic", now),
        (time, "perf_counter", now),
        (time, "time", lambda: BIRTH + now()),
        (time, "time_ns", lambda: int((BIRTH + now()) * 1_000_000) * 1000),
        (time, "sleep", nobody_sleeps),
        (random, "Random", Seeded),
        (secrets, "token_hex", lambda size=32: rng.randbytes(size).hex()),
        (secrets, "token_bytes", lambda size=32: rng.randbytes(size)),
        (uuid, "uuid4", lambda: uuid.UUID(bytes=rng.randbytes(16), version=4)),
        (os, "urandom", rng.randbytes),
        (asyncio, "TaskGroup", TaskGroup),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for (module, name, value), (_, _, usual) in zip(changes, before, strict=True):
        setattr(module, name, value if isinstance(value, type) else _here(value, usual))
    try:
        yield
    finally:
        for module, name, usual in before:
            setattr(module, name, usual)


def _here(ours: Callable[..., Any], usual: Callable[..., Any]) -> Callable[..., Any]:
    """Of the run in this thread; as usual in all others."""
    thread = get_ident()

    def chosen(*arguments: Any, **named: Any) -> Any:
        return (ours if get_ident() == thread else usual)(*arguments, **named)

    return chosen
