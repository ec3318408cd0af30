"""Frames of CONTRACT.md section 2: what comes in, decoded and typed; what goes out, encoded."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import MAX_JSON_INT

MAX_REQUEST_ID = 200
"""Characters; the id comes back in the answer."""
NO_PAYLOAD = msgspec.Raw(b"{}")
_encode = msgspec.json.Encoder().encode
RequestId = (
    Annotated[str, msgspec.Meta(max_length=MAX_REQUEST_ID)]
    | Annotated[int, msgspec.Meta(ge=-MAX_JSON_INT, le=MAX_JSON_INT)]
)


class ClientFrame(msgspec.Struct):
    """Any frame of a client. Fields of a wrong type make the whole frame unreadable."""

    event: str = ""
    id: RequestId | None = None
    payload: msgspec.Raw = NO_PAYLOAD
    ackid: str | None = None
    cursors: dict[str, int] | None = None
    trace_id: str | None = None


_decode = msgspec.json.Decoder(ClientFrame).decode


def parse_frame(text: str) -> ClientFrame | None:
    """A client's frame; None for anything that is none (ignored, CONTRACT.md section 2.2)."""
    try:
        frame = _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if bytes(frame.payload) == b"null":
        frame.payload = NO_PAYLOAD
    return frame


def event_frame(event: str, payload: Any, ackid: str | None = None) -> bytes:
    """A frame of the server's own accord."""
    if ackid is None:
        return _encode({"event": event, "payload": payload})
    return _encode({"event": event, "payload": payload, "ackid": ackid})


def reply_frame(request_id: str | int, payload: object) -> bytes:
    """The answer to a request."""
    return _encode({"event": "reply", "id": request_id, "payload": {} if payload is None else payload})


def error_frame(request_id: str | int, status: int, error: XinyuError, text: str) -> bytes:
    """The answer to a request that failed."""
    payload: dict[str, Any] = {"code": status, "error": error.code, "message": text}
    if error.retry_after_ms is not None:
        payload["retry_after_ms"] = error.retry_after_ms
    return _encode({"event": "error", "id": request_id, "payload": payload})


def unauthorized_frame(text: str = "unauthorized") -> bytes:
    """What a client with a bad token is told before the close (CONTRACT.md section 2.1)."""
    return event_frame("event_error", {"error_code": 401, "error_message": text})


RELOAD = event_frame("im.session.reload", {})
"""The client is to read its list again: what it counts by itself is not right any more."""
