"""Sessions in Redis: for a cluster. Every process sees the same; Redis may lose it all, renewals bring it back.

Keys, each script touching one of them, so that Redis Cluster may put them anywhere:

- `u:<user>`   hash, session → "node epoch generation expires_ms number payload"
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
from xinyu.presence.store import PresenceStore
from xinyu.presence.types import NodeRef, PresenceEntry
from xinyu.storage.errors import StorageUnavailable
from xinyu.storage.redis import RedisDatabase, Script, call

LEASES_KEPT = 3
"""How many leases a key outlives its last renewal."""
NODES_REMEMBERED = 1000

NEWER = "local function newer(a, b) return #a > #b or (#a == #b and a > b) end\n"
"""Decimal numbers as text, so that none is too long for a Lua number."""

PUT = Script(
    NEWER
    + """
local held, last = {}, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local node, epoch, generation, expires, number = string.match(all[i + 1], '^(%S+) (%d+) (%d+) (%d+) (%d+) ')
  held[all[i]] = {node = node, epoch = epoch, generation = generation, expires = expires, number = number}
  last = math.max(last, tonumber(number))
end
for i = 2, #ARGV, 6 do
  local session, node, epoch, generation, expires = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local old, number = held[session], nil
  local same_node = old and old.node == node
  if not (same_node and newer(old.epoch, epoch)) then
    if same_node and old.epoch == epoch then
      number = old.number
      if newer(old.generation, generation) then generation = old.generation end
      if newer(old.expires, expires) then expires = old.expires end
    else
      last = last + 1
      number = string.format('%d', last)
    end
    local entry = table.concat({node, epoch, generation, expires, number, ARGV[i + 5]}, ' ')
    redis.call('HSET', KEYS[1], session, entry)
    held[session] = {node = node, epoch = epoch, generation = generation, expires = expires, number = number}
  end
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
"""
)
"""ttl_ms, then (session, node, epoch, generation, expires_ms, payload)…; a late one shortens no lease."""

REMOVE = Script(
    """
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry and string.sub(entry, 1, #ARGV[2]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""
)
"""session, "node epoch " that it must be of."""

REMOVE_SEEN = Script(
    """
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
"""
)
"""(session, entry as it was read)…"""

ADVANCE = Script(
    NEWER
    + """
local newest, generation = string.match(redis.call('GET', KEYS[1]) or '0 0', '^(%d+) (%d+)$')
if newer(ARGV[1], newest) then newest = ARGV[1] end
redis.call('SET', KEYS[1], newest .. ' ' .. generation, 'PX', ARGV[2])
return newest .. ' ' .. generation
"""
)
"""epoch, ttl_ms; answers what the node is at."""

DROP = Script(
    NEWER
    + """
local newest, generation = string.match(redis.call('GET', KEYS[1]) or '0 0', '^(%d+) (%d+)$')
if not newer(newest, ARGV[1]) then
  redis.call('SET', KEYS[1], newest .. ' ' .. string.format('%d', generation + 1), 'PX', ARGV[2])
end
"""
)
"""epoch, ttl_ms. Older epochs than the newest are dead in any case."""


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

    async def put(self, entries: Iterable[PresenceEntry], expires_ms: int, lease_ms: int = 0) -> None:
        lease_ms = lease_ms or self._lease_ms
        ttl_ms = max(self._ttl_ms, LEASES_KEPT * lease_ms)
        by_life: dict[tuple[NodeId, int], list[PresenceEntry]] = {}
        for entry in entries:
            by_life.setdefault((entry.at.node, entry.at.epoch), []).append(entry)
        if not by_life:
            return
        answers = await self._redis.run([ADVANCE.on(self._node(node), epoch, ttl_ms) for node, epoch in by_life])
        by_user: dict[UserId, list[str | int]] = {}
        calls = []
        for held, answer in zip(by_life.values(), answers, strict=True):
            newest = _life(answer)
            for entry in held:
                if entry.at.epoch >= newest.epoch:
                    arguments = by_user.setdefault(entry.user_id, [ttl_ms])
                    arguments += _arguments(entry, newest.generation, expires_ms)
                    calls.append(call("SET", self._session(entry.session_id), entry.user_id, "PX", ttl_ms))
        calls += [PUT.on(self._user(user_id), *arguments) for user_id, arguments in by_user.items()]
        if by_user:
            bucket = (expires_ms - lease_ms) // self._lease_ms + 1
            calls += [
                call("SET", self._counted("now"), bucket, "PX", self._ttl_ms),
                call("PFADD", self._counted(bucket), *by_user),
                call("PEXPIRE", self._counted(bucket), self._ttl_ms),
            ]
        await self._redis.run(calls)

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
    return (entry.session_id, _quoted(entry.at.node), entry.at.epoch, generation, expires_ms, payload)


def _read(user_id: UserId, sessions: dict[str, str]) -> list[_Held]:
    held = []
    for session, text in sessions.items():
        node, epoch, generation, expires_ms, number, payload = text.split(" ", 5)
        device, platform, address = msgspec.json.decode(payload, type=tuple[str, str, str])
        at = NodeRef(NodeId(_unquoted(node)), int(epoch), address)
        entry = PresenceEntry(user_id, SessionId(session), DeviceId(device), platform, at)
        held.append(_Held(text, entry, _Life(int(epoch), int(generation)), int(expires_ms), int(number)))
    return sorted(held, key=lambda item: item.number)


def _life(answer: str | None) -> _Life:
    """A node that nobody knows anything of is at its beginning, so its entries live by their leases alone."""
    epoch, generation = (answer or "0 0").split()
    return _Life(int(epoch), int(generation))


def _lives(entry: _Life, node: _Life) -> bool:
    return entry.epoch >= node.epoch and entry.generation >= node.generation
