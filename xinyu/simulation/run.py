"""One run: a seed in, a history and its verdict out."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from xinyu.drill.checker import Verdict, check
from xinyu.drill.history import History
from xinyu.simulation.cluster import Cluster
from xinyu.simulation.plan import draw
from xinyu.simulation.scene import Scene, scene, settings_of_all, surroundings
from xinyu.simulation.story import Story
from xinyu.simulation.trace import Trace
from xinyu.simulation.world.ambient import ambient
from xinyu.simulation.world.loop import BEGIN, PLACE, SimulationLoop
from xinyu.telemetry.logs import diverted


class Outcome(NamedTuple):
    """What a run came to."""

    seed: int
    history: History
    verdict: Verdict
    failures: tuple[str, ...]
    """What was raised and caught by nobody, and what clients found against the contract."""
    fingerprint: str
    """The same for the same run: of every callback, its time and its place. Empty where nobody asked for it."""
    seconds: float
    """Of virtual time."""
    turns: int

    @property
    def good(self) -> bool:
        """Whether everything promised was kept."""
        return self.verdict.good and not self.failures

    def line(self) -> str:
        """One line for people."""
        failed = f"; failures: {'; '.join(self.failures)}" if self.failures else ""
        return f"seed {self.seed}: {self.verdict.line()}{failed}"


def simulate(seed: int, only: tuple[str, ...] = (), trace: Trace | None = None) -> Outcome:
    """Play one seed. `only` are the faults to choose from; none is all of them."""
    start = scene()
    rng = random.Random(f"{seed} {','.join(only)}")
    loop = SimulationLoop(random.Random(rng.getrandbits(64)).random)
    raised: list[str] = []
    with diverted(_log_of(loop, trace)), ambient(loop.time, random.Random(rng.getrandbits(64))):
        story = _story(loop, rng, start, only, trace)
        try:
            loop.run_until_complete(loop.world.spawn(story.play()))
        except Exception as error:  # a run that comes to no end is one to be replayed, too
            raised += traceback.format_exception_only(error)
        finally:
            loop.dispose()
            story.end()
    failures = (*raised, *loop.failures, *story.failures)
    mark = trace.fingerprint if trace is not None else ""
    verdict = check(History() if raised else story.history)  # half a history has no log
    return Outcome(seed, story.history, verdict, failures, mark, loop.time() - BEGIN, loop.turns)


def _log_of(loop: SimulationLoop, trace: Trace | None) -> Callable[[dict[str, Any]], None] | None:
    """Have a trace watch a run; where its log goes."""
    if trace is None:
        return None
    loop.watch = trace.watch

    def take(line: dict[str, Any]) -> None:
        if loop.is_running():  # and not what is cleaned up after its end
            trace.log(loop.time(), PLACE.get(loop.world), line)

    return take if trace.tells else None


def _story(loop: SimulationLoop, rng: random.Random, start: Scene, only: tuple[str, ...], trace: Trace | None) -> Story:
    around = surroundings(loop, random.Random(rng.getrandbits(64)))
    around.engine.inner.restore(start.image)
    cluster = Cluster(settings_of_all(), around, random.Random(rng.getrandbits(64)))
    return Story(cluster, start, draw(rng, only), rng, trace)
