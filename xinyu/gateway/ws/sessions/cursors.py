"""What devices acknowledged, on its way into the log: one call at a time, for all sessions that ask meanwhile.

When thousands of sockets end at once a call each would be a transaction each, and sends would wait behind all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from xinyu.gateway.ws.session import Session
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import ConversationId
from xinyu.message.port import DevicePort
from xinyu.message.types import DeviceCursor
from xinyu.rpc.deadline import adopt_deadline
from xinyu.telemetry.trace import adopt_trace

CURSORS_PER_CALL = 1000
"""A call has its limit of time, and cursors that were not stored come again with those that move meanwhile."""


class CursorWriter:
    """Stores the cursors of this node's sessions, a round after the other."""

    def __init__(self, devices: DevicePort) -> None:
        self._devices = devices
        self._asked: dict[Session, None] = {}
        self._taken: dict[Session, dict[ConversationId, int]] = {}
        """What the round under way stores."""
        self._in_turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        """The round that waits for the one under way: whoever asks now comes with it."""
        self._rounds: set[asyncio.Task[None]] = set()

    async def store(self, sessions: Iterable[Session]) -> None:
        """Return when the cursors that moved so far are stored. Raises what message raises where those of one of the
        sessions were not stored; they count as moved again then."""
        mine = list(sessions)
        if not self._owes(mine):
            return
        self._asked.update(dict.fromkeys(mine))
        if self._next is None:
            self._next = asyncio.create_task(self._round())
            self._rounds.add(self._next)
            self._next.add_done_callback(self._forget)
        try:
            await asyncio.shield(self._next)  # others wait for it too
        except XinyuError:
            if self._owes(mine):
                raise

    def _owes(self, sessions: Iterable[Session]) -> bool:
        return any(session.has_moved or session in self._taken for session in sessions)

    async def _round(self) -> None:
        adopt_deadline(None)  # of the one who asked first
        adopt_trace("")
        async with self._in_turn:
            asked, self._asked, self._next = self._asked, {}, None
            self._taken = {session: cursors for session in asked if (cursors := session.take_dirty())}
            try:
                await self._store_taken()
            except BaseException:
                for session, cursors in self._taken.items():
                    session.give_back_dirty(cursors)
                raise
            finally:
                self._taken = {}

    async def _store_taken(self) -> None:
        """Some at a time; what is stored is taken off."""
        while self._taken:
            part, moved = list[Session](), list[DeviceCursor]()
            for session, cursors in self._taken.items():
                if part and len(moved) + len(cursors) > CURSORS_PER_CALL:
                    break
                part.append(session)
                moved += [DeviceCursor(session.user_id, session.device_id, talk, seq) for talk, seq in cursors.items()]
            await self._devices.move_cursors(moved)
            for session in part:
                del self._taken[session]

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._rounds.discard(task)
        if not task.cancelled():
            task.exception()  # or asyncio would call the error of one that nobody waits for any more a defect
