"""The caller's side of a port: a generated subclass whose methods go through a transport."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar, cast

from xinyu.kernel.errors import Unavailable
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
    stub = _stub_type(port)()
    for name, method in spec_of(port).methods.items():
        setattr(stub, name, transport.bind(method))
    return cast(PortT, stub)


@cache
def _stub_type(port: type[Port]) -> type[Port]:
    """A concrete subclass, whose every method an instance covers with its own."""
    return type(f"{port.__name__}Stub", (port,), dict.fromkeys(spec_of(port).methods, _unbound))


async def _unbound(_self: Port, *_args: Any, **_kwargs: Any) -> Any:
    raise Unavailable("a stub without its transport")
