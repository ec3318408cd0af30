"""The presence service: leases over a store, lookups grouped by node."""

from __future__ import annotations

import contextlib

import msgspec

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import DeviceId, NodeId, SessionId, UserId
from xinyu.presence.port import PresencePort
from xinyu.presence.store import PresenceStore, Put
from xinyu.presence.types import NodeRef, NodeSessions, OnlineUser, PresenceEntry, SessionTarget
from xinyu.telemetry.readings import Reading

CENSUS_SECONDS = 5.0


class PresenceService(PresencePort):
    """Serves `PresencePort` from a store."""

    def __init__(self, store: PresenceStore, clock: Clock, lease_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._lease_ms = int(lease_seconds * 1000)
        self._lookups = 0
        self._asked = 0
        self._found = 0
        self._online = 0
        self._replaced = 0

    async def run(self) -> None:
        """Count who is online, for metrics. Works for ever."""
        while True:
            with contextlib.suppress(XinyuError):  # the store is away: the last count stays
                self._online = await self._store.count_users()
            await self._clock.sleep(CENSUS_SECONDS)

    def readings(self) -> list[Reading]:
        """For metrics. The hit rate of lookups is found / asked."""
        return [
            ("xinyu_presence_online_users", "Users with a session; in Redis estimated.", self._online),
            ("xinyu_presence_lookups_total", "Lookups of users' sessions, one for a whole fan-out.", self._lookups),
            ("xinyu_presence_users_asked_total", "Users that lookups were for.", self._asked),
            ("xinyu_presence_users_found_total", "Of them, those who had a session.", self._found),
            (
                "xinyu_presence_expired_total",
                "Sessions found dead: a lease or a node's life was over.",
                self._store.expired,
            ),
            ("xinyu_presence_replaced_total", "Sessions that lost their platform to a newer one.", self._replaced),
        ]

    async def register(self, entry: PresenceEntry, lease_seconds: float | None = None) -> list[PresenceEntry]:
        lease_ms = self._lease_ms if lease_seconds is None else int(lease_seconds * 1000)
        return (await self._put([entry], lease_ms)).replaced

    async def unregister(self, entry: PresenceEntry) -> None:
        await self._store.remove(entry.at, entry.user_id, entry.session_id)

    async def renew(self, at: NodeRef, entries: list[PresenceEntry], tell_missing: bool = False) -> list[PresenceEntry]:
        put = await self._put([entry for entry in entries if entry.at == at], self._lease_ms)
        missing = put.missing if tell_missing else []
        return put.replaced + [msgspec.structs.replace(entry, missing=True) for entry in missing]

    async def locate(self, user_ids: list[UserId]) -> list[NodeSessions]:
        by_node: dict[NodeRef, list[SessionTarget]] = {}
        for entry in await self._find(user_ids):
            by_node.setdefault(entry.at, []).append(SessionTarget(entry.user_id, entry.session_id))
        return [NodeSessions(at, sessions) for at, sessions in by_node.items()]

    async def list_online(self, user_ids: list[UserId]) -> list[OnlineUser]:
        platforms: dict[UserId, set[str]] = {}
        devices: dict[UserId, set[DeviceId]] = {}
        for entry in await self._find(user_ids):
            platforms.setdefault(entry.user_id, set()).add(entry.platform)
            devices.setdefault(entry.user_id, set()).add(entry.device_id)
        return [OnlineUser(user, sorted(found), sorted(devices[user])) for user, found in platforms.items()]

    async def forget(self, at: NodeRef, session_ids: list[SessionId]) -> None:
        await self._store.remove_sessions(at, session_ids)

    async def drop_node(self, node: NodeId, epoch: int) -> None:
        await self._store.remove_node(node, epoch)

    async def incarnation(self) -> str:
        return await self._store.incarnation()

    async def take_turn(self, user_id: UserId) -> int:
        return await self._store.take_turn(user_id, self._clock.now_ms())

    async def _put(self, entries: list[PresenceEntry], lease_ms: int) -> Put:
        put = await self._store.put(entries, self._now_ms() + lease_ms, lease_ms)
        self._replaced += len(put.replaced)
        return put

    async def _find(self, user_ids: list[UserId]) -> list[PresenceEntry]:
        found = await self._store.find(user_ids, self._now_ms())
        self._lookups += 1
        self._asked += len(user_ids)
        self._found += len({entry.user_id for entry in found})
        return found

    def _now_ms(self) -> int:
        """What leases are measured by."""
        return int(self._clock.monotonic() * 1000) if self._store.in_process else self._clock.now_ms()
