"""The fan-out: whom it reaches, what it asks, and what it leaves to the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable

import msgspec
import pytest

from testkit.clock import ManualClock
from testkit.waiting import eventually
from xinyu.delivery.fanout import DeliveryService
from xinyu.delivery.nodes import Deliverers, LocalDeliverers
from xinyu.delivery.port import CompletionPort, DelivererPort
from xinyu.delivery.queue import PushQueue
from xinyu.delivery.queue_memory import MemoryPushQueue
from xinyu.delivery.settings import DeliverySettings
from xinyu.delivery.types import CloseOrder, Completion, NodePush, NodeSignal, Push, PushKey, Receipt, Signal
from xinyu.kernel.errors import Overloaded, Unavailable
from xinyu.kernel.ids import ConversationId, DeviceId, NodeId, SessionId, UserId
from xinyu.presence.service import PresenceService
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.types import NodeRef, NodeSessions, PresenceEntry
from xinyu.telemetry.trace import current_trace_id

ANN, BOB, CID = UserId(1), UserId(2), UserId(3)
TALK = ConversationId(7)
LEFT, RIGHT = NodeRef(NodeId("left"), 5), NodeRef(NodeId("right"), 9)


class Node(DelivererPort):
    """A node that notes what it is given."""

    def __init__(self) -> None:
        self.batches: list[list[NodePush]] = []
        self.signals: list[NodeSignal] = []
        self.orders: list[CloseOrder] = []
        self.gone: list[SessionId] = []
        self.refused: list[PushKey] = []
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = 0
        self.traces: list[str] = []

    async def _arrive(self) -> None:
        self.entered += 1
        await self.gate.wait()
        if self.away:
            raise Unavailable()

    async def deliver(self, pushes: list[NodePush]) -> Receipt:
        await self._arrive()
        self.batches.append(pushes)
        self.traces.append(current_trace_id())
        return Receipt(self.gone, self.refused)

    async def signal(self, signals: list[NodeSignal]) -> None:
        await self._arrive()
        self.signals += signals

    async def close_sessions(self, order: CloseOrder) -> None:
        await self._arrive()
        self.orders.append(order)

    @property
    def got(self) -> list[tuple[int, list[str]]]:
        """(seq, sessions) of every push, in order."""
        return [(p.seq, [target.session_id for target in p.sessions]) for batch in self.batches for p in batch]


class Cluster(Deliverers):
    """Nodes by the life they are in."""

    def __init__(self) -> None:
        self.nodes = {LEFT: Node(), RIGHT: Node()}

    def find(self, at: NodeRef) -> DelivererPort | None:
        return self.nodes.get(at)

    def all_nodes(self) -> list[DelivererPort]:
        return list(self.nodes.values())


class WatchedPresence(PresenceService):
    """Counts what it is asked, and can be away."""

    def __init__(self) -> None:
        super().__init__(MemoryPresenceStore(), ManualClock(), 30.0)
        self.asked: list[set[UserId]] = []
        self.away = False

    async def locate(self, user_ids: list[UserId]) -> list[NodeSessions]:
        self.asked.append(set(user_ids))
        if self.away:
            raise Unavailable()
        return await super().locate(user_ids)

    async def forget(self, at: NodeRef, session_ids: list[SessionId]) -> None:
        if self.away:
            raise Unavailable()
        await super().forget(at, session_ids)


class World(CompletionPort):
    """A fan-out between what it asks and what it tells."""

    def __init__(self, settings: DeliverySettings, queue: PushQueue | None = None) -> None:
        self.presence = WatchedPresence()
        self.cluster = Cluster()
        self.left, self.right = self.cluster.nodes[LEFT], self.cluster.nodes[RIGHT]
        self.completed: list[Completion] = []
        self.owed: dict[int, set[int]] = {}
        self.completions_away = False
        self.service = DeliveryService(
            self.presence, self, self.cluster, settings, queue or MemoryPushQueue(settings.queue_pushes)
        )

    async def complete(self, completions: list[Completion]) -> None:
        if self.completions_away:
            raise Unavailable()
        self.completed += completions

    async def connect(self, user_id: UserId, session: str, at: NodeRef) -> None:
        entry = PresenceEntry(user_id, SessionId(session), DeviceId(session), "web", at)
        await self.presence.register(entry)

    async def bring(self, *pushes: Push) -> None:
        """Dispatch and wait until all went their way."""
        await self.service.dispatch(list(pushes))
        await asyncio.wait_for(self.service.drained(), 5)

    @property
    def done(self) -> list[int]:
        return [completion.seq for completion in self.completed]

    def reading(self, name: str) -> float:
        return next(value for found, _, value in self.service.readings() if found == name)


@pytest.fixture
def settings() -> DeliverySettings:
    return DeliverySettings()


@pytest.fixture
async def world(settings: DeliverySettings) -> AsyncIterator[World]:
    world = World(settings)
    await world.connect(ANN, "a1", LEFT)
    await world.connect(ANN, "a2", RIGHT)
    await world.connect(BOB, "b1", RIGHT)
    run = asyncio.create_task(world.service.run())
    yield world
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run


def push(seq: int, *recipients: UserId, origin: str | None = None, talk: ConversationId = TALK) -> Push:
    return Push(talk, seq, list(recipients), msgspec.Raw(b"{}"), SessionId(origin) if origin else None)


async def test_a_push_reaches_every_session_but_the_one_it_came_from(world: World) -> None:
    await world.bring(push(1, ANN, BOB, CID, origin="a1"))
    assert (world.left.got, world.right.got) == ([], [(1, ["a2", "b1"])])
    assert world.done == [1]


async def test_one_question_and_one_call_per_node_for_a_whole_batch(world: World) -> None:
    await world.bring(push(1, ANN, BOB), push(2, BOB), push(3, ANN), push(4, CID))
    assert world.presence.asked == [{ANN, BOB, CID}]
    assert (world.left.got, world.right.got) == (
        [(1, ["a1"]), (3, ["a1"])],
        [(1, ["a2", "b1"]), (2, ["b1"]), (3, ["a2"])],
    )
    assert len(world.left.batches) == len(world.right.batches) == 1
    assert sorted(world.done) == [1, 2, 3, 4], "who is not connected is owed nothing"


async def test_a_node_that_hangs_delays_no_other_and_completes_nothing(world: World) -> None:
    world.left.gate.clear()
    await world.service.dispatch([push(1, ANN), push(2, BOB)])
    await eventually(lambda: world.left.entered)
    await world.service.dispatch([push(3, ANN), push(4, BOB)])
    await eventually(lambda: len(world.done) == 2)
    assert [seq for seq, _ in world.right.got] == [1, 2, 3, 4]
    assert (world.done, world.left.got) == ([2, 4], []), "what the hanging node is owed is not complete"
    assert world.reading("xinyu_delivery_lanes") == 1
    world.left.gate.set()
    await asyncio.wait_for(world.service.drained(), 5)
    assert world.left.got == [(1, ["a1"]), (3, ["a1"])]
    assert world.done == [2, 4, 1, 3]


async def test_what_queued_meanwhile_is_one_call_and_in_order(world: World) -> None:
    world.left.gate.clear()
    for seq in range(1, 6):
        await world.service.dispatch([push(seq, ANN)])
        await eventually(lambda seq=seq: world.right.got and world.right.got[-1][0] == seq)
    world.left.gate.set()
    await asyncio.wait_for(world.service.drained(), 5)
    assert [[p.seq for p in batch] for batch in world.left.batches] == [[1], [2, 3, 4, 5]]


async def test_what_waits_behind_a_failure_fails_with_it_and_the_next_tries_again(world: World) -> None:
    world.left.gate.clear()
    world.left.away = True
    for seq in (1, 2, 3):
        await world.service.dispatch([push(seq, ANN)])
        await eventually(lambda seq=seq: world.right.got and world.right.got[-1][0] == seq)
    world.left.gate.set()
    await asyncio.wait_for(world.service.drained(), 5)
    assert (world.left.entered, world.done) == (1, [])
    assert world.reading("xinyu_delivery_failures_total") == 3
    world.left.away = False
    await world.bring(push(1, ANN))
    assert world.done == [1]


async def test_what_a_node_cannot_bring_now_holds_up_no_other(world: World) -> None:
    """It names them: neither the rest of their batch nor what waits behind it has failed."""
    world.left.refused = [(TALK, 2)]
    world.left.gate.clear()
    await world.service.dispatch([push(1, ANN), push(2, ANN), push(3, ANN)])
    await eventually(lambda: world.left.entered)
    await world.service.dispatch([push(4, ANN)])
    await eventually(lambda: len(world.right.got) == 4)
    world.left.gate.set()
    await asyncio.wait_for(world.service.drained(), 5)
    assert (world.done, world.reading("xinyu_delivery_failures_total")) == ([1, 3, 4], 1)
    world.left.refused = []
    await world.bring(push(2, ANN))
    assert world.done == [1, 3, 4, 2]


@pytest.mark.parametrize("settings", [DeliverySettings(lane_pushes=1, lane_signals=1)])
async def test_lanes_are_bounded_and_end(world: World) -> None:
    world.left.gate.clear()
    await world.service.dispatch([push(1, ANN)])
    await eventually(lambda: world.left.entered)
    await world.service.dispatch([push(2, ANN)])
    await eventually(lambda: len(world.right.got) == 2)
    await world.service.dispatch([push(3, ANN)])
    await eventually(lambda: world.reading("xinyu_delivery_failures_total") == 1)
    await world.service.signal([Signal("typing", [ANN], msgspec.Raw(b"{}")) for _ in range(3)])
    await eventually(lambda: world.reading("xinyu_delivery_lane_dropped_signals_total") >= 2)
    world.left.gate.set()
    await asyncio.wait_for(world.service.drained(), 5)
    assert world.done == [1, 2]
    assert world.reading("xinyu_delivery_lanes") == 0


async def test_a_node_that_is_here_needs_no_lane(settings: DeliverySettings) -> None:
    world = World(settings)
    here = LocalDeliverers(LEFT, world.left)
    world.service = DeliveryService(world.presence, world, here, settings, MemoryPushQueue(100))
    await world.connect(ANN, "a1", LEFT)
    run = asyncio.create_task(world.service.run())
    world.left.gate.clear()
    await world.service.dispatch([push(1, ANN)])
    await eventually(lambda: world.left.entered)
    assert world.reading("xinyu_delivery_lanes") == 0
    world.left.gate.set()
    await asyncio.wait_for(world.service.drained(), 5)
    world.left.away = True
    await world.bring(push(2, ANN))
    assert (world.left.got, world.done) == ([(1, ["a1"])], [1])
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run


async def test_a_call_for_one_trace_carries_it(world: World) -> None:
    first, second = push(1, BOB), push(2, BOB)
    traced = [msgspec.structs.replace(first, trace_id="a1"), msgspec.structs.replace(second, trace_id="b2")]
    await world.bring(traced[0])
    await world.bring(*traced)
    assert world.right.traces == ["a1", ""]


@pytest.mark.parametrize("seed", range(20))
async def test_complete_means_that_every_node_took_it(world: World, seed: int) -> None:
    chance = random.Random(seed)
    talks = [ConversationId(1), ConversationId(2)]
    for seq in range(1, 40):
        world.left.away, world.right.away = chance.random() < 0.3, chance.random() < 0.3
        users = chance.sample([ANN, BOB, CID], chance.randint(1, 3))
        await world.service.dispatch([push(seq, *users, talk=chance.choice(talks))])
        for _ in range(chance.randint(0, 6)):
            await asyncio.sleep(0)
        world.owed[seq] = {node for node, held in ((0, {ANN}), (1, {ANN, BOB})) if held & set(users)}
    await asyncio.wait_for(world.service.drained(), 5)
    took = [{seq for seq, _ in node.got} for node in (world.left, world.right)]
    assert sorted(world.done) == [q for q, nodes in world.owed.items() if all(q in took[n] for n in nodes)]
    for node in (world.left, world.right):
        for talk in talks:
            seen = [p.seq for batch in node.batches for p in batch if p.conversation_id == talk]
            assert seen == sorted(seen)


async def test_what_a_node_did_not_take_is_not_complete(world: World) -> None:
    world.left.away = True
    await world.bring(push(1, ANN), push(2, BOB))
    assert world.right.got == [(1, ["a2"]), (2, ["b1"])]
    assert world.done == [2]
    assert world.reading("xinyu_delivery_failures_total") == 1
    world.left.away = False
    await world.bring(push(1, ANN))
    assert world.done == [2, 1]


@pytest.mark.parametrize("settings", [DeliverySettings(attempt_seconds=0.01)])
async def test_a_node_that_does_not_answer_is_given_up(world: World) -> None:
    world.left.gate.clear()
    await world.bring(push(1, ANN), push(2, BOB))
    assert world.done == [2]


async def test_sessions_that_are_gone_are_forgotten(world: World) -> None:
    world.right.gone = [SessionId("a2")]
    await world.bring(push(1, ANN, BOB))
    assert world.done == [1]
    world.right.gone = []
    await world.bring(push(2, ANN, BOB))
    assert world.right.got[-1] == (2, ["b1"])


async def test_a_node_in_a_life_that_is_over_is_healed_not_waited_for(world: World) -> None:
    del world.cluster.nodes[LEFT]
    await world.bring(push(1, ANN))
    assert world.done == [1]
    located = await world.presence.locate([ANN])
    assert [found.at for found in located] == [RIGHT]


async def test_healing_that_fails_fails_nothing_else(world: World) -> None:
    world.right.gate.clear()
    world.right.gone = [SessionId("a2")]
    await world.service.dispatch([push(1, ANN)])
    await eventually(lambda: world.right.entered)
    world.presence.away = True
    world.right.gate.set()
    await asyncio.wait_for(world.service.drained(), 5)
    assert world.done == [1]


async def test_while_presence_is_away_pushes_stay_in_the_outbox(world: World) -> None:
    world.presence.away = True
    await world.bring(push(1, ANN))
    assert (world.done, world.left.got) == ([], [])
    world.presence.away = False
    await world.bring(push(1, ANN))
    assert world.done == [1]


async def test_lost_completions_stop_nothing(world: World) -> None:
    world.completions_away = True
    await world.bring(push(1, ANN))
    world.completions_away = False
    await world.bring(push(2, ANN))
    assert (world.left.got, world.done) == ([(1, ["a1"]), (2, ["a1"])], [2])


@pytest.mark.parametrize("settings", [DeliverySettings(lane_push_bytes=2)])
async def test_lanes_are_bounded_in_bytes(world: World) -> None:
    world.left.gate.clear()
    await world.service.dispatch([push(1, ANN)])
    await eventually(lambda: world.left.entered)
    await world.service.dispatch([push(2, ANN)])
    await eventually(lambda: world.reading("xinyu_delivery_lane_bytes") == 2)
    await world.service.dispatch([push(3, ANN)])
    await eventually(lambda: world.reading("xinyu_delivery_failures_total") == 1)
    world.left.gate.set()
    await asyncio.wait_for(world.service.drained(), 5)
    assert world.done == [1, 2]


@pytest.mark.parametrize("settings", [DeliverySettings(queue_completions=2)])
async def test_completions_are_bounded(world: World) -> None:
    """What is not reported stays in the outbox, which delivers it again."""
    await world.bring(push(1, ANN), push(2, ANN), push(3, ANN))
    assert world.left.got == [(1, ["a1"]), (2, ["a1"]), (3, ["a1"])]
    assert world.done == [1, 2]
    assert world.reading("xinyu_delivery_unreported_total") == 1


async def test_queues_are_bounded_in_bytes(settings: DeliverySettings) -> None:
    world = World(settings, queue=MemoryPushQueue(100, limit_bytes=2))
    await world.service.dispatch([push(1, ANN)])
    assert world.reading("xinyu_delivery_queue_bytes") == 2
    with pytest.raises(Overloaded):
        await world.service.dispatch([push(2, ANN)])
    run = asyncio.create_task(world.service.run())
    await asyncio.wait_for(world.service.drained(), 5)
    await world.service.dispatch([push(2, ANN)])
    await asyncio.wait_for(world.service.drained(), 5)
    assert world.reading("xinyu_delivery_queue_bytes") == 0
    run.cancel()


@pytest.mark.parametrize("settings", [DeliverySettings(queue_pushes=3, batch_pushes=2, queue_signals=2)])
async def test_queues_are_bounded(world: World) -> None:
    await world.service.dispatch([push(1, ANN), push(2, ANN), push(3, ANN)])
    with pytest.raises(Overloaded) as refused:
        await world.service.dispatch([push(4, ANN)])
    assert refused.value.retry_after_ms
    for _ in range(3):
        await world.service.signal([Signal("typing", [ANN], msgspec.Raw(b"{}"))])
    assert world.reading("xinyu_delivery_dropped_signals_total") == 1
    assert world.reading("xinyu_delivery_queue") == 3
    await asyncio.wait_for(world.service.drained(), 5)
    assert world.done == [1, 2, 3]
    assert max(len(batch) for batch in world.left.batches) == 2


async def test_signals_reach_whoever_is_there(world: World) -> None:
    world.left.away = True
    signals = [
        Signal("typing", [ANN, CID], msgspec.Raw(b'{"n":1}')),
        Signal("read", [BOB, ANN], msgspec.Raw(b'{"n":2}'), SessionId("a2")),
    ]
    await world.service.signal(signals)
    await asyncio.wait_for(world.service.drained(), 5)
    reached = [(s.name, [t.session_id for t in s.sessions], bytes(s.payload)) for s in world.right.signals]
    assert reached == [("typing", ["a2"], b'{"n":1}'), ("read", ["b1"], b'{"n":2}')], "though the other node is away"
    world.presence.away = True
    await world.service.signal(signals)
    await asyncio.wait_for(world.service.drained(), 5)
    assert len(world.right.signals) == 2


async def test_every_node_is_told_to_close_though_one_is_away(world: World) -> None:
    order = CloseOrder(ANN)
    world.left.away = True
    with pytest.raises(Unavailable):
        await world.service.close_sessions(order)
    assert (world.left.orders, world.right.orders) == ([], [order])
    world.left.away = False
    await world.service.close_sessions(order)
    assert (world.left.orders, world.right.orders) == ([order], [order, order])


def test_the_one_node_of_a_monolith() -> None:
    node = Node()
    deliverers = LocalDeliverers(LEFT, node)
    assert deliverers.find(LEFT) is node
    assert deliverers.find(NodeRef(LEFT.node, LEFT.epoch - 1)) is None
    assert deliverers.find(RIGHT) is None
    assert deliverers.all_nodes() == [node]


async def test_a_fan_out_that_crashed_and_was_restarted_reaches_every_node_again(
    settings: DeliverySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(settings)
    await world.connect(ANN, "a1", LEFT)
    await world.connect(ANN, "a2", RIGHT)
    monkeypatch.setattr(world.cluster, "is_here", lambda at: at == LEFT)

    async def crash(_: list[NodePush]) -> Receipt:
        raise RuntimeError("a mistake in the program")

    with monkeypatch.context() as patch:
        patch.setattr(world.left, "deliver", crash)
        await world.service.dispatch([push(1, ANN)])
        with pytest.raises(ExceptionGroup):
            await world.service.run()
    run = asyncio.create_task(world.service.run())
    await world.bring(push(2, ANN))
    assert [seq for seq, _ in world.right.got] == [seq for seq, _ in world.left.got] == [2]
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run


class WatchedQueue(MemoryPushQueue):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__(100)
        self.told: list[PushKey] = []
        self.abandoned = 0
        self.left = 0

    def settled(self, keys: Iterable[PushKey]) -> None:
        self.told += keys

    def abandon(self) -> None:
        self.abandoned += 1

    async def leave(self) -> None:
        self.left += 1


async def test_its_queue_hears_of_every_push_once_whatever_became_of_it(settings: DeliverySettings) -> None:
    queue = WatchedQueue()
    world = World(settings, queue)
    await world.connect(ANN, "a1", LEFT)
    await world.connect(BOB, "b1", RIGHT)
    run = asyncio.create_task(world.service.run())
    world.left.away = True
    await world.bring(push(1, ANN), push(2, BOB), push(3, ANN, BOB), push(4, CID))
    assert sorted(queue.told) == [(TALK, seq) for seq in (1, 2, 3, 4)]
    world.presence.away = True
    await world.bring(push(5, ANN))
    assert queue.told[-1] == (TALK, 5)
    assert (queue.abandoned, queue.left) == (1, 2), "a new run has nothing in hand; who drains takes no more"
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run
