"""A port: an ABC of async methods through which one domain calls another.

`rpc/` reads the marks that `@rpc` leaves and derives stubs and dispatch tables; nobody writes adapters by hand.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
RPC_MARK = "__xinyu_rpc__"


class RpcMark(NamedTuple):
    """What `@rpc` says of a port method."""

    command: int
    idempotent: bool


class Port(abc.ABC):  # noqa: B024  # its methods are those of the ports
    """Base of all ports. Every public method is async, abstract and marked with `@rpc`."""


def rpc(command: int, *, idempotent: bool = False) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Give a port method its Rock command number (CONTRACT.md section 5.4 has the ranges).

    `idempotent` says that running it twice is as good as once, so transports may retry it.
    """

    def mark(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        setattr(method, RPC_MARK, RpcMark(command, idempotent))
        return abc.abstractmethod(method)

    return mark


def mark_of(method: Any) -> RpcMark | None:
    """The mark of a method, None where it has none."""
    mark = getattr(method, RPC_MARK, None)
    return mark if isinstance(mark, RpcMark) else None
