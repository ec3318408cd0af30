"""Discovery over each of its registries: what is shown is found, news arrives, a name has one live owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from testkit.engines import adapters
from testkit.registries import Nodes, instance, nodes_of
from testkit.waiting import eventually
from xinyu.discovery.errors import BadInstance, NodeNameTaken
from xinyu.discovery.registry import Registry
from xinyu.discovery.registry_static import StaticRegistry
from xinyu.discovery.types import Instance, State
from xinyu.discovery.watching import Watch


@pytest.fixture(params=adapters("memory", engine="zookeeper"))
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    nodes = nodes_of(request)
    yield nodes
    await nodes.close()


@pytest.fixture(params=adapters("memory", "static", engine="zookeeper"))
async def reader(request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    """A registry in which user is at two addresses, message at one of them."""
    if request.param == "static":
        registry = StaticRegistry({"user": ["10.0.0.1:9001", "10.0.0.1:9002"], "message": ["10.0.0.1:9002"]})
        await registry.start()
        yield registry
        await registry.close()
        return
    nodes = nodes_of(request)
    await (await nodes.open()).register(instance("n1", 5, "user", port=9001))
    await (await nodes.open()).register(instance("n2", 6, "user", "message", port=9002))
    yield await nodes.open()
    await nodes.close()


def shown(watch: Watch) -> list[tuple[str, int, State]]:
    return [(i.node, i.epoch, i.state) for i in watch.instances]


async def test_instances_are_found_by_role(reader: Registry) -> None:
    assert [i.address for i in await reader.list_instances("user")] == ["10.0.0.1:9001", "10.0.0.1:9002"]
    (message,) = await reader.list_instances("message")
    assert (message.address, message.roles, message.state) == ("10.0.0.1:9002", ("user", "message"), State.READY)
    assert await reader.list_instances("media") == []


async def test_a_watch_has_its_snapshot_at_once_and_ends_with_its_registry(reader: Registry) -> None:
    watch = await reader.watch("user")
    assert [i.port for i in watch.instances] == [9001, 9002]
    assert [i.port for i in await anext(watch)] == [9001, 9002]
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not waiting.done(), "there is nothing new"
    await reader.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert [snapshot async for snapshot in watch] == []
    await reader.close()


async def test_everything_of_an_instance_arrives(nodes: Nodes) -> None:
    here, there = await nodes.open(), await nodes.open()
    told = instance("n1", 7, "user", "message", weight=50, zone="east")
    await here.register(told)
    assert await there.list_instances("message") == await here.list_instances("user") == [told]


async def test_news_arrives_in_order_the_newest_last(nodes: Nodes) -> None:
    here, there = await nodes.open(), await nodes.open()
    watch = await there.watch("user")
    assert watch.instances == ()
    await here.register(instance("n1", 7, state=State.STARTING))
    await eventually(lambda: shown(watch) == [("n1", 7, State.STARTING)])
    await here.set_state(State.READY)
    await eventually(lambda: shown(watch) == [("n1", 7, State.READY)])
    await here.set_state(State.DRAINING)
    await eventually(lambda: shown(watch) == [("n1", 7, State.DRAINING)])
    await here.withdraw()
    await here.withdraw()
    await here.set_state(State.READY)
    await eventually(lambda: watch.instances == ())


async def test_a_slow_reader_gets_the_newest_only(nodes: Nodes) -> None:
    here, there = await nodes.open(), await nodes.open()
    watch = await there.watch("user")
    assert await anext(watch) == ()
    await here.register(instance("n1", 7, state=State.STARTING))
    for state in (State.READY, State.DRAINING):
        await here.set_state(state)
    await eventually(lambda: shown(watch) == [("n1", 7, State.DRAINING)])
    assert [i.state for i in await anext(watch)] == [State.DRAINING]


async def test_everyone_waiting_is_woken(nodes: Nodes) -> None:
    here, there = await nodes.open(), await nodes.open()
    watches = [await there.watch("user") for _ in range(3)]
    for watch in watches:
        assert await anext(watch) == ()
    waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
    await here.register(instance("n1"))
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [(instance("n1"),)] * 3


async def test_a_live_twin_is_refused_and_leaves_no_trace(nodes: Nodes) -> None:
    first, twin = await nodes.open(), await nodes.open()
    await first.register(instance("n1", 7, "user", port=9001))
    with pytest.raises(NodeNameTaken, match="node"):
        await twin.register(instance("n1", 8, "message", "user", port=9002))
    assert await first.list_instances("message") == [], "even where the roles differ"
    assert await twin.list_instances("user") == [instance("n1", 7, "user", port=9001)]
    await twin.set_state(State.DRAINING)
    await twin.withdraw()
    assert await twin.list_instances("user") == [instance("n1", 7, "user", port=9001)]
    await first.withdraw()
    await twin.register(instance("n1", 8, "user", port=9002))


async def test_a_reborn_node_takes_the_place_of_its_former_life(nodes: Nodes) -> None:
    """At the same address: the former process is gone, though its registration is not yet."""
    former, reborn, reader = await nodes.open(), await nodes.open(), await nodes.open()
    watch = await reader.watch("user")
    await former.register(instance("n1", 7))
    await reborn.register(instance("n1", 8))
    await eventually(lambda: shown(watch) == [("n1", 8, State.READY)])
    await former.withdraw()
    await former.set_state(State.DRAINING)
    await reborn.set_state(State.STARTING)
    await eventually(lambda: shown(watch) == [("n1", 8, State.STARTING)])


async def test_an_older_life_does_not_take_the_place_of_a_newer(nodes: Nodes) -> None:
    newer, older = await nodes.open(), await nodes.open()
    await newer.register(instance("n1", 8))
    with pytest.raises(NodeNameTaken):
        await older.register(instance("n1", 7))
    assert await newer.list_instances("user") == [instance("n1", 8)]


async def test_registering_again_replaces_what_one_had_registered(nodes: Nodes) -> None:
    here = await nodes.open()
    users, messages = await here.watch("user"), await here.watch("message")
    await here.register(instance("n1", 7, "user"))
    await here.register(instance("n1", 7, "message"))
    await eventually(lambda: (len(users.instances), len(messages.instances)) == (0, 1))
    await here.register(instance("n2", 7, "message"))
    await eventually(lambda: [i.node for i in messages.instances] == ["n2"])


async def test_many_start_at_once_where_nothing_is_yet(nodes: Nodes) -> None:
    registries = [await nodes.open() for _ in range(6)]
    watch, *_ = await asyncio.gather(
        registries[0].watch("user"),
        *(registry.register(instance(f"n{n}", 7, "user", "message")) for n, registry in enumerate(registries)),
    )
    await eventually(lambda: [i.node for i in watch.instances] == [f"n{n}" for n in range(6)])


@pytest.mark.parametrize(
    "wrong",
    [
        instance("a/b"),
        instance(".."),
        instance(""),
        instance("n1", 0),
        instance("n1", 1, "../x"),
        instance("n1", 1, port=0),
        instance("n1", weight=-1),
    ],
    ids=str,
)
async def test_what_cannot_be_shown_is_refused(nodes: Nodes, wrong: Instance) -> None:
    registry = await nodes.open()
    with pytest.raises(BadInstance):
        await registry.register(wrong)


@pytest.mark.parametrize("address", ["10.0.0.1", ":9000", "10.0.0.1:0", "10.0.0.1:x", "10.0.0.1:70000"])
def test_a_static_address_has_host_and_port(address: str) -> None:
    with pytest.raises(BadInstance, match=r"host:port"):
        StaticRegistry({"user": [address]})


async def test_static_addresses_may_be_of_ipv6() -> None:
    (found,) = await StaticRegistry({"user": ["[::1]:9000", "[::1]:9000"]}).list_instances("user")
    assert (found.host, found.port, found.address) == ("::1", 9000, "[::1]:9000")
