"""Waiting ends when the thing happens, and fails with what was last seen when it does not."""

import asyncio

import pytest

from testkit.waiting import eventually


async def test_it_returns_the_first_true_value() -> None:
    seen: list[int] = []
    asyncio.get_running_loop().call_later(0.02, seen.append, 7)
    assert await eventually(lambda: seen) == [7]


async def test_the_predicate_may_be_async_and_may_assert() -> None:
    answers = iter([1, 2, 3])

    async def three() -> bool:
        assert next(answers) == 3
        return True

    assert await eventually(three)


async def test_it_fails_with_the_last_assertion() -> None:
    def never() -> bool:
        raise AssertionError("still closed")

    with pytest.raises(AssertionError, match="still closed"):
        await eventually(never, within=0.05)
