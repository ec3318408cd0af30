"""How a session begins and ends: presence first, then the heads, then what the device missed (G5).

Presence is registered before the heads are read, so nothing falls between: what is committed after the reading is
pushed, what was committed before is below the heads. Pushes that come meanwhile are held and follow.
"""

from __future__ import annotations

from xinyu.gateway.ports import Ports
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.deliverer import SocketDeliverer
from xinyu.gateway.ws.frames import event_frame
from xinyu.gateway.ws.hub import Connection, Hub
from xinyu.gateway.ws.order import PushOrder
from xinyu.gateway.ws.session import State
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.message.types import DeviceCursor, DeviceState
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
PAGE = 500


class Sessions:
    """Opens and closes the sessions of this node."""

    def __init__(
        self, hub: Hub, order: PushOrder, deliverer: SocketDeliverer, ports: Ports, clock: Clock, catch_up_limit: int
    ) -> None:
        self._hub = hub
        self._order = order
        self._deliverer = deliverer
        self._ports = ports
        self._clock = clock
        self._catch_up_limit = catch_up_limit

    async def open(self, connection: Connection) -> list[DeviceState]:
        """Make the session known and say so to the client. Returns where a client without sync is behind.
        Raises what presence or message raise when they are away."""
        session = connection.session
        for other in self._hub.of_device(session.user_id, session.device_id):
            await self.store_cursors([other])
        self._hub.add(connection)
        await self._ports.presence.register(session.presence)
        states = await self._ports.devices.open_device(session.user_id, session.device_id, session.sync)
        behind: list[DeviceState] = []
        for state in states:
            start = state.last_seq
            if not session.sync:
                start = max(state.cursor, state.last_seq - self._catch_up_limit)
                session.cursors[state.conversation_id] = state.cursor
            if start < state.last_seq:
                behind.append(state)
            session.pushed[state.conversation_id] = start
            self._order.join(state.conversation_id, state.last_seq)
        payload = {
            "uid": session.user_id, "platform": session.caller.platform, "ts": self._clock.now_ms(),
            "session_id": session.session_id, "device_id": session.device_id,
        }  # fmt: skip
        connection.put(event_frame("connect", payload))
        return behind

    async def catch_up(self, connection: Connection, behind: list[DeviceState]) -> None:
        """Push what the device missed, then what was held meanwhile; the session is live from then on."""
        session = connection.session
        if behind:
            try:
                await self._push_missed(connection, behind)
                await self._ports.devices.set_caught_up(session.user_id, session.device_id)
            except XinyuError as error:
                log.warning("a reconnected client could not be caught up; it is asked to come back", error=error.code)
                connection.close(CloseCode.UNAVAILABLE, "cannot read what was missed: reconnect")
        if session.state is State.OPENING:
            session.state = State.LIVE
        held, connection.held = connection.held or [], None
        self._deliverer.bring(connection, held)

    async def close(self, connection: Connection) -> None:
        """The session has ended. Nothing here may fail its caller: leases and sweeps repair what is left."""
        session = connection.session
        session.state = State.CLOSED
        self._hub.remove(connection)
        for conversation_id in session.pushed:
            self._order.leave(conversation_id)
        try:
            await self._ports.presence.unregister(session.presence)
            await self.store_cursors([connection])
        except XinyuError as error:
            log.warning("a session ended while a service was away; its lease ends by itself", error=error.code)

    async def store_cursors(self, connections: list[Connection]) -> None:
        """Store the cursors that moved, in one batch."""
        moved = [
            DeviceCursor(c.session.user_id, c.session.device_id, conversation_id, seq)
            for c in connections
            for conversation_id, seq in c.session.take_dirty().items()
        ]
        if moved:
            await self._ports.devices.move_cursors(moved)

    async def _push_missed(self, connection: Connection, behind: list[DeviceState]) -> None:
        session = connection.session
        cursors = {str(state.conversation_id): session.pushed[state.conversation_id] for state in behind}
        heads = {state.conversation_id: state.last_seq for state in behind}
        others = {str(id_): head for id_, head in session.pushed.items() if str(id_) not in cursors}
        while session.state is State.OPENING:
            page = await self._ports.messages.sync(
                session.user_id, session.device_id, {**others, **cursors}, limit=PAGE
            )
            entries = [
                entry
                for item in page.items
                for entry in item.entries
                if entry.seq <= heads.get(item.conversation_id, 0)
            ]
            if not entries:
                break
            self._deliverer.bring_missed(connection, await self._deliverer.with_names(entries))
            for entry in entries:
                cursors[str(entry.conversation_id)] = entry.seq
            await connection.queue.drained()
        for conversation_id, head in heads.items():
            session.pushed[conversation_id] = max(session.pushed[conversation_id], head)
