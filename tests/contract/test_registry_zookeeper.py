"""What is ZooKeeper's own: sessions that end, left-overs of processes that were killed, ZooKeeper being away."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kazoo.client import KazooClient

from drills.sessions import end_session, sessions_of
from testkit.engines import OwnEngine, needs_engine
from testkit.registries import SESSION_SECONDS, Nodes, instance
from testkit.waiting import eventually
from xinyu.discovery.errors import DiscoveryRefused, DiscoveryUnavailable, NodeNameTaken
from xinyu.discovery.registry_zookeeper import ZooKeeperRegistry
from xinyu.discovery.types import State, encode_instance

pytestmark = [needs_engine("zookeeper"), pytest.mark.engine]


@pytest.fixture
async def nodes(zookeeper_hosts: str) -> AsyncIterator[Nodes]:
    nodes = Nodes(zookeeper_hosts)
    yield nodes
    await nodes.close()


@contextmanager
def raw(hosts: str, **options: Any) -> Iterator[Any]:
    """Another client, blocking."""
    client = KazooClient(hosts=hosts, timeout=SESSION_SECONDS, **options)
    client.start(timeout=10)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def expire(registry: ZooKeeperRegistry) -> None:
    """End its session on the server: whoever comes with the session's id and password may."""
    kazoo = registry._zk._kazoo
    with raw(",".join(f"{host}:{port}" for host, port in kazoo.hosts), client_id=kazoo.client_id):
        pass


def session_of(registry: ZooKeeperRegistry) -> int:
    return registry._zk.session_id


async def test_the_layout_is_the_one_others_may_read(nodes: Nodes, zookeeper_hosts: str) -> None:
    registry = await nodes.open_zookeeper()
    await registry.register(instance("n1", 7, "user", "message", zone="east"))
    with raw(zookeeper_hosts) as client:
        root = nodes.settings.root
        assert sorted(await asyncio.to_thread(client.get_children, root)) == ["_nodes", "message", "user"]
        data, stat = await asyncio.to_thread(client.get, f"{root}/user/n1")
    assert json.loads(data) == {
        "host": "10.0.0.1",
        "port": 9000,
        "weight": 100,
        "zone": "east",
        "tags": [],
        "roles": ["user", "message"],
        "version": "1.2.3",
        "epoch": 7,
        "state": "ready",
        "started_at": 1_700_000_000_000,
    }
    assert stat.ephemeralOwner == session_of(registry)


async def test_a_drill_ends_a_session_that_it_knows_by_its_id_alone(nodes: Nodes, zookeeper_hosts: str) -> None:
    registry = await nodes.open_zookeeper()
    name = f"n{nodes.settings.root[2:8]}"
    await registry.register(instance(name, 7))
    port, before = int(zookeeper_hosts.rpartition(":")[2]), session_of(registry)
    assert (await asyncio.to_thread(sessions_of, port))[name] == before
    await asyncio.to_thread(end_session, port, before)
    await eventually(lambda: sessions_of(port).get(name, before) != before)


async def test_an_expired_session_comes_back_by_itself_and_is_never_missed(nodes: Nodes) -> None:
    here, there = await nodes.open_zookeeper(), await nodes.open_zookeeper()
    watch = await there.watch("user")
    await here.register(instance("n1", 7))
    await eventually(lambda: watch.instances == (instance("n1", 7),))
    before = session_of(here)
    expire(here)
    await eventually(lambda: session_of(here) not in (0, before), within=10)
    await here.set_state(State.DRAINING)
    await eventually(lambda: [i.state for i in watch.instances] == [State.DRAINING])
    held = await there._zk.get(f"{nodes.settings.root}/user/n1")
    assert held is not None and held.owner == session_of(here)


async def test_a_watcher_whose_session_ended_goes_on_watching(nodes: Nodes) -> None:
    here, there = await nodes.open_zookeeper(), await nodes.open_zookeeper()
    watch = await there.watch("user")
    await here.register(instance("n1", 7, state=State.STARTING))
    await eventually(lambda: len(watch.instances) == 1)
    before = session_of(there)
    expire(there)
    await eventually(lambda: session_of(there) not in (0, before), within=10)
    assert len(watch.instances) == 1
    await here.set_state(State.READY)
    await eventually(lambda: [i.state for i in watch.instances] == [State.READY])
    await here.withdraw()
    await eventually(lambda: watch.instances == ())


async def test_nodes_that_somebody_removed_are_put_back(nodes: Nodes, zookeeper_hosts: str) -> None:
    here = await nodes.open_zookeeper()
    await here.register(instance("n1", 7))
    root = nodes.settings.root
    with raw(zookeeper_hosts) as client:
        for path in (f"{root}/user/n1", f"{root}/_nodes/n1"):
            await asyncio.to_thread(client.delete, path)
            await eventually(lambda path=path: asyncio.to_thread(client.exists, path))


async def test_a_left_over_at_our_address_is_replaced_at_once_not_adopted(nodes: Nodes, zookeeper_hosts: str) -> None:
    root = nodes.settings.root
    with raw(zookeeper_hosts) as killed:  # its session goes on: to the server it looks alive
        for path in (f"{root}/_nodes/n1", f"{root}/user/n1"):
            await asyncio.to_thread(
                killed.create, path, encode_instance(instance("n1", 6)), ephemeral=True, makepath=True
            )
        registry = await nodes.open_zookeeper()
        async with asyncio.timeout(SESSION_SECONDS):
            await registry.register(instance("n1", 7))
        _, stat = await asyncio.to_thread(killed.get, f"{root}/user/n1")
        assert stat.ephemeralOwner == session_of(registry), "adopted nodes would end with the former session"


async def test_a_left_over_at_another_address_is_replaced_when_its_session_ends(
    nodes: Nodes, zookeeper_hosts: str
) -> None:
    with raw(zookeeper_hosts) as killed:
        left = encode_instance(instance("n1", 6, port=9999))
        await asyncio.to_thread(killed.create, f"{nodes.settings.root}/_nodes/n1", left, ephemeral=True, makepath=True)
        registry = await nodes.open_zookeeper()
        registering = asyncio.ensure_future(registry.register(instance("n1", 7)))
        done, _ = await asyncio.wait([registering], timeout=0.3)
        assert not done, "it may be alive"
    await registering
    assert await registry.list_instances("user") == [instance("n1", 7)]


async def test_a_persistent_node_in_the_way_is_nobody(nodes: Nodes, zookeeper_hosts: str) -> None:
    with raw(zookeeper_hosts) as client:
        await asyncio.to_thread(client.create, f"{nodes.settings.root}/user/n1", b"not json", makepath=True)
    registry = await nodes.open_zookeeper()
    await registry.register(instance("n1", 7))
    assert await registry.list_instances("user") == [instance("n1", 7)]


async def test_what_is_no_instance_is_passed_over(nodes: Nodes, zookeeper_hosts: str) -> None:
    registry = await nodes.open_zookeeper()
    await registry.register(instance("n1", 7))
    watch = await registry.watch("user")
    with raw(zookeeper_hosts) as client:
        for name, data in (("a", b""), ("b", b"[]"), ("c", b'{"host": 1}'), ("d", b"\xff"), ("..x", b"{}")):
            await asyncio.to_thread(client.create, f"{nodes.settings.root}/user/{name}", data)
        newer = json.loads(encode_instance(instance("n2", 7))) | {"added_later": 1}
        await asyncio.to_thread(client.create, f"{nodes.settings.root}/user/n2", json.dumps(newer).encode())
    await eventually(lambda: watch.instances == (instance("n1", 7), instance("n2", 7)))


async def test_a_life_that_lost_its_name_to_a_newer_one_does_not_fight(nodes: Nodes) -> None:
    former, reborn = await nodes.open_zookeeper(), await nodes.open_zookeeper()
    await former.register(instance("n1", 7))
    await reborn.register(instance("n1", 8))
    before = session_of(former)
    expire(former)
    await eventually(lambda: session_of(former) not in (0, before), within=10)
    with pytest.raises(NodeNameTaken):
        await former._restore_own()
    assert await reborn.list_instances("user") == [instance("n1", 8)]
    await reborn.withdraw()
    watch = await reborn.watch("user")
    await eventually(lambda: watch.instances == (instance("n1", 7),), within=10)


async def test_a_life_that_lost_its_name_withdraws_nothing_of_the_newer(nodes: Nodes, zookeeper_hosts: str) -> None:
    former, reborn = await nodes.open_zookeeper(), await nodes.open_zookeeper()
    await former.register(instance("n1", 7))
    await reborn.register(instance("n1", 8))
    path = f"{nodes.settings.root}/user/n1"
    with raw(zookeeper_hosts) as client:
        before = await asyncio.to_thread(client.exists, path)
        await former.withdraw()
        after = await asyncio.to_thread(client.exists, path)
    assert after is not None and after.czxid == before.czxid, "not even for the moment until it is put back"


async def test_a_reading_that_failed_is_repeated(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = await nodes.open_zookeeper(), await nodes.open_zookeeper()
    watch = await there.watch("user")
    children, failures = there._zk.children, [DiscoveryUnavailable(), DiscoveryUnavailable()]

    async def failing(path: str, watch: Any = None) -> list[str]:
        if failures:
            raise failures.pop()
        return await children(path, watch)

    monkeypatch.setattr(there._zk, "children", failing)
    await here.register(instance("n1", 7))
    await eventually(lambda: watch.instances == (instance("n1", 7),))
    assert not failures


async def test_closing_ends_the_session_and_all_threads(nodes: Nodes) -> None:
    before = set(threading.enumerate())
    registry = nodes.zookeeper()
    await registry.start()
    await registry.register(instance("n1", 7))
    assert set(threading.enumerate()) - before
    await registry.close()
    await registry.close()
    left = {thread for thread in set(threading.enumerate()) - before if "asyncio" not in thread.name}
    assert not left
    assert await (await nodes.open()).list_instances("user") == []


async def test_a_start_without_zookeeper_says_which_setting(own_zookeeper: OwnEngine) -> None:
    own_zookeeper.kill()
    before = {thread for thread in threading.enumerate() if "asyncio" not in thread.name}
    nodes = Nodes(own_zookeeper.address)
    settings = nodes.settings.model_copy(update={"connect_seconds": 0.3})
    registry = ZooKeeperRegistry(settings)
    with pytest.raises(DiscoveryUnavailable, match=r"discovery\.zookeeper_hosts"):
        await registry.start()
    assert {thread for thread in threading.enumerate() if "asyncio" not in thread.name} == before
    await registry.close()


async def test_with_an_account_nobody_else_may_read_or_write(nodes: Nodes, zookeeper_hosts: str) -> None:
    settings = nodes.settings.model_copy(update={"zookeeper_auth": "xinyu:" + "s" * 20})
    ours, stranger = ZooKeeperRegistry(settings), await nodes.open_zookeeper()
    nodes.opened.append(ours)
    await ours.start()
    await ours.register(instance("n1", 7))
    with pytest.raises(DiscoveryRefused):
        await stranger.watch("user")
    with pytest.raises(DiscoveryRefused):
        await stranger.register(instance("n2", 7))
    assert "s" * 20 not in repr(settings)


async def test_while_zookeeper_is_away_the_last_known_serve_on_and_then_all_come_back(own_zookeeper: OwnEngine) -> None:
    nodes = Nodes(own_zookeeper.address)
    here, there = await nodes.open_zookeeper(), await nodes.open_zookeeper()
    try:
        await here.register(instance("n1", 7))
        watch = await there.watch("user")
        own_zookeeper.kill()
        await eventually(lambda: not there._zk.is_connected and not here._zk.is_connected, within=10)
        assert watch.instances == (instance("n1", 7),)
        assert await there.list_instances("user") == [instance("n1", 7)]
        with pytest.raises(DiscoveryUnavailable):
            await there.watch("media")
        with pytest.raises(DiscoveryUnavailable):
            await there.register(instance("n2", 7))
        await here.set_state(State.DRAINING)  # told when it is back
        missed: list[object] = []
        own_zookeeper.start()
        await eventually(
            lambda: missed.append(watch.instances) or [i.state for i in watch.instances] == [State.DRAINING], 20
        )
        assert () not in missed
        assert (await there.watch("media")).instances == ()
        await there.register(instance("n2", 7))
        await eventually(lambda: [i.node for i in watch.instances] == ["n1", "n2"])
    finally:
        await nodes.close()


async def test_a_zookeeper_that_comes_back_empty_is_filled_again(own_zookeeper: OwnEngine) -> None:
    nodes = Nodes(own_zookeeper.address)
    registries = [await nodes.open_zookeeper() for _ in range(3)]
    try:
        for number, registry in enumerate(registries):
            await registry.register(instance(f"n{number}", 7))
        watch = await registries[0].watch("user")
        assert len(watch.instances) == 3
        own_zookeeper.kill()
        own_zookeeper.wipe()
        own_zookeeper.start()
        seen: list[int] = []
        with raw(own_zookeeper.address) as client:

            async def all_are_back() -> bool:
                seen.append(len(watch.instances))
                paths = [f"{nodes.settings.root}/user/n{n}" for n in range(3)]
                return all([await asyncio.to_thread(client.exists, path) for path in paths])

            await eventually(all_are_back, within=20)
        assert set(seen) == {3}, "nobody found the list empty in between"
        await registries[2].withdraw()
        await eventually(lambda: len(watch.instances) == 2)
    finally:
        await nodes.close()


async def test_who_vanished_with_zookeepers_data_is_kept_for_a_session_time(own_zookeeper: OwnEngine) -> None:
    nodes = Nodes(own_zookeeper.address)
    killed, there = await nodes.open_zookeeper(), await nodes.open_zookeeper()
    try:
        await killed.register(instance("n1", 7))
        watch = await there.watch("user")
        own_zookeeper.kill()
        await killed._zk.stop()  # it does not come back
        own_zookeeper.wipe()
        own_zookeeper.start()
        await eventually(lambda: there._zk.is_connected, within=20)
        await there.register(instance("n2", 7))
        await eventually(lambda: [i.node for i in watch.instances] == ["n1", "n2"])
        await eventually(lambda: [i.node for i in watch.instances] == ["n2"], within=10)
    finally:
        await nodes.close()


async def test_closing_while_zookeeper_is_away_does_not_hang(own_zookeeper: OwnEngine) -> None:
    nodes = Nodes(own_zookeeper.address)
    registry = await nodes.open_zookeeper()
    await registry.register(instance("n1", 7))
    own_zookeeper.kill()
    async with asyncio.timeout(10):
        await registry.close()


async def test_parents_that_others_remove_at_the_worst_moment_end_nothing(
    nodes: Nodes, zookeeper_hosts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await nodes.open_zookeeper(), await nodes.open_zookeeper()
    await here.register(instance("n1", 7))
    watch = await there.watch("user")
    make_parents, gone = here._zk.make_parents, []

    async def removed_again(path: str) -> None:
        if not gone:
            gone.append(path)
        else:
            await make_parents(path)

    monkeypatch.setattr(here._zk, "make_parents", removed_again)
    with raw(zookeeper_hosts) as client:
        await asyncio.to_thread(client.delete, nodes.settings.root, recursive=True)
        await eventually(lambda: gone)
        await eventually(lambda: asyncio.to_thread(client.exists, f"{nodes.settings.root}/user/n1"))
    await eventually(lambda: [found.node for found in watch.instances] == ["n1"])
