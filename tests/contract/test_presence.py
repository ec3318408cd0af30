"""Presence over each of its stores: leases, and that old never beats new (G7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testkit.clock import ManualClock
from xinyu.kernel.ids import DeviceId, NodeId, SessionId, UserId
from xinyu.presence.port import PresencePort
from xinyu.presence.service import PresenceService
from xinyu.presence.store import PresenceStore
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.types import NodeRef, PresenceEntry
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_loopback import LoopbackTransport

LEASE = 30.0
ANN, BOB, CID = UserId(1), UserId(2), UserId(3)
STORES: dict[str, Callable[[], PresenceStore]] = {"memory": MemoryPresenceStore}
"""The adapters. The distributed server adds its own here."""


def at(node: str, epoch: int = 1) -> NodeRef:
    return NodeRef(NodeId(node), epoch, f"{node}:1")


def entry(user_id: UserId, session: str, where: NodeRef, platform: str = "web") -> PresenceEntry:
    return PresenceEntry(user_id, SessionId(session), DeviceId(f"d-{session}"), platform, where)


class Presence:
    """A presence service behind a stub that encodes, and its clock."""

    def __init__(self, store: PresenceStore) -> None:
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


@pytest.fixture(params=list(STORES))
def presence(request: pytest.FixtureRequest) -> Presence:
    return Presence(STORES[request.param]())


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
STEP = st.one_of(
    st.tuples(st.just("register"), WHERE, st.sampled_from(list(USERS))),
    st.tuples(st.just("unregister"), WHERE, st.sampled_from(list(USERS))),
    st.tuples(st.just("forget"), WHERE, st.sampled_from(list(USERS))),
    st.tuples(st.just("renew"), WHERE, st.lists(st.sampled_from(list(USERS)), max_size=3)),
    st.tuples(st.just("drop"), WHERE, st.just("")),
    st.tuples(st.just("wait"), WHERE, st.integers(1, 25)),
)


class Model:
    """What presence must be: per session the life it is in and when its lease ends."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[NodeRef, float]] = {}
        self.newest: dict[str, int] = {}
        self.now = 0.0

    def put(self, where: NodeRef, session: str) -> None:
        if where.epoch < self.newest.get(where.node, 0):
            return
        self.newest[where.node] = where.epoch
        self.held = {s: (w, t) for s, (w, t) in self.held.items() if w.node != where.node or w.epoch == where.epoch}
        self.held[session] = (where, self.now + LEASE)

    def drop(self, where: NodeRef) -> None:
        self.held = {s: (w, t) for s, (w, t) in self.held.items() if w.node != where.node or w.epoch > where.epoch}

    def sessions(self) -> set[tuple[str, int, str]]:
        return {(w.node, w.epoch, s) for s, (w, until) in self.held.items() if until > self.now}


@pytest.mark.parametrize("store", list(STORES))
@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=30))
async def test_any_order_of_changes_ends_where_the_model_does(
    store: str, steps: list[tuple[str, NodeRef, object]]
) -> None:
    presence, model = Presence(STORES[store]()), Model()
    for what, where, subject in steps:
        if what in ("register", "unregister", "forget"):
            session = str(subject)
            if what == "register":
                await presence.port.register(entry(USERS[session], session, where))
                model.put(where, session)
                continue
            if what == "unregister":
                await presence.port.unregister(entry(USERS[session], session, where))
            else:
                await presence.port.forget(where, [SessionId(session)])
            if session in model.held and model.held[session][0] == where:
                del model.held[session]
        elif what == "renew":
            assert isinstance(subject, list)
            await presence.port.renew(where, [entry(USERS[session], session, where) for session in subject])
            for session in subject:
                model.put(where, session)
        elif what == "drop":
            await presence.port.drop_node(where.node, where.epoch)
            model.drop(where)
        else:
            assert isinstance(subject, int)
            presence.clock.jump(subject)
            model.now += subject
        assert await presence.sessions() == model.sessions()
