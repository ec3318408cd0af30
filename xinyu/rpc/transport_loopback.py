"""Calls inside one process that go through the codec both ways: what an encoded transport does, without a socket."""

from __future__ import annotations

from typing import Any

from xinyu.rpc.deadline import check_deadline
from xinyu.rpc.dispatch import Dispatcher, raise_for
from xinyu.rpc.spec import MethodSpec
from xinyu.rpc.stub import Call, Transport


class LoopbackTransport(Transport):
    """Encodes each call, hands it to `dispatcher`, decodes the reply."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def bind(self, method: MethodSpec) -> Call:
        async def call(*args: Any, **kwargs: Any) -> Any:
            check_deadline()
            reply = await self._dispatcher.dispatch(method.command, method.encode_request(method.named(args, kwargs)))
            raise_for(reply)
            return method.decode_result(reply.body)

        return call
