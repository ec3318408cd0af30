"""Sessions in Redis: for a cluster. Every process sees the same; Redis may lose it all, renewals bring it back.

Keys, each script touching one of them, so that Redis Cluster may put them anywhere:

- `u:<user>`   hash, session → "node epoch generation expires_ms number turn place payload", where the place is
  "#<platform>", or "-" outside of the rule of one device; "#<platform>" → the highest "turn session" there was, "##" →
  the highest turn
- `s:<session>` the session's user, for those who know a session only
- `n:<node>`   "newest-epoch generation" of a node; what is of an older epoch or generation is dead, wherever it stands

So a node's new life, or dropping a node, is one write; readers pass over the dead and remove what they met. Times are
the caller's. Keys end by themselves some leases after their last renewal; that is tidiness, leases are what counts.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec

from xinyu.kernel.ids import DeviceId, NodeId, SessionId, UserId, new_hex_id
from xinyu.presence.scripts_redis import ADVANCE, DROP, PUT, REMOVE, REMOVE_SEEN, TAKE_TURN
from xinyu.presence.store import PresenceStore, Put
from xinyu.presence.types import NodeRef, PresenceEntry
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.redis import RedisDatabase, call

LEASES_KEPT = 3
"""How many leases a key outlives its last renewal."""
NODES_REMEMBERED = 1000


class _Life(NamedTuple):
    """Where a node is: what is older is dead."""

    epoch: int
    generation: int


class _Held(NamedTuple):
    """An entry as it stands in a user's hash."""

    text: str
    entry: PresenceEntry
    life: _Life
    expires_ms: int
    number: int
    """Counts the sessions of one user in the order they came."""


class RedisPresenceStore(PresenceStore):
    """Atomic per user. Every method raises StorageUnavailable while Redis is away, and then may have been done."""

    def __init__(self, redis: RedisDatabase, lease_seconds: float, prefix: str = "xinyu:presence:") -> None:
        self._redis = redis
        self._prefix = prefix
        self._lease_ms = max(1, int(lease_seconds * 1000))
        self._ttl_ms = LEASES_KEPT * self._lease_ms
        self._nodes: dict[NodeId, None] = {}

    async def put(self, entries: Iterable[PresenceEntry], expires_ms: int, lease_ms: int = 0) -> Put:
        lease_ms = lease_ms or self._lease_ms
        now_ms = expires_ms - lease_ms
        ttl_ms = max(self._ttl_ms, LEASES_KEPT * lease_ms)
        by_life: dict[tuple[NodeId, int], list[PresenceEntry]] = {}
        for entry in entries:
            by_life.setdefault((entry.at.node, entry.at.epoch), []).append(entry)
        if not by_life:
            return Put([], [])
        answers = await self._redis.run([ADVANCE.on(self._node(node), epoch, ttl_ms) for node, epoch in by_life])
        by_user: dict[UserId, list[str | int]] = {}
        calls = []
        for held, answer in zip(by_life.values(), answers, strict=True):
            newest = _life(answer)
            for entry in held:
                if entry.at.epoch >= newest.epoch:
                    arguments = by_user.setdefault(entry.user_id, [ttl_ms, now_ms])
                    arguments += _arguments(entry, newest.generation, expires_ms)
                    calls.append(call("SET", self._session(entry.session_id), entry.user_id, "PX", ttl_ms))
        puts = [PUT.on(self._user(user_id), *arguments) for user_id, arguments in by_user.items()]
        first = len(calls)
        calls += puts
        if by_user:
            bucket = now_ms // self._lease_ms + 1
            calls += [
                call("SET", self._counted("now"), bucket, "PX", self._ttl_ms),
                call("PFADD", self._counted(bucket), *by_user),
                call("PEXPIRE", self._counted(bucket), self._ttl_ms),
            ]
        answers = (await self._redis.run(calls))[first : first + len(puts)]
        put = {entry.session_id: entry for held in by_life.values() for entry in held}
        replaced = [
            held.entry
            for user_id, (told, _) in zip(by_user, answers, strict=True)
            for held in _read(user_id, dict(zip(told[::2], told[1::2], strict=True)))
        ]
        return Put(replaced, [put[session_id] for _, missing in answers for session_id in missing])

    async def take_turn(self, user_id: UserId, now_ms: int) -> int:
        (turn,) = await self._redis.run([TAKE_TURN.on(self._user(user_id), now_ms, self._ttl_ms)])
        return int(turn)

    async def remove(self, at: NodeRef, user_id: UserId, session_id: SessionId) -> None:
        await self._redis.run([REMOVE.on(self._user(user_id), session_id, _owner(at))])

    async def remove_sessions(self, at: NodeRef, session_ids: Iterable[SessionId]) -> None:
        sessions = list(dict.fromkeys(session_ids))
        users = await self._redis.run([call("GET", self._session(session_id)) for session_id in sessions])
        await self._redis.run(
            [
                REMOVE.on(self._user(UserId(int(user))), session_id, _owner(at))
                for session_id, user in zip(sessions, users, strict=True)
                if user is not None
            ]
        )

    async def remove_node(self, node: NodeId, epoch: int) -> None:
        await self._redis.run([DROP.on(self._node(node), epoch, self._ttl_ms)])

    async def find(self, user_ids: Iterable[UserId], now_ms: int) -> list[PresenceEntry]:
        users = list(dict.fromkeys(user_ids))
        if not users:
            return []
        # The nodes we know of are asked for in the same pipeline, after the sessions: so their lives are not older.
        nodes = list(self._nodes)
        answers = await self._redis.run(
            [call("HGETALL", self._user(user_id)) for user_id in users]
            + [call("GET", self._node(node)) for node in nodes]
        )
        lives = {node: _life(answer) for node, answer in zip(nodes, answers[len(users) :], strict=True)}
        for node, answer in zip(nodes, answers[len(users) :], strict=True):
            if answer is None:  # nothing was heard of it for leases
                self._nodes.pop(node, None)
        held = [_read(user_id, sessions) for user_id, sessions in zip(users, answers[: len(users)], strict=True)]
        await self._learn({item.entry.at.node for items in held for item in items} - lives.keys(), lives)
        found: list[PresenceEntry] = []
        dead: dict[UserId, list[str]] = {}
        for items in held:
            for item in items:
                if item.expires_ms > now_ms and _lives(item.life, lives[item.entry.at.node]):
                    found.append(item.entry)
                else:
                    self.expired += 1
                    dead.setdefault(item.entry.user_id, []).extend((item.entry.session_id, item.text))
        await self._bury(dead)
        return found

    async def count_users(self) -> int:
        """Estimated (HyperLogLog, 1 %), with those who left within the last two leases."""
        (now,) = await self._redis.run([call("GET", self._counted("now"))])
        if now is None:
            return 0
        (count,) = await self._redis.run([call("PFCOUNT", self._counted(int(now)), self._counted(int(now) - 1))])
        return int(count)

    async def incarnation(self) -> str:
        key = f"{self._prefix}incarnation"
        _, name = await self._redis.run([call("SET", key, new_hex_id(), "NX"), call("GET", key)])
        return str(name)

    async def _learn(self, nodes: set[NodeId], lives: dict[NodeId, _Life]) -> None:
        """Ask for nodes not met before, and remember them for the next lookup (some, should there be very many)."""
        if not nodes:
            return
        if len(self._nodes) + len(nodes) > NODES_REMEMBERED:
            self._nodes.clear()
        ordered = sorted(nodes)
        answers = await self._redis.run([call("GET", self._node(node)) for node in ordered])
        for node, answer in zip(ordered, answers, strict=True):
            lives[node] = _life(answer)
            self._nodes[node] = None

    async def _bury(self, dead: dict[UserId, list[str]]) -> None:
        with contextlib.suppress(StorageUnavailable):  # the next reader meets them again
            await self._redis.run([REMOVE_SEEN.on(self._user(user_id), *seen) for user_id, seen in dead.items()])

    def _user(self, user_id: UserId) -> str:
        return f"{self._prefix}u:{user_id}"

    def _session(self, session_id: SessionId) -> str:
        return f"{self._prefix}s:{session_id}"

    def _node(self, node: NodeId) -> str:
        return f"{self._prefix}n:{node}"

    def _counted(self, what: str | int) -> str:
        return f"{self._prefix}{{users}}:{what}"  # one slot: they are counted together


@functools.lru_cache(NODES_REMEMBERED)
def _quoted(node: str) -> str:
    """Without spaces, which separate the parts of an entry."""
    return quote(node, safe="")


@functools.lru_cache(NODES_REMEMBERED)
def _unquoted(node: str) -> str:
    return unquote(node)


def _owner(at: NodeRef) -> str:
    return f"{_quoted(at.node)} {at.epoch} "


def _arguments(entry: PresenceEntry, generation: int, expires_ms: int) -> Sequence[str | int]:
    payload = msgspec.json.encode((entry.device_id, entry.platform, entry.at.address)).decode()
    place = f"#{_quoted(entry.platform)}" if entry.turn else "-"
    life = (_quoted(entry.at.node), entry.at.epoch, generation)
    return (entry.session_id, *life, expires_ms, entry.turn, place, payload)


def _read(user_id: UserId, sessions: dict[str, str]) -> list[_Held]:
    held = []
    for session, text in sessions.items():
        if session.startswith("#"):
            continue
        node, epoch, generation, expires_ms, number, turn, _, payload = text.split(" ", 7)
        device, platform, address = msgspec.json.decode(payload, type=tuple[str, str, str])
        at = NodeRef(NodeId(_unquoted(node)), int(epoch), address)
        entry = PresenceEntry(user_id, SessionId(session), DeviceId(device), platform, at, int(turn))
        held.append(_Held(text, entry, _Life(int(epoch), int(generation)), int(expires_ms), int(number)))
    return sorted(held, key=lambda item: item.number)


def _life(answer: str | None) -> _Life:
    """A node that nobody knows anything of is at its beginning, so its entries live by their leases alone."""
    epoch, generation = (answer or "0 0").split()
    return _Life(int(epoch), int(generation))


def _lives(entry: _Life, node: _Life) -> bool:
    return entry.epoch >= node.epoch and entry.generation >= node.generation
