"""Waiting for what other tasks, threads or processes bring about, without sleeping longer than needed."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(predicate: Callable[[], T | Awaitable[T]], within: float = 5.0) -> T:
    """Call `predicate` until it returns something true, and return that. It may be async, and it may assert.

    Fails after `within` seconds of real time, with the predicate's last assertion or its last value.
    """
    deadline = time.monotonic() + within
    pause = 0.0
    while True:
        failure: AssertionError | None = None
        value: object = None
        try:
            answer = predicate()
            result = await answer if inspect.isawaitable(answer) else answer
            if result:
                return result
            value = result
        except AssertionError as error:
            failure = error
        if time.monotonic() >= deadline:
            name = getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"not so within {within} s: {name} ({failure or repr(value)})") from failure
        await asyncio.sleep(pause)
        pause = min(0.05, pause + 0.002)
