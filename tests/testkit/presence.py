"""Presence over each of its stores, and what it must be."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from testkit.clock import ManualClock
from xinyu.kernel.ids import DeviceId, NodeId, SessionId, UserId
from xinyu.presence.port import PresencePort
from xinyu.presence.service import PresenceService
from xinyu.presence.store import PresenceStore
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.store_redis import RedisPresenceStore
from xinyu.presence.types import NodeRef, PresenceEntry
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_loopback import LoopbackTransport
from xinyu.storage.redis import RedisDatabase

LEASE = 30.0
ANN, BOB, CID = UserId(1), UserId(2), UserId(3)
CAST = {
    "s1": (ANN, 2), "s2": (ANN, 1), "s3": (ANN, 2), "s4": (ANN, 0), "s5": (BOB, 0), "s6": (BOB, 0), "s7": (CID, 1),
}  # fmt: skip
"""Sessions: whose, and their turns, 0 being outside of the rule of one device."""


def at(node: str, epoch: int = 1) -> NodeRef:
    return NodeRef(NodeId(node), epoch, f"{node}:1")


def entry(user_id: UserId, session: str, where: NodeRef, platform: str = "web", turn: int = 0) -> PresenceEntry:
    return PresenceEntry(user_id, SessionId(session), DeviceId(f"d-{session}"), platform, where, turn)


class Presence:
    """A presence service behind a stub that encodes, and its clock."""

    def __init__(self, store: PresenceStore) -> None:
        self.store = store
        self.clock = ManualClock()
        dispatcher = Dispatcher()
        dispatcher.add(PresencePort, PresenceService(store, self.clock, LEASE))
        self.port = make_stub(PresencePort, LoopbackTransport(dispatcher))

    async def sessions(self, *users: UserId) -> set[tuple[str, int, str]]:
        """(node, epoch, session) of everybody who is connected."""
        located = await self.port.locate(list(users or (ANN, BOB, CID)))
        found = [(node.at.node, node.at.epoch, target.session_id) for node in located for target in node.sessions]
        assert len(found) == len(set(found)), "nobody is named twice"
        assert len(located) == len({node.at for node in located}), "nor any node"
        return set(found)


@asynccontextmanager
async def presence_over(redis_url: str | None) -> AsyncIterator[Presence]:
    """An empty one, in memory or (by a prefix of its own) in a Redis."""
    if redis_url is None:
        yield Presence(MemoryPresenceStore())
        return
    redis = RedisDatabase(redis_url)
    try:
        yield Presence(RedisPresenceStore(redis, LEASE, f"t{secrets.token_hex(6)}:"))
    finally:
        await redis.close()


class Model:
    """What presence must be: per session the life it is in and when its lease ends; of a user's sessions with turns the
    highest there ever was."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[NodeRef, float]] = {}
        self.highest: dict[UserId, tuple[int, str]] = {}
        self.newest: dict[str, int] = {}
        self.now = 0.0

    def copy(self) -> Model:
        twin = Model()
        twin.held, twin.newest, twin.now = dict(self.held), dict(self.newest), self.now
        twin.highest = dict(self.highest)
        return twin

    def put(self, where: NodeRef, session: str) -> bool:
        """Whether it is there now and was not before."""
        if where.epoch < self.newest.get(where.node, 0):
            return False
        self.newest[where.node] = where.epoch
        self.held = {s: (w, t) for s, (w, t) in self.held.items() if w.node != where.node or w.epoch == where.epoch}
        user_id, turn = CAST[session]
        if turn:
            highest = self.highest[user_id] = max((turn, session), self.highest.get(user_id, (0, "")))
            lost = {s for s, (user, turn) in CAST.items() if user == user_id and turn > 0 and (turn, s) < highest}
            self.held = {s: held for s, held in self.held.items() if s not in lost}
            if session in lost:
                return False
        at, until = self.held.get(session, (where, self.now))
        self.held[session] = (where, self.now + LEASE)
        return until <= self.now or at != where

    def remove(self, where: NodeRef, session: str) -> None:
        if session in self.held and self.held[session][0] == where:
            del self.held[session]

    def drop(self, where: NodeRef) -> None:
        self.held = {s: (w, t) for s, (w, t) in self.held.items() if w.node != where.node or w.epoch > where.epoch}

    def sessions(self) -> set[tuple[str, int, str]]:
        return {(w.node, w.epoch, s) for s, (w, until) in self.held.items() if until > self.now}
