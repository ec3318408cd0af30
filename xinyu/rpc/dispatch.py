"""The server's side of ports: a command number and a body in, a result code and a body out.

A reply's `result` is 200 or an HTTP-like code per error category, `result_str` the error code (DESIGN.md section 4).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from xinyu.kernel.errors import Category, InvalidInput, XinyuError, from_wire
from xinyu.kernel.port import Port
from xinyu.rpc.spec import MethodSpec, spec_of
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
    except msgspec.MsgspecError:
        content = _ErrorBody(message=f"result {reply.result}")
    raise from_wire(reply.result_str, content.message, content.details)


class Dispatcher:
    """Serves ports. Commands are unique over all ports of a process: a clash is found when adding."""

    def __init__(self) -> None:
        self._methods: dict[int, tuple[MethodSpec, Port]] = {}

    def add(self, port: type[Port], service: Port) -> None:
        """Serve `port` by `service`."""
        for method in spec_of(port).methods.values():
            if method.command in self._methods:
                other = self._methods[method.command][0]
                raise TypeError(f"{method.label} and {other.label} share command {method.command}")
            self._methods[method.command] = (method, service)

    async def dispatch(self, command: int, body: bytes) -> Reply:
        """Run one call. Never raises but for cancellation; an unknown command answers 404 "rpc.unhandled"."""
        entry = self._methods.get(command)
        if entry is None:
            return Reply(404, "rpc.unhandled", b"{}")
        method, service = entry
        try:
            try:
                arguments = method.decode_request(body)
            except msgspec.MsgspecError as error:
                raise InvalidInput(f"{method.label}: {error}") from error
            result = await getattr(service, method.name)(**arguments)
            return Reply(200, "ok", method.encode_result(result))
        except XinyuError as error:
            return error_reply(error)
        except Exception:
            log.exception("call failed; the stack below says where", method=method.label)
            return error_reply(XinyuError())
