"""The server's side of ports: a command number and a body in, a result code and a body out.

A reply's `result` is 200 or an HTTP-like code per error category, `result_str` the error code (DESIGN.md section 4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from xinyu.kernel.errors import Category, DeadlineExceeded, InvalidInput, XinyuError, from_wire
from xinyu.kernel.port import Port
from xinyu.rpc.spec import MethodSpec, spec_of
from xinyu.rpc.wire import UNREADABLE
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)

RESULT_OF: dict[Category, int] = {
    Category.INVALID: 400,
    Category.UNAUTHENTICATED: 401,
    Category.PERMISSION: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.PRECONDITION: 412,
    Category.EXHAUSTED: 429,
    Category.INTERNAL: 500,
    Category.UNAVAILABLE: 503,
    Category.DEADLINE: 504,
}


class Reply(NamedTuple):
    """What goes back: 200 and the encoded result, or an error's code and its message and details."""

    result: int
    result_str: str
    body: bytes


UNHANDLED = Reply(404, "rpc.unhandled", b"{}")
"""Nobody serves that command here. The connection stays, unlike the predecessor's."""


class _ErrorBody(msgspec.Struct):
    message: str = ""
    details: dict[str, Any] = {}


_decode_error = msgspec.json.Decoder(_ErrorBody).decode


def error_reply(error: XinyuError) -> Reply:
    """`error` as it travels."""
    body = msgspec.json.encode({"message": error.message, "details": error.details})
    return Reply(RESULT_OF[error.category], error.code, body)


def raise_for(reply: Reply) -> None:
    """Raise what the other side raised; nothing for 200."""
    if reply.result == 200:
        return
    try:
        content = _decode_error(reply.body)
    except UNREADABLE:
        content = _ErrorBody(message=f"result {reply.result}")
    raise from_wire(reply.result_str, content.message, content.details)


class Prepared(Protocol):
    """A call that may be run now."""

    deadline_ms: int | None

    @property
    def label(self) -> str:
        """What is called, for people."""

    async def run(self) -> Reply:
        """Run it, once. Never raises but for cancellation."""


class Dispatch(Protocol):
    """What a server asks with each request."""

    def prepare(self, command: int, body: bytes) -> Prepared | Reply:
        """A call to run, or the answer where there is none to run."""


class PreparedCall:
    """A request that was understood, ready to run."""

    __slots__ = ("_arguments", "_function", "_method", "deadline_ms")

    def __init__(
        self,
        method: MethodSpec,
        function: Callable[..., Awaitable[Any]],
        arguments: dict[str, Any],
        deadline_ms: int | None,
    ) -> None:
        self._method = method
        self._function = function
        self._arguments = arguments
        self.deadline_ms = deadline_ms
        """Milliseconds that the caller would wait when it sent; None for ever."""

    @property
    def label(self) -> str:
        """The method."""
        return self._method.label

    async def run(self) -> Reply:
        """Run it, once. Never raises but for cancellation."""
        try:
            result = await self._function(**self._arguments)
            return Reply(200, "ok", self._method.encode_result(result))
        except XinyuError as error:
            return error_reply(error)
        except Exception:
            log.exception("call failed; the stack below says where", method=self._method.label)
            return error_reply(XinyuError())


class Dispatcher:
    """Serves ports. Commands are unique over all ports of a process: a clash is found when adding."""

    def __init__(self) -> None:
        self._methods: dict[int, tuple[MethodSpec, Callable[..., Awaitable[Any]]]] = {}

    def add(self, port: type[Port], service: Port) -> None:
        """Serve `port` by `service`."""
        for method in spec_of(port).methods.values():
            if method.command in self._methods:
                other = self._methods[method.command][0]
                raise TypeError(f"{method.label} and {other.label} share command {method.command}")
            self._methods[method.command] = (method, getattr(service, method.name))

    def prepare(self, command: int, body: bytes) -> PreparedCall | Reply:
        """Read one request. What cannot run is answered here: an unknown command by 404 "rpc.unhandled"."""
        entry = self._methods.get(command)
        if entry is None:
            return UNHANDLED
        method, function = entry
        try:
            arguments, deadline_ms = method.decode_request(body)
        except UNREADABLE as error:
            return error_reply(InvalidInput(f"{method.label}: {error}"))
        if deadline_ms is not None and deadline_ms <= 0:
            return error_reply(DeadlineExceeded())
        return PreparedCall(method, function, arguments, deadline_ms)

    async def dispatch(self, command: int, body: bytes) -> Reply:
        """Read and run one call. Never raises but for cancellation."""
        prepared = self.prepare(command, body)
        return prepared if isinstance(prepared, Reply) else await prepared.run()
