"""What stands for presence's Redis: it outlives the processes of presence, and may lose everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from xinyu.kernel.ids import NodeId, SessionId, UserId
from xinyu.presence.store import PresenceStore, Put
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.types import NodeRef, PresenceEntry
from xinyu.simulation.world.paths import Paths
from xinyu.storage.errors import StorageUnavailable

T = TypeVar("T")


class SharedMemory:
    """The server: one memory for all processes of presence."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.away = False
        self.kept = MemoryPresenceStore()

    def forget(self) -> None:
        """Come back empty."""
        self.kept = MemoryPresenceStore()


class SimulatedPresenceStore(PresenceStore):
    """One process's connection to it. Every method raises StorageUnavailable while it is away."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory

    async def put(self, entries: Iterable[PresenceEntry], expires_ms: int, lease_ms: int = 0) -> Put:
        held = list(entries)
        return await self._ask(lambda kept: kept.put(held, expires_ms, lease_ms))

    async def take_turn(self, user_id: UserId, now_ms: int) -> int:
        return await self._ask(lambda kept: kept.take_turn(user_id, now_ms))

    async def remove(self, at: NodeRef, user_id: UserId, session_id: SessionId) -> None:
        await self._ask(lambda kept: kept.remove(at, user_id, session_id))

    async def remove_sessions(self, at: NodeRef, session_ids: Iterable[SessionId]) -> None:
        wanted = list(session_ids)
        await self._ask(lambda kept: kept.remove_sessions(at, wanted))

    async def remove_node(self, node: NodeId, epoch: int) -> None:
        await self._ask(lambda kept: kept.remove_node(node, epoch))

    async def find(self, user_ids: Iterable[UserId], now_ms: int) -> list[PresenceEntry]:
        wanted = list(user_ids)
        return await self._ask(lambda kept: kept.find(wanted, now_ms))

    async def count_users(self) -> int:
        return await self._ask(lambda kept: kept.count_users())

    async def incarnation(self) -> str:
        return await self._ask(lambda kept: kept.incarnation())

    async def _ask(self, ask: Callable[[PresenceStore], Awaitable[T]]) -> T:
        """There and back; what was done before it went away was done."""
        memory = self._memory
        await asyncio.sleep(memory.paths.latency() / 4)
        if memory.away:
            raise StorageUnavailable("Redis is away")
        result = await ask(memory.kept)
        await asyncio.sleep(memory.paths.latency() / 4)
        if memory.away:
            raise StorageUnavailable("Redis is away")
        return result
