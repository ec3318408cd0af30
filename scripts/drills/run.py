"""One drill: chat, break something, let it come to rest, judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from drills.chat import Chat
from drills.devices import TROUBLE
from drills.faults import DRILLS, Scene
from drills.net import LINGER_SECONDS
from drills.people import People
from drills.settling import settle
from drills.stage import Stage
from drills.town import Town
from local_cluster.workplace import ClusterError
from local_engines.process import EngineError
from xinyu.drill.checker import Verdict, check
from xinyu.drill.history import REDIS_SECONDS, History

WARM_UP = 0.2
"""The part of a drill before the fault."""
SPARE_SECONDS = 5.0
"""Beyond the longest bound, so that what is late is told from what is lost."""


GOOD, BROKEN, NOTHING_SHOWN = 0, 1, 3
"""Exit codes; 2 is wrong use, as everywhere."""


class Outcome(NamedTuple):
    """What a drill came to."""

    name: str
    history: History
    verdict: Verdict
    trouble: str = ""
    """Why it could not be held to its end."""

    @property
    def good(self) -> bool:
        """Whether it was held, its fault took effect and no promise was broken."""
        return self.verdict.good and not self.trouble

    def line(self) -> str:
        """One line for people."""
        said = f"not held: {self.trouble}; {self.verdict.line()}" if self.trouble else self.verdict.line()
        return f"{'good' if self.good else 'BAD '} {self.name}: {said}"


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0: all were good. 1: a promise was broken. 3: none was, and a drill has shown nothing: it could not be held, its
    fault had no effect, or nobody heard anything."""
    if any(outcome.verdict.violations and not outcome.trouble for outcome in outcomes):
        return BROKEN
    return GOOD if all(outcome.good for outcome in outcomes) else NOTHING_SHOWN


async def run_drill(stage: Stage, town: Town, name: str, clients: int, seconds: float, seed: int) -> Outcome:
    """Run one drill on a started stage."""
    history, trouble = History(), ""
    people = People(stage, town, history, f"{name} {seed}")
    try:
        await people.gather(clients)
        await _hold(stage, people, name, seconds)
        await settle(people, REDIS_SECONDS + SPARE_SECONDS)
    except (ClusterError, EngineError, *TROUBLE) as error:
        trouble = f"{type(error).__name__}: {error}"
    finally:
        await people.close()
    return Outcome(name, history, check(history), trouble)


async def _hold(stage: Stage, people: People, name: str, seconds: float) -> None:
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def flood() -> int:
        return asyncio.run_coroutine_threadsafe(people.flood(), loop).result()

    talk = asyncio.create_task(Chat(stage, people).go_on(done))
    end = loop.time() + seconds
    try:
        await asyncio.sleep(seconds * WARM_UP)
        people.history.add(await asyncio.to_thread(DRILLS[name], Scene(stage, seconds, flood)))
        await asyncio.sleep(max(seconds * WARM_UP, end - loop.time()))
    finally:
        done.set()
        await talk
    await asyncio.sleep(LINGER_SECONDS)  # the gateways hear of the last connections that were lost
