"""The database server of a simulated cluster: SQLite in memory, run on the loop.

A transaction is one moment, in which nobody else does anything: as on an engine whose locks do their work. Around it
there is a way there and back, so that a process may end, or others may commit, between a commit and its news. What is
committed outlives every process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from xinyu.simulation.world.loop import PLACE, SimulationLoop
from xinyu.simulation.world.paths import Paths
from xinyu.storage.database import Database, T, Work
from xinyu.storage.errors import CommitUnknown, StorageUnavailable
from xinyu.storage.sql import InlineSqliteDatabase

NAME = "database"
"""As a place on the network's paths."""
SLOW = 0.004
"""The share of transactions that wait for their locks or the disk, up to SLOWEST seconds."""
SLOWEST = 1.5


class Engine:
    """What is stored, and how the server is."""

    def __init__(self, inner: InlineSqliteDatabase, loop: SimulationLoop, paths: Paths, rng: random.Random) -> None:
        self.inner = inner
        self.loop = loop
        self.paths = paths
        self.rng = rng
        self.away = False
        """Whether nobody reaches it."""
        self.doubtful = 0.0
        """The share of COMMITs whose outcome is not told."""
        self.slow: str = ""
        """Whose transactions are held up, half of them."""
        self.committed: Callable[[str, str], None] | None = None
        """Told of each COMMIT, whose it was and which unit of work, before its process is."""


class SimulatedDatabase(Database):
    """One process's connections to the engine."""

    dialect = "mysql"
    """It takes several transactions at once from one process. Statements are of the engine's own dialect."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._begin = 0.0

    async def start(self) -> None:
        """Nothing is to be opened."""

    async def stop(self) -> None:
        """Nor closed."""

    async def run_read(self, work: Work[T], brief: bool) -> T:
        await self._way()
        result = await self._engine.inner.run_read(work, brief)
        await asyncio.sleep(self._engine.paths.latency() / 4)
        return result

    async def run_write(self, work: Work[T], brief: bool) -> T:
        # in a task of its own, so that a caller's cancellation leaves the transaction alone
        return await asyncio.shield(asyncio.ensure_future(self._write(work, brief)))

    async def _write(self, work: Work[T], brief: bool) -> T:
        engine = self._engine
        await self._way()
        doubtful = engine.doubtful and engine.rng.random() < engine.doubtful
        if doubtful and engine.rng.random() < 0.5:
            raise CommitUnknown()
        result = await engine.inner.run_write(work, brief)
        if engine.committed is not None:
            engine.committed(PLACE.get(engine.loop.world).name, work.__qualname__)
        await asyncio.sleep(engine.paths.latency() / 2)
        if doubtful or engine.away:
            raise CommitUnknown()
        return result

    async def _way(self) -> None:
        """To the engine; transactions of a process begin in the order of the calls, but for those that wait there.
        That urgent ones go before others (ADR 19) is not played. Raises StorageUnavailable."""
        engine, loop = self._engine, self._engine.loop
        here = PLACE.get(loop.world).name
        self._begin = max(self._begin, loop.time() + engine.paths.latency() / 4)
        wait = self._begin - loop.time()
        if engine.rng.random() < (0.5 if engine.slow == here else SLOW):
            wait += SLOWEST * engine.rng.random()
        await asyncio.sleep(wait)
        if engine.away or engine.paths.is_cut(here, NAME):
            raise StorageUnavailable("the database is away")
