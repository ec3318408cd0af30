"""One drill: chat, break something, let it come to rest, judge."""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

from drills.faults import DRILLS
from drills.people import People
from drills.stage import Stage
from xinyu.drill.checker import Verdict, check
from xinyu.drill.history import REDIS_SECONDS, History

WARM_UP = 0.2
"""The part of a drill before the fault."""
SPARE_SECONDS = 5.0
"""Beyond the longest bound, so that what is late is told from what is lost."""


class Outcome(NamedTuple):
    """What a drill came to."""

    history: History
    verdict: Verdict


async def run_drill(stage: Stage, name: str, clients: int, seconds: float, seed: int) -> Outcome:
    """Run one drill on a started stage. Raises ClusterError, EngineError, XinyuError where it cannot be held."""
    history = History()
    people = People(stage, history, random.Random(f"{name} {seed}"))
    try:
        await people.gather(clients)
        done, loop = asyncio.Event(), asyncio.get_running_loop()
        talk = asyncio.create_task(people.chat(done))
        end = loop.time() + seconds
        try:
            await asyncio.sleep(seconds * WARM_UP)
            history.add(await asyncio.to_thread(DRILLS[name], stage, seconds))
            await asyncio.sleep(max(seconds * WARM_UP, end - loop.time()))
        finally:
            done.set()
            await talk
        await people.settle(REDIS_SECONDS + SPARE_SECONDS)
        return Outcome(history, check(history))
    finally:
        await people.close()
