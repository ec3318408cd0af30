"""Where every run begins: a cluster's configuration, and a database in which some people share a group."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from xinyu.app.settings import Settings
from xinyu.app.shape import histories_of
from xinyu.discovery.registry_memory import MemoryDirectory
from xinyu.kernel.ids import ConversationId, GroupId, LoginId, UserId, new_hex_id
from xinyu.message.types import Kind
from xinyu.simulation.cluster import Cluster
from xinyu.simulation.containers import Containers
from xinyu.simulation.node import Surroundings
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
"""Accounts that are in no group."""
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


class Scene(NamedTuple):
    """What is stored when a run begins."""

    image: bytes
    people: tuple[Person, ...]
    guests: tuple[Person, ...]
    room: Group
    hall: Group
    """In which only the owner and admins speak."""


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
    return Scene(around.engine.inner.image(), people, tuple(everybody[PEOPLE:]), room, hall)


async def _group(cluster: Cluster, people: Sequence[Person]) -> Group:
    owner, *others = (person.uid for person in people)
    place, groups = cluster.lives["people"].place, cluster.lives["people"].container.group_service()
    group_id = await place.spawn(groups.create(owner, "simulated", others))
    log = cluster.lives["talk-1"].container.log_store()
    conversation_id = await log.find_conversation(Kind.GROUP, (group_id, 0))
    assert conversation_id is not None
    return Group(group_id, conversation_id, len(await log.read_range(conversation_id, 1, 1000)))


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
