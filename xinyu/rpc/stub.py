"""The caller's side of a port: a generated subclass whose methods go through a transport."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from xinyu.kernel.port import Port
from xinyu.rpc.spec import MethodSpec, spec_of

PortT = TypeVar("PortT", bound=Port)
Call = Callable[..., Awaitable[Any]]


class Transport(abc.ABC):
    """Carries calls to wherever the port is served."""

    @abc.abstractmethod
    def bind(self, method: MethodSpec) -> Call:
        """The function that a stub's method becomes. It finds its target when called, not when bound."""


def make_stub(port: type[PortT], transport: Transport) -> PortT:
    """A `port` whose every call goes through `transport`. Raises PortError for a port that cannot be called so."""
    calls = {name: transport.bind(method) for name, method in spec_of(port).methods.items()}

    def forward(call: Call) -> Callable[..., Awaitable[Any]]:
        def method(_self: Port, *args: Any, **kwargs: Any) -> Awaitable[Any]:
            return call(*args, **kwargs)

        return method

    stub_type = type(f"{port.__name__}Stub", (port,), {name: forward(call) for name, call in calls.items()})
    return cast(PortT, stub_type())
