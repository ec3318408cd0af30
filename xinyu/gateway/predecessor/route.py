"""What the predecessor's processes ask a presence service (201 to 204), answered from ours."""

from __future__ import annotations

from xinyu.gateway.predecessor.bodies import NOTHING, Told, line, read
from xinyu.gateway.predecessor.places import Allowed, entry_at, is_theirs, place_at, split
from xinyu.gateway.predecessor.settings import PredecessorSettings
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.presence.port import PresencePort
from xinyu.presence.types import NodeRef
from xinyu.rpc.dispatch import Reply
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
MAX_TTL_SECONDS = 3600
NO_UID = Reply(400, "missing uid", b"")
NO_GATEWAY = Reply(400, "missing gateway_rpc", b"")
FOREIGN_GATEWAY = Reply(403, "gateway_rpc is not allowed", b"")
SET_FAILED = Reply(500, "redis set failed", b"")
DELETE_FAILED = Reply(500, "redis del failed", b"")
GET_FAILED = Reply(500, "redis get failed", b"")


class RouteDesk:
    """Keeps nothing itself, so any number of processes may answer."""

    def __init__(self, presence: PresencePort, settings: PredecessorSettings, clock: Clock) -> None:
        self._presence = presence
        self._ttl_seconds = settings.ttl_seconds
        self._allowed = Allowed(settings.allowed)
        self._clock = clock
        self.address = ""
        """Where our side takes deliveries."""

    async def set_online(self, body: bytes) -> Reply:
        """201 and 203: the user is connected to one of its gateways. We will call that gateway, so it must be one that
        may call us."""
        told = read(body) or NOTHING
        if not told.uid:
            return NO_UID
        if not told.gateway_rpc:
            return NO_GATEWAY
        host, port = split(told.gateway_rpc)
        if not port or host not in self._allowed or told.gateway_rpc == self.address:
            log.warning("a gateway outside of predecessor.allowed was not taken", address=told.gateway_rpc)
            return FOREIGN_GATEWAY
        ttl = min(told.ttl_sec or self._ttl_seconds, MAX_TTL_SECONDS)
        try:
            await self._presence.register(entry_at(told.uid, place_at(told.gateway_rpc)), lease_seconds=ttl)
        except XinyuError as error:
            return _failed(SET_FAILED, error)
        now = self._clock.now_ms()
        return _ok(line(uid=told.uid, gateway_rpc=told.gateway_rpc, ttl_sec=ttl, last_seen_ms=now))

    async def set_offline(self, body: bytes) -> Reply:
        """202: wherever among its gateways the user was. His sessions with ours stay."""
        told = read(body) or NOTHING
        if not told.uid:
            return NO_UID
        try:
            for at in await self._places_of(told):
                if is_theirs(at):
                    await self._presence.unregister(entry_at(told.uid, at))
        except XinyuError as error:
            return _failed(DELETE_FAILED, error)
        return _ok(line(uid=told.uid))

    async def get_route(self, body: bytes) -> Reply:
        """204: one address. Ours for whoever has a session with us, whichever of our nodes holds it."""
        told = read(body) or NOTHING
        if not told.uid:
            return NO_UID
        try:
            places = await self._places_of(told)
        except XinyuError as error:
            return _failed(GET_FAILED, error)
        if not places:
            return Reply(404, "not found", line(uid=told.uid))
        theirs = [at.address for at in places if is_theirs(at)]
        address = self.address if len(theirs) < len(places) else theirs[0]
        return _ok(line(uid=told.uid, gateway_rpc=address))

    async def _places_of(self, told: Told) -> list[NodeRef]:
        return [found.at for found in await self._presence.locate([told.uid])]


def _ok(body: bytes) -> Reply:
    return Reply(200, "ok", body)


def _failed(reply: Reply, error: XinyuError) -> Reply:
    log.warning("presence is away; a process of the predecessor was told so", error=error.code)
    return reply
