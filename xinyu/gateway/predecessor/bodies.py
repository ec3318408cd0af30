"""Bodies of the predecessor's commands: JSON objects as its reader understands them, and its answers."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from xinyu.kernel.ids import MAX_JSON_INT, UserId
from xinyu.rpc.dispatch import Reply

DELIVER_TO_USER = 101
SET_ONLINE, SET_OFFLINE, HEARTBEAT, GET_ROUTE = 201, 202, 203, 204
UNHANDLED = Reply(404, "unhandle", b"")
"""As the predecessor answers what it does not know; but the connection stays."""
NO_PAYLOAD = msgspec.Raw(b"{}")
MAX_EVENT = 100
_encode = msgspec.json.Encoder().encode


class _Told(msgspec.Struct):
    """The fields of all these commands. Of whatever type they are: a wrong one counts as missing there."""

    uid: Any = 0
    gateway_rpc: Any = ""
    ttl_sec: Any = 0
    event: Any = ""
    payload: msgspec.Raw = NO_PAYLOAD


_decode = msgspec.json.Decoder(_Told).decode


class Told(NamedTuple):
    """What a request says. 0 and "" are missing."""

    uid: UserId
    gateway_rpc: str
    ttl_sec: int
    event: str
    payload: msgspec.Raw


NOTHING = Told(UserId(0), "", 0, "", NO_PAYLOAD)


def read(body: bytes) -> Told | None:
    """What a request says; None when it is no JSON object."""
    try:
        told = _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return Told(
        UserId(_number(told.uid)), _text(told.gateway_rpc), _number(told.ttl_sec), _text(told.event), told.payload
    )


def line(**fields: object) -> bytes:
    """A body as its JSON writer ends it: with a newline."""
    return _encode(fields) + b"\n"


def _number(value: object) -> int:
    """Numbers come as such or as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(MAX_JSON_INT)):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_JSON_INT else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
