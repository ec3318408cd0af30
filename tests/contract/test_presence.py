"""Presence over each of its stores: leases, and that old never beats new (G7)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testkit.engines import adapters
from testkit.presence import ANN, BOB, CAST, CID, LEASE, Model, Presence, at, entry, presence_over
from testkit.waiting import eventually
from xinyu.kernel.ids import NodeId, SessionId
from xinyu.presence.service import PresenceService
from xinyu.presence.types import NodeRef, PresenceEntry

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


async def test_a_renewal_tells_who_was_missing(presence: Presence) -> None:
    """Whose lease had ended, as after a step of the clock, whom a delivery found gone, whose node was dropped."""
    left = at("left")
    ended, gone, dropped = entry(ANN, "a1", left), entry(BOB, "b1", left), entry(CID, "c1", at("right"))

    async def missing(where: NodeRef, *entries: PresenceEntry) -> set[str]:
        told = await presence.port.renew(where, list(entries), tell_missing=True)
        assert all(one.missing for one in told)
        return {one.session_id for one in told}

    for one in (ended, gone, dropped):
        await presence.port.register(one)
    assert await missing(left, ended, gone) == set() == await missing(at("right"), dropped)
    await presence.port.forget(left, [SessionId("b1")])
    await presence.port.drop_node(NodeId("right"), 1)
    assert await missing(left, ended, gone) == {"b1"}
    assert await missing(at("right"), dropped) == {"c1"}
    presence.clock.jump(LEASE)
    assert await presence.port.renew(left, [gone]) == [], "who does not ask is told of losers only"
    assert await missing(left, ended, gone) == {"a1"}
    assert await missing(left, ended, gone) == set()


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


async def names(replaced: Awaitable[list[PresenceEntry]]) -> set[str]:
    return {lost.session_id for lost in await replaced}


async def test_the_newest_session_has_the_platform_and_the_one_before_is_told_on(presence: Presence) -> None:
    first, second = await presence.port.take_turn(ANN), await presence.port.take_turn(ANN)
    assert presence.clock.now_ms() <= first < second
    old, new = entry(ANN, "a1", at("left"), "app", first), entry(ANN, "a2", at("right"), "app", second)
    others = [
        entry(ANN, "web", at("left"), "web", first),
        entry(ANN, "free", at("left"), "app"),
        entry(BOB, "b1", at("left"), "app", first),
    ]
    for one in (*others, old):
        assert await presence.port.register(one) == []
    assert await presence.port.register(new) == [old]
    stay = {("right", 1, "a2"), ("left", 1, "web"), ("left", 1, "free"), ("left", 1, "b1")}
    assert await presence.sessions() == stay
    assert await presence.port.register(new) == [], "a repetition finds all done"
    await presence.port.unregister(old)
    await presence.port.forget(at("left"), [SessionId("a1")])
    assert await presence.sessions() == stay


async def test_a_session_that_lost_its_platform_does_not_come_back(presence: Presence) -> None:
    """Its registration is repeated, or its node, which was not told, renews it: even when the newer has left since."""
    first, second = await presence.port.take_turn(ANN), await presence.port.take_turn(ANN)
    old, new = entry(ANN, "a1", at("left"), "app", first), entry(ANN, "a2", at("right"), "app", second)
    await presence.port.register(new)
    assert await presence.port.register(old) == [old], "it comes too late"
    assert await names(presence.port.renew(at("left"), [entry(ANN, "w", at("left")), old])) == {"a1"}
    assert await presence.sessions() == {("right", 1, "a2"), ("left", 1, "w")}
    await presence.port.unregister(new)
    await presence.port.drop_node(NodeId("right"), 1)
    assert await names(presence.port.renew(at("left"), [old])) == {"a1"}
    third = entry(ANN, "a3", at("left"), "app", await presence.port.take_turn(ANN))
    assert await presence.port.register(third) == []
    assert await presence.sessions() == {("left", 1, "a3"), ("left", 1, "w")}


async def test_turns_rise_above_those_of_clocks_that_are_ahead(presence: Presence) -> None:
    ahead = presence.clock.now_ms() + 60_000
    await presence.port.register(entry(ANN, "a1", at("left"), "app", ahead))
    assert await presence.port.take_turn(ANN) == ahead + 1
    assert await presence.port.take_turn(ANN) == ahead + 2
    assert await presence.port.take_turn(BOB) == presence.clock.now_ms()


async def test_sessions_that_lost_their_platform_are_counted(presence: Presence) -> None:
    service = PresenceService(presence.store, presence.clock, LEASE)
    for session in ("a1", "a2", "a3"):
        await service.register(entry(ANN, session, at("left"), "app", await service.take_turn(ANN)))
    assert ("xinyu_presence_replaced_total", 2) in [(name, value) for name, _, value in service.readings()]


async def test_a_node_that_left_is_dropped_with_all_its_sessions(presence: Presence) -> None:
    for number in range(5):
        await presence.port.register(entry(ANN, f"a{number}", at("left", 3)))
    await presence.port.register(entry(BOB, "b1", at("right")))
    await presence.port.drop_node(NodeId("left"), 3)
    assert await presence.sessions() == {("right", 1, "b1")}


WHERE = st.builds(at, st.sampled_from(["left", "right"]), st.integers(1, 3))
SESSION = st.sampled_from(list(CAST))
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
            missing = await change(presence, step)
            assert missing == imagine(model, step)
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


def of_cast(session: str, where: NodeRef) -> PresenceEntry:
    user_id, turn = CAST[session]
    return entry(user_id, session, where, turn=turn)


async def change(presence: Presence, step: Step) -> set[str]:
    """Have it done; who was missing when he was renewed."""
    what, where, subject = step
    match what, subject:
        case "register", str(session):
            await presence.port.register(of_cast(session, where))
        case "unregister", str(session):
            await presence.port.unregister(of_cast(session, where))
        case "forget", str(session):
            await presence.port.forget(where, [SessionId(session)])
        case "renew", list(sessions):
            told = await presence.port.renew(where, [of_cast(session, where) for session in sessions], True)
            return {one.session_id for one in told if one.missing}
        case "drop", _:
            await presence.port.drop_node(where.node, where.epoch)
        case "wait", int(seconds):
            presence.clock.jump(seconds)
        case _:
            raise AssertionError(step)
    return set()


def imagine(model: Model, step: Step) -> set[str]:
    """The same in the model."""
    what, where, subject = step
    match what, subject:
        case "register", str(session):
            model.put(where, session)
        case "unregister" | "forget", str(session):
            model.remove(where, session)
        case "renew", list(sessions):
            return {session for session in sessions if model.put(where, session)}
        case "drop", _:
            model.drop(where)
        case "wait", int(seconds):
            model.now += seconds
    return set()


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
