"""What devices acknowledged, on its way into the log: one call at a time, for all sessions that ask meanwhile.

When thousands of sockets end at once a call each would be a transaction each, and sends would wait behind all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from xinyu.gateway.ws.session import Session
from xinyu.message.port import DevicePort
from xinyu.message.types import DeviceCursor
from xinyu.rpc.deadline import adopt_deadline
from xinyu.telemetry.trace import adopt_trace


class CursorWriter:
    """Stores the cursors of this node's sessions."""

    def __init__(self, devices: DevicePort) -> None:
        self._devices = devices
        self._asked: dict[Session, None] = {}
        self._last: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        """The last one, as long as it waits for the call before: whoever asks now comes with it."""

    async def store(self, sessions: Iterable[Session]) -> None:
        """Return when the cursors that moved so far are stored. Raises what message raises; they count as moved again
        then."""
        self._asked.update(dict.fromkeys(sessions))
        if self._next is None:
            self._next = asyncio.create_task(self._store_after(self._last))
            self._next.add_done_callback(_look_at)
            self._last = self._next
        await asyncio.shield(self._next)  # others wait for it too

    async def _store_after(self, before: asyncio.Task[None] | None) -> None:
        adopt_deadline(None)  # of the one who asked first
        adopt_trace("")
        if before is not None and not before.done():
            await asyncio.wait([before])
        asked, self._asked, self._next = self._asked, {}, None
        taken = [(session, session.take_dirty()) for session in asked]
        moved = [
            DeviceCursor(session.user_id, session.device_id, conversation_id, seq)
            for session, cursors in taken
            for conversation_id, seq in cursors.items()
        ]
        if not moved:
            return
        try:
            await self._devices.move_cursors(moved)
        except BaseException:
            for session, cursors in taken:
                session.give_back_dirty(cursors)
            raise


def _look_at(task: asyncio.Task[None]) -> None:
    """Or asyncio would call the error of one that nobody waits for any more a defect."""
    if not task.cancelled():
        task.exception()
