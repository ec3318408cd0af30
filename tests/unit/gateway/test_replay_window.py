"""Repetitions of a POST: answered from memory, together with the first, or run anew where that failed (G2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from xinyu.gateway.http.replay import ReplayWindow, request_key
from xinyu.kernel.errors import InvalidInput, Unavailable
from xinyu.kernel.ids import UserId

KEY = request_key(UserId(1), "/r", b"{}")


class Work:
    """What runs, step by step."""

    def __init__(self) -> None:
        self.runs = 0
        self.goes_on = asyncio.Event()
        self.fails = self.refused = False

    async def __call__(self) -> bytes:
        self.runs += 1
        await self.goes_on.wait()
        if self.fails:
            raise Unavailable()
        if self.refused:
            raise InvalidInput()
        return b"%d" % self.runs


async def begun(window: ReplayWindow, work: Callable[[], Awaitable[bytes]]) -> asyncio.Task[bytes]:
    task = asyncio.create_task(window.once(KEY, work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_a_repetition_waits_for_the_first_and_later_ones_are_told_the_same() -> None:
    window, work = ReplayWindow(30, 10), Work()
    first, second = await begun(window, work), await begun(window, work)
    work.goes_on.set()
    assert [await first, await second, await window.once(KEY, work)] == [b"1"] * 3


async def test_the_window_is_bounded() -> None:
    window, runs = ReplayWindow(30, 2), []

    async def run() -> bytes:
        runs.append(1)
        return b""

    for name in ("a", "b", "a", "b", "c"):
        await window.once(request_key(UserId(1), name, b""), run)
    assert len(runs) == 3
    await window.once(request_key(UserId(1), "a", b""), run)
    assert len(runs) == 4, "the first of too many is forgotten, and run again"


async def test_what_failed_is_tried_again() -> None:
    window, work = ReplayWindow(30, 10), Work()
    work.fails = True
    work.goes_on.set()
    with pytest.raises(Unavailable):
        await window.once(KEY, work)
    work.fails = False
    assert await window.once(KEY, work) == b"2"


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
    assert await window.once(KEY, work) == b"2"


async def again(window: ReplayWindow, work: Work) -> bytes:
    return await window.again(KEY, work, (InvalidInput,))


async def test_what_may_be_meant_twice_runs_twice_and_is_refused_only_the_first_time() -> None:
    window, work = ReplayWindow(30, 10), Work()
    work.goes_on.set()
    work.refused = True
    with pytest.raises(InvalidInput):
        await again(window, work)
    work.refused = False
    assert [await again(window, work), await again(window, work)] == [b"2", b"3"]
    work.refused = True
    assert [await again(window, work), await again(window, work)] == [b"3"] * 2, "the last time took"
    work.fails = True
    with pytest.raises(Unavailable):
        await again(window, work)


async def test_what_repeats_a_request_that_still_runs_waits_for_it() -> None:
    window, work = ReplayWindow(30, 10), Work()
    first, second = [asyncio.create_task(again(window, work)) for _ in range(2)]
    await asyncio.sleep(0)
    work.goes_on.set()
    assert (await first, await second, work.runs) == (b"1", b"1", 1)


async def test_what_was_undone_is_done_again() -> None:
    window, work = ReplayWindow(30, 10), Work()
    work.goes_on.set()
    await window.once(KEY, work)
    for user_id, path, answer in ((UserId(2), "/r", b"1"), (UserId(1), "/s", b"1"), (UserId(1), "/r", b"2")):
        window.forget(user_id, path)
        assert await window.once(KEY, work) == answer
