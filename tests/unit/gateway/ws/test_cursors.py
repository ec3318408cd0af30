"""Cursors of many sessions on their way into the log: one call at a time, for all who ask meanwhile."""

from __future__ import annotations

import asyncio
import gc
import weakref

from testkit.contacts import port_of
from xinyu.gateway.auth import Caller
from xinyu.gateway.ws.session import Session
from xinyu.gateway.ws.sessions.cursors import CursorWriter
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import ConversationId, DeviceId, LoginId, NodeId, SessionId, UserId
from xinyu.message.port import DevicePort
from xinyu.message.types import DeviceCursor
from xinyu.presence.types import NodeRef
from xinyu.rpc.deadline import remaining_seconds, within

TALK = ConversationId(1)


class Log:
    """Calls of `move_cursors`, each as many as it moved; they go on one by one."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.errors: list[Exception] = []
        self.remaining: list[float | None] = []
        self._goes_on = asyncio.Semaphore(0)
        self.writer = CursorWriter(port_of(DevicePort, move_cursors=self._move))

    async def _move(self, cursors: list[DeviceCursor]) -> None:
        self.calls.append([int(cursor.user_id) for cursor in cursors])
        self.remaining.append(remaining_seconds())
        await self._goes_on.acquire()
        if self.errors:
            raise self.errors.pop(0)

    async def go_on(self) -> None:
        self._goes_on.release()
        await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def moved(number: int) -> Session:
    """A session with a cursor to store."""
    caller = Caller(UserId(number), LoginId("0" * 32), "web", 1, 2**40)
    session = Session(SessionId(f"{number}"), caller, DeviceId("d"), True, NodeRef(NodeId("n"), 1), 0.0)
    move(session)
    return session


def move(session: Session) -> None:
    session.cursors[TALK] = session.cursors.get(TALK, 0) + 1
    session.give_back_dirty([TALK])


async def test_whoever_asks_during_a_call_comes_with_the_next() -> None:
    """Sockets that end at once are a call or two, not one each, and sends come between them."""
    log = Log()
    stores = [asyncio.create_task(log.writer.store([moved(0)]))]
    await settled()
    stores += [asyncio.create_task(log.writer.store([moved(number)])) for number in range(1, 101)]
    await settled()
    assert log.calls == [[0]]
    await log.go_on()
    assert log.calls == [[0], list(range(1, 101))]
    assert [store.done() for store in stores] == [True] + 100 * [False], "not stored yet"
    await log.go_on()
    await asyncio.gather(*stores)


async def test_a_call_has_a_size_and_only_what_was_not_stored_comes_again() -> None:
    log, sessions = Log(), [moved(number) for number in range(2500)]
    stores = [asyncio.create_task(log.writer.store([session])) for session in sessions]
    await settled()
    await log.go_on()
    log.errors = [Unavailable()]
    await log.go_on()
    assert [len(call) for call in log.calls] == [1000, 1000]
    outcomes = await asyncio.gather(*stores, return_exceptions=True)
    assert [isinstance(outcome, Unavailable) for outcome in outcomes] == 1000 * [False] + 1500 * [True]
    assert [session.has_moved for session in sessions] == 1000 * [False] + 1500 * [True]


async def test_a_call_that_fails_fails_for_all_that_it_was_for_and_none_else() -> None:
    log = Log()
    first, second, third = moved(1), moved(2), moved(3)
    log.errors = [Unavailable()]
    failing = [asyncio.create_task(log.writer.store([session])) for session in (first, second)]
    await settled()
    good = asyncio.create_task(log.writer.store([third]))
    await settled()
    await log.go_on()
    assert [type(outcome) for outcome in await asyncio.gather(*failing, return_exceptions=True)] == 2 * [Unavailable]
    await log.go_on()
    await good
    again = asyncio.create_task(log.writer.store([first, second]))
    await settled()
    await log.go_on()
    await again
    assert log.calls == [[1, 2], [3], [1, 2]], "they count as moved again"


async def test_who_gives_up_waiting_stops_it_for_nobody() -> None:
    log = Log()
    gone, stays = (asyncio.create_task(log.writer.store([moved(number)])) for number in (1, 2))
    await settled()
    gone.cancel()
    await log.go_on()
    await stays
    assert (gone.cancelled(), log.calls) == (True, [[1, 2]])


async def test_what_moves_during_a_call_comes_with_the_next() -> None:
    log, session = Log(), moved(1)
    first = asyncio.create_task(log.writer.store([session]))
    await settled()
    move(session)
    second = asyncio.create_task(log.writer.store([session]))
    await settled()
    await log.go_on()
    await first
    assert not second.done()
    await log.go_on()
    await second
    assert log.calls == [[1], [1]]


async def test_a_call_has_its_own_time_and_none_is_made_for_nothing() -> None:
    log, session = Log(), moved(1)
    with within(5.0):
        store = asyncio.create_task(log.writer.store([session]))
    await settled()
    await log.go_on()
    await store
    await log.writer.store([session])
    assert (log.calls, log.remaining) == ([[1]], [None])


async def test_who_has_nothing_to_store_waits_for_nobody_and_gets_nobodys_error() -> None:
    log, busy, idle = Log(), moved(1), moved(2)
    idle.take_dirty()
    log.errors = [Unavailable()]
    failing = asyncio.create_task(log.writer.store([busy]))
    await settled()
    await log.writer.store([idle])
    under_way = asyncio.create_task(log.writer.store([busy]))
    await settled()
    assert not under_way.done(), "what it had moved is not stored yet"
    await log.go_on()
    assert isinstance((await asyncio.gather(failing, return_exceptions=True))[0], Unavailable)
    await log.go_on()
    await under_way
    assert log.calls == [[1], [1]], "by the next round"


async def test_rounds_that_fail_leave_nothing_behind() -> None:
    """An outage of hours is one round after the other."""
    log, session = Log(), moved(1)
    rounds: list[weakref.ref[object]] = []
    for _ in range(3):
        log.errors = [Unavailable()]
        store = asyncio.create_task(log.writer.store([session]))
        await settled()
        rounds += [weakref.ref(task) for task in log.writer._rounds]
        await log.go_on()
        assert isinstance((await asyncio.gather(store, return_exceptions=True))[0], Unavailable)
        del store
    gc.collect()
    assert [found() for found in rounds] == 3 * [None]
