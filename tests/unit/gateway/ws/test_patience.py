"""Sessions that wait for a service which is away: how often it is asked, for how long, and what is told of it."""

from __future__ import annotations

import asyncio

import pytest

from testkit.clock import ManualClock
from testkit.logs import followed, named
from xinyu.gateway.auth import Caller
from xinyu.gateway.ws.patience import AGAIN_AT_ONCE, LONGEST_SECONDS, LONGEST_WAIT_SECONDS, Patience
from xinyu.gateway.ws.session import Session, State
from xinyu.kernel.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable, XinyuError
from xinyu.kernel.ids import DeviceId, LoginId, NodeId, SessionId, UserId
from xinyu.presence.types import NodeRef


class Service:
    """Answers with its errors first, then with 7; counts how many ask at once."""

    def __init__(self, *errors: XinyuError) -> None:
        self.errors = list(errors)
        self.asked = 0
        self.inside = 0
        self.most = 0
        self.gate: asyncio.Event | None = None

    async def ask(self) -> int:
        self.asked += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
            return 7
        finally:
            self.inside -= 1


def session() -> Session:
    caller = Caller(UserId(7), LoginId("0" * 32), "web", 1, 2**40)
    return Session(SessionId("s"), caller, DeviceId("d"), False, NodeRef(NodeId("n"), 1), 0.0)


async def test_an_answer_at_once_is_not_late() -> None:
    asker = Patience(ManualClock()).of(session())
    assert (await asker.told(Service().ask), asker.was_late) == (7, False)


@pytest.mark.parametrize("error", [Unavailable, DeadlineExceeded, Overloaded])
async def test_what_passes_by_itself_is_waited_for(error: type[XinyuError]) -> None:
    clock, service = ManualClock(), Service(*(error() for _ in range(5)))
    asker = Patience(clock).of(session())
    telling = asyncio.create_task(asker.told(service.ask))
    await clock.advance(10)
    assert (await telling, asker.was_late, service.asked) == (7, True, 6)


async def test_what_does_not_pass_is_raised_also_later() -> None:
    clock, service = ManualClock(), Service(Unavailable(), InvalidInput())
    telling = asyncio.create_task(Patience(clock).of(session()).told(service.ask))
    await clock.advance(1)
    with pytest.raises(InvalidInput):
        await telling


async def test_it_is_asked_often_enough_when_it_is_back_and_not_for_ever() -> None:
    clock, service = ManualClock(), Service(*(Unavailable() for _ in range(1000)))
    telling = asyncio.create_task(Patience(clock).of(session()).told(service.ask))
    while clock.monotonic() < LONGEST_WAIT_SECONDS:
        before = service.asked
        await clock.advance(1.5 * LONGEST_SECONDS)
        assert service.asked > before
    await clock.advance(1.5 * LONGEST_SECONDS)
    with pytest.raises(Unavailable):
        await telling


async def test_who_says_when_to_come_back_is_not_asked_before() -> None:
    clock, service = ManualClock(), Service(Overloaded(retry_after_ms=5000))
    telling = asyncio.create_task(Patience(clock).of(session()).told(service.ask))
    await clock.advance(4.9)
    assert service.asked == 1
    await clock.advance(0.2)
    assert await telling == 7


async def test_a_session_that_was_closed_asks_no_more() -> None:
    """Reading a gap is nobody's to cancel."""
    clock, service, closed = ManualClock(), Service(*(Unavailable() for _ in range(100))), session()
    patience = Patience(clock)
    telling = asyncio.create_task(patience.of(closed).told(service.ask))
    await clock.advance(1)
    asked, closed.state = service.asked, State.CLOSED
    await clock.advance(10)
    assert (await telling, service.asked, patience.waiting) == (None, asked, 0)


async def test_those_who_waited_do_not_overrun_what_is_back() -> None:
    clock, service = ManualClock(), Service(*(Unavailable() for _ in range(100)))
    patience = Patience(clock)
    telling = [asyncio.create_task(patience.of(session()).told(service.ask)) for _ in range(100)]
    await clock.advance(0)
    assert patience.waiting == 100
    service.gate, service.most = asyncio.Event(), 0
    await clock.advance(10)
    assert service.inside == AGAIN_AT_ONCE
    service.gate.set()
    assert await asyncio.gather(*telling) == 100 * [7]
    assert (service.most, patience.waiting) == (AGAIN_AT_ONCE, 0)


async def test_the_log_says_once_that_sessions_wait_and_when_they_do_no_more() -> None:
    clock, service = ManualClock(), Service(*(Unavailable() for _ in range(20)))
    patience = Patience(clock)
    with followed() as lines:
        telling = [asyncio.create_task(patience.of(session()).told(service.ask)) for _ in range(10)]
        await clock.advance(10)
        await asyncio.gather(*telling)
    assert len(named(lines, "sessions wait for what cannot be read now; it is asked for again")) == 1
    assert len(named(lines, "no session waits any more for what could not be read")) == 1
