"""Devices: where each stands, and what it is owed."""

from __future__ import annotations

import msgspec

from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import MAX_JSON_INT, DeviceId, UserId
from xinyu.message.addressing import clamped
from xinyu.message.port import DevicePort
from xinyu.message.store import DeviceStore
from xinyu.message.types import DeviceCursor, DeviceState

CURSORS_PER_TRANSACTION = 100
"""Not all of a node's at once: on SQLite a send may have to wait for one such transaction."""


class DeviceService(DevicePort):
    """Serves `DevicePort`."""

    def __init__(self, store: DeviceStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def open_device(self, user_id: UserId, device_id: DeviceId, sync: bool) -> list[DeviceState]:
        return await self._store.open_device(user_id, device_id, sync, self._clock.now_ms())

    async def move_cursors(self, cursors: list[DeviceCursor]) -> None:
        for start in range(0, len(cursors), CURSORS_PER_TRANSACTION):
            part = [c for c in cursors[start : start + CURSORS_PER_TRANSACTION] if c.conversation_id <= MAX_JSON_INT]
            part = [msgspec.structs.replace(c, seq=clamped(c.seq)) for c in part]
            await self._store.move_cursors(part, self._clock.now_ms())

    async def set_caught_up(self, user_id: UserId, device_id: DeviceId) -> None:
        await self._store.set_caught_up(user_id, device_id)

    async def forget_login(self, user_id: UserId, device_id: DeviceId) -> None:
        await self._store.forget_device(user_id, device_id)
