"""Rests, budgets and pauses, the time handed in."""

from __future__ import annotations

from xinyu.rpc.breaker import Breaker, BreakerState, RetryBudget, pause
from xinyu.rpc.settings import RpcSettings

SETTINGS = RpcSettings(breaker_failures=3, breaker_first_seconds=1.0, breaker_longest_seconds=3.0)


def failing(breaker: Breaker, times: int, now: float = 0.0) -> Breaker:
    for _ in range(times):
        breaker.failed(now)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = failing(Breaker(SETTINGS), 2)
    breaker.succeeded()
    failing(breaker, 2)
    assert breaker.closed
    assert breaker.admits(0.0)
    failing(breaker, 1)
    assert breaker.state(0.5) is BreakerState.OPEN
    assert not breaker.admits(0.5)


def test_one_probe_at_a_time_decides() -> None:
    breaker = failing(Breaker(SETTINGS), 3)
    assert breaker.state(1.0) is BreakerState.HALF_OPEN
    assert breaker.admits(1.0)
    assert not breaker.admits(1.1), "one probe is on its way"
    breaker.succeeded()
    assert breaker.closed
    assert breaker.admits(1.2)


def test_the_rest_doubles_up_to_the_longest() -> None:
    breaker, now = failing(Breaker(SETTINGS), 3), 0.0
    for rest in (1.0, 2.0, 3.0, 3.0):
        assert not breaker.admits(now + rest * 0.79)
        now += rest
        assert breaker.admits(now)
        breaker.failed(now)
    assert breaker.opened_times == 5


def test_failures_of_calls_sent_before_it_opened_change_nothing() -> None:
    breaker = failing(Breaker(SETTINGS), 3)
    failing(breaker, 50, now=0.9)
    assert breaker.admits(1.0)


def test_a_probe_that_nobody_hears_of_blocks_for_one_rest_only() -> None:
    breaker = failing(Breaker(SETTINGS), 3)
    assert breaker.admits(1.0)
    assert not breaker.admits(1.9)
    assert breaker.admits(2.0)


def test_the_budget_is_a_share_of_first_attempts() -> None:
    budget = RetryBudget(share=0.25, burst=2)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(4):
        budget.earn()
    assert [budget.spend() for _ in range(2)] == [True, False]
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_pauses_double_with_jitter() -> None:
    for failures, whole in ((1, 0.01), (2, 0.02), (5, 0.16), (8, 1.0), (10_000, 1.0)):
        found = {pause(failures, 0.01, 1.0) for _ in range(50)}
        assert all(whole / 2 <= seconds <= whole for seconds in found)
        assert len(found) > 1
