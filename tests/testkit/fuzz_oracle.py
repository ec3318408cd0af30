"""What may come back, whatever was sent (G12): documented errors and close codes, and nothing of the inside."""

from __future__ import annotations

import json
import re
from typing import Any

from reference_pages.errors import known_errors
from reference_pages.events import PLAIN, SERVER
from testkit.fuzz_probes import CLOSE, PING, PONG, TEXT, Answer, SocketFrame
from testkit.hostile import check_text
from xinyu.gateway.http.errors import STATUS_OF
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.kernel.errors import Category
from xinyu.rpc.dispatch import RESULT_OF, UNHANDLED
from xinyu.rpc.wire import Response

ERRORS = known_errors()
REFUSALS = frozenset(STATUS_OF[category] for category in Category) - {500, 503, 504}
"""A healthy server has no trouble of its own to tell of, whatever it is asked."""
BARE = frozenset({100, 200, 204, 206, 304, 400, 401, 403, 404, 405, 409, 413, 414, 416, 426, 429, 431})
"""What bytes that are HTTP in part may be answered; 101 comes before frames."""
CLOSES = frozenset(map(int, CloseCode)) | {1005}
EVENTS = {*SERVER, *PLAIN}


NOT_HTTP = (400, b"Invalid HTTP request received.")


def check_answer(answer: Answer) -> None:
    """A REST answer: data, or a documented error whose status is its category's."""
    text = answer.body.decode()
    check_text(text)
    if answer.status == 200 or (answer.status, answer.body) == NOT_HTTP:
        return
    assert answer.status in REFUSALS, f"{answer.status} {text[:300]}"
    check_error(json.loads(text), answer.status)


def check_error(told: dict[str, Any], status: int) -> None:
    """The envelope of CONTRACT.md section 1.0, of a documented error."""
    assert told["code"] == status and told["data"] is None and isinstance(told["message"], str), told
    assert STATUS_OF[ERRORS[told["error"]].category] == status, told


def check_http(answer: bytes) -> None:
    """Bytes of a REST port after bytes that were HTTP in part."""
    check_text(answer.decode("latin-1"))
    heads = re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.M)
    statuses = {int(status) for status in heads}
    assert statuses <= BARE | {101}, f"{statuses} {answer[:500]!r}"
    assert heads or not answer, answer[:500]


def check_reply(told: dict[str, Any]) -> None:
    """The answer to a request on a socket."""
    check_text(json.dumps(told, ensure_ascii=False))
    assert told["event"] in ("reply", "error"), told
    if told["event"] == "error":
        payload = told["payload"]
        assert STATUS_OF[ERRORS[payload["error"]].category] == payload["code"] in REFUSALS and payload["message"], told


def check_frame(frame: SocketFrame) -> None:
    """Any frame of the server's."""
    if frame.opcode == TEXT:
        check_text(frame.payload.decode())
        assert json.loads(frame.payload)["event"] in EVENTS, frame
    elif frame.opcode == CLOSE:
        check_text(frame.payload[2:].decode())
        assert frame.code in CLOSES, frame
    else:
        assert frame.opcode in (PING, PONG), frame


def check_response(response: Response) -> None:
    """A node's answer to another."""
    check_text(response.body.decode())
    if response.result == 200:
        assert response.result_str == "ok", response
    elif response.result_str != UNHANDLED.result_str:
        known = ERRORS[response.result_str]
        assert RESULT_OF[known.category] == response.result and known.category is not Category.INTERNAL, response
