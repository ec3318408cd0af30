"""Frames: anything is parsed or ignored, and what goes out is what the contract says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinyu.gateway.ws.close_codes import RECONNECT_WITH_SAME_TOKEN, CloseCode, as_told
from xinyu.gateway.ws.frames import (
    ClientFrame,
    error_frame,
    event_frame,
    parse_frame,
    reply_frame,
    unauthorized_frame,
)
from xinyu.kernel.errors import Overloaded, Unauthenticated

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("event", "id", "payload", "ackid", "cursors", "trace_id", "more"), JSON)
)


@given(st.text() | JSON.map(json.dumps) | FIELDS.map(json.dumps))
def test_any_text_is_a_frame_or_ignored(text: str) -> None:
    frame = parse_frame(text)
    if frame is not None:
        assert isinstance(frame.event, str)
        json.loads(bytes(frame.payload))  # an echo of it is JSON again
        if frame.id is not None:
            assert json.loads(reply_frame(frame.id, None))["id"] == frame.id


@pytest.mark.parametrize(
    "text",
    ["", "ping", "null", "[]", "5", '"ping"', "{", '{"event":5}', '{"event":"ping","id":1.5}', "\ud800",
     '{"event":"x","id":' + "9" * 400 + "}", '{"event":"x","id":9007199254740993}', '{"event":"x","id":true}',
     '{"event":"x","id":"' + "y" * 201 + '"}', '{"payload":' + "[" * 100_000 + "}",
     '{"event":"ack","cursors":{"1":"x"}}'],
)  # fmt: skip
def test_what_is_no_frame_is_ignored(text: str) -> None:
    assert parse_frame(text) is None


def test_a_frame_with_everything() -> None:
    frame = parse_frame('{"event":"x","id":"7","payload":{"a":1},"ackid":"1.2","trace_id":"t","new":1}')
    assert frame is not None
    assert (frame.event, frame.id, bytes(frame.payload), frame.ackid, frame.trace_id) == (
        "x", "7", b'{"a":1}', "1.2", "t",
    )  # fmt: skip


@pytest.mark.parametrize("text", ['{"event":"ping"}', '{"event":"ping","payload":null}'])
def test_a_null_payload_is_an_empty_one(text: str) -> None:
    frame = parse_frame(text)
    assert isinstance(frame, ClientFrame)
    assert json.loads(event_frame("echo", frame.payload)) == {"event": "echo", "payload": {}}


def test_what_goes_out() -> None:
    assert json.loads(event_frame("e", {"a": 1}, "1.2")) == {"event": "e", "payload": {"a": 1}, "ackid": "1.2"}
    assert json.loads(reply_frame("r", None)) == {"event": "reply", "id": "r", "payload": {}}
    error = Overloaded(retry_after_ms=200)
    assert json.loads(error_frame(3, 429, error, "busy")) == {
        "event": "error",
        "id": 3,
        "payload": {"code": 429, "error": "request.overloaded", "message": "busy", "retry_after_ms": 200},
    }
    assert "retry_after_ms" not in json.loads(error_frame(3, 401, Unauthenticated(), "x"))["payload"]
    assert json.loads(unauthorized_frame()) == {
        "event": "event_error",
        "payload": {"error_code": 401, "error_message": "unauthorized"},
    }


def test_close_codes_say_by_their_range_whether_to_come_back() -> None:
    """DESIGN.md section 10."""
    for code in CloseCode:
        if code in RECONNECT_WITH_SAME_TOKEN and code >= 3000:  # below them are the protocol's own
            assert 3000 <= code <= 3499 or 4000 <= code <= 4499
    assert 4500 <= CloseCode.REPLACED <= 4999
    assert CloseCode.LOGIN_ENDED == 4401


@pytest.mark.parametrize("code", list(CloseCode))
def test_a_page_is_told_1000_where_it_must_not_come_back(code: CloseCode) -> None:
    assert as_told(code, sync=True) is code
    for_good = code in (CloseCode.LOGIN_ENDED, CloseCode.REPLACED)
    assert as_told(code, sync=False) is (CloseCode.NORMAL if for_good else code)
