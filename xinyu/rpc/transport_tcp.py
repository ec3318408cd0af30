"""Calls to other processes: pick an instance, send, and try again where that cannot do harm.

A further attempt is made only after transport trouble, within the caller's deadline and the process's retry budget, and
only of a method that is idempotent or of a call that provably never left this process.
"""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import Collection
from typing import Any

from xinyu.kernel.errors import DeadlineExceeded, Unavailable, XinyuError
from xinyu.rpc.breaker import pause
from xinyu.rpc.client import NotSent
from xinyu.rpc.deadline import current_deadline
from xinyu.rpc.dispatch import Reply, raise_for
from xinyu.rpc.pool import RpcClient, Target
from xinyu.rpc.spec import MethodSpec
from xinyu.rpc.stub import Call, Transport
from xinyu.rpc.transport_local import Observe, no_observer
from xinyu.rpc.wire import Response
from xinyu.telemetry.trace import current_trace_id

_NOBODY: frozenset[Target] = frozenset()


class Picker(abc.ABC):
    """Chooses where a call goes."""

    @abc.abstractmethod
    def pick(self, method: MethodSpec, arguments: dict[str, Any], avoid: Collection[Target]) -> Target:
        """An instance that serves `method`; `arguments` are by name. Those in `avoid` have just failed this very call:
        another is better, where there is one. Asked for every attempt, so it must be quick.

        Raises Unavailable when there is no instance; the call then waits a little and asks again, as for an attempt
        that was not sent.
        """

    def ended(self, target: Target) -> None:  # noqa: B027  # who counts nothing need not care
        """The attempt that `target` was picked for is over, however it went. Once per pick."""


class FixedPicker(Picker):
    """Always the same target: a node that holds the sessions, a static cluster of one."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def pick(self, method: MethodSpec, arguments: dict[str, Any], avoid: Collection[Target]) -> Target:
        return self._target


class TcpTransport(Transport):
    """Calls through `client` to whom `picker` names."""

    def __init__(self, client: RpcClient, picker: Picker, observe: Observe = no_observer) -> None:
        self._client = client
        self._picker = picker
        self._observe = observe

    def bind(self, method: MethodSpec) -> Call:
        attempts, observe, label = self._attempts, self._observe, method.label
        call_seconds, clock = self._client.settings.call_seconds, time.monotonic

        async def call(*args: Any, **kwargs: Any) -> Any:
            outcome, begin = "ok", clock()
            try:
                deadline = current_deadline()
                if deadline is None:
                    deadline = begin + call_seconds
                arguments = method.named(args, kwargs)
                response = await attempts(method, arguments, deadline)
                if response.result != 200:
                    raise_for(Reply(response.result, response.result_str, response.body))
                return method.decode_result(response.body)
            except XinyuError as error:
                outcome = error.code
                raise
            except BaseException:
                outcome = "crash"
                raise
            finally:
                observe(label, outcome, clock() - begin)

        return call

    async def _attempts(self, method: MethodSpec, arguments: dict[str, Any], deadline: float) -> Response:
        client, picker, body, avoid = self._client, self._picker, method.encode_request(arguments), _NOBODY
        client.counts.calls += 1
        client.budget.earn()
        attempt = 0
        while True:
            attempt += 1
            target = None
            try:
                target = picker.pick(method, arguments, avoid)
                timed = _with_deadline(body, deadline)
                return await client.call(target, method.command, current_trace_id(), timed, deadline)
            except Unavailable as error:
                if target is not None and not (method.idempotent or isinstance(error, NotSent)):
                    raise
                failure = error
            finally:
                if target is not None:
                    picker.ended(target)
            await self._before_another(failure, attempt, deadline, target is not None and target not in avoid)
            if target is not None:
                avoid |= {target}

    async def _before_another(self, error: Unavailable, attempt: int, deadline: float, at_once: bool) -> None:
        """Pause, unless `at_once`; raises `error` where no further attempt may be made."""
        client, settings = self._client, self._client.settings
        if attempt >= settings.retry_attempts:
            raise error
        wait = 0.0 if at_once else pause(attempt, settings.retry_first_seconds, settings.retry_longest_seconds)
        if time.monotonic() + wait >= deadline:
            raise error
        if not client.budget.spend():
            client.counts.retries_refused += 1
            raise error
        client.counts.retries += 1
        await asyncio.sleep(wait)


def _with_deadline(body: bytes, deadline: float) -> bytes:
    """`body` with `$deadline_ms`. Raises DeadlineExceeded when nothing is left."""
    left = int((deadline - time.monotonic()) * 1000)
    if left <= 0:
        raise DeadlineExceeded()
    if body == b"{}":
        return b'{"$deadline_ms":%d}' % left
    return b'{"$deadline_ms":%d,%b' % (left, body[1:])
