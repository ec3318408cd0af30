"""How often something may be tried."""

import pytest

from testkit.clock import ManualClock
from xinyu.user.errors import TooManyAttempts
from xinyu.user.throttle import Throttle


def test_the_window_begins_with_the_first_attempt_and_says_when_it_ends() -> None:
    clock = ManualClock()
    throttle = Throttle(2, 60, clock)
    throttle.hit("a")
    clock.jump(20)
    throttle.hit("a")
    with pytest.raises(TooManyAttempts) as refused:
        throttle.hit("a")
    assert refused.value.retry_after_ms == 40_000
    throttle.hit("b")
    clock.jump(40)
    throttle.hit("a")


def test_success_clears() -> None:
    throttle = Throttle(1, 60, ManualClock())
    throttle.hit("a")
    throttle.clear("a")
    throttle.hit("a")


def test_zero_is_no_limit() -> None:
    throttle = Throttle(0, 60, ManualClock())
    for _ in range(1000):
        throttle.hit("a")
