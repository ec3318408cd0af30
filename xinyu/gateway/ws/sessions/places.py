"""The places of this node's sessions in presence, and whom a newer session of its platform costs his.

Where a platform is for one device at a time, a session takes a turn and registers with it: the highest turn stays, in
whatever order registrations, renewals and their repetitions arrive (G7). Who lost is told to go by his session, so an
order that comes late closes nothing newer; one that is lost is made up for by the loser's next renewal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping, Sequence

import msgspec

from xinyu.delivery.types import CloseOrder
from xinyu.gateway.ports import Ports
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.hub import Connection, Hub
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.presence.types import NodeRef, PresenceEntry
from xinyu.rpc.deadline import adopt_deadline
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
OTHER_DEVICE = "您的账号已在另一台设备上登录"
RENEWED_AT_ONCE = 1000
"""Sessions whose leases one call extends."""
THE_REST = "*"
"""The platform that stands for all that have no rule of their own."""


class Places:
    """Registers sessions by the rules of their platforms, and closes those who lost their place."""

    def __init__(
        self, hub: Hub, ports: Ports, clock: Clock, here: NodeRef, platforms: Mapping[str, str], lease_seconds: float
    ) -> None:
        self.lease_seconds = lease_seconds
        """How long a place is kept without renewal."""
        self._hub = hub
        self._ports = ports
        self._clock = clock
        self._here = here
        self._platforms = platforms
        self._kicks: set[asyncio.Task[None]] = set()

    async def register(self, connection: Connection) -> None:
        """Make a session known. Raises what presence raises; the session has its turn all the same, by the clock."""
        session = connection.session
        if self._is_for_one(session.presence.platform) and not session.presence.turn:
            session.presence = msgspec.structs.replace(session.presence, turn=self._clock.now_ms())
            turn = await self._ports.presence.take_turn(session.user_id)
            session.presence = msgspec.structs.replace(session.presence, turn=turn)
        self._close(await self._ports.presence.register(session.presence), session.presence)

    async def renew(
        self, at: NodeRef, connections: Sequence[Connection], missing: MutableMapping[Connection, None]
    ) -> None:
        """Extend the leases of sessions, some at a time: all of a full node in one call would hold presence up. Those
        that presence did not know any more are added to `missing`. Raises what presence raises."""
        for start in range(0, len(connections), RENEWED_AT_ONCE):
            some = [connection.session.presence for connection in connections[start : start + RENEWED_AT_ONCE]]
            told = await self._ports.presence.renew(at, some, tell_missing=True)
            self._close([entry for entry in told if not entry.missing])
            found = (self._hub.find(entry.session_id) for entry in told if entry.missing)
            missing.update(dict.fromkeys(connection for connection in found if connection is not None))

    def _is_for_one(self, platform: str) -> bool:
        return self._platforms.get(platform, self._platforms.get(THE_REST)) == "one"

    def _close(self, losers: Sequence[PresenceEntry], winner: PresenceEntry | None = None) -> None:
        """Those here at once, the others by their nodes. A device that came back is not told that it is another."""
        for loser in losers:
            same_device = winner is not None and _is_former(loser, winner)
            order = CloseOrder(
                loser.user_id,
                close_code=CloseCode.REPLACED,
                reason="this device connected again" if same_device else "another device took this platform",
                session_id=loser.session_id,
                at=loser.at,
                notice="" if same_device else OTHER_DEVICE,
            )
            if loser.at == self._here:
                self._hub.close_matching(order)
            else:
                task = asyncio.create_task(self._kick(order))
                self._kicks.add(task)
                task.add_done_callback(self._kicks.discard)

    async def _kick(self, order: CloseOrder) -> None:
        adopt_deadline(None)  # nobody waits for it
        try:
            await self._ports.delivery.close_sessions(order)
        except XinyuError as error:
            log.warning("a session that lost its platform is closed at its next renewal", error=error.code)


def _is_former(session: PresenceEntry, other: PresenceEntry) -> bool:
    """Whether it is an earlier connection of the other's device."""
    return session.device_id == other.device_id and session.session_id != other.session_id
