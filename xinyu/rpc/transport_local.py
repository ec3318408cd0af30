"""Calls inside one process: a method call on the service, with the deadline, metrics and error shape of any other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from xinyu.kernel.errors import XinyuError
from xinyu.kernel.port import Port
from xinyu.rpc.deadline import check_deadline
from xinyu.rpc.spec import MethodSpec
from xinyu.rpc.stub import Call, Transport

Observe = Callable[[str, str, float], None]
"""(method label, outcome, seconds)"""


def no_observer(_method: str, _outcome: str, _seconds: float) -> None:
    """For callers that keep no metrics."""


class LocalTransport(Transport):
    """Finds the service when called, so the order of construction does not matter and no cycle can arise."""

    def __init__(self, find: Callable[[], Port], observe: Observe = no_observer) -> None:
        self._find = find
        self._observe = observe

    def bind(self, method: MethodSpec) -> Call:
        find, observe, name, label, clock = self._find, self._observe, method.name, method.label, time.perf_counter

        async def call(*args: Any, **kwargs: Any) -> Any:
            check_deadline()
            outcome, begin = "ok", clock()
            try:
                return await getattr(find(), name)(*args, **kwargs)
            except XinyuError as error:
                outcome = error.code
                raise
            except BaseException:
                outcome = "crash"
                raise
            finally:
                observe(label, outcome, clock() - begin)

        return call
