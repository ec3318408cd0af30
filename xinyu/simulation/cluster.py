"""The processes of a cluster, as they come and go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from xinyu.app.settings import Settings
from xinyu.simulation.node import Life, Surroundings
from xinyu.simulation.sockets import Doors

SESSION_SECONDS = 4.0
"""How long the registry shows a process that has ended without a word."""
BOOT_SECONDS = 0.4


class Cluster:
    """By name, the process that is alive."""

    def __init__(self, settings: Sequence[Settings], around: Surroundings, rng: random.Random) -> None:
        self.around = around
        self.doors = Doors(around.loop, around.network.paths)
        self.lives: dict[str, Life] = {}
        self._settings = {each.node: each for each in settings}
        self._rng = rng

    async def start(self) -> None:
        """All of them, in the order of the configuration."""
        for name in self._settings:
            await self.boot(name)

    def of_role(self, role: str) -> list[str]:
        """The processes that host a role."""
        return [name for name, settings in self._settings.items() if role in settings.roles]

    async def boot(self, name: str, host: str = "") -> Life:
        """A new life, ready; on the machine of the one before, or on another if one is named."""
        if not host and name in self.lives:
            host = self.lives[name].host
        life = self.lives[name] = Life(self._settings[name], self.around, host)
        await life.place.spawn(life.start())
        self.doors.open(life)
        return life

    def crash(self, name: str) -> Life:
        """SIGKILL. The registry shows it on until its session is over, or its next life."""
        life = self.lives[name]
        life.ready = False
        life.place.kill()
        self.around.network.close(life.address, life.place)
        self.around.network.crash(life.place)
        self.doors.crash(life)
        self.around.loop.world.call_at(self.around.loop.time() + self._session_left(), self._forget, life)
        return life

    async def supersede(self, name: str) -> Life:
        """A process that stands still is taken for dead, and started anew on another machine."""
        old = self.lives[name]
        self.doors.strand(old)
        await asyncio.sleep(self._session_left())
        self._forget(old)
        return await self.boot(name, f"{name}-{len(self.around.loop.places)}")

    def _session_left(self) -> float:
        return SESSION_SECONDS * self._rng.uniform(0.5, 1)

    def _forget(self, life: Life) -> None:
        """Its session with the registry is over."""
        self.around.directory.remove(life.registry, life.name)

    async def leave(self, name: str) -> Life:
        """SIGTERM; returns when the process has ended."""
        life = self.lives[name]
        self.doors.shut(life)
        await life.place.spawn(life.leave())
        life.place.kill()
        self.around.network.crash(life.place)
        self.doors.crash(life)
        return life

    @property
    def dead(self) -> list[str]:
        """Processes that are down."""
        return [name for name, life in self.lives.items() if not life.place.alive]
