"""The loop of the simulation: its time, its places, and what ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import pytest

from xinyu.simulation.world.loop import BEGIN, Place, SimulationLoop, StuckError


@pytest.fixture
def loop() -> Iterator[SimulationLoop]:
    made = SimulationLoop(random.Random(1).random)
    yield made
    made.dispose()


def play(loop: SimulationLoop, work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await work()

    loop.run_until_complete(loop.world.spawn(run()))


def test_time_jumps_to_what_is_due(loop: SimulationLoop) -> None:
    async def work() -> None:
        await asyncio.sleep(3600)
        assert loop.time() == BEGIN + 3600

    play(loop, work)


def test_a_place_keeps_its_order_and_places_take_turns_as_drawn() -> None:
    def order(seed: int) -> list[str]:
        loop, done = SimulationLoop(random.Random(seed).random), list[str]()
        places = [Place(loop, name) for name in "ab"]
        for number in range(5):
            for place in places:
                place.call_at(BEGIN, done.append, f"{place.name}{number}")

        async def work() -> None:
            await asyncio.sleep(1)

        play(loop, work)
        loop.dispose()
        return done

    orders = [order(seed) for seed in range(10)]
    assert all([step for step in done if step[0] == "a"] == ["a0", "a1", "a2", "a3", "a4"] for done in orders)
    assert len({tuple(done) for done in orders}) > 5 and order(3) == orders[3]


def test_a_place_that_stands_still_does_later_what_was_due(loop: SimulationLoop) -> None:
    place, done = Place(loop, "node"), list[float]()
    place.call_at(BEGIN + 1, lambda: done.append(loop.time()))

    async def work() -> None:
        place.pause()
        await asyncio.sleep(5)
        assert done == []
        place.resume()
        await asyncio.sleep(0.1)

    play(loop, work)
    assert done == [BEGIN + 5]


def test_a_place_that_is_killed_ends_between_two_steps_and_cleans_nothing_up(loop: SimulationLoop) -> None:
    place, done = Place(loop, "node"), list[str]()

    async def steps() -> None:
        try:
            done.append("first")
            await asyncio.sleep(1)
            done.append("second")
            await asyncio.sleep(1)
            done.append("third")
        finally:
            done.append("cleaned up")

    async def work() -> None:
        place.spawn(steps())
        await asyncio.sleep(1.5)
        place.kill()
        await asyncio.sleep(5)

    play(loop, work)
    assert done == ["first", "second"]


def test_who_waits_for_nothing_is_told(loop: SimulationLoop) -> None:
    async def work() -> None:
        await loop.create_future()

    with pytest.raises(StuckError):
        play(loop, work)


def test_there_are_no_threads(loop: SimulationLoop) -> None:
    async def work() -> None:
        await asyncio.to_thread(lambda: None)

    with pytest.raises(StuckError):
        play(loop, work)


def test_what_a_callback_raises_is_kept(loop: SimulationLoop) -> None:
    def fail() -> None:
        raise ValueError("a defect")

    async def work() -> None:
        loop.call_soon(fail)
        await asyncio.sleep(1)

    play(loop, work)
    assert ["a defect" in failure for failure in loop.failures] == [True]
