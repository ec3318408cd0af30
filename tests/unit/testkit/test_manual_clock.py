"""The clock of the tests keeps its promises."""

import asyncio

from testkit.clock import START_MS, ManualClock


async def test_sleepers_wake_in_the_order_of_their_deadlines_each_at_its_time() -> None:
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 3.0), ("early", 1.0), ("also late", 3.0)):
            group.create_task(sleeper(name, seconds))
        await clock.advance(2.0)
        assert woken == [("early", 1.0)]
        assert clock.sleepers == 2
        await clock.advance(1.0)
    assert woken == [("early", 1.0), ("late", 3.0), ("also late", 3.0)]


async def test_a_periodic_task_runs_once_for_each_period_of_one_long_advance() -> None:
    clock = ManualClock()
    times: list[int] = []

    async def every_ten_seconds() -> None:
        while True:
            await clock.sleep(10)
            times.append(clock.now_ms() - START_MS)

    task = asyncio.create_task(every_ten_seconds())
    await clock.advance(35)
    assert times == [10_000, 20_000, 30_000]
    assert clock.monotonic() == 35
    task.cancel()


async def test_a_cancelled_sleeper_does_not_stop_the_clock() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.advance(0.5)
    task.cancel()
    await clock.advance(5)
    assert task.cancelled()
    assert clock.sleepers == 0


async def test_jump_moves_the_time_for_code_that_only_reads_it() -> None:
    clock = ManualClock(now_ms=1_000)
    clock.jump(0.25)
    assert (clock.now_ms(), clock.monotonic()) == (1_250, 0.25)
    await clock.sleep(0)
