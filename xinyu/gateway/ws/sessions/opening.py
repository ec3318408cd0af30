"""How a session begins and ends: presence first, then the heads, then what the device missed (G5).

Presence is registered before the heads are read, so nothing falls between: what is committed after the reading is
pushed, what was committed before is below the heads. Pushes that come meanwhile are held and follow.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from xinyu.gateway.ports import Ports
from xinyu.gateway.ws.deliverer import SocketDeliverer
from xinyu.gateway.ws.frames import event_frame
from xinyu.gateway.ws.hub import Connection, Hub
from xinyu.gateway.ws.order import PushOrder
from xinyu.gateway.ws.session import Session, State
from xinyu.gateway.ws.sessions.catch_up import CatchUp
from xinyu.gateway.ws.sessions.cursors import CursorWriter
from xinyu.gateway.ws.sessions.places import Places
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import MAX_JSON_INT
from xinyu.message.types import DeviceState
from xinyu.presence.types import NodeRef
from xinyu.rpc.deadline import within
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
REGISTRATION_SECONDS = 1.5
"""What a client that connects waits for presence at the most."""
LATE_AT_ONCE = 16
"""Sessions that are registered late, or caught up, at the same time."""


class Sessions:
    """Opens and closes the sessions of this node."""

    def __init__(
        self,
        hub: Hub,
        order: PushOrder,
        deliverer: SocketDeliverer,
        ports: Ports,
        clock: Clock,
        catch_up_limit: int,
        places: Places,
    ) -> None:
        self._hub = hub
        self._order = order
        self._ports = ports
        self._clock = clock
        self._catch_up_limit = catch_up_limit
        self._deliverer = deliverer
        self._unregistered: dict[Connection, None] = {}
        """Also those whose leases had ended before they were renewed."""
        self._missing: dict[Connection, None] = {}
        """Those that presence did not know any more when they were renewed."""
        self._places = places
        self._lease_seconds = places.lease_seconds
        self._renewed_at = clock.monotonic()
        self._catch_up = CatchUp(deliverer, ports, clock)
        self._cursors = CursorWriter(ports.devices)

    async def open(self, connection: Connection) -> asyncio.Task[None] | None:
        """Make the session known and say so to the client. Returns what still brings it up to date while its frames
        are read already, for acks are part of that; to be cancelled with the session. While presence is away it
        opens all the same and is registered later. Raises what message raises when it is away."""
        session = connection.session
        await self.store_cursors(self._hub.of_device(session.user_id, session.device_id))
        self._hub.add(connection)
        await self._register(connection)
        session.is_behind = not session.sync
        states = await self._ports.devices.open_device(session.user_id, session.device_id, session.sync)
        behind: list[DeviceState] = []
        for state in states:
            start = state.last_seq
            if not session.sync:
                start = max(state.cursor, state.last_seq - self._catch_up_limit)
            if start < state.last_seq:
                behind.append(state)
            session.follow(state.conversation_id, start, state.cursor)
            self._order.join(state.conversation_id, state.last_seq)
        payload = {
            "uid": session.user_id, "platform": session.caller.platform, "ts": self._clock.now_ms(),
            "session_id": session.session_id, "device_id": session.device_id,
        }  # fmt: skip
        connection.put(event_frame("connect", payload))
        session.is_behind = bool(behind) and not session.sync
        if session.state is not State.OPENING:
            return None
        if behind or connection.held:
            return asyncio.create_task(self._catch_up.run(connection, behind))
        session.state = State.LIVE
        return None

    async def _register(self, connection: Connection) -> bool:
        try:
            with within(REGISTRATION_SECONDS):
                await self._places.register(connection)
        except XinyuError as error:
            if connection not in self._unregistered:
                log.warning("a session opens while presence is away; it is registered later", error=error.code)
                self._unregistered[connection] = None
            return False
        self._unregistered.pop(connection, None)
        return True

    @property
    def renewal_is_overdue(self) -> bool:
        """Whether half of the leases is over since they were last renewed."""
        return 2 * (self._clock.monotonic() - self._renewed_at) >= self._lease_seconds

    async def renew(self, at: NodeRef, by: float = math.inf) -> None:
        """Extend the leases of all sessions. Where they had ended before it (presence was away, this node stood still,
        or presence's clock made a step), or where it takes until after `by`, pushes may have found nobody:
        `register_late` brings those. Whom presence lost with its memory is brought them by others `by` then. Raises
        what presence raises."""
        begin = self._clock.monotonic()
        renewed = [connection for connection in self._hub if connection.session.state is not State.CLOSED]
        if renewed:
            missing: dict[Connection, None] = {}
            await self._places.renew(at, renewed, missing)
            # who opens is about to be registered, and reads the heads then
            self._missing.update((found, None) for found in missing if found.session.state is State.LIVE)
            if self._clock.monotonic() >= min(by, self._renewed_at + self._lease_seconds):
                log.warning("sessions were renewed too late; they are caught up", count=len(renewed))
                self._unregistered.update(dict.fromkeys(renewed))
            if by < math.inf:
                self._missing.clear()
        self._renewed_at = max(begin, self._renewed_at)

    async def register_late(self) -> None:
        """Make the sessions known that opened while presence was away, and bring them what was committed meanwhile,
        which was pushed to nobody. Raises what message raises; those go on to be late then."""
        if self._missing:
            log.warning("presence did not know sessions any more; they are caught up", count=len(self._missing))
            self._unregistered.update(self._missing)
            self._missing.clear()
        waiting = [connection for connection in self._unregistered if connection.session.state is not State.OPENING]
        for start in range(0, len(waiting), LATE_AT_ONCE):
            some = waiting[start : start + LATE_AT_ONCE]
            outcomes = await asyncio.gather(*map(self._come_late, some), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            if not all(outcomes):
                return

    async def _come_late(self, connection: Connection) -> bool:
        """False while presence is away."""
        if connection.session.state is State.LIVE:
            if not await self._register(connection):
                return False
            self._unregistered[connection] = None
            await self._bring_heads(connection)
        self._unregistered.pop(connection, None)
        return True

    async def _bring_heads(self, connection: Connection) -> None:
        """The newest entry of each conversation that went on: whoever lacks those before it finds out by it."""
        session = connection.session
        session.is_behind = not session.sync
        states = await self._ports.devices.open_device(session.user_id, session.device_id, session.sync)
        cursors = {
            str(state.conversation_id): state.last_seq - 1
            if session.pushed.get(state.conversation_id, 0) < state.last_seq
            else MAX_JSON_INT
            for state in states
        }
        more = bool(cursors)
        while more:
            page = await self._ports.messages.sync(session.user_id, session.device_id, cursors, limit=2 * len(cursors))
            heads = [item.entries[-1] for item in page.items if item.entries]
            self._deliverer.bring(connection, await self._deliverer.with_names(heads))
            cursors.update((str(item.conversation_id), MAX_JSON_INT) for item in page.items)
            more = page.more and bool(page.items)
        if not session.sync:
            await self._catch_up.set_caught_up(session)

    async def close(self, connection: Connection) -> None:
        """The session has ended. Nothing here may fail its caller: leases and sweeps repair what is left."""
        session = connection.session
        session.state = State.CLOSED
        self._hub.remove(connection)
        self._unregistered.pop(connection, None)
        self._missing.pop(connection, None)
        for conversation_id in session.pushed:
            self._order.leave(conversation_id)
        # side by side: where a whole cluster stops, each waits some seconds for what has gone already
        await asyncio.gather(
            self._unregister(session), self._store_last_cursors(connection), self._leave_owing_nothing(session)
        )

    async def _unregister(self, session: Session) -> None:
        try:
            await self._ports.presence.unregister(session.presence)
        except XinyuError as error:
            log.warning("a session ended while presence was away; its lease ends by itself", error=error.code)

    async def _store_last_cursors(self, connection: Connection) -> None:
        try:
            await self.store_cursors([connection])
        except XinyuError as error:
            log.warning("a session's last cursors are lost; its client sees some pushes again", error=error.code)

    async def _leave_owing_nothing(self, session: Session) -> None:
        """It has ended before it had brought what was missed. Another session of the device may have done so (a client
        that gave this one up, for its node stood still): its list must count everything then. Where there is none, the
        device is owed everything for being away."""
        if session.is_behind:
            try:
                await self._catch_up.set_caught_up(session)
            except XinyuError as error:
                log.warning("a device counts as one that is still caught up, until it connects again", error=error.code)

    async def store_cursors(self, connections: Iterable[Connection]) -> None:
        """Store the cursors that moved, in one call with others'. Raises what message raises; they count as moved again
        then."""
        await self._cursors.store(connection.session for connection in connections)
