"""Where every run begins: a cluster's configuration, and a database in which some people share a group
and are each other's contacts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from xinyu.app.settings import Settings
from xinyu.app.shape import histories_of
from xinyu.discovery.registry_memory import MemoryDirectory
from xinyu.kernel.ids import ConversationId, GroupId, LoginId, UserId, new_hex_id
from xinyu.message.types import Kind, private_parties
from xinyu.sdk.types import Talk
from xinyu.simulation.cluster import Cluster
from xinyu.simulation.containers import Containers
from xinyu.simulation.node import Surroundings
from xinyu.simulation.rooms import HALL, ROOM
from xinyu.simulation.world.ambient import ambient
from xinyu.simulation.world.database import Engine
from xinyu.simulation.world.loop import SimulationLoop
from xinyu.simulation.world.memory import SharedMemory
from xinyu.simulation.world.network import Network
from xinyu.simulation.world.paths import Paths
from xinyu.storage.migrations import upgrade
from xinyu.storage.sql import InlineSqliteDatabase
from xinyu.telemetry.logs import diverted
from xinyu.user.store import NewAccount, NewLogin
from xinyu.user.types import LoginOrigin

PEOPLE = 3
GUESTS = 2
"""Accounts that are in no group and nobody's contacts."""
PROCESSES: dict[str, tuple[str, ...]] = {
    "people": ("user", "contact", "group"),
    "who": ("presence",),
    "talk-1": ("message", "delivery"),
    "talk-2": ("message", "delivery"),
    "gate-1": ("gateway_ws",),
    "gate-2": ("gateway_ws",),
}
LEASE_SECONDS = 9.0
"""Shorter than usual, so that leases end within a run."""
SECRET = "the simulation's own, for nobody else"
LOGIN_SECONDS = 604_800
_CONTAINERS = Containers()


class Person(NamedTuple):
    """Somebody with a log-in for each of two devices."""

    uid: UserId
    phone_token: str
    page_token: str


class Group(NamedTuple):
    """A group of all people, owned by the first of them."""

    group_id: GroupId
    conversation_id: ConversationId
    head: int
    """Where its log is."""


class Pair(NamedTuple):
    """The private conversation of two people, who are contacts."""

    uids: tuple[UserId, UserId]
    conversation_id: ConversationId
    head: int

    @property
    def name(self) -> str:
        """The same for both."""
        return f"users {self.uids[0]} and {self.uids[1]}"


class Scene(NamedTuple):
    """What is stored when a run begins."""

    image: bytes
    people: tuple[Person, ...]
    guests: tuple[Person, ...]
    room: Group
    hall: Group
    """In which only the owner and admins speak."""
    pairs: tuple[Pair, ...]

    def talks(self) -> dict[UserId, dict[str, Talk]]:
        """By user and by name, how he asks for a conversation."""
        groups = {ROOM: Talk.group(self.room.group_id), HALL: Talk.group(self.hall.group_id)}
        found = {person.uid: dict(groups) for person in self.people}
        for pair in self.pairs:
            for uid, peer in (pair.uids, pair.uids[::-1]):
                found[uid][pair.name] = Talk.user(peer)
        return found


@cache
def settings_of_all() -> tuple[Settings, ...]:
    """The configuration, a process each."""
    shared = {
        "auth": {"jwt_secret": SECRET},
        "rpc": {"secret": SECRET},
        "presence": {
            "store": "redis", "redis_url": "redis://simulated", "lease_seconds": LEASE_SECONDS,
            "renew_seconds": LEASE_SECONDS / 3,
        },
        "gateway": {"drain_seconds": 2.0},
    }  # fmt: skip
    return tuple(Settings(node=node, roles=roles, **shared) for node, roles in PROCESSES.items())  # type: ignore[arg-type]


@cache
def _database() -> InlineSqliteDatabase:
    """One for all runs of a process: what SQLAlchemy has compiled stays compiled."""
    return InlineSqliteDatabase(Path(":memory:"))


def surroundings(loop: SimulationLoop, rng: random.Random) -> Surroundings:
    """New ones, on the one database of this process."""
    paths = Paths(loop, rng)
    engine = Engine(_database(), loop, paths, rng)
    return Surroundings(loop, Network(loop, paths), MemoryDirectory(), engine, SharedMemory(paths), _CONTAINERS)


@cache
def scene() -> Scene:
    """Made once for a process, by the services themselves."""
    rng = random.Random("the scene")
    loop = SimulationLoop(rng.random)
    with diverted(None), ambient(loop.time, rng):
        around = surroundings(loop, rng)
        try:
            return loop.run_until_complete(around.loop.world.spawn(_make(around, rng)))
        finally:
            loop.dispose()
            around.containers.take_back()


async def _make(around: Surroundings, rng: random.Random) -> Scene:
    for _, history in histories_of(role for roles in PROCESSES.values() for role in roles):
        await upgrade(around.engine.inner, history)
    cluster = Cluster(settings_of_all(), around, rng)
    await cluster.start()
    place, container = cluster.lives["people"].place, cluster.lives["people"].container
    everybody = [await place.spawn(_account(cluster, number)) for number in range(PEOPLE + GUESTS)]
    people = tuple(everybody[:PEOPLE])
    room = await _group(cluster, people)
    hall = await _group(cluster, people)
    await place.spawn(container.group_service().set_mute_all(people[0].uid, hall.group_id, True))
    hall = hall._replace(head=hall.head + 1)
    pairs = [await _pair(cluster, one, other) for one, other in combinations((person.uid for person in people), 2)]
    return Scene(around.engine.inner.image(), people, tuple(everybody[PEOPLE:]), room, hall, tuple(pairs))


async def _group(cluster: Cluster, people: Sequence[Person]) -> Group:
    owner, *others = (person.uid for person in people)
    place, groups = cluster.lives["people"].place, cluster.lives["people"].container.group_service()
    group_id = await place.spawn(groups.create(owner, "simulated", others))
    return Group(group_id, *await _found(cluster, Kind.GROUP, (group_id, 0)))


async def _pair(cluster: Cluster, one: UserId, other: UserId) -> Pair:
    place, applications = cluster.lives["people"].place, cluster.lives["people"].container.application_service()
    await place.spawn(applications.apply(one, other, "simulated"))
    [application] = await place.spawn(applications.list_pending(other))
    await place.spawn(applications.accept(other, application.application_id, ""))
    return Pair((one, other), *await _found(cluster, Kind.PRIVATE, private_parties(one, other)))


async def _found(cluster: Cluster, kind: Kind, parties: tuple[int, int]) -> tuple[ConversationId, int]:
    """A conversation, and where its log is."""
    log = cluster.lives["talk-1"].container.log_store()
    conversation_id = await log.find_conversation(kind, parties)
    assert conversation_id is not None
    return conversation_id, len(await log.read_range(conversation_id, 1, 1000))


async def _account(cluster: Cluster, number: int) -> Person:
    container = cluster.lives["people"].container
    store, issuer, now_ms = container.account_store(), container.token_issuer(), container.clock().now_ms()
    logins = [
        NewLogin(LoginId(new_hex_id()), LoginOrigin(platform, ""), now_ms, now_ms + LOGIN_SECONDS * 1000)
        for platform in ("app", "web")
    ]
    uid = await store.create(NewAccount(f"person {number}", f"1380000000{number}", "no password"), now_ms, logins[0])
    await store.open_login(uid, "no password", logins[1])
    tokens = [issuer.issue(uid, login.login_id, 0, login.origin.platform).token for login in logins]
    return Person(uid, *tokens)
