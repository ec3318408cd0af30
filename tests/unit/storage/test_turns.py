"""The turns of one writer: urgent transactions before others, neither kind for ever."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.turns import Turns


class Writer:
    """Transactions that begin in their turn, one after the other, and tell in which order."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.began: list[str] = []
        self.at_once = 0

    async def write(self, name: str) -> None:
        """One whose name begins with a u is urgent."""
        async with self.turns.urgent if name[0] == "u" else self.turns.other:
            self.began.append(name)
            self.at_once += 1
            assert self.at_once == 1
            try:
                await asyncio.sleep(0)
            finally:
                self.at_once -= 1


async def in_turn(*names: str) -> list[str]:
    writer = Writer()
    await asyncio.gather(*map(writer.write, names))
    return writer.began


async def test_a_urgent_one_waits_for_two_at_the_most() -> None:
    assert await in_turn("o1", "o2", "o3", "u1") == ["o1", "u1", "o2", "o3"]
    assert await in_turn("u1", "o1", "o2", "u2") == ["u1", "o1", "u2", "o2"]


async def test_others_have_every_second_turn() -> None:
    assert await in_turn("u1", "u2", "u3", "u4", "o1", "o2") == ["u1", "o1", "u2", "o2", "u3", "u4"]


@given(st.lists(st.sampled_from("uo"), max_size=20))
def test_everybody_has_a_turn_and_each_kind_in_its_order(kinds: list[str]) -> None:
    names = [f"{kind}{number}" for number, kind in enumerate(kinds)]
    began = asyncio.run(in_turn(*names))
    for kind in "uo":
        assert [name for name in began if name[0] == kind] == [name for name in names if name[0] == kind]


async def test_a_transaction_that_fails_leaves_its_turn() -> None:
    writer = Writer()

    async def failing() -> None:
        async with writer.turns.other:
            raise KeyError

    outcomes = await asyncio.gather(failing(), writer.write("u1"), writer.write("o1"), return_exceptions=True)
    assert (writer.began, isinstance(outcomes[0], KeyError)) == (["u1", "o1"], True)


@pytest.mark.parametrize("turns_before", range(4))
async def test_who_is_cancelled_while_he_waits_or_as_his_turn_comes_has_none(turns_before: int) -> None:
    writer = Writer()
    tasks = [asyncio.create_task(writer.write(name)) for name in ("o1", "o2", "o3")]
    for _ in range(turns_before):
        await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await writer.write("u1")
    assert writer.began[-2:] == ["o3", "u1"]


async def test_as_many_at_once_as_there_are_connections() -> None:
    turns, inside, most = Turns(3), 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with turns.other:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert (inside, most) == (0, 3)


@pytest.mark.parametrize("urgent", [True, False])
async def test_who_waits_too_long_is_told_and_takes_nobodys_turn(urgent: bool) -> None:
    turns = Turns(seconds=0.02, busy="all are in use")
    kind = turns.urgent if urgent else turns.other
    async with turns.other:
        with pytest.raises(StorageUnavailable, match="all are in use"):
            async with kind:
                raise AssertionError("it was taken")
    async with kind:
        pass
