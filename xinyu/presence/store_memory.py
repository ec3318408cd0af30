"""Sessions in this process's memory: for a monolith. Nothing survives it, as nothing it describes does."""

from __future__ import annotations

from collections.abc import Iterable

from xinyu.kernel.ids import NodeId, SessionId, UserId, new_hex_id
from xinyu.presence.store import PresenceStore, Put
from xinyu.presence.types import NodeRef, PresenceEntry

USERS_WITH_TURNS = 100_000
"""How many users' highest turns are remembered; of more, those who took none for longest are forgotten."""
_Rank = tuple[int, str]
"""A turn and, among equals, its session."""
NO_RANK: _Rank = (0, "")


class MemoryPresenceStore(PresenceStore):
    """Two indexes: by user for lookups, by session for healing."""

    in_process = True

    def __init__(self) -> None:
        self._by_user: dict[UserId, dict[SessionId, tuple[PresenceEntry, int]]] = {}
        self._user_of: dict[SessionId, UserId] = {}
        self._epochs: dict[NodeId, int] = {}
        self._highest: dict[UserId, dict[str | None, _Rank]] = {}
        """By platform; under None of them all."""
        self._incarnation = new_hex_id()

    async def put(self, entries: Iterable[PresenceEntry], expires_ms: int, lease_ms: int = 0) -> Put:
        replaced: list[PresenceEntry] = []
        missing: list[PresenceEntry] = []
        for entry in entries:
            newest = self._epochs.get(entry.at.node, entry.at.epoch)
            if entry.at.epoch < newest:
                continue
            if entry.at.epoch > newest:
                await self.remove_node(entry.at.node, newest)
            self._epochs[entry.at.node] = entry.at.epoch
            if entry.turn:
                lost = self._take_place(entry)
                replaced += lost
                for loser in lost:
                    await self.remove(loser.at, loser.user_id, loser.session_id)
                if entry in lost:
                    continue
            held = self._by_user.setdefault(entry.user_id, {})
            old, until_ms = held.get(entry.session_id, (entry, 0))
            if until_ms <= expires_ms - lease_ms or not _same_life(old.at, entry.at):
                missing.append(entry)
            held[entry.session_id] = (entry, expires_ms)
            self._user_of[entry.session_id] = entry.user_id
        return Put(replaced, missing)

    async def take_turn(self, user_id: UserId, now_ms: int) -> int:
        highest = self._highest.pop(user_id, {})
        turn = max(now_ms, highest.get(None, NO_RANK)[0] + 1)
        highest[None] = (turn, "")
        self._highest[user_id] = highest
        if len(self._highest) > USERS_WITH_TURNS:
            del self._highest[next(iter(self._highest))]
        return turn

    async def remove(self, at: NodeRef, user_id: UserId, session_id: SessionId) -> None:
        sessions = self._by_user.get(user_id, {})
        held = sessions.get(session_id)
        if held is None or not _same_life(held[0].at, at):
            return
        del sessions[session_id]
        self._user_of.pop(session_id, None)
        if not sessions:
            del self._by_user[user_id]

    async def remove_sessions(self, at: NodeRef, session_ids: Iterable[SessionId]) -> None:
        for session_id in session_ids:
            user_id = self._user_of.get(session_id)
            if user_id is not None:
                await self.remove(at, user_id, session_id)

    async def remove_node(self, node: NodeId, epoch: int) -> None:
        entries = [entry for sessions in self._by_user.values() for entry, _ in sessions.values()]
        for entry in entries:
            if entry.at.node == node and entry.at.epoch <= epoch:
                await self.remove(entry.at, entry.user_id, entry.session_id)

    async def find(self, user_ids: Iterable[UserId], now_ms: int) -> list[PresenceEntry]:
        found: list[PresenceEntry] = []
        for user_id in user_ids:
            sessions = self._by_user.get(user_id)
            if sessions is None:
                continue
            for entry, expires_ms in list(sessions.values()):
                if expires_ms <= now_ms:
                    self.expired += 1
                    await self.remove(entry.at, user_id, entry.session_id)
                else:
                    found.append(entry)
        return found

    async def count_users(self) -> int:
        return len(self._by_user)

    async def incarnation(self) -> str:
        return self._incarnation

    def _take_place(self, entry: PresenceEntry) -> list[PresenceEntry]:
        """Those whom it costs their place; itself where it comes too late."""
        highest = self._highest.setdefault(entry.user_id, {})
        if _rank(entry) < highest.get(entry.platform, NO_RANK):
            return [entry]
        highest[entry.platform] = _rank(entry)
        highest[None] = max(highest.get(None, NO_RANK), (entry.turn, ""))
        held = [held for held, _ in self._by_user.get(entry.user_id, {}).values()]
        return [one for one in held if one.turn and one.platform == entry.platform and _rank(one) < _rank(entry)]


def _rank(entry: PresenceEntry) -> _Rank:
    return entry.turn, entry.session_id


def _same_life(a: NodeRef, b: NodeRef) -> bool:
    return a.node == b.node and a.epoch == b.epoch
