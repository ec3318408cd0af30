"""Session, order and deliverer under any interleaving, against a model (GUARANTEES.md G3, G5).

A raw web client and an SDK-like one are connected to the same conversations. Entries are committed, pushed in any
order, twice, late or never in time; acks come in any order or not; connections break and come back, with what the
device had. Whatever happens: the web client is shown each entry once and in order, and a stored cursor never passes
what its client has acknowledged.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from testkit.socket_model import CONVERSATIONS, HOLD, RETRANSMIT, Device, SocketModel
from xinyu.gateway.ws.deliverer import TICK_SECONDS
from xinyu.kernel.ids import ConversationId


class Sockets(RuleBasedStateMachine):
    """Every rule is something that may happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.page, self.app = Device("page", sync=False), Device("app", sync=True)

    @initialize()
    def begin(self) -> None:
        self.world = SocketModel()
        self.run(self.world.connect(self.page))
        self.run(self.world.connect(self.app))

    def run(self, work: Any) -> None:
        async def settled() -> None:
            await work
            await self.world.clock.advance(0)

        self.loop.run_until_complete(settled())

    def teardown(self) -> None:
        """At the end all of it arrives: reconnect, repeat, acknowledge until nothing is owed."""
        try:
            if hasattr(self, "world"):
                self.run(self._come_to_rest())
                for id_, log in self.world.log.items():
                    first = self.page.started[id_] + 1
                    assert self.page.shown[id_] == list(range(first, len(log) + 1)), (id_, self.page.shown)
                    assert self.world.stored[self.page.device_id, id_] == len(log)
                for device in (self.page, self.app):
                    self.run(self.world.disconnect(device))
                assert not self.world.order._conversations
        finally:
            self.loop.close()

    async def _come_to_rest(self) -> None:
        world = self.world
        for _ in range(80):
            for device in (self.page, self.app):
                await world.reconnect(device)
            arriving, world.undelivered = world.undelivered[:3], world.undelivered[3:]
            await world.deliver(arriving)
            await world.clock.advance(HOLD + TICK_SECONDS)
            world.deliverer._release_waiting()
            await world.clock.advance(0)
            self.page.look()
            self.answer(self.page, len(self.page.unanswered))
            await world.sessions.store_cursors(list(world.hub))
            heads = {(self.page.device_id, id_): len(log) for id_, log in world.log.items()}
            if not world.undelivered and heads.items() <= world.stored.items():
                return

    def answer(self, device: Device, count: int) -> None:
        for ackid in device.unanswered[:count]:
            talk, seq = map(int, ackid.split("."))
            device.acked[talk].add(seq)
            self.say(device, {"event": "ack", "ackid": ackid})
        del device.unanswered[:count]

    def say(self, device: Device, frame: object) -> None:
        if device.is_connected and device.connection is not None:
            device.connection.session.receive(json.dumps(frame), self.world.clock.monotonic())

    @rule(where=st.sampled_from(CONVERSATIONS), count=st.integers(1, 4))
    def commit(self, where: ConversationId, count: int) -> None:
        for _ in range(count):
            self.world.commit(where)

    @precondition(lambda self: self.world.undelivered)
    @rule(data=st.data())
    def push(self, data: st.DataObject) -> None:
        """Some of what is under way arrives, in any order; some of it will come again."""
        chosen = data.draw(st.lists(st.sampled_from(self.world.undelivered), max_size=6))
        self.run(self.world.deliver(chosen))
        if not data.draw(st.booleans()):
            gone = {(e.conversation_id, e.seq) for e in chosen}
            self.world.undelivered = [e for e in self.world.undelivered if (e.conversation_id, e.seq) not in gone]

    @precondition(lambda self: self.world.undelivered)
    @rule()
    def push_in_order(self) -> None:
        self.run(self.world.deliver(self.world.undelivered))
        self.world.undelivered = []

    @rule(seconds=st.sampled_from([0.05, 0.1, 0.3]))
    def pass_time(self, seconds: float) -> None:
        async def tick() -> None:
            await self.world.clock.advance(seconds)
            self.world.deliverer._release_waiting()

        self.run(tick())

    @rule(seconds=st.sampled_from([3.0, 10.0]))
    def repeat(self, seconds: float) -> None:
        self.run(self.world.clock.advance(seconds))
        connection = self.page.connection
        if connection is not None and self.page.is_connected:
            if connection.session._window is not None:
                connection.session._window.answered = True  # what is said of the ack-less does not hold here
            for frame in connection.session.due(self.world.clock.monotonic(), RETRANSMIT, 10**6) or ():
                connection.put(frame)

    @rule(count=st.integers(0, 10), order=st.randoms(use_true_random=False))
    def acknowledge(self, count: int, order: Any) -> None:
        self.page.look()
        order.shuffle(self.page.unanswered)
        if self.page.connection is not None:
            self.answer(self.page, count)

    @rule(where=st.sampled_from(CONVERSATIONS), beyond=st.integers(-3, 5))
    def acknowledge_all(self, where: ConversationId, beyond: int) -> None:
        """The SDK-like client says how far it has everything, and may know more than was pushed: from a sync."""
        self.app.look()
        if self.app.connection is not None:
            seq = min(len(self.world.log[where]), max(self.app.shown[where], default=0) + beyond)
            self.app.acked[where].add(seq)
            self.say(self.app, {"event": "ack", "cursors": {str(where): seq}})

    @rule(garbage=st.sampled_from(["", "10.999", "x", "10", "10.0", "-1.1"]))
    def say_nonsense(self, garbage: str) -> None:
        if self.page.connection is not None:
            self.say(self.page, {"event": "ack", "ackid": garbage})

    @rule(device=st.sampled_from(["page", "app"]))
    def lose_connection(self, device: str) -> None:
        found = self.page if device == "page" else self.app
        if found.connection is not None:
            found.look()  # what was on the wire has arrived; its acks have not
            self.run(self.world.disconnect(found))

    @rule(device=st.sampled_from(["page", "app"]))
    def come_back(self, device: str) -> None:
        found = self.page if device == "page" else self.app
        self.run(self.world.reconnect(found))

    @rule()
    def store(self) -> None:
        self.run(self.world.sessions.store_cursors(list(self.world.hub)))

    @invariant()
    def shows_in_order(self) -> None:
        if not hasattr(self, "world"):
            return
        for device in (self.page, self.app):
            device.look()
        for id_, seqs in self.page.shown.items():
            first = self.page.started[id_] + 1
            assert seqs == list(range(first, first + len(seqs))), (id_, seqs)

    @invariant()
    def stores_what_was_acknowledged(self) -> None:
        if not hasattr(self, "world"):
            return
        for (device_id, id_), seq in self.world.stored.items():
            device = self.page if device_id == self.page.device_id else self.app
            start = device.started[id_]
            if device.sync:
                assert seq <= max(start, *device.acked[id_], 0), (device_id, id_, seq)
            else:
                assert set(range(start + 1, seq + 1)) <= device.acked[id_], (device_id, id_, seq)


Sockets.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestSockets = Sockets.TestCase
