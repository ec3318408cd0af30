"""Background runs start again by themselves: later and later what fails, soon what only waits for something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from testkit.clock import ManualClock
from testkit.logs import followed, named
from testkit.waiting import eventually
from xinyu.app.lifecycle import AWAY_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, Runs
from xinyu.kernel.errors import Unavailable


class Failing:
    """Fails each time, as long as it is told to."""

    def __init__(self, clock: ManualClock, error: Exception) -> None:
        self.error: Exception | None = error
        self.begun: list[float] = []
        self._clock = clock

    async def run(self) -> None:
        self.begun.append(self._clock.monotonic())
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def runs(clock: ManualClock) -> AsyncIterator[Runs]:
    runs = Runs(clock)
    yield runs
    await runs.stop()


async def fails_for(clock: ManualClock, runs: Runs, run: Failing, seconds: float) -> None:
    """Time passes."""
    runs.start("a", run)
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        clock.jump(0.2)
        for _ in range(5):  # turns of the loop until it has failed again
            await asyncio.sleep(0)


async def test_what_fails_is_tried_again_less_and_less_often(clock: ManualClock, runs: Runs) -> None:
    run = Failing(clock, ValueError("broken"))
    with followed() as lines:
        await fails_for(clock, runs, run, 100.0)
    assert runs.failing == {"a"}
    assert 10 <= len(run.begun) <= 18
    assert run.begun[-1] - run.begun[-2] == pytest.approx(LONGEST_BACKOFF_SECONDS, abs=0.5)
    assert len(named(lines, "a background run failed; it restarts by itself, the stack below says why")) > 1


async def test_what_waits_for_something_away_goes_on_soon_after_it_is_back(clock: ManualClock, runs: Runs) -> None:
    """However long that was: what is left over is promised within seconds (G4)."""
    run = Failing(clock, Unavailable())
    with followed() as lines:
        await fails_for(clock, runs, run, 100.0)
        run.error, back = None, clock.monotonic()
        clock.jump(AWAY_BACKOFF_SECONDS)
        await eventually(lambda: run.begun[-1] >= back and not runs.failing)
    assert len(run.begun) > 50
    told = named(lines, "a background run waits for a service or an engine that is away")
    assert len(told) == 2, "once a minute is enough"
    assert all("exception" not in line for line in told)
