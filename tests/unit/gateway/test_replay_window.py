"""Repetitions of a POST: answered from memory, together with the first, or run anew where that failed (G2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from xinyu.gateway.http.replay import ReplayWindow
from xinyu.kernel.errors import Unavailable


class Work:
    """What runs, step by step."""

    def __init__(self) -> None:
        self.runs = 0
        self.goes_on = asyncio.Event()
        self.fails = False

    async def __call__(self) -> bytes:
        self.runs += 1
        await self.goes_on.wait()
        if self.fails:
            raise Unavailable()
        return b"%d" % self.runs


async def begun(window: ReplayWindow, work: Callable[[], Awaitable[bytes]]) -> asyncio.Task[bytes]:
    task = asyncio.create_task(window.once("r", work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_a_repetition_waits_for_the_first_and_later_ones_are_told_the_same() -> None:
    window, work = ReplayWindow(30, 10), Work()
    first, second = await begun(window, work), await begun(window, work)
    work.goes_on.set()
    assert [await first, await second, await window.once("r", work)] == [b"1"] * 3


async def test_the_window_is_bounded() -> None:
    window, runs = ReplayWindow(30, 2), []

    async def run() -> bytes:
        runs.append(1)
        return b""

    for name in ("a", "b", "a", "b", "c"):
        await window.once(name, run)
    assert len(runs) == 3
    await window.once("a", run)
    assert len(runs) == 4, "the first of too many is forgotten, and run again"


async def test_what_failed_is_tried_again() -> None:
    window, work = ReplayWindow(30, 10), Work()
    work.fails = True
    work.goes_on.set()
    with pytest.raises(Unavailable):
        await window.once("r", work)
    work.fails = False
    assert await window.once("r", work) == b"2"


async def test_what_fails_after_its_caller_left_is_tried_again() -> None:
    window, work = ReplayWindow(30, 10), Work()
    first = await begun(window, work)
    first.cancel()
    await asyncio.wait([first])
    work.fails = True
    work.goes_on.set()
    for _ in range(5):
        await asyncio.sleep(0)
    work.fails = False
    assert await window.once("r", work) == b"2"
