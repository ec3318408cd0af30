"""Presence over each of its stores: leases, and that old never beats new (G7)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testkit.engines import adapters
from testkit.presence import ANN, BOB, CID, LEASE, Model, Presence, at, entry, presence_over
from testkit.waiting import eventually
from xinyu.kernel.ids import NodeId, SessionId
from xinyu.presence.service import PresenceService
from xinyu.presence.types import NodeRef

NewPresence = Callable[[], AbstractAsyncContextManager[Presence]]


@pytest.fixture(scope="session", params=adapters("memory", engine="redis"))
def new_presence(request: pytest.FixtureRequest) -> NewPresence:
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return lambda: presence_over(redis_url)


@pytest.fixture
async def presence(new_presence: NewPresence) -> AsyncIterator[Presence]:
    async with new_presence() as presence:
        yield presence


async def test_sessions_are_found_by_user_grouped_by_node(presence: Presence) -> None:
    left, right = at("left"), at("right")
    for e in (entry(ANN, "a1", left), entry(ANN, "a2", right, "app"), entry(BOB, "b1", left)):
        await presence.port.register(e)
    located = {
        node.at: {(t.user_id, t.session_id) for t in node.sessions} for node in await presence.port.locate([ANN, BOB])
    }
    assert located == {left: {(ANN, "a1"), (BOB, "b1")}, right: {(ANN, "a2")}}
    (ann,) = await presence.port.list_online([ANN, CID])
    assert (ann.user_id, ann.platforms, ann.device_ids) == (ANN, ["app", "web"], ["d-a1", "d-a2"])
    assert await presence.port.locate([]) == [] == await presence.port.list_online([CID])


async def test_closing_one_device_leaves_the_others(presence: Presence) -> None:
    left = at("left")
    await presence.port.register(entry(ANN, "a1", left))
    await presence.port.register(entry(ANN, "a2", left))
    await presence.port.unregister(entry(ANN, "a1", left))
    await presence.port.unregister(entry(ANN, "a1", left))
    assert await presence.sessions() == {("left", 1, "a2")}


async def test_a_lease_ends_unless_it_is_renewed(presence: Presence) -> None:
    left = at("left")
    ann, bob = entry(ANN, "a1", left), entry(BOB, "b1", left)
    await presence.port.register(ann)
    await presence.port.register(bob)
    presence.clock.jump(LEASE - 1)
    await presence.port.renew(left, [ann])
    presence.clock.jump(1)
    assert await presence.sessions() == {("left", 1, "a1")}
    presence.clock.jump(LEASE)
    assert await presence.sessions() == set()
    await presence.port.renew(left, [bob])
    assert await presence.sessions() == {("left", 1, "b1")}, "a renewal brings back what was lost"


async def test_a_session_may_have_a_lease_of_its_own(presence: Presence) -> None:
    left = at("left")
    await presence.port.register(entry(ANN, "a1", left), lease_seconds=4 * LEASE)
    await presence.port.register(entry(ANN, "a2", left))
    await presence.port.register(entry(BOB, "b1", left), lease_seconds=LEASE / 2)
    assert await presence.store.count_users() == 2
    presence.clock.jump(LEASE / 2)
    assert await presence.sessions() == {("left", 1, "a1"), ("left", 1, "a2")}
    presence.clock.jump(3 * LEASE)
    assert await presence.sessions() == {("left", 1, "a1")}
    presence.clock.jump(LEASE / 2)
    assert await presence.sessions() == set()


async def test_a_node_renews_its_own_sessions_only(presence: Presence) -> None:
    await presence.port.renew(at("left"), [entry(ANN, "a1", at("right"))])
    assert await presence.sessions() == set()


async def test_an_old_life_of_a_node_changes_nothing_of_the_new(presence: Presence) -> None:
    old, new = at("left", 1), at("left", 2)
    for e in (entry(ANN, "a1", old), entry(BOB, "b1", old), entry(ANN, "a2", new)):
        await presence.port.register(e)
    assert await presence.sessions() == {("left", 2, "a2")}, "sessions of the former life are gone"
    await presence.port.unregister(entry(ANN, "a2", old))
    await presence.port.forget(old, [SessionId("a2")])
    await presence.port.drop_node(NodeId("left"), 1)
    await presence.port.register(entry(CID, "c1", old))
    await presence.port.renew(old, [entry(BOB, "b1", old)])
    assert await presence.sessions() == {("left", 2, "a2")}


async def test_nodes_are_apart(presence: Presence) -> None:
    await presence.port.register(entry(ANN, "a1", at("left", 7)))
    await presence.port.register(entry(ANN, "a2", at("right", 1)))
    await presence.port.forget(at("right"), [SessionId("a1")])
    await presence.port.drop_node(NodeId("right"), 7)
    assert await presence.sessions() == {("left", 7, "a1")}


async def test_a_session_that_moved_is_where_it_is_now(presence: Presence) -> None:
    await presence.port.register(entry(ANN, "a1", at("left")))
    await presence.port.register(entry(ANN, "a1", at("right")))
    await presence.port.unregister(entry(ANN, "a1", at("left")))
    await presence.port.forget(at("left"), [SessionId("a1")])
    assert await presence.sessions() == {("right", 1, "a1")}


async def test_a_node_that_left_is_dropped_with_all_its_sessions(presence: Presence) -> None:
    for number in range(5):
        await presence.port.register(entry(ANN, f"a{number}", at("left", 3)))
    await presence.port.register(entry(BOB, "b1", at("right")))
    await presence.port.drop_node(NodeId("left"), 3)
    assert await presence.sessions() == {("right", 1, "b1")}


USERS = {"s1": ANN, "s2": ANN, "s3": BOB, "s4": BOB, "s5": CID}
WHERE = st.builds(at, st.sampled_from(["left", "right"]), st.integers(1, 3))
SESSION = st.sampled_from(list(USERS))
Step = tuple[str, NodeRef, object]
ONE = [st.tuples(st.just(what), WHERE, SESSION) for what in ("register", "unregister", "forget")]
DROP = st.tuples(st.just("drop"), WHERE, st.just(""))
STEP = st.one_of(
    *ONE,
    DROP,
    st.tuples(st.just("renew"), WHERE, st.lists(SESSION, max_size=3)),
    st.tuples(st.just("wait"), WHERE, st.integers(1, 25)),
)
RACER = st.one_of(*ONE, DROP, st.tuples(st.just("renew"), WHERE, st.lists(SESSION, min_size=1, max_size=1)))
"""What may happen at the same time. A renewal is atomic for each session, not for all of them together."""


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=30))
async def test_any_order_of_changes_ends_where_the_model_does(new_presence: NewPresence, steps: list[Step]) -> None:
    async with new_presence() as presence:
        model = Model()
        for step in steps:
            await change(presence, step)
            imagine(model, step)
            assert await presence.sessions() == model.sessions()


@settings(max_examples=150, deadline=None)
@given(before=st.lists(STEP, max_size=5), at_once=st.lists(RACER, min_size=2, max_size=4))
async def test_changes_at_once_end_as_in_some_order_of_them(
    new_presence: NewPresence, before: list[Step], at_once: list[Step]
) -> None:
    async with new_presence() as presence:
        model = Model()
        for step in before:
            await change(presence, step)
            imagine(model, step)
        await asyncio.gather(*(change(presence, step) for step in at_once))
        ends = []
        for order in itertools.permutations(at_once):
            end = model.copy()
            for step in order:
                imagine(end, step)
            ends.append(end.sessions())
        assert await presence.sessions() in ends


async def change(presence: Presence, step: Step) -> None:
    """Have it done."""
    what, where, subject = step
    match what, subject:
        case "register", str(session):
            await presence.port.register(entry(USERS[session], session, where))
        case "unregister", str(session):
            await presence.port.unregister(entry(USERS[session], session, where))
        case "forget", str(session):
            await presence.port.forget(where, [SessionId(session)])
        case "renew", list(sessions):
            await presence.port.renew(where, [entry(USERS[session], session, where) for session in sessions])
        case "drop", _:
            await presence.port.drop_node(where.node, where.epoch)
        case "wait", int(seconds):
            presence.clock.jump(seconds)
        case _:
            raise AssertionError(step)


def imagine(model: Model, step: Step) -> None:
    """The same in the model."""
    what, where, subject = step
    match what, subject:
        case "register", str(session):
            model.put(where, session)
        case "unregister" | "forget", str(session):
            model.remove(where, session)
        case "renew", list(sessions):
            for session in sessions:
                model.put(where, session)
        case "drop", _:
            model.drop(where)
        case "wait", int(seconds):
            model.now += seconds


async def test_lookups_and_the_dead_they_met_are_counted(presence: Presence) -> None:
    service = PresenceService(presence.store, presence.clock, LEASE)
    left = at("left")
    await service.register(entry(ANN, "a1", left))
    await service.register(entry(ANN, "a2", left))
    await service.locate([ANN, BOB])
    await service.list_online([CID])
    presence.clock.jump(LEASE + 1)
    await service.locate([ANN])
    readings = {name: value for name, _, value in service.readings()}
    assert readings["xinyu_presence_lookups_total"] == 3
    assert (readings["xinyu_presence_users_asked_total"], readings["xinyu_presence_users_found_total"]) == (4, 1)
    assert readings["xinyu_presence_expired_total"] == 2


async def test_who_is_online_is_counted_every_so_often(presence: Presence) -> None:
    service = PresenceService(presence.store, presence.clock, LEASE)
    await service.register(entry(ANN, "a1", at("left")))
    census = asyncio.create_task(service.run())
    await eventually(lambda: ("xinyu_presence_online_users", 1) in [(n, v) for n, _, v in service.readings()])
    census.cancel()
    await asyncio.wait([census])
