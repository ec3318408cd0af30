"""What the predecessor's processes deliver to users of ours (101), passed on to their sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from xinyu.delivery.port import DelivererPort
from xinyu.delivery.types import NodeSignal
from xinyu.gateway.predecessor.bodies import MAX_EVENT, read
from xinyu.gateway.predecessor.places import is_theirs
from xinyu.gateway.present.signal import READY_MADE
from xinyu.gateway.ws.frames import event_frame
from xinyu.kernel.errors import XinyuError
from xinyu.presence.port import PresencePort
from xinyu.presence.types import NodeRef
from xinyu.rpc.dispatch import Reply
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
DELIVERED = Reply(200, "unhandle", b"")
"""The predecessor's gateway leaves the text of a fresh response."""
NO_JSON = Reply(400, "invalid json body", b"")
NO_TARGET = Reply(400, "missing uid or event", b"")
TOO_LONG = Reply(413, "payload too large", b"")
FAILED = Reply(503, "unavailable", b"")


class Relay:
    """Brings events to all sessions that a user has with us, on every node. Never to the predecessor's gateways, which
    have them of their own: so nothing can go round in circles."""

    def __init__(self, presence: PresencePort, find: Callable[[NodeRef], DelivererPort | None], max_bytes: int) -> None:
        """`find` knows the deliverer of a node."""
        self._presence = presence
        self._find = find
        self._max_bytes = max_bytes

    async def deliver(self, body: bytes) -> Reply:
        """101. 200 also when the user has no session: a push is a hint."""
        if len(body) > self._max_bytes:
            return TOO_LONG
        told = read(body)
        if told is None:
            return NO_JSON
        if not told.uid or not told.event or len(told.event) > MAX_EVENT:
            return NO_TARGET
        frame = msgspec.Raw(event_frame(told.event, told.payload))
        calls = []
        try:
            for found in await self._presence.locate([told.uid]):
                deliverer = None if is_theirs(found.at) else self._find(found.at)
                if deliverer is not None:
                    calls.append(deliverer.signal([NodeSignal(READY_MADE, found.sessions, frame)]))
            await asyncio.gather(*calls)
        except XinyuError as error:
            log.warning("an event of the predecessor's did not reach every session", error=error.code)
            return FAILED
        return DELIVERED
