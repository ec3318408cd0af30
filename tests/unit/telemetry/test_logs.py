"""Lines of the logs: their fields, and what they cost where nobody wants them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from xinyu.telemetry.logs import FIELDS, NEVER_SLOW, configure_logs, get_logger, hops, tell_request
from xinyu.telemetry.trace import adopt_shared_trace, adopt_trace, begin_trace, current_trace_id


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where lines go; all of logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    hops.told, hops.slow_seconds = False, NEVER_SLOW
    adopt_trace("")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_process_and_the_request_it_is_about(stream: io.StringIO) -> None:
    configure_logs("info", "json", "message,delivery", "m-1", stream)
    trace_id = begin_trace()
    get_logger("here").warning("something", uid=7, error=None)
    (line,) = lines(stream)
    assert set(line) <= set(FIELDS)
    assert (line["service_name"], line["instance_id"], line["trace_id"]) == ("message,delivery", "m-1", trace_id)
    assert (line["event"], line["uid"], line["level"], line["logger"]) == ("something", 7, "warning", "here")
    assert "error" not in line, "there was none"


def test_a_line_about_a_push_names_its_own_trace(stream: io.StringIO) -> None:
    configure_logs("debug", "json", "xinyu", "n", stream)
    begin_trace("aa")
    get_logger("here").debug("push", trace_id="bb")
    adopt_trace("")
    get_logger("here").debug("of nobody")
    assert [line.get("trace_id") for line in lines(stream)] == ["bb", None]


def test_a_stack_is_one_field(stream: io.StringIO) -> None:
    configure_logs("info", "json", "xinyu", "n", stream)
    try:
        raise KeyError("x")
    except KeyError:
        get_logger("here").exception("failed")
    (line,) = lines(stream)
    assert "KeyError" in line["exception"]
    assert set(line) <= set(FIELDS)


@pytest.mark.parametrize(("level", "told"), [("debug", True), ("info", False), ("error", False)])
def test_hops_are_told_at_debug_alone(stream: io.StringIO, level: str, told: bool) -> None:
    configure_logs(level, "json", "xinyu", "n", stream)
    assert hops.told is told
    tell_request(get_logger("here"), 0.5, route="GET /x", status=200, uid=None)
    assert [(line["event"], line["duration_ms"]) for line in lines(stream)] == [("request done", 500.0)] * told


def test_a_slow_request_is_told_at_info_too(stream: io.StringIO) -> None:
    configure_logs("info", "json", "xinyu", "n", stream, slow_request_ms=200)
    tell_request(get_logger("here"), 0.19, event_name="sync")
    tell_request(get_logger("here"), 0.2, event_name="sync")
    (line,) = lines(stream)
    assert (line["level"], line["event_name"], line["duration_ms"]) == ("warning", "sync", 200.0)


def test_work_for_several_callers_has_their_trace_when_it_is_one() -> None:
    adopt_shared_trace({"aa"})
    assert current_trace_id() == "aa"
    adopt_shared_trace({"aa", "bb"})
    assert current_trace_id() == ""
